//! Which libp2p protocols a node speaks, and with which settings.
//!
//! Every name but the genesis' carries the network id, so nodes of another
//! network find nothing else to talk about. Time-outs and sizes that differ from libp2p's defaults have
//! their reason next to them.

use super::codec::ByteCodec;
use super::identity;
use crate::exchange::{Protocol, Topic};
use libp2p::allow_block_list::{self, BlockedPeers};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::gossipsub::{self, MessageAuthenticity, ValidationMode};
use libp2p::kad::store::{MemoryStore, MemoryStoreConfig};
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{PeerId, StreamProtocol, Swarm, SwarmBuilder, identify, kad, mdns, ping};
use std::time::Duration;
use talkoot_protocol::{Keypair, NetworkId, limits, version};

const MINUTE: Duration = Duration::from_secs(60);

/// What we are to the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A node like all others.
    Member,
    /// One that asks and listens, answers no request and is in no routing table.
    Observer,
}

impl Role {
    const fn exchanges(self) -> ProtocolSupport {
        match self {
            Self::Member => ProtocolSupport::Full,
            Self::Observer => ProtocolSupport::Outbound,
        }
    }
}

/// Everything a node speaks on the control plane.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    // Denials come first: a refused connection reaches no other part.
    pub(super) limits: connection_limits::Behaviour,
    pub(super) blocks: allow_block_list::Behaviour<BlockedPeers>,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    pub(super) gossip: gossipsub::Behaviour,
    pub(super) sync: request_response::Behaviour<ByteCodec>,
    pub(super) blob: request_response::Behaviour<ByteCodec>,
    pub(super) presence: request_response::Behaviour<ByteCodec>,
    pub(super) join: request_response::Behaviour<ByteCodec>,
    pub(super) genesis: request_response::Behaviour<ByteCodec>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
}

impl Behaviour {
    /// The part that carries one request protocol.
    pub(super) const fn exchange(
        &mut self,
        protocol: Protocol,
    ) -> &mut request_response::Behaviour<ByteCodec> {
        match protocol {
            Protocol::Sync => &mut self.sync,
            Protocol::Blob => &mut self.blob,
            Protocol::Presence => &mut self.presence,
            Protocol::Join => &mut self.join,
            Protocol::Genesis => &mut self.genesis,
        }
    }
}

/// Any of the libraries refused its settings.
pub(super) type BuildError = Box<dyn std::error::Error + Send + Sync>;

/// Builds the swarm; nothing listens yet.
pub(super) fn build(
    key: &Keypair,
    network: NetworkId,
    role: Role,
    with_mdns: bool,
) -> Result<Swarm<Behaviour>, BuildError> {
    build_with(key, |keypair| behaviour(keypair, network, role, with_mdns))
}

/// A swarm over our transports that speaks what `make` says.
pub(super) fn build_with<B: NetworkBehaviour>(
    key: &Keypair,
    make: impl FnOnce(&libp2p::identity::Keypair) -> Result<B, BuildError>,
) -> Result<Swarm<B>, BuildError> {
    let keypair = identity::transport_keypair(key)?;
    let swarm = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(
            libp2p::tcp::Config::default().nodelay(true),
            libp2p::noise::Config::new,
            libp2p::yamux::Config::default,
        )?
        .with_quic_config(|mut config| {
            // A peer that was killed must be gone before it is back: requests
            // would go to its old connection.
            config.max_idle_timeout = 8_000;
            config.keep_alive_interval = Duration::from_secs(2);
            config
        })
        .with_dns()?
        .with_behaviour(make)?
        .with_swarm_config(|config| {
            config
                .with_smart_dial()
                .with_idle_connection_timeout(5 * MINUTE)
        })
        .build();
    Ok(swarm)
}

