//! Sync messages: how two peers find out which entries the other lacks.
//!
//! A request and its answer, nothing kept between. `Heads` says whether there
//! is anything to do. Chains that begin alike are alike up to there, so `Since`
//! finds where two begin to differ; what follows is listed, as ids when it is
//! short, else as spans of the chain's order with their counts and digests,
//! which `List` divides further. Whole spans are fetched with `Slice`, single
//! entries by id with `Entries`. Entries travel in their signed form and are
//! opaque here: the ledger decodes them.

use crate::codec::{self, DecodeError, bound};
use crate::hash::Hash;
use crate::identity::Wallet;
use crate::limits;
use bincode::{Decode, Encode};

/// The chain of a peer, or a part of it from its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Heads {
    /// Entries held.
    pub length: u64,
    /// The last link of the chain.
    pub tip: Hash,
}

/// Where an entry stands in the chain's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct ChainKey {
    /// Its lamport number.
    pub lamport: u64,
    /// Its author.
    pub author: Wallet,
    /// Its number in the author's log.
    pub seq: u64,
    /// Its id.
    pub id: Hash,
}

/// A part of the chain's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct KeyRange {
    /// It begins after this; at the beginning if `None`.
    pub after: Option<ChainKey>,
    /// It ends with this; it is open if `None`.
    pub until: Option<ChainKey>,
}

impl KeyRange {
    /// The whole order.
    pub const ALL: Self = Self {
        after: None,
        until: None,
    };

    /// Whether a key lies in it.
    #[must_use]
    pub fn contains(&self, key: &ChainKey) -> bool {
        self.after.is_none_or(|after| after < *key) && self.until.is_none_or(|until| *key <= until)
    }
}

/// Some entries that follow each other in the chain of who lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Span {
    /// The last of them.
    pub last: ChainKey,
    /// How many.
    pub count: u64,
    /// Over their ids; none when there are too many to read for an answer.
    pub digest: Option<Hash>,
}

/// What a peer holds in a part of the chain's order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Listing {
    /// Every id, in the chain's order.
    Ids(Vec<Hash>),
    /// Spans that follow each other and leave nothing out.
    Spans(Vec<Span>),
}

impl Listing {
    /// How many entries it stands for.
    #[must_use]
    pub fn count(&self) -> u64 {
        match self {
            Self::Ids(ids) => ids.len() as u64,
            Self::Spans(spans) => spans
                .iter()
                .fold(0, |sum: u64, span| sum.saturating_add(span.count)),
        }
    }

