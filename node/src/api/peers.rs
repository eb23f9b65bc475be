//! Peers beyond those that are connected: why others are not, how far away one
//! is, and what the owner asks to be done about them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Round trips of one ping at most.
pub const PINGS_MAX: u32 = 100;

/// `peers --why`: who is not connected.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UnreachedView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Addresses that were dialled and gave no connection.
    pub unreached: Vec<UnreachedAddressView>,
    /// Peers that are kept out.
    pub banned: Vec<BannedView>,
}

/// An address that gave no connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UnreachedAddressView {
    /// Where, as a multiaddr without peer id.
    pub address: String,
    /// Whom it was dialled for, where that is known.
    pub wallet: Option<String>,
    /// The owner's name for it.
    pub label: Option<String>,
    /// Why, in words.
    pub reason: String,
    /// What to do about it.
    pub advice: String,
    /// How often it failed since it last worked.
    pub attempts: u32,
    /// When it was last tried, milliseconds since 1970.
    pub tried_ms: u64,
    /// When it is tried next, where that is planned.
    pub next_ms: Option<u64>,
}

/// A peer that is kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BannedView {
    /// Who.
    pub wallet: String,
    /// The owner's name for it.
    pub label: Option<String>,
    /// Whose decision it is: `owner`, or `marks` for what it did.
    pub by: String,
    /// Why.
    pub reason: String,
    /// When it ends, milliseconds since 1970, where that is known.
    pub until_ms: Option<u64>,
}

/// Asks for round trips to a peer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PingRequest {
    /// A label, or a wallet or peer id or the only beginning of one.
    pub peer: String,
    /// How many, at most [`PINGS_MAX`].
    pub count: u32,
}

/// Round trips to a peer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PingView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Who.
    pub wallet: String,
    /// The owner's name for it.
    pub label: Option<String>,
    /// Where the control plane is connected.
    pub address: String,
    /// Whether another peer passes the bytes on.
    pub is_relayed: bool,
    /// Round trips of a request over the control plane, µs; null: no answer.
    pub control_us: Vec<Option<u64>>,
    /// The round trip of the data plane as QUIC estimates it, µs.
    pub data_us: Option<u64>,
    /// Why there is none.
    pub data_error: Option<String>,
}

/// Asks to let a wallet write into the ledger.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WelcomeRequest {
    /// As in [`PingRequest`]; a whole wallet id need not be connected.
    pub peer: String,
    /// The line to pass on, µGFT.
    pub line_ugft: u64,
}

/// Who may write now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WelcomedView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Who.
    pub wallet: String,
    /// The line passed on, µGFT.
    pub line_ugft: u64,
}

/// What a running node took over from the owner's file of peers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ContactsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Peers with a label.
    pub labels: usize,
    /// Peers kept out.
    pub bans: usize,
    /// First contacts.
    pub bootstrap: usize,
}
