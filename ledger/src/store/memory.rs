//! The index in memory: the twin that tests and simulations use.

use super::{Index, IndexBatch, IndexError, Mark};
use crate::views::ChainLink;
use std::collections::BTreeMap;
use talkoot_protocol::{Hash, Wallet};

/// An index in memory.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    mark: Option<Mark>,
    offsets: BTreeMap<Hash, u64>,
    logs: BTreeMap<(Wallet, u64, Hash), ()>,
    links: Vec<ChainLink>,
}

impl Index for MemoryIndex {
    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        Ok(self.mark)
    }

    fn offset(&self, id: &Hash) -> Result<Option<u64>, IndexError> {
        Ok(self.offsets.get(id).copied())
    }

    fn at_seq(&self, author: &Wallet, seq: u64) -> Result<Vec<Hash>, IndexError> {
        let range = (*author, seq, Hash::ZERO)..=(*author, seq, Hash::from_bytes([0xFF; 32]));
        Ok(self.logs.range(range).map(|((_, _, id), ())| *id).collect())
    }

    fn link(&self, position: u64) -> Result<Option<ChainLink>, IndexError> {
        Ok(usize::try_from(position)
            .ok()
            .and_then(|position| self.links.get(position))
            .copied())
    }

    fn apply(&mut self, batch: &IndexBatch) -> Result<(), IndexError> {
        for place in &batch.places {
            self.offsets.insert(place.id, place.offset);
            self.logs.insert((place.author, place.seq, place.id), ());
        }
        self.links
            .truncate(usize::try_from(batch.links_from).map_err(|_| IndexError::Corrupt)?);
        self.links.extend_from_slice(&batch.links);
        self.mark = batch.mark;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        *self = Self::default();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        Ok(())
    }
}
