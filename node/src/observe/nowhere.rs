//! A file and an index that keep nothing: the books of an observer stand in
//! memory and are gone with it.

use std::io;
use talkoot_ledger::journal::file::DurableFile;
use talkoot_ledger::store::{Index, IndexBatch, IndexError, Mark};
use talkoot_ledger::views::ChainLink;
use talkoot_protocol::{Hash, Wallet};

/// Takes everything and holds nothing.
#[derive(Debug, Default)]
pub(super) struct Nowhere {
    mark: Option<Mark>,
}

impl DurableFile for Nowhere {
    fn length(&mut self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_exact_at(&mut self, _offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            return Ok(());
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&mut self, _offset: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Index for Nowhere {
    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(self.mark)
    }

    fn offset(&self, _id: &Hash) -> Result<Option<u64>, IndexError> {
        Ok(None)
    }

    fn at_seq(&self, _author: &Wallet, _seq: u64) -> Result<Vec<Hash>, IndexError> {
        Ok(Vec::new())
    }

    fn link(&self, _position: u64) -> Result<Option<ChainLink>, IndexError> {
        Ok(None)
    }

    fn apply(&mut self, batch: &IndexBatch) -> Result<(), IndexError> {
        self.mark = batch.mark.or(self.mark);
        Ok(())
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        self.mark = None;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        Ok(())
    }
}