    fn check(&self) -> Result<(), DecodeError> {
        match self {
            Self::Ids(ids) => bound(ids.len() <= limits::SYNC_ITEMS_MAX, "sync ids"),
            Self::Spans(spans) => bound(
                spans.len() <= limits::SYNC_SPANS_MAX
                    && spans.is_sorted_by(|a, b| a.last < b.last)
                    && spans.iter().all(|span| span.count > 0),
                "sync spans",
            ),
        }
    }
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
    /// My chain at some lengths: what do you hold after the longest part that we share?
    Since {
        /// Longest first.
        marks: Vec<Heads>,
    },
    /// What do you hold in this part?
    List(KeyRange),
    /// All entries of a part, from its beginning, as many as fit.
    Slice {
        /// Which part.
        range: KeyRange,
        /// At most so many.
        entries_max: u32,
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
    /// To `Since`.
    Since {
        /// The length of the longest shared mark, else 0.
        shared: u64,
        /// What follows it.
        listing: Listing,
    },
    /// To `List`.
    List(Listing),
    /// To `Slice`: in the chain's order, and only as few as were asked for or fit.
    Slice {
        /// Signed entries.
        entries: Vec<Vec<u8>>,
        /// Whether more of the part follow.
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
        match &request {
            Self::Heads(_) => {}
            Self::Since { marks } => bound(
                marks.len() <= limits::SYNC_MARKS_MAX
                    && marks.is_sorted_by(|a, b| a.length > b.length),
                "sync marks",
            )?,
            Self::List(range) => range_bound(range)?,
            Self::Slice { range, entries_max } => {
                range_bound(range)?;
                bound(
                    (1..=limits::SYNC_SLICE_MAX).contains(entries_max),
                    "sync slice",
                )?;
            }
            Self::Entries { wants } => {
                bound(
                    !wants.is_empty() && wants.len() <= limits::SYNC_ITEMS_MAX,
                    "sync wants",
                )?;
                bound(wants.is_sorted_by(|a, b| a.id < b.id), "sync wants")?;
            }
        }
        Ok(request)
    }
}

fn range_bound(range: &KeyRange) -> Result<(), DecodeError> {
    let is_empty =
        matches!((range.after, range.until), (Some(after), Some(until)) if after >= until);
    bound(!is_empty, "sync range")
}

fn entries_bound(entries: &[Vec<u8>], count_max: usize) -> Result<(), DecodeError> {
    bound(entries.len() <= count_max, "sync entries")?;
    bound(
        entries
            .iter()
            .all(|entry| entry.len() <= limits::ENTRY_BYTES_MAX),
        "sync entry",
    )?;
    let bytes: usize = entries.iter().map(Vec::len).sum();
    bound(bytes <= limits::SYNC_ENTRIES_BYTES_MAX, "sync entries size")
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
            Self::Since { listing, .. } | Self::List(listing) => listing.check()?,
            Self::Slice { entries, .. } => {
                entries_bound(entries, limits::SYNC_SLICE_MAX as usize)?;
            }
            Self::Entries { entries } => entries_bound(entries, limits::SYNC_ITEMS_MAX)?,
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

    fn key(byte: u8) -> ChainKey {
        ChainKey {
            lamport: 1,
            author: Wallet::from_bytes([byte; 32]),
            seq: 1,
            id: Hash::ZERO,
        }
    }

    fn span(byte: u8, count: u64) -> Span {
        Span {
            last: key(byte),
            count,
            digest: Some(Hash::ZERO),
        }
    }

    fn heads(length: u64) -> Heads {
        Heads {
            length,
            tip: Hash::ZERO,
        }
    }

    fn between(after: u8, until: u8) -> KeyRange {
        KeyRange {
            after: Some(key(after)),
            until: Some(key(until)),
        }
    }

    #[test]
    fn requests_survive_the_wire_and_bounds_hold() {
        let slice = |range, entries_max| SyncRequest::Slice { range, entries_max };
        let fine = [
            SyncRequest::Heads(heads(7)),
            SyncRequest::Since { marks: vec![] },
            SyncRequest::Since {
                marks: vec![heads(2), heads(1)],
            },
            SyncRequest::List(KeyRange::ALL),
            slice(between(1, 2), 1),
            SyncRequest::Entries {
                wants: vec![want(1), want(2)],
            },
        ];
        for request in fine {
            assert_eq!(SyncRequest::decode(&request.to_bytes()), Ok(request));
        }
        let entries = |wants| SyncRequest::Entries { wants };
        let hostile = [
            ("sync wants", entries(vec![])),
            ("sync wants", entries(vec![want(2), want(1)])),
            ("sync wants", entries(vec![want(1), want(1)])),
            ("sync wants", entries(vec![want(1); 513])),
            ("sync range", SyncRequest::List(between(1, 1))),
            ("sync range", slice(between(2, 1), 1)),
            ("sync slice", slice(KeyRange::ALL, 0)),
            (
                "sync slice",
                slice(KeyRange::ALL, limits::SYNC_SLICE_MAX + 1),
            ),
            (
                "sync marks",
                SyncRequest::Since {
                    marks: vec![heads(1), heads(1)],
                },
            ),
            (
                "sync marks",
                SyncRequest::Since {
                    marks: (0..=limits::SYNC_MARKS_MAX as u64)
                        .rev()
                        .map(heads)
                        .collect(),
                },
            ),
        ];
        for (field, request) in hostile {
            let refused = SyncRequest::decode(&request.to_bytes());
            assert_eq!(refused, Err(DecodeError::OutOfBounds { field }));
        }
    }

    #[test]
    fn responses_survive_the_wire_and_bounds_hold() {
        let fine = [
            SyncResponse::Heads(heads(0)),
            SyncResponse::Since {
                shared: 3,
                listing: Listing::Ids(vec![Hash::ZERO]),
            },
            SyncResponse::List(Listing::Spans(vec![span(1, 1), span(2, 9)])),
            SyncResponse::Slice {
                entries: vec![vec![]; limits::SYNC_SLICE_MAX as usize],
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
        let list = |spans| SyncResponse::List(Listing::Spans(spans));
        let hostile = [
            list(vec![span(2, 1), span(1, 1)]),
            list(vec![span(1, 1), span(1, 1)]),
            list(vec![span(1, 0)]),
            list((0..65).map(|byte| span(byte, 1)).collect()),
            SyncResponse::List(Listing::Ids(vec![Hash::ZERO; limits::SYNC_ITEMS_MAX + 1])),
            SyncResponse::Entries {
                entries: vec![vec![0; limits::ENTRY_BYTES_MAX + 1]],
            },
            SyncResponse::Slice {
                entries: vec![vec![0; 16_000]; 100],
                more: false,
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
