//! Names of protocols and topics: our own, with the network id in each but one.
//!
//! Nodes of another network or another wire version therefore never complete a
//! handshake, enter a routing table or see a gossip message of ours.

use crate::hash::{Hash, HashContext};
use crate::identity::NetworkId;
use crate::model::ModelId;

/// The version of the wire. Raised when bytes change meaning.
pub const WIRE_VERSION: u16 = 1;

/// Layers in one block of provider records.
pub const PROVIDER_BLOCK_LAYERS: u32 = 4;

fn name(network: NetworkId, what: &str) -> String {
    format!("/talkoot/{}/{what}/{WIRE_VERSION}", network.short())
}

/// The protocol that identify reports.
#[must_use]
pub fn identify_protocol(network: NetworkId) -> String {
    name(network, "id")
}

/// The Kademlia protocol.
#[must_use]
pub fn kademlia_protocol(network: NetworkId) -> String {
    name(network, "kad")
}

/// The request-response protocol of ledger sync.
#[must_use]
pub fn sync_protocol(network: NetworkId) -> String {
    name(network, "sync")
}

/// The request-response protocol of blobs.
#[must_use]
pub fn blob_protocol(network: NetworkId) -> String {
    name(network, "blob")
}

/// The request-response protocol that answers with held announcements.
#[must_use]
pub fn presence_protocol(network: NetworkId) -> String {
    name(network, "presence")
}

/// The request-response protocol on which a newcomer presents its ticket.
#[must_use]
pub fn join_protocol(network: NetworkId) -> String {
    name(network, "join")
}

/// The request-response protocol on which anybody asks for the genesis. The
/// only name without a network in it: who asks does not know the network yet.
/// The request is empty, the answer is the canonical genesis.
#[must_use]
pub fn genesis_protocol() -> String {
    format!("/talkoot/genesis/{WIRE_VERSION}")
}

/// The gossip topic of ledger entries; it carries signed entries only.
#[must_use]
pub fn ledger_topic(network: NetworkId) -> String {
    name(network, "ledger")
}

/// The gossip topic of announcements; it carries signed announcements only.
#[must_use]
pub fn presence_topic(network: NetworkId) -> String {
    name(network, "announce")
}

/// The ALPN of the data plane.
#[must_use]
pub fn data_alpn(network: NetworkId) -> Vec<u8> {
    format!("talkoot-data/{}/{WIRE_VERSION}", network.short()).into_bytes()
}

/// The Kademlia key under which peers that hold any layer of one block of a
/// model provide.
#[must_use]
pub fn provider_key(model: ModelId, block: u32) -> Hash {
    Hash::of_parts(
        HashContext::ProviderKey,
        &[model.0.as_bytes(), &block.to_le_bytes()],
    )
}
