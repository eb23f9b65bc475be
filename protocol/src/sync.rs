//! Sync messages: how two peers find out which entries the other lacks.
//!
//! A request and its answer, nothing kept between. `Heads` says whether there
//! is anything to do; `Tips` lists the newest entries of all logs in sorted
//! pages; `Entries` asks for entries by id, each with a part of the log before
//! it, so that a long log needs no round trip for each entry. Entries travel in
//! their signed form and are opaque here: the ledger decodes them.

use crate::codec::{self, DecodeError, bound};
use crate::hash::Hash;
use crate::identity::Wallet;
use crate::limits;
use bincode::{Decode, Encode};

/// An entry without a held successor in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct TipKey {
    /// Whose log.
    pub author: Wallet,
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: Hash,
}

/// The chain of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Heads {
    /// Entries held.
    pub length: u64,
    /// The last link of the chain.
    pub tip: Hash,
}

/// An entry that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Want {
    /// Its id.
    pub id: Hash,
    /// How many entries of its log before it are wanted too.
    pub back: u64,
}

/// What one peer asks another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SyncRequest {
    /// Here is my chain; what is yours?
    Heads(Heads),
    /// The log tips that sort after this one, from the first if `None`.
    Tips {
        /// The last tip of the page before.
        after: Option<TipKey>,
    },
    /// Entries by id, with parts of the logs before them.
    Entries {
        /// Sorted by id, distinct.
        wants: Vec<Want>,
    },
}

/// What the other answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SyncResponse {
    /// To `Heads`.
    Heads(Heads),
    /// To `Tips`.
    Tips {
        /// Sorted, distinct.
        tips: Vec<TipKey>,
        /// Whether more sort after them.
        more: bool,
    },
    /// To `Entries`: those held, parents before children, as many as fit.
    Entries {
        /// Signed entries.
        entries: Vec<Vec<u8>>,
    },
    /// Not now; ask again later.
    Busy,
}

impl SyncRequest {
    /// Encodes the request.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a request.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let request: Self = codec::decode(bytes, limits::SYNC_BYTES_MAX)?;
        if let Self::Entries { wants } = &request {
            bound(
                !wants.is_empty() && wants.len() <= limits::SYNC_ITEMS_MAX,
                "sync wants",
            )?;
            bound(wants.is_sorted_by(|a, b| a.id < b.id), "sync wants")?;
        }
        Ok(request)
    }
}

impl SyncResponse {
    /// Encodes the response.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a response.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let response: Self = codec::decode(bytes, limits::SYNC_BYTES_MAX)?;
        match &response {
            Self::Tips { tips, .. } => {
                bound(tips.len() <= limits::SYNC_ITEMS_MAX, "sync tips")?;
                bound(tips.is_sorted_by(|a, b| a < b), "sync tips")?;
            }
            Self::Entries { entries } => {
                bound(entries.len() <= limits::SYNC_ITEMS_MAX, "sync entries")?;
                bound(
                    entries
                        .iter()
                        .all(|entry| entry.len() <= limits::ENTRY_BYTES_MAX),
                    "sync entry",
                )?;
                let bytes: usize = entries.iter().map(Vec::len).sum();
                bound(bytes <= limits::SYNC_ENTRIES_BYTES_MAX, "sync entries size")?;
            }
            Self::Heads(_) | Self::Busy => {}
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(byte: u8) -> Want {
        Want {
            id: Hash::from_bytes([byte; 32]),
            back: 3,
        }
    }

    fn tip(byte: u8) -> TipKey {
        TipKey {
            author: Wallet::from_bytes([byte; 32]),
            seq: 1,
            id: Hash::ZERO,
        }
    }

    #[test]
    fn requests_survive_the_wire_and_bounds_hold() {
        let heads = Heads {
            length: 7,
            tip: Hash::ZERO,
        };
        let fine = [
            SyncRequest::Heads(heads),
            SyncRequest::Tips { after: None },
            SyncRequest::Tips {
                after: Some(tip(1)),
            },
            SyncRequest::Entries {
                wants: vec![want(1), want(2)],
            },
        ];
        for request in fine {
            assert_eq!(SyncRequest::decode(&request.to_bytes()), Ok(request));
        }
        for wants in [
            vec![],
            vec![want(2), want(1)],
            vec![want(1), want(1)],
            vec![want(1); 513],
        ] {
            let bytes = SyncRequest::Entries { wants }.to_bytes();
            assert_eq!(
                SyncRequest::decode(&bytes),
                Err(DecodeError::OutOfBounds {
                    field: "sync wants"
                })
            );
        }
    }

    #[test]
    fn responses_survive_the_wire_and_bounds_hold() {
        let fine = [
            SyncResponse::Heads(Heads {
                length: 0,
                tip: Hash::ZERO,
            }),
            SyncResponse::Tips {
                tips: vec![tip(1), tip(2)],
                more: true,
            },
            SyncResponse::Entries {
                entries: vec![vec![1, 2, 3], vec![]],
            },
            SyncResponse::Busy,
        ];
        for response in fine {
            assert_eq!(SyncResponse::decode(&response.to_bytes()), Ok(response));
        }
        let hostile = [
            SyncResponse::Tips {
                tips: vec![tip(2), tip(1)],
                more: false,
            },
            SyncResponse::Entries {
                entries: vec![vec![0; limits::ENTRY_BYTES_MAX + 1]],
            },
            SyncResponse::Entries {
                entries: vec![vec![0; 16_000]; 100],
            },
            SyncResponse::Entries {
                entries: vec![vec![]; limits::SYNC_ITEMS_MAX + 1],
            },
        ];
        for response in hostile {
            let refused = SyncResponse::decode(&response.to_bytes());
            assert!(
                matches!(refused, Err(DecodeError::OutOfBounds { .. })),
                "{refused:?}"
            );
        }
        assert!(SyncResponse::decode(&[9, 0, 0, 0]).is_err());
    }
}