fn behaviour(
    keypair: &libp2p::identity::Keypair,
    network: NetworkId,
    role: Role,
    with_mdns: bool,
) -> Result<Behaviour, BuildError> {
    let public = keypair.public();
    let peer = public.to_peer_id();
    let agent = format!("talkoot/{}", env!("CARGO_PKG_VERSION"));
    let identify = identify::Config::new(version::identify_protocol(network), public)
        .with_agent_version(agent)
        .with_push_listen_addr_updates(true);
    let mdns = if with_mdns {
        Some(mdns::tokio::Behaviour::new(mdns::Config::default(), peer)?)
    } else {
        None
    };
    Ok(Behaviour {
        limits: connection_limits::Behaviour::new(
            ConnectionLimits::default()
                .with_max_pending_incoming(Some(32))
                .with_max_pending_outgoing(Some(32))
                // Two, because both ends may dial at the same moment.
                .with_max_established_per_peer(Some(3))
                .with_max_established_incoming(Some(128))
                .with_max_established_outgoing(Some(64))
                .with_max_established(Some(160)),
        ),
        blocks: allow_block_list::Behaviour::default(),
        identify: identify::Behaviour::new(identify),
        ping: ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_secs(10))),
        kad: kademlia(peer, network, role)?,
        gossip: gossip(network)?,
        sync: exchange(Protocol::Sync, network, role.exchanges())?,
        blob: exchange(Protocol::Blob, network, role.exchanges())?,
        presence: exchange(Protocol::Presence, network, role.exchanges())?,
        join: exchange(Protocol::Join, network, role.exchanges())?,
        genesis: exchange(Protocol::Genesis, network, role.exchanges())?,
        mdns: mdns.into(),
    })
}

fn kademlia(
    peer: PeerId,
    network: NetworkId,
    role: Role,
) -> Result<kad::Behaviour<MemoryStore>, BuildError> {
    let name = StreamProtocol::try_from_owned(version::kademlia_protocol(network))?;
    let mut config = kad::Config::new(name);
    config
        // Peers enter the table when identify has shown our protocol.
        .set_kbucket_inserts(kad::BucketInserts::Manual)
        .set_caching(kad::Caching::Disabled)
        .set_periodic_bootstrap_interval(Some(2 * MINUTE))
        // Layers come and go within minutes, not days.
        .set_provider_record_ttl(Some(30 * MINUTE))
        .set_provider_publication_interval(Some(10 * MINUTE))
        .set_record_ttl(Some(60 * MINUTE))
        .set_publication_interval(Some(20 * MINUTE))
        .set_replication_interval(None)
        // Any node could overwrite value records; none are kept.
        .set_record_filtering(kad::StoreInserts::FilterBoth);
    let store = MemoryStoreConfig {
        max_provided_keys: 65_536,
        ..MemoryStoreConfig::default()
    };
    let store = MemoryStore::with_config(peer, store);
    let mut kad = kad::Behaviour::with_config(peer, store, config);
    // Nobody confirms a loopback or home address, and automatic mode would stay
    // client for ever.
    kad.set_mode(Some(match role {
        Role::Member => kad::Mode::Server,
        Role::Observer => kad::Mode::Client,
    }));
    Ok(kad)
}

fn gossip(network: NetworkId) -> Result<gossipsub::Behaviour, BuildError> {
    let config = gossipsub::ConfigBuilder::default()
        .protocol_id_prefix(format!("/talkoot/{}/gossip", network.short()))
        // Entries and announcements carry the signatures that count.
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .message_id_fn(message_id)
        .max_transmit_size(limits::GOSSIP_BYTES_MAX)
        .mesh_n_low(4)
        .mesh_n(8)
        .mesh_n_high(12)
        .mesh_outbound_min(3)
        .heartbeat_interval(Duration::from_secs(1))
        .heartbeat_initial_delay(Duration::from_secs(1))
        .history_length(12)
        .history_gossip(3)
        .duplicate_cache_time(10 * MINUTE)
        .flood_publish(true)
        .build()?;
    let mut gossip = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config)?;
    for topic in Topic::ALL {
        gossip.subscribe(&gossipsub::IdentTopic::new(topic.name(network)))?;
    }
    Ok(gossip)
}

/// The same content is the same message, whoever sends it.
fn message_id(message: &gossipsub::Message) -> gossipsub::MessageId {
    let topic = message.topic.as_str().as_bytes();
    let mut content = Vec::with_capacity(8 + topic.len() + message.data.len());
    content.extend_from_slice(&(topic.len() as u64).to_le_bytes());
    content.extend_from_slice(topic);
    content.extend_from_slice(&message.data);
    let hash = talkoot_protocol::Hash::of_blob(&content);
    gossipsub::MessageId::new(hash.as_bytes().get(..20).unwrap_or_default())
}

pub(super) fn exchange(
    protocol: Protocol,
    network: NetworkId,
    support: ProtocolSupport,
) -> Result<request_response::Behaviour<ByteCodec>, BuildError> {
    let name = StreamProtocol::try_from_owned(protocol.name(network))?;
    let config = request_response::Config::default()
        .with_request_timeout(Duration::from_secs(15))
        .with_max_concurrent_streams(32);
    Ok(request_response::Behaviour::with_codec(
        ByteCodec::new(protocol),
        [(name, support)],
        config,
    ))
}
