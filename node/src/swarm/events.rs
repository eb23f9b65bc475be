//! What libp2p tells the task, and what follows from it.

use super::behaviour::BehaviourEvent;
use super::bootstrap::without_peer;
use super::codec::Message;
use super::task::Task;
use super::{GossipReceipt, PeerInfo, Reply, SwarmEvent, dials, identity};
use crate::clock;
use crate::core::dials::DialFailure;
use crate::core::peers::Mark;
use crate::exchange::{ExchangeError, Protocol};
use libp2p::core::ConnectedPoint;
use libp2p::request_response::{self, OutboundFailure};
use libp2p::swarm::SwarmEvent as RawEvent;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, gossipsub, identify, kad, mdns, ping};
use std::time::Duration;
use talkoot_protocol::Wallet;

/// Addresses of one peer that are taken into the routing table.
const ADDRESSES_MAX: usize = 16;

/// A second connection within this time is the other half of a mutual dial.
const REDIAL: Duration = Duration::from_secs(3);

impl Task {
    pub(super) fn on_event(&mut self, event: RawEvent<BehaviourEvent>) {
        match event {
            RawEvent::Behaviour(event) => self.on_behaviour(event),
            RawEvent::ConnectionEstablished {
                peer_id,
                endpoint,
                num_established,
                ..
            } => self.on_connected(peer_id, &endpoint, num_established.get()),
            RawEvent::ConnectionClosed {
                peer_id,
                num_established: 0,
                ..
            } => self.on_gone(peer_id),
            RawEvent::NewListenAddr { .. }
            | RawEvent::ExpiredListenAddr { .. }
            | RawEvent::ListenerClosed { .. } => self.show_listeners(),
            RawEvent::OutgoingConnectionError { peer_id, error, .. } => {
                tracing::debug!(?peer_id, %error, "connection failed");
                let now_ms = clock::now_ms();
                for failed in dials::failures(peer_id, &error) {
                    let (address, failure) = (failed.address, failed.failure);
                    self.dials.fail(&address, failed.peer, failure, now_ms);
                }
                self.show_dials();
            }
            RawEvent::IncomingConnectionError { error, .. } => {
                tracing::debug!(%error, "incoming connection failed");
            }
            _ => {}
        }
    }

    fn on_connected(&mut self, peer: PeerId, endpoint: &ConnectedPoint, connections: u32) {
        let Some(wallet) = identity::wallet_of(&peer) else {
            // Only ed25519 keys can hold an account here.
            self.swarm.disconnect_peer_id(peer).ok();
            return;
        };
        let dialled = match endpoint {
            ConnectedPoint::Dialer { address, .. } => Some(address),
            ConnectedPoint::Listener { .. } => None,
        };
        let is_ours = dialled.is_some();
        self.bootstrap.connected(peer, dialled);
        let now = clock::monotonic();
        let since = *self.connected_since.entry(peer).or_insert(now);
        if connections > 1 {
            // Who dials though it is connected for long was started anew: its
            // old connections are dead, and it knows nothing of ours. A clean
            // beginning is quicker than waiting for them to time out. (Two
            // that dial each other at the same moment keep both.)
            if !is_ours && now.duration_since(since) > REDIAL {
                self.swarm.disconnect_peer_id(peer).ok();
            }
            return;
        }
        let info = PeerInfo {
            wallet,
            peer_id: peer.to_string(),
            address: endpoint.get_remote_address().to_string(),
            is_inbound: !is_ours,
            rtt_us: None,
            software: None,
            marks: 0,
            last_mark: None,
        };
        self.write(|snapshot| {
            snapshot.peers.insert(wallet, info);
        });
        self.show_marks(&wallet);
        self.emit(SwarmEvent::Connected(wallet));
    }

    fn on_gone(&mut self, peer: PeerId) {
        self.bootstrap.disconnected(peer);
        self.connected_since.remove(&peer);
        if let Some(wallet) = identity::wallet_of(&peer) {
            self.note_hang_up(&wallet);
            self.write(|snapshot| {
                snapshot.peers.remove(&wallet);
            });
            self.emit(SwarmEvent::Gone(wallet));
        }
    }

