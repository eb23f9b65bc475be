//! Joining: a newcomer presents its ticket to the node that invited it.

use crate::codec::{self, DecodeError, bound, bound_text};
use crate::limits;
use bincode::{Decode, Encode};

/// Newcomer to inviter.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JoinRequest {
    /// The ticket as text.
    pub ticket: String,
}

impl JoinRequest {
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
        let request: Self = codec::decode(bytes, limits::JOIN_BYTES_MAX)?;
        bound(request.ticket.is_ascii(), "ticket text")?;
        Ok(request)
    }
}

/// Inviter to newcomer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum JoinResponse {
    /// The newcomer is named in the inviter's log, now or before.
    Welcome,
    /// The ticket is not honoured.
    Refused {
        /// Why, in words.
        reason: String,
    },
    /// The inviter cannot write entries now; try again.
    Later,
}

impl JoinResponse {
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
        let response: Self = codec::decode(bytes, limits::JOIN_BYTES_MAX)?;
        if let Self::Refused { reason } = &response {
            bound_text(reason, limits::REASON_BYTES_MAX, "reason")?;
        }
        Ok(response)
    }
}
