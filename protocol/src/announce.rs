//! Presence: what a peer serves, for how long, and where it answers.
//!
//! An announcement is an envelope with a kind and an opaque payload, so later
//! versions may announce more. Numbers rise; the highest unexpired one counts.

use crate::codec::{self, DecodeError, bound, bound_text};
use crate::envelope::Signable;
use crate::hash::Hash;
use crate::identity::{SignContext, Wallet};
use crate::limits;
use crate::model::{ArithmeticId, LayerRange, ModelId};
use bincode::{Decode, Encode};

/// The kind of [`Presence`].
pub const KIND_PRESENCE: u16 = 1;

/// The signed envelope.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Announcement {
    /// Who announces, and signs.
    pub wallet: Wallet,
    /// Rises with every announcement of this wallet.
    pub number: u64,
    /// When it was made, milliseconds since 1970.
    pub issued_ms: u64,
    /// For how long it counts, milliseconds.
    pub ttl_ms: u32,
    /// How to read the payload.
    pub kind: u16,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Signable for Announcement {
    const CONTEXT: SignContext = SignContext::Announcement;
    const BYTES_MAX: usize = limits::ANNOUNCEMENT_BYTES_MAX;

    fn signer(&self) -> Wallet {
        self.wallet
    }

    fn check(&self) -> Result<(), DecodeError> {
        bound((1..=600_000).contains(&self.ttl_ms), "announcement ttl")
    }
}

/// Layers of one model that a peer serves.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Served {
    /// Which model.
    pub model: ModelId,
    /// Its name, for people.
    pub name: String,
    /// Plain blake3 of the card's canonical bytes: the card is a blob under it.
    pub card: Hash,
    /// Layers of the whole model.
    pub layers: u32,
    /// Which of them are served; any part of the range may be used.
    pub range: LayerRange,
    /// How they are computed.
    pub arithmetic: ArithmeticId,
    /// Measured layers per second for one token at a time.
    pub layers_per_second: u32,
    /// Tokens one session may hold.
    pub context: u32,
}

/// The payload of kind [`KIND_PRESENCE`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Presence {
    /// Version of the software.
    pub software: String,
    /// libp2p addresses, as multiaddr text.
    pub addresses: Vec<String>,
    /// Data-plane addresses, as `ip:port` text.
    pub data_addresses: Vec<String>,
    /// What is served; empty for a peer that only asks.
    pub served: Vec<Served>,
    /// Sessions that could be opened now.
    pub free_sessions: u16,
    /// Memory lent, bytes.
    pub memory_bytes: u64,
}

impl Presence {
    /// Encodes the payload.
    #[must_use]
    pub fn to_payload(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes the payload.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(payload: &[u8]) -> Result<Self, DecodeError> {
        let presence: Self = codec::decode(payload, limits::ANNOUNCEMENT_BYTES_MAX)?;
        bound_text(
            &presence.software,
            limits::VERSION_BYTES_MAX,
            "presence software",
        )?;
        check_addresses(&presence.addresses)?;
        check_addresses(&presence.data_addresses)?;
        bound(
            presence.served.len() <= limits::SERVED_MAX,
            "presence served",
        )?;
        for served in &presence.served {
            served.range.check()?;
            bound_text(&served.name, limits::NAME_BYTES_MAX, "served name")?;
            bound(
                served.range.end() <= served.layers && served.layers <= limits::LAYERS_MAX,
                "served layers",
            )?;
            bound(served.layers_per_second > 0, "served speed")?;
        }
        Ok(presence)
    }
}

/// Asks a peer for the announcements it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum PresenceRequest {
    /// All that fit.
    All,
}

/// The answer: signed announcements, the peer's own first. They are opaque
/// here, so one bad announcement does not hide the others.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct PresenceResponse {
    /// Signed announcements.
    pub announcements: Vec<Vec<u8>>,
}

impl PresenceRequest {
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
        codec::decode(bytes, 64)
    }
}

impl PresenceResponse {
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
        let response: Self = codec::decode(bytes, limits::PRESENCE_BYTES_MAX)?;
        bound(
            response.announcements.len() <= limits::PRESENT_MAX,
            "announcements",
        )?;
        bound(
            response
                .announcements
                .iter()
                .all(|bytes| bytes.len() <= limits::ANNOUNCEMENT_BYTES_MAX),
            "announcement",
        )?;
        Ok(response)
    }
}

/// Bounds a list of textual addresses.
///
/// # Errors
/// [`DecodeError::OutOfBounds`].
pub fn check_addresses(addresses: &[String]) -> Result<(), DecodeError> {
    bound(addresses.len() <= limits::ADDRESSES_MAX, "addresses")?;
    addresses
        .iter()
        .try_for_each(|address| bound_text(address, limits::ADDRESS_BYTES_MAX, "address"))
}
