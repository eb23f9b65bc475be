//! What entries say: the payloads of the kinds this program knows.
//!
//! A payload is the canonical encoding of its struct. Decoding never decides
//! membership: an entry whose payload does not decode is held, and inert.
//! Whether a decoded payload has any effect is judged elsewhere.

mod admit;
mod equivocation;
mod frontier;
mod model;
mod release;
mod reserve;

pub use admit::Admit;
pub use equivocation::{Equivocation, EquivocationError, Proof};
pub use frontier::Frontier;
pub use model::Model;
pub use release::Release;
pub use reserve::Reserve;

use talkoot_protocol::codec::{self, DecodeError};
use talkoot_protocol::limits;

/// Passes on a part of the author's own credit line.
pub const ADMIT: u16 = 1;
/// Holds a submitter's money for the stages of a job.
pub const RESERVE: u16 = 2;
/// What a stage is owed for a job so far.
pub const FRONTIER: u16 = 3;
/// Says nothing but what its author has seen.
pub const WITNESS: u16 = 4;
/// Two entries of one author at one number.
pub const EQUIVOCATION: u16 = 5;
/// A model card.
pub const MODEL: u16 = 6;
/// Ends the holds of a job whose deadline has passed.
pub const RELEASE: u16 = 7;

/// The name of a kind, for listings.
#[must_use]
pub const fn name(kind: u16) -> &'static str {
    match kind {
        ADMIT => "admit",
        RESERVE => "reserve",
        FRONTIER => "frontier",
        WITNESS => "witness",
        EQUIVOCATION => "equivocation",
        MODEL => "model",
        RELEASE => "release",
        _ => "unknown",
    }
}

/// A decoded payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// Kind [`ADMIT`].
    Admit(Admit),
    /// Kind [`RESERVE`].
    Reserve(Box<Reserve>),
    /// Kind [`FRONTIER`].
    Frontier(Box<Frontier>),
    /// Kind [`WITNESS`]: no payload at all.
    Witness,
    /// Kind [`EQUIVOCATION`].
    Equivocation(Equivocation),
    /// Kind [`MODEL`].
    Model(Model),
    /// Kind [`RELEASE`].
    Release(Release),
}

impl Payload {
    /// The kind of this payload.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Admit(_) => ADMIT,
            Self::Reserve(_) => RESERVE,
            Self::Frontier(_) => FRONTIER,
            Self::Witness => WITNESS,
            Self::Equivocation(_) => EQUIVOCATION,
            Self::Model(_) => MODEL,
            Self::Release(_) => RELEASE,
        }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Admit(admit) => codec::encode(admit),
            Self::Reserve(reserve) => codec::encode(reserve.as_ref()),
            Self::Frontier(frontier) => codec::encode(frontier.as_ref()),
            Self::Witness => Vec::new(),
            Self::Equivocation(pair) => codec::encode(pair),
            Self::Model(model) => codec::encode(model),
            Self::Release(release) => codec::encode(release),
        }
    }

    /// Decodes the payload of an entry; `Ok(None)` for a kind of later
    /// versions.
    ///
    /// # Errors
    /// [`DecodeError`] when the kind is known and the bytes are not such a
    /// payload within its bounds.
    pub fn decode(kind: u16, bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        const LIMIT: usize = limits::ENTRY_PAYLOAD_BYTES_MAX;
        Ok(Some(match kind {
            ADMIT => Self::Admit(codec::decode(bytes, LIMIT)?),
            RESERVE => {
                let reserve: Reserve = codec::decode(bytes, LIMIT)?;
                reserve.check()?;
                Self::Reserve(Box::new(reserve))
            }
            FRONTIER => Self::Frontier(Box::new(codec::decode(bytes, LIMIT)?)),
            WITNESS if bytes.is_empty() => Self::Witness,
            WITNESS => return Err(DecodeError::Trailing(bytes.len())),
            EQUIVOCATION => Self::Equivocation(codec::decode(bytes, LIMIT)?),
            MODEL => Self::Model(codec::decode(bytes, LIMIT)?),
            RELEASE => Self::Release(codec::decode(bytes, LIMIT)?),
            _ => return Ok(None),
        }))
    }
}
