//! The disk of one node: journal and signer file that lose and tear what was
//! not synced, backups, wiping, and for the largest runs no disk at all.

use crate::random::Random;
use std::io;
use talkoot_ledger::books::BooksFiles;
use talkoot_ledger::journal::faulty::{FaultyFile, Power};
use talkoot_ledger::journal::file::DurableFile;
use talkoot_ledger::store::memory::MemoryIndex;
use talkoot_ledger::store::{Index, IndexBatch, IndexError, Mark};
use talkoot_ledger::views::ChainLink;
use talkoot_protocol::{Hash, Wallet};

/// Bytes of the two files.
#[derive(Debug, Clone)]
struct Image {
    journal: Vec<u8>,
    signer: Vec<u8>,
}

/// What becomes of the power of a machine that starts.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    Lasting,
    /// It fails at this call to the disk.
    OffAt(u64),
    /// This call fails if it is a sync.
    SyncFailsAt(u64),
}

#[derive(Debug)]
pub(crate) struct Disk {
    journal: FaultyFile,
    signer: FaultyFile,
    power: Power,
    is_lasting: bool,
    backup: Option<Image>,
}

impl Disk {
    pub(crate) fn new() -> Self {
        let power = Power::default();
        Self {
            journal: FaultyFile::new(&power),
            signer: FaultyFile::new(&power),
            power,
            is_lasting: true,
            backup: None,
        }
    }

    pub(crate) fn files(&self) -> BooksFiles {
        BooksFiles {
            journal: Box::new(self.journal.clone()),
            signer: Box::new(self.signer.clone()),
            index: Box::new(MemoryIndex::default()),
        }
    }

    /// The machine stops; what is on the disk afterwards is what it starts from.
    pub(crate) fn lose_power(&mut self, fate: Fate, random: &mut Random) {
        let image = Image {
            journal: self.journal.survivor(),
            signer: self.signer.survivor(),
        };
        self.is_lasting = matches!(fate, Fate::Lasting);
        self.power = match fate {
            Fate::Lasting => Power::failing_at(None, random.next()),
            Fate::OffAt(call) => Power::failing_at(Some(call), random.next()),
            Fate::SyncFailsAt(call) => Power::with_sync_failing_at(call),
        };
        self.load(image);
    }

    fn load(&mut self, image: Image) {
        self.journal = FaultyFile::holding(image.journal, &self.power);
        self.signer = FaultyFile::holding(image.signer, &self.power);
    }

    /// Whether nothing was to go wrong in this life.
    pub(crate) const fn is_lasting(&self) -> bool {
        self.is_lasting
    }

    pub(crate) fn back_up(&mut self) {
        self.backup = Some(Image {
            journal: self.journal.survivor(),
            signer: self.signer.survivor(),
        });
    }

    pub(crate) fn wipe(&mut self) {
        self.load(Image {
            journal: Vec::new(),
            signer: Vec::new(),
        });
    }

    /// Puts the old journal back, beside the newer signer file or beside none.
    /// A restored pair of journal and signer file looks like a machine that was
    /// off; whoever restores one must remove the signer file.
    pub(crate) fn restore(&mut self, with_signer: bool) -> bool {
        let Some(backup) = self.backup.clone() else {
            return false;
        };
        let signer = if with_signer {
            self.signer.survivor()
        } else {
            Vec::new()
        };
        self.load(Image {
            journal: backup.journal,
            signer,
        });
        true
    }
}

/// Files that keep nothing: for runs whose nodes never restart.
pub(crate) fn nowhere() -> BooksFiles {
    BooksFiles {
        journal: Box::new(Nowhere),
        signer: Box::new(Nowhere),
        index: Box::new(Nowhere),
    }
}

#[derive(Debug)]
struct Nowhere;

impl DurableFile for Nowhere {
    fn length(&mut self) -> io::Result<u64> {
        Ok(0)
    }

    fn read_exact_at(&mut self, _: u64, buffer: &mut [u8]) -> io::Result<()> {
        if buffer.is_empty() {
            Ok(())
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }

    fn write_at(&mut self, _: u64, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&mut self, _: u64) -> io::Result<()> {
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Index for Nowhere {
    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(None)
    }

    fn offset(&self, _: &Hash) -> Result<Option<u64>, IndexError> {
        Ok(None)
    }

    fn at_seq(&self, _: &Wallet, _: u64) -> Result<Vec<Hash>, IndexError> {
        Ok(Vec::new())
    }

    fn link(&self, _: u64) -> Result<Option<ChainLink>, IndexError> {
        Ok(None)
    }

    fn apply(&mut self, _: &IndexBatch) -> Result<(), IndexError> {
        Ok(())
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        Ok(())
    }
}
