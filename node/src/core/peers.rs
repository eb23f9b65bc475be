//! Marks against peers: who sent rubbish, how often, and when it is enough.
//!
//! A mark never comes from bad luck (a lost connection, an unknown parent), only
//! from bytes that an honest program does not send. Points decay, so a peer
//! with an old bug is forgiven; enough points within a short time end in a ban.
//! This file decides; whoever owns the connections carries it out.

use std::collections::BTreeMap;
use talkoot_protocol::{DecodeError, VerifyError, Wallet};

/// Points at which a peer is banned.
pub const BAN_POINTS: u32 = 100;
/// One point is forgiven in this time.
pub const POINT_DECAY_MS: u64 = 6_000;
/// How long a ban lasts.
pub const BAN_MS: u64 = 600_000;
/// Peers remembered; the one with the oldest mark makes room.
const PEERS_MAX: usize = 1024;

/// What a peer did.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mark {
    /// More bytes than the kind of message may have.
    #[error("sent more than the limit")]
    OverLimit,
    /// A message that ends before its announced length.
    #[error("sent a truncated message")]
    Truncated,
    /// Bytes that are no such message.
    #[error("sent a malformed message: {0}")]
    Malformed(String),
    /// A value in another encoding than the canonical one.
    #[error("sent a message that is not canonical")]
    NotCanonical,
    /// A field beyond its bounds.
    #[error("sent {0} out of bounds")]
    OutOfBounds(&'static str),
    /// A signature that does not verify.
    #[error("sent a wrong signature")]
    Signature,
    /// An object or a greeting of another network.
    #[error("belongs to another network")]
    OtherNetwork,
    /// The same old object again.
    #[error("replayed an old message")]
    Replayed,
    /// Well-formed, but never valid: an entry that breaks the structure, a blob
    /// with another hash.
    #[error("sent something invalid: {0}")]
    Invalid(String),
    /// It broke a rule of a job on the data plane.
    #[error("broke a rule of a job: {0}")]
    Data(String),
}

impl Mark {
    /// Whether it is for something that can be checked by anybody and is false:
    /// bad luck and haste never make such a mark.
    #[must_use]
    pub const fn is_falsehood(&self) -> bool {
        matches!(self, Self::Signature | Self::Invalid(_))
    }

    /// How much it counts.
    #[must_use]
    pub const fn points(&self) -> u32 {
        match self {
            // May happen to an honest peer that is cut off or behind.
            Self::Replayed | Self::Truncated => 1,
            Self::OverLimit
            | Self::Malformed(_)
            | Self::NotCanonical
            | Self::OutOfBounds(_)
            | Self::Signature
            | Self::OtherNetwork
            | Self::Invalid(_)
            | Self::Data(_) => 10,
        }
    }
}

impl From<DecodeError> for Mark {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::TooLong { .. } => Self::OverLimit,
            DecodeError::Malformed(_) | DecodeError::Trailing(_) => {
                Self::Malformed(error.to_string())
            }
            DecodeError::NotCanonical => Self::NotCanonical,
            DecodeError::OutOfBounds { field } => Self::OutOfBounds(field),
        }
    }
}

impl From<VerifyError> for Mark {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Decode(error) => error.into(),
            VerifyError::Signature { .. } => Self::Signature,
        }
    }
}

/// What to do with a peer after a mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentence {
    /// Go on.
    Keep,
    /// Close its connections and take no more for [`BAN_MS`].
    Ban,
}

/// The record of one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Marks ever.
    pub marks: u32,
    /// The newest.
    pub last: Mark,
    points: u32,
    updated_ms: u64,
    banned_until_ms: Option<u64>,
}

/// The records of all peers.
#[derive(Debug, Default)]
pub struct MarkBook {
    records: BTreeMap<Wallet, Record>,
}

