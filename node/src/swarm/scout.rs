//! Asks an address for the genesis of its network, before we know any.
//!
//! Speaks one protocol, the only one whose name has no network in it, over the
//! same transports as everybody. What comes back is as good as its hash: the
//! caller compares the id with the one it expects, or shows it.

use super::behaviour::{build_with, exchange};
use super::codec::ByteCodec;
use super::{dials, identity};
use crate::core::dials::DialFailure;
use crate::exchange::Protocol;
use futures::StreamExt;
use libp2p::request_response::{self, Message, ProtocolSupport};
use libp2p::swarm::{DialError, SwarmEvent};
use libp2p::{Multiaddr, Swarm};
use std::time::Duration;
use talkoot_protocol::{Genesis, Hash, Keypair, NetworkId, Wallet};

/// What answered.
#[derive(Debug, Clone)]
pub struct Found {
    /// The founding document of its network.
    pub genesis: Genesis,
    /// Who it is.
    pub peer: Wallet,
}

/// Why an address gave no genesis.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScoutError {
    /// The text is no address.
    #[error("{0:?} is no multiaddr; an example is /ip4/192.0.2.7/udp/7470/quic-v1")]
    Address(String),
    /// No connection.
    #[error("{0}")]
    Unreachable(DialFailure),
    /// Somebody answers there, and is not who the address names.
    #[error("peer {0} answers there, not the one that the address names")]
    OtherPeer(String),
    /// A connection, and no answer in time.
    #[error("no answer in time")]
    Timeout,
    /// It speaks, but not this.
    #[error("it tells no genesis: {0}")]
    NoGenesis(String),
    /// Bytes that are no genesis.
    #[error("what it sent is no genesis: {0}")]
    Malformed(String),
}

/// Dials an address and asks who answers there for its genesis.
///
/// # Errors
/// [`ScoutError`].
pub async fn genesis_at(
    key: &Keypair,
    address: &str,
    timeout: Duration,
) -> Result<Found, ScoutError> {
    let multiaddr: Multiaddr = address
        .parse()
        .map_err(|_| ScoutError::Address(address.to_owned()))?;
    let other = |error: &dyn std::fmt::Display| {
        ScoutError::Unreachable(DialFailure::Other(error.to_string()))
    };
    // The name of this protocol has no network in it.
    let nowhere = NetworkId(Hash::ZERO);
    let mut swarm = build_with(key, |_| {
        exchange(Protocol::Genesis, nowhere, ProtocolSupport::Outbound)
    })
    .map_err(|error| other(&error))?;
    swarm
        .dial(multiaddr)
        .map_err(|error| ScoutError::Unreachable(dials::reason(&error)))?;
    tokio::time::timeout(timeout, answer(&mut swarm))
        .await
        .unwrap_or(Err(ScoutError::Timeout))
}

async fn answer(
    swarm: &mut Swarm<request_response::Behaviour<ByteCodec>>,
) -> Result<Found, ScoutError> {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                swarm.behaviour_mut().send_request(&peer_id, Ok(Vec::new()));
            }
            SwarmEvent::OutgoingConnectionError {
                error: DialError::WrongPeerId { obtained, .. },
                ..
            } => return Err(ScoutError::OtherPeer(obtained.to_string())),
            SwarmEvent::OutgoingConnectionError { error, .. } => {
                return Err(ScoutError::Unreachable(dials::reason(&error)));
            }
            SwarmEvent::Behaviour(request_response::Event::Message {
                peer,
                message: Message::Response { response, .. },
                ..
            }) => {
                let bytes = response.map_err(|fault| ScoutError::Malformed(fault.to_string()))?;
                let genesis = Genesis::decode(&bytes)
                    .map_err(|error| ScoutError::Malformed(error.to_string()))?;
                let peer = identity::wallet_of(&peer)
                    .ok_or_else(|| ScoutError::NoGenesis("its key holds no account".to_owned()))?;
                return Ok(Found { genesis, peer });
            }
            SwarmEvent::Behaviour(request_response::Event::OutboundFailure { error, .. }) => {
                return Err(ScoutError::NoGenesis(error.to_string()));
            }
            _ => {}
        }
    }
}
