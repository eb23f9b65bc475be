//! Tickets: how a second node learns of a network.
//!
//! A ticket is text that survives chat and e-mail: `talkoot1` and lower-case
//! base32 of the signed ticket with a 4-byte checksum. It carries the whole
//! genesis, so the joining node can compute the network's id by itself, and the
//! inviter's addresses. The signature shows who invites; it gives no rights in
//! the ledger.

use crate::announce::check_addresses;
use crate::codec::{DecodeError, bound};
use crate::envelope::{Signable, Signed, Verified, VerifyError};
use crate::genesis::Genesis;
use crate::hash::{Hash, HashContext};
use crate::identity::{SignContext, Wallet};
use crate::limits;
use bincode::{Decode, Encode};

const PREFIX: &str = "talkoot1";
const CHECKSUM_BYTES: usize = 4;

/// An invitation to a network.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ticket {
    /// Who invites, and signs.
    pub inviter: Wallet,
    /// The canonical genesis.
    pub genesis: Vec<u8>,
    /// libp2p addresses of the inviter, as multiaddr text.
    pub addresses: Vec<String>,
    /// When the invitation ends, milliseconds since 1970; 0 never.
    pub expires_ms: u64,
    /// Makes the ticket unique: the inviter honours it once.
    pub nonce: u64,
    /// The credit line the inviter passes on to the newcomer, µGFT.
    pub line_ugft: u64,
}

impl Signable for Ticket {
    const CONTEXT: SignContext = SignContext::Ticket;
    const BYTES_MAX: usize = limits::TICKET_BYTES_MAX;

    fn signer(&self) -> Wallet {
        self.inviter
    }

    fn check(&self) -> Result<(), DecodeError> {
        bound(
            self.genesis.len() <= limits::GENESIS_BYTES_MAX,
            "ticket genesis",
        )?;
        bound(!self.addresses.is_empty(), "ticket addresses")?;
        check_addresses(&self.addresses)
    }
}

/// Why a text is no ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Not our prefix.
    #[error("a ticket begins with {PREFIX}")]
    Prefix,
    /// Letters that base32 does not have, or a damaged length.
    #[error("the ticket is not base32 text; was it cut or changed?")]
    Text,
    /// The checksum differs: a typing or copying error.
    #[error("the ticket's checksum is wrong; was it cut or changed?")]
    Checksum,
    /// The content is bad or not the inviter's.
    #[error("the ticket is not valid: {0}")]
    Verify(#[from] VerifyError),
    /// Its time is over.
    #[error("the ticket has expired; ask for a new one (`talkoot invite`)")]
    Expired,
}

/// Writes a ticket as text.
#[must_use]
pub fn to_text(ticket: &Verified<Ticket>) -> String {
    let mut bytes = ticket.to_bytes();
    let checksum = Hash::of(HashContext::Ticket, &bytes);
    bytes.extend(checksum.as_bytes().iter().take(CHECKSUM_BYTES));
    let mut text = PREFIX.to_owned();
    text.push_str(
        &data_encoding::BASE32_NOPAD
            .encode(&bytes)
            .to_ascii_lowercase(),
    );
    text
}

/// Reads a ticket: text, checksum, genesis, signature, expiry.
///
/// # Errors
/// [`TicketError`].
pub fn from_text(text: &str, now_ms: u64) -> Result<(Verified<Ticket>, Genesis), TicketError> {
    // Line breaks come from mail, capitals from QR codes.
    let text: String = text.split_whitespace().collect();
    let text = text.to_ascii_lowercase();
    let body = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
    if body.len() > limits::TICKET_BYTES_MAX.saturating_mul(2) {
        return Err(TicketError::Text);
    }
    let bytes = data_encoding::BASE32_NOPAD
        .decode(body.to_ascii_uppercase().as_bytes())
        .map_err(|_| TicketError::Text)?;
    let split = bytes
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .ok_or(TicketError::Text)?;
    let (bytes, checksum) = bytes.split_at_checked(split).ok_or(TicketError::Text)?;
    if !Hash::of(HashContext::Ticket, bytes)
        .as_bytes()
        .starts_with(checksum)
    {
        return Err(TicketError::Checksum);
    }
    let signed = Signed::<Ticket>::decode(bytes).map_err(VerifyError::from)?;
    let genesis = Genesis::decode(&signed.claimed().genesis).map_err(VerifyError::from)?;
    let ticket = signed.verify(genesis.id())?;
    if ticket.expires_ms != 0 && ticket.expires_ms <= now_ms {
        return Err(TicketError::Expired);
    }
    Ok((ticket, genesis))
}