impl MarkBook {
    /// Notes a mark.
    pub fn mark(&mut self, peer: Wallet, mark: Mark, now_ms: u64) -> Sentence {
        let points = mark.points();
        if !self.records.contains_key(&peer) {
            self.make_room();
        }
        let record = self.records.entry(peer).or_insert_with(|| Record {
            marks: 0,
            last: mark.clone(),
            points: 0,
            updated_ms: now_ms,
            banned_until_ms: None,
        });
        let forgiven = now_ms.saturating_sub(record.updated_ms) / POINT_DECAY_MS;
        let left = u64::from(record.points).saturating_sub(forgiven);
        record.points = u32::try_from(left)
            .unwrap_or(u32::MAX)
            .saturating_add(points);
        record.marks = record.marks.saturating_add(1);
        record.last = mark;
        record.updated_ms = now_ms;
        if record.points < BAN_POINTS {
            return Sentence::Keep;
        }
        record.banned_until_ms = Some(now_ms.saturating_add(BAN_MS));
        Sentence::Ban
    }

    /// Ends bans whose time is over and names the peers.
    pub fn pardon(&mut self, now_ms: u64) -> Vec<Wallet> {
        let mut free = Vec::new();
        for (peer, record) in &mut self.records {
            if record.banned_until_ms.is_some_and(|end| end <= now_ms) {
                record.banned_until_ms = None;
                record.points = 0;
                free.push(*peer);
            }
        }
        free
    }

    /// The record of a peer, if it ever got a mark.
    #[must_use]
    pub fn get(&self, peer: &Wallet) -> Option<&Record> {
        self.records.get(peer)
    }

    /// Whether a peer is banned now.
    #[must_use]
    pub fn is_banned(&self, peer: &Wallet) -> bool {
        self.records
            .get(peer)
            .is_some_and(|record| record.banned_until_ms.is_some())
    }

    fn make_room(&mut self) {
        if self.records.len() < PEERS_MAX {
            return;
        }
        // A ban is forgotten only when there is nothing else to forget.
        let oldest = self
            .records
            .iter()
            .min_by_key(|(_, record)| (record.banned_until_ms.is_some(), record.updated_ms))
            .map(|(peer, _)| *peer);
        if let Some(peer) = oldest {
            self.records.remove(&peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(byte: u8) -> Wallet {
        Wallet::from_bytes([byte; 32])
    }

    #[test]
    fn ten_rude_messages_ban_and_time_pardons() {
        let mut book = MarkBook::default();
        for _ in 0..9 {
            assert_eq!(book.mark(peer(1), Mark::Signature, 1_000), Sentence::Keep);
        }
        assert_eq!(book.mark(peer(1), Mark::OverLimit, 1_000), Sentence::Ban);
        assert!(book.is_banned(&peer(1)));
        assert_eq!(book.get(&peer(1)).map(|record| record.marks), Some(10));
        assert_eq!(book.pardon(1_000 + BAN_MS - 1), vec![]);
        assert_eq!(book.pardon(1_000 + BAN_MS), vec![peer(1)]);
        assert!(!book.is_banned(&peer(1)));
        assert_eq!(book.mark(peer(1), Mark::Signature, 900_000), Sentence::Keep);
    }

    #[test]
    fn slow_marks_are_forgiven() {
        let mut book = MarkBook::default();
        for step in 0..200 {
            let now = step * POINT_DECAY_MS * 10;
            assert_eq!(book.mark(peer(1), Mark::Signature, now), Sentence::Keep);
        }
    }

    #[test]
    fn the_book_is_bounded_and_keeps_bans() {
        let mut book = MarkBook::default();
        for _ in 0..10 {
            book.mark(peer(9), Mark::Signature, 0);
        }
        for number in 0..3000_u32 {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            book.mark(Wallet::from_bytes(bytes), Mark::Replayed, 5);
        }
        assert_eq!(book.records.len(), PEERS_MAX);
        assert!(book.is_banned(&peer(9)));
    }
}
