//! Hashes: blake3 in derive-key mode, another context for every kind of object.
//!
//! A hash made for one purpose therefore never equals a hash made for another,
//! even over the same bytes. This file does not sign anything.

use bincode::{Decode, Encode};
use blake3::hazmat::{ContextKey, HasherExt, hash_derive_key_context};
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

/// What a hash is for. The text is the blake3 derive-key context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashContext {
    /// The id of a network: over the canonical genesis.
    Genesis,
    /// The id of a model: over its canonical card.
    Card,
    /// The id of a ledger entry: over its canonical body, without the signature.
    Entry,
    /// A link of the chain: over the previous link, the entry id and its effect.
    Link,
    /// The outcome of an entry.
    Effect,
    /// The id of an attestation.
    Attestation,
    /// The running transcript of a job's tokens.
    Transcript,
    /// The running hash of what a stage received or sent.
    HiddenStream,
    /// The id of an offer.
    Offer,
    /// A record of the journal, chained over the previous record.
    JournalRecord,
    /// The digest of a span of entries that sync compares: over their ids.
    SyncSpan,
    /// The checksum of a ticket.
    Ticket,
    /// The key of a Kademlia provider record.
    ProviderKey,
    /// The id of a free job, which has no ledger entry.
    FreeJob,
    /// The digest that a signature covers.
    Signature,
}

/// How many purposes have their key kept.
const CONTEXTS: usize = HashContext::Signature as usize + 1;

impl HashContext {
    /// The derive-key context string. Never changed: ids depend on it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Genesis => "talkoot/1 genesis",
            Self::Card => "talkoot/1 model card",
            Self::Entry => "talkoot/1 ledger entry",
            Self::Link => "talkoot/1 chain link",
            Self::Effect => "talkoot/1 entry effect",
            Self::Attestation => "talkoot/1 frontier attestation",
            Self::Transcript => "talkoot/1 token transcript",
            Self::HiddenStream => "talkoot/1 hidden stream",
            Self::Offer => "talkoot/1 offer",
            Self::JournalRecord => "talkoot/1 journal record",
            Self::SyncSpan => "talkoot/1 sync span",
            Self::Ticket => "talkoot/1 ticket",
            Self::ProviderKey => "talkoot/1 provider key",
            Self::FreeJob => "talkoot/1 free job",
            Self::Signature => "talkoot/1 signature",
        }
    }

    /// The key that blake3 derives of the context: the same for every hash, so
    /// it is derived once.
    fn key(self) -> ContextKey {
        static KEYS: [OnceLock<ContextKey>; CONTEXTS] = [const { OnceLock::new() }; CONTEXTS];
        let derive = || hash_derive_key_context(self.as_str());
        KEYS.get(self as usize)
            .map_or_else(derive, |key| *key.get_or_init(derive))
    }
}

/// 32 bytes of blake3. Shown as 64 hexadecimal digits.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash that stands for "nothing before": 32 zero bytes.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes `bytes` for one purpose.
    #[must_use]
    pub fn of(context: HashContext, bytes: &[u8]) -> Self {
        Self::of_parts(context, &[bytes])
    }

    /// Hashes several pieces as one message. The caller makes sure that the
    /// pieces cannot be split in two ways (fixed sizes, or lengths written in).
    #[must_use]
    pub fn of_parts(context: HashContext, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_from_context_key(&context.key());
        for part in parts {
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// Plain blake3 of a file or blob, as the `b3sum` tool prints it.
    #[must_use]
    pub fn of_blob(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Wraps 32 bytes that are already a hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({})", self.short())
    }
}

/// A text is not 64 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected 64 hexadecimal digits")]
pub struct ParseHexError;

/// Reads 64 hexadecimal digits, upper or lower case.
pub(crate) fn parse_hex_32(text: &str) -> Result<[u8; 32], ParseHexError> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(text.as_bytes())
        .map_err(|_| ParseHexError)?
        .try_into()
        .map_err(|_| ParseHexError)
}

impl FromStr for Hash {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex_32(text).map(Self)
    }
}
