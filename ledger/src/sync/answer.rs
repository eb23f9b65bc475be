//! An answer that was read: entries decoded and their signatures checked.
//!
//! This is where catching up spends its time, and it needs no ledger: a driver
//! does it off the ledger thread.

use super::SyncFault;
use crate::entry::{Entry, id_of};
use talkoot_protocol::sync::{ChainKey, Heads, Listing, SyncResponse};
use talkoot_protocol::{NetworkId, Verified};

/// What a peer answered.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Its chain.
    Heads(Heads),
    /// What it holds after the chain that we share.
    Since {
        /// How much that is.
        shared: u64,
        /// What follows.
        listing: Listing,
    },
    /// What it holds in a part of the order.
    List(Listing),
    /// A part of the order.
    Slice {
        /// The entries.
        entries: Vec<Verified<Entry>>,
        /// Their bytes on the wire.
        bytes: usize,
        /// Whether more of the part follow.
        more: bool,
    },
    /// Entries by id.
    Entries {
        /// The entries.
        entries: Vec<Verified<Entry>>,
        /// Their bytes on the wire.
        bytes: usize,
    },
    /// Not now.
    Busy,
    /// An entry that does not verify.
    Bad(SyncFault),
}

impl Answer {
    /// Reads an answer.
    #[must_use]
    pub fn check(response: SyncResponse, network: NetworkId) -> Self {
        match response {
            SyncResponse::Heads(heads) => Self::Heads(heads),
            SyncResponse::Since { shared, listing } => Self::Since { shared, listing },
            SyncResponse::List(listing) => Self::List(listing),
            SyncResponse::Busy => Self::Busy,
            SyncResponse::Slice { entries, more } => {
                verify(&entries, network).map_or_else(Self::Bad, |(entries, bytes)| Self::Slice {
                    entries,
                    bytes,
                    more,
                })
            }
            SyncResponse::Entries { entries } => {
                verify(&entries, network).map_or_else(Self::Bad, |(entries, bytes)| Self::Entries {
                    entries,
                    bytes,
                })
            }
        }
    }
}

fn verify(
    entries: &[Vec<u8>],
    network: NetworkId,
) -> Result<(Vec<Verified<Entry>>, usize), SyncFault> {
    let verified: Result<Vec<_>, _> = entries
        .iter()
        .map(|bytes| Verified::from_bytes(bytes, network))
        .collect();
    let bytes = entries.iter().map(Vec::len).sum();
    verified
        .map(|entries| (entries, bytes))
        .map_err(|_| SyncFault::BadEntry)
}

/// Where an entry stands in the chain's order.
pub(super) fn key(entry: &Verified<Entry>) -> ChainKey {
    ChainKey {
        lamport: entry.lamport,
        author: entry.author,
        seq: entry.seq,
        id: id_of(entry),
    }
}
