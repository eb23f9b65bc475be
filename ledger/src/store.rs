//! The index: where entries stand in the journal, and the chain.
//!
//! It can be built again from the journal at any time and is, whenever it does
//! not open or disagrees. So nothing depends on its durability, and it holds
//! nothing that the journal does not. One twin in memory, one on disk.

pub mod memory;
pub mod sled;

use crate::views::ChainLink;
use talkoot_protocol::{Hash, Wallet};

/// Why an index cannot be used. It is built again then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The store behind it says no.
    #[error("the index cannot be used: {0}")]
    Store(String),
    /// A stored value does not decode.
    #[error("the index holds a value that does not decode")]
    Corrupt,
}

/// What the index covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Where the journal's records end.
    pub journal_end: u64,
    /// The hash of the journal's last record.
    pub journal_head: Hash,
    /// Entries in the chain.
    pub chain_length: u64,
    /// The chain's last link.
    pub chain_tip: Hash,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Which entry.
    pub id: Hash,
    /// Whose log.
    pub author: Wallet,
    /// Which number.
    pub seq: u64,
    /// Where its journal record begins.
    pub offset: u64,
}

/// A change of the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexBatch {
    /// New entries.
    pub places: Vec<Place>,
    /// The first chain position that changed.
    pub links_from: u64,
    /// The chain from there to its end.
    pub links: Vec<ChainLink>,
    /// What the index covers after this change; `None` while more belongs to
    /// it.
    pub mark: Option<Mark>,
}

/// An index.
pub trait Index: std::fmt::Debug + Send {
    /// What it covers; `None` when it is empty.
    ///
    /// # Errors
    /// [`IndexError`].
    fn mark(&self) -> Result<Option<Mark>, IndexError>;

    /// Where an entry's journal record begins.
    ///
    /// # Errors
    /// [`IndexError`].
    fn offset(&self, id: &Hash) -> Result<Option<u64>, IndexError>;

    /// The entries of a log at one number.
    ///
    /// # Errors
    /// [`IndexError`].
    fn at_seq(&self, author: &Wallet, seq: u64) -> Result<Vec<Hash>, IndexError>;

    /// One position of the chain.
    ///
    /// # Errors
    /// [`IndexError`].
    fn link(&self, position: u64) -> Result<Option<ChainLink>, IndexError>;

    /// Applies a change.
    ///
    /// # Errors
    /// [`IndexError`].
    fn apply(&mut self, batch: &IndexBatch) -> Result<(), IndexError>;

    /// Forgets everything.
    ///
    /// # Errors
    /// [`IndexError`].
    fn clear(&mut self) -> Result<(), IndexError>;

    /// Writes out what is still in memory.
    ///
    /// # Errors
    /// [`IndexError`].
    fn flush(&mut self) -> Result<(), IndexError>;
}