    fn show_listeners(&self) {
        let own = *self.swarm.local_peer_id();
        let listeners = self
            .swarm
            .listeners()
            .filter_map(|address| address.clone().with_p2p(own).ok())
            .map(|address| address.to_string())
            .collect();
        self.write(|snapshot| snapshot.listeners = listeners);
    }

    fn on_behaviour(&mut self, event: BehaviourEvent) {
        match event {
            BehaviourEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info);
            }
            BehaviourEvent::Ping(ping::Event {
                peer,
                result: Ok(round_trip),
                ..
            }) => {
                let rtt_us = u64::try_from(round_trip.as_micros()).ok();
                self.update(peer, |info| info.rtt_us = rtt_us);
            }
            BehaviourEvent::Gossip(event) => self.on_gossip(event),
            BehaviourEvent::Sync(event) => self.on_exchange(Protocol::Sync, event),
            BehaviourEvent::Blob(event) => self.on_exchange(Protocol::Blob, event),
            BehaviourEvent::Presence(event) => self.on_exchange(Protocol::Presence, event),
            BehaviourEvent::Join(event) => self.on_exchange(Protocol::Join, event),
            BehaviourEvent::Genesis(event) => self.on_exchange(Protocol::Genesis, event),
            BehaviourEvent::Kad(kad::Event::OutboundQueryProgressed {
                id,
                result: kad::QueryResult::GetProviders(result),
                step,
                ..
            }) => self.on_providers(id, result, step.last),
            BehaviourEvent::Mdns(mdns::Event::Discovered(found)) => self.on_neighbours(found),
            _ => {}
        }
    }

    fn update(&self, peer: PeerId, change: impl FnOnce(&mut PeerInfo)) {
        let Some(wallet) = identity::wallet_of(&peer) else {
            return;
        };
        self.write(|snapshot| {
            if let Some(info) = snapshot.peers.get_mut(&wallet) {
                change(info);
            }
        });
    }

    fn on_identified(&mut self, peer: PeerId, info: identify::Info) {
        if info.protocol_version != self.identify_protocol {
            if let Some(wallet) = identity::wallet_of(&peer) {
                self.note_other_network(wallet);
                // On a local network everybody hears of everybody: no offence.
                match self.neighbours.is_strange(&peer, clock::now_ms()) {
                    Some(address) => self.emit(SwarmEvent::Stranger {
                        peer: wallet,
                        address: without_peer(&address).to_string(),
                    }),
                    None => self.mark(wallet, Mark::OtherNetwork),
                }
            }
            self.swarm.disconnect_peer_id(peer).ok();
            return;
        }
        let software: String = info.agent_version.chars().take(64).collect();
        self.update(peer, |known| known.software = Some(software));
        if let Some(wallet) = identity::wallet_of(&peer) {
            let address = self.address_of(&wallet).unwrap_or_default();
            self.dials.connected(&wallet, &address);
            self.show_dials();
        }
        let speaks_kad = info
            .protocols
            .iter()
            .any(|protocol| protocol.as_ref() == self.kademlia_protocol);
        if speaks_kad {
            for address in info.listen_addrs.into_iter().take(ADDRESSES_MAX) {
                self.swarm.behaviour_mut().kad.add_address(&peer, address);
            }
        }
    }

    /// Who keeps us out lets us connect and hangs up before a word is said.
    fn note_hang_up(&mut self, wallet: &Wallet) {
        if let Some(address) = self.address_of_unknown(wallet) {
            let failure = DialFailure::Closed;
            self.dials
                .fail(&address, Some(*wallet), failure, clock::now_ms());
            self.show_dials();
        }
    }

    /// It answered, and is no peer of ours.
    fn note_other_network(&mut self, wallet: Wallet) {
        let address = self.address_of(&wallet);
        if let Some(address) = address {
            let failure = DialFailure::OtherNetwork;
            self.dials
                .fail(&address, Some(wallet), failure, clock::now_ms());
            self.show_dials();
        }
    }

    fn on_neighbours(&mut self, found: Vec<(PeerId, Multiaddr)>) {
        for (peer, address) in found {
            let is_wanted = self
                .neighbours
                .found(peer, address.clone(), clock::now_ms());
            if !is_wanted {
                continue;
            }
            let options = DialOpts::peer_id(peer)
                .addresses(vec![address])
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .build();
            if let Err(error) = self.swarm.dial(options) {
                tracing::debug!(%error, "neighbour not dialled");
            }
        }
    }

    fn on_gossip(&mut self, event: gossipsub::Event) {
        match event {
            gossipsub::Event::Message {
                propagation_source,
                message_id,
                message,
            } => {
                let topic = self.topics.get(&message.topic).copied();
                let from = identity::wallet_of(&propagation_source);
                let (Some(topic), Some(from)) = (topic, from) else {
                    return;
                };
                self.emit(SwarmEvent::Gossip {
                    topic,
                    bytes: message.data,
                    from,
                    receipt: GossipReceipt {
                        message: message_id,
                        source: propagation_source,
                    },
                });
            }
            gossipsub::Event::Subscribed { peer_id, topic, .. } => {
                let topic = self.topics.get(&topic).copied();
                if let (Some(topic), Some(wallet)) = (topic, identity::wallet_of(&peer_id)) {
                    self.emit(SwarmEvent::Subscribed(wallet, topic));
                }
            }
            gossipsub::Event::SlowPeer {
                peer_id,
                failed_messages,
            } => tracing::debug!(%peer_id, ?failed_messages, "slow peer"),
            _ => {}
        }
    }

    fn on_exchange(
        &mut self,
        protocol: Protocol,
        event: request_response::Event<Message, Message>,
    ) {
        match event {
            request_response::Event::Message {
                peer,
                message:
                    request_response::Message::Request {
                        request, channel, ..
                    },
                ..
            } => {
                let from = identity::wallet_of(&peer);
                let (Some(from), Some(commands)) = (from, self.commands.upgrade()) else {
                    return;
                };
                match request {
                    Ok(bytes) => self.emit(SwarmEvent::Request {
                        from,
                        protocol,
                        bytes,
                        reply: Reply {
                            protocol,
                            channel,
                            commands,
                        },
                    }),
                    Err(fault) => self.mark(from, fault.into()),
                }
            }
            request_response::Event::Message {
                peer,
                message:
                    request_response::Message::Response {
                        request_id,
                        response,
                    },
                ..
            } => {
                if let (Err(fault), Some(wallet)) = (&response, identity::wallet_of(&peer)) {
                    self.mark(wallet, Mark::from(*fault));
                }
                if let Some(reply) = self.waiting.remove(&(protocol, request_id)) {
                    reply.send(response.map_err(ExchangeError::Frame)).ok();
                }
            }
            request_response::Event::OutboundFailure {
                request_id, error, ..
            } => {
                if let Some(reply) = self.waiting.remove(&(protocol, request_id)) {
                    reply.send(Err(failure(&error))).ok();
                }
            }
            request_response::Event::InboundFailure { .. }
            | request_response::Event::ResponseSent { .. } => {}
        }
    }

    fn on_providers(
        &mut self,
        query: kad::QueryId,
        result: kad::GetProvidersResult,
        is_last: bool,
    ) {
        let position = self
            .searches
            .iter()
            .position(|search| search.query == query);
        let Some(position) = position else {
            return;
        };
        if let Ok(kad::GetProvidersOk::FoundProviders { providers, .. }) = result {
            let wallets = providers.iter().filter_map(identity::wallet_of);
            if let Some(search) = self.searches.get_mut(position) {
                search.found.extend(wallets);
            }
        }
        if is_last {
            let search = self.searches.swap_remove(position);
            let found: Vec<Wallet> = search.found.into_iter().collect();
            search.reply.send(found).ok();
        }
    }
}

fn failure(error: &OutboundFailure) -> ExchangeError {
    match error {
        OutboundFailure::DialFailure => ExchangeError::Unreachable,
        OutboundFailure::Timeout => ExchangeError::Timeout,
        OutboundFailure::UnsupportedProtocols => ExchangeError::Unsupported,
        OutboundFailure::ConnectionClosed | OutboundFailure::Io(_) => ExchangeError::Closed,
    }
}
