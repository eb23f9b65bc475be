//! The index in sled: the only file that names it.
//!
//! sled 0.34.7 has open corruption reports, its `flush` is not power-safe and
//! it can panic on a damaged file; all of that is tolerable for an index that
//! is compared with the journal at every start. Opening is therefore fenced:
//! whatever goes wrong, the directory is moved aside and begun anew.

use super::{Index, IndexBatch, IndexError, Mark, Place};
use crate::views::ChainLink;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;
use talkoot_protocol::{Hash, Wallet};

const CACHE_BYTES: u64 = 64 * 1024 * 1024;
const FLUSH_EVERY_MS: u64 = 1_000;
/// sled gives its lock back from a thread of its own, some time after the last
/// handle is gone.
const LOCK_TRIES: u32 = 100;
const LOCK_RETRY: Duration = Duration::from_millis(20);
const MARK_KEY: &[u8] = b"mark";

/// An index in a sled database.
#[derive(Debug)]
pub struct SledIndex {
    path: PathBuf,
    database: sled::Db,
    offsets: sled::Tree,
    logs: sled::Tree,
    chain: sled::Tree,
    meta: sled::Tree,
}

impl From<sled::Error> for IndexError {
    fn from(error: sled::Error) -> Self {
        Self::Store(error.to_string())
    }
}

fn hash_at(bytes: &[u8], start: usize) -> Result<Hash, IndexError> {
    let rest = bytes.get(start..).ok_or(IndexError::Corrupt)?;
    rest.first_chunk::<32>()
        .map(|hash| Hash::from_bytes(*hash))
        .ok_or(IndexError::Corrupt)
}

fn number_at(bytes: &[u8], start: usize) -> Result<u64, IndexError> {
    let rest = bytes.get(start..).ok_or(IndexError::Corrupt)?;
    rest.first_chunk::<8>()
        .map(|number| u64::from_be_bytes(*number))
        .ok_or(IndexError::Corrupt)
}

impl Mark {
    fn to_bytes(self) -> Vec<u8> {
        let numbers = [
            self.journal_end.to_be_bytes(),
            self.chain_length.to_be_bytes(),
        ]
        .concat();
        [
            numbers.as_slice(),
            self.journal_head.as_bytes(),
            self.chain_tip.as_bytes(),
        ]
        .concat()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, IndexError> {
        Ok(Self {
            journal_end: number_at(bytes, 0)?,
            chain_length: number_at(bytes, 8)?,
            journal_head: hash_at(bytes, 16)?,
            chain_tip: hash_at(bytes, 48)?,
        })
    }
}

impl SledIndex {
    /// Opens the index; gives an empty one, after moving the old directory
    /// aside, when it does not open. The second value says whether it did.
    ///
    /// # Errors
    /// [`IndexError`] when not even an empty one can be made.
    pub fn open(path: &Path) -> Result<(Self, bool), IndexError> {
        let mut tries: u32 = 0;
        loop {
            let attempt = catch_unwind(AssertUnwindSafe(|| Self::try_open(path)));
            match attempt {
                Ok(Ok(index)) => return Ok((index, true)),
                Ok(Err(IndexError::Store(text))) if text.contains("acquire lock") => {
                    // Another process uses it: that is no damage, and not ours
                    // to move.
                    if tries >= LOCK_TRIES {
                        return Err(IndexError::Store(text));
                    }
                    tries = tries.saturating_add(1);
                    std::thread::sleep(LOCK_RETRY);
                }
                Ok(Err(_)) | Err(_) => break,
            }
        }
        let aside = path.with_extension("broken");
        let _ = std::fs::remove_dir_all(&aside);
        std::fs::rename(path, &aside)
            .or_else(|_| std::fs::remove_dir_all(path).or_else(|_| std::fs::remove_file(path)))
            .map_err(|error| IndexError::Store(error.to_string()))?;
        Self::try_open(path).map(|index| (index, false))
    }

    fn try_open(path: &Path) -> Result<Self, IndexError> {
        let database = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(Some(FLUSH_EVERY_MS))
            .open()?;
        Ok(Self {
            path: path.to_owned(),
            offsets: database.open_tree("offsets")?,
            logs: database.open_tree("logs")?,
            chain: database.open_tree("chain")?,
            meta: database.open_tree("meta")?,
            database,
        })
    }
}

impl Index for SledIndex {
    fn mark(&self) -> Result<Option<Mark>, IndexError> {
        self.meta
            .get(MARK_KEY)?
            .map(|bytes| Mark::from_bytes(&bytes))
            .transpose()
    }

    fn offset(&self, id: &Hash) -> Result<Option<u64>, IndexError> {
        self.offsets
            .get(id.as_bytes())?
            .map(|bytes| number_at(&bytes, 0))
            .transpose()
    }

    fn at_seq(&self, author: &Wallet, seq: u64) -> Result<Vec<Hash>, IndexError> {
        let prefix = [author.as_bytes().as_slice(), &seq.to_be_bytes()].concat();
        self.logs
            .scan_prefix(prefix)
            .keys()
            .map(|key| hash_at(&key?, 40))
            .collect()
    }

    fn link(&self, position: u64) -> Result<Option<ChainLink>, IndexError> {
        let Some(bytes) = self.chain.get(position.to_be_bytes())? else {
            return Ok(None);
        };
        Ok(Some(ChainLink {
            id: hash_at(&bytes, 0)?,
            effect: hash_at(&bytes, 32)?,
            link: hash_at(&bytes, 64)?,
        }))
    }

    fn apply(&mut self, batch: &IndexBatch) -> Result<(), IndexError> {
        // No batch spans trees: without its mark, a half-applied change is seen
        // at the next start and the index built again.
        self.meta.remove(MARK_KEY)?;
        // In the order of the keys: neighbours lie on one page.
        let mut places: Vec<&Place> = batch.places.iter().collect();
        places.sort_unstable_by_key(|place| place.id);
        for place in &places {
            let offset = place.offset.to_be_bytes();
            self.offsets.insert(place.id.as_bytes(), &offset)?;
        }
        places.sort_unstable_by_key(|place| (place.author, place.seq, place.id));
        for place in places {
            let key = [
                place.author.as_bytes().as_slice(),
                &place.seq.to_be_bytes(),
                place.id.as_bytes(),
            ]
            .concat();
            self.logs.insert(key, &[])?;
        }
        for (position, link) in (batch.links_from..).zip(&batch.links) {
            let value = [
                link.id.as_bytes().as_slice(),
                link.effect.as_bytes(),
                link.link.as_bytes(),
            ]
            .concat();
            self.chain.insert(position.to_be_bytes(), value)?;
        }
        if let Some(mark) = batch.mark {
            self.meta.insert(MARK_KEY, mark.to_bytes())?;
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        for tree in [&self.meta, &self.offsets, &self.logs, &self.chain] {
            tree.clear()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        self.database.flush()?;
        // sled's own flush leaves the data in the disk's cache.
        let data = self.path.join("db");
        std::fs::File::open(data)
            .and_then(|file| file.sync_data())
            .map_err(|error| IndexError::Store(error.to_string()))
    }
}
