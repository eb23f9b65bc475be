//! The task that owns the swarm: takes commands, drives libp2p, keeps the
//! snapshot that everybody reads.
//!
//! It never waits for anybody but libp2p. Events that the rest of the node has
//! no room for are dropped (a request stays unanswered, gossip is ignored);
//! comings and goings of peers are kept.

use super::behaviour::Behaviour;
use super::bootstrap::{Bootstrap, without_peer};
use super::codec::Message;
use super::neighbours::Neighbours;
use super::{
    Acceptance, GossipReceipt, MarkInfo, Snapshot, StartError, SwarmEvent, SwarmHandle, identity,
};
use crate::clock;
use crate::core::dials::DialBook;
use crate::core::peers::{Mark, MarkBook, Sentence};
use crate::exchange::{ExchangeError, Protocol, Topic};
use futures::StreamExt;
use libp2p::gossipsub::{IdentTopic, PublishError, TopicHash};
use libp2p::kad::{QueryId, RecordKey};
use libp2p::request_response::{OutboundRequestId, ResponseChannel};
use libp2p::swarm::SwarmEvent as RawEvent;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::{Multiaddr, PeerId, Swarm};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use talkoot_protocol::{Hash, NetworkId, Wallet};
use tokio::sync::{mpsc, oneshot};

/// Gossip and requests beyond this many waiting events are dropped.
const BACKLOG_MAX: usize = 1024;
/// How often bootstrap addresses and bans are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Whom to dial.
#[derive(Debug)]
pub(super) enum DialOrder {
    Address(Multiaddr),
    Peer(PeerId, Vec<Multiaddr>),
}

/// What the handle asks of the task.
#[derive(Debug)]
pub(super) enum Command {
    Dial(DialOrder),
    Publish {
        topic: Topic,
        bytes: Vec<u8>,
    },
    Judge {
        receipt: GossipReceipt,
        acceptance: Acceptance,
    },
    Request {
        peer: PeerId,
        protocol: Protocol,
        request: Message,
        reply: oneshot::Sender<Result<Vec<u8>, ExchangeError>>,
    },
    Respond {
        protocol: Protocol,
        channel: ResponseChannel<Message>,
        bytes: Vec<u8>,
    },
    Provide(Vec<Hash>),
    StopProviding(Vec<Hash>),
    FindProviders {
        key: Hash,
        reply: oneshot::Sender<Vec<Wallet>>,
    },
    Mark(Wallet, Mark),
    Bootstrap(Vec<Multiaddr>),
    KeepOut(BTreeSet<Wallet>),
    Shutdown(oneshot::Sender<()>),
}

/// A search in the routing table that is going on.
pub(super) struct Search {
    pub(super) query: QueryId,
    pub(super) found: BTreeSet<Wallet>,
    pub(super) reply: oneshot::Sender<Vec<Wallet>>,
}

type Waiting =
    BTreeMap<(Protocol, OutboundRequestId), oneshot::Sender<Result<Vec<u8>, ExchangeError>>>;

pub(super) struct Task {
    pub(super) swarm: Swarm<Behaviour>,
    pub(super) topics: BTreeMap<TopicHash, Topic>,
    pub(super) bootstrap: Bootstrap,
    pub(super) marks: MarkBook,
    pub(super) dials: DialBook,
    pub(super) neighbours: Neighbours,
    /// Whom the owner keeps out.
    kept_out: BTreeSet<Wallet>,
    pub(super) waiting: Waiting,
    pub(super) searches: Vec<Search>,
    pub(super) identify_protocol: String,
    pub(super) kademlia_protocol: String,
    pub(super) commands: mpsc::WeakSender<Command>,
    /// When the first of a peer's connections began.
    pub(super) connected_since: BTreeMap<PeerId, Instant>,
    network: NetworkId,
    snapshot: Arc<RwLock<Snapshot>>,
    backlog: VecDeque<SwarmEvent>,
}

fn record_key(key: &Hash) -> RecordKey {
    RecordKey::new(key.as_bytes())
}

impl Task {
    pub(super) fn new(swarm: Swarm<Behaviour>, network: NetworkId, handle: &SwarmHandle) -> Self {
        let topic_hash = |topic: Topic| IdentTopic::new(topic.name(network)).hash();
        Self {
            swarm,
            topics: Topic::ALL
                .into_iter()
                .map(|topic| (topic_hash(topic), topic))
                .collect(),
            bootstrap: Bootstrap::default(),
            marks: MarkBook::default(),
            dials: DialBook::default(),
            neighbours: Neighbours::default(),
            kept_out: BTreeSet::new(),
            waiting: BTreeMap::new(),
            searches: Vec::new(),
            identify_protocol: talkoot_protocol::version::identify_protocol(network),
            kademlia_protocol: talkoot_protocol::version::kademlia_protocol(network),
            commands: handle.commands.downgrade(),
            connected_since: BTreeMap::new(),
            network,
            snapshot: Arc::clone(&handle.snapshot),
            backlog: VecDeque::new(),
        }
    }

    /// Listens on all addresses and waits until each has its real form.
    pub(super) async fn listen(&mut self, addresses: Vec<Multiaddr>) -> Result<(), StartError> {
        let mut open = BTreeMap::new();
        for address in addresses {
            let text = address.to_string();
            let failed = |reason: String| StartError::Listen {
                address: text.clone(),
                reason,
            };
            let id = self
                .swarm
                .listen_on(address)
                .map_err(|error| failed(error.to_string()))?;
            open.insert(id.to_string(), text);
        }
        while !open.is_empty() {
            let event = self.swarm.select_next_some().await;
            match &event {
                RawEvent::NewListenAddr { listener_id, .. } => {
                    open.remove(&listener_id.to_string());
                }
                RawEvent::ListenerClosed {
                    listener_id,
                    reason,
                    ..
                } => {
                    if let Some(address) = open.remove(&listener_id.to_string()) {
                        let reason = format!("{reason:?}");
                        return Err(StartError::Listen { address, reason });
                    }
                }
                _ => {}
            }
            self.on_event(event);
        }
        Ok(())
    }

    pub(super) fn bootstrap_with(&mut self, addresses: Vec<Multiaddr>) {
        let own = *self.swarm.local_peer_id();
        for address in addresses {
            self.bootstrap.add(address, own);
        }
    }

    pub(super) async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        events: mpsc::Sender<SwarmEvent>,
    ) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    None => break,
                    Some(Command::Shutdown(done)) => {
                        self.close().await;
                        done.send(()).ok();
                        break;
                    }
                    Some(command) => self.on_command(command),
                },
                event = self.swarm.select_next_some() => self.on_event(event),
                permit = events.reserve(), if !self.backlog.is_empty() => {
                    match (permit, self.backlog.pop_front()) {
                        (Ok(permit), Some(event)) => permit.send(event),
                        // Nobody listens any more: the node is stopping.
                        _ => self.backlog.clear(),
                    }
                }
                _ = tick.tick() => self.on_tick(),
            }
        }
    }

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Dial(order) => self.dial(order),
            Command::Publish { topic, bytes } => self.publish(topic, bytes),
            Command::Judge {
                receipt,
                acceptance,
            } => {
                self.swarm
                    .behaviour_mut()
                    .gossip
                    .report_message_validation_result(
                        &receipt.message,
                        &receipt.source,
                        acceptance.into(),
                    );
            }
            Command::Request {
                peer,
                protocol,
                request,
                reply,
            } => {
                self.waiting.retain(|_, waiting| !waiting.is_closed());
                let exchange = self.swarm.behaviour_mut().exchange(protocol);
                let id = exchange.send_request(&peer, request);
                self.waiting.insert((protocol, id), reply);
            }
            Command::Respond {
                protocol,
                channel,
                bytes,
            } => {
                let exchange = self.swarm.behaviour_mut().exchange(protocol);
                // The asker may be gone; that is its loss.
                exchange.send_response(channel, Ok(bytes)).ok();
            }
            Command::Provide(keys) => self.provide(&keys),
            Command::StopProviding(keys) => {
                for key in keys {
                    self.swarm
                        .behaviour_mut()
                        .kad
                        .stop_providing(&record_key(&key));
                }
            }
            Command::FindProviders { key, reply } => {
                let query = self
                    .swarm
                    .behaviour_mut()
                    .kad
                    .get_providers(record_key(&key));
                let found = BTreeSet::new();
                self.searches.push(Search {
                    query,
                    found,
                    reply,
                });
            }
            Command::Mark(wallet, mark) => self.mark(wallet, mark),
            Command::Bootstrap(addresses) => self.bootstrap_with(addresses),
            Command::KeepOut(wallets) => self.keep_out(wallets),
            Command::Shutdown(_) => {}
        }
    }

    fn provide(&mut self, keys: &[Hash]) {
        for key in keys {
            if let Err(error) = self
                .swarm
                .behaviour_mut()
                .kad
                .start_providing(record_key(key))
            {
                tracing::warn!(%error, "cannot provide a key");
            }
        }
    }

    fn keep_out(&mut self, wallets: BTreeSet<Wallet>) {
        let before = std::mem::replace(&mut self.kept_out, wallets);
        for wallet in self.kept_out.difference(&before) {
            if let Some(peer) = identity::peer_id_of(wallet) {
                self.swarm.behaviour_mut().blocks.block_peer(peer);
            }
        }
        for wallet in before.difference(&self.kept_out) {
            let peer = identity::peer_id_of(wallet).filter(|_| !self.marks.is_banned(wallet));
            if let Some(peer) = peer {
                self.swarm.behaviour_mut().blocks.unblock_peer(peer);
            }
        }
    }

    /// Where a connected peer is, without its id.
    pub(super) fn address_of(&self, wallet: &Wallet) -> Option<String> {
        let snapshot = self.snapshot.read().unwrap_or_else(PoisonError::into_inner);
        let address: Multiaddr = snapshot.peers.get(wallet)?.address.parse().ok()?;
        Some(without_peer(&address).to_string())
    }

    /// The same for a peer that we dialled and that never said who it is.
    pub(super) fn address_of_unknown(&self, wallet: &Wallet) -> Option<String> {
        let is_unknown = |peer: &super::PeerInfo| peer.software.is_none() && !peer.is_inbound;
        let snapshot = self.snapshot.read();
        let snapshot = snapshot.unwrap_or_else(PoisonError::into_inner);
        let is_unknown = snapshot.peers.get(wallet).is_some_and(is_unknown);
        drop(snapshot);
        self.address_of(wallet).filter(|_| is_unknown)
    }

    /// Shows what became of dialling.
    pub(super) fn show_dials(&self) {
        let redials: BTreeMap<String, u64> = self
            .dials
            .failed()
            .filter_map(|(address, _)| Some((address.to_owned(), self.bootstrap.next_ms(address)?)))
            .collect();
        self.write(|snapshot| {
            snapshot.dials = self.dials.clone();
            snapshot.redials = redials;
        });
    }

    fn dial(&mut self, order: DialOrder) {
        let options = match order {
            DialOrder::Address(address) => DialOpts::from(address),
            DialOrder::Peer(peer, addresses) => DialOpts::peer_id(peer)
                .addresses(addresses)
                .condition(PeerCondition::DisconnectedAndNotDialing)
                .build(),
        };
        if let Err(error) = self.swarm.dial(options) {
            tracing::debug!(%error, "not dialled");
        }
    }

    fn publish(&mut self, topic: Topic, bytes: Vec<u8>) {
        let name = IdentTopic::new(topic.name(self.network));
        match self.swarm.behaviour_mut().gossip.publish(name, bytes) {
            // Alone, or said before: sync and the next announcement carry it.
            Ok(_) | Err(PublishError::NoPeersSubscribedToTopic | PublishError::Duplicate) => {}
            Err(error) => tracing::warn!(?topic, %error, "not published"),
        }
    }

    /// Notes a mark and carries out its sentence.
    pub(super) fn mark(&mut self, wallet: Wallet, mark: Mark) {
        tracing::warn!(peer = %wallet.short(), %mark, "mark");
        let sentence = self.marks.mark(wallet, mark, clock::now_ms());
        self.show_marks(&wallet);
        if sentence == Sentence::Ban
            && let Some(peer) = identity::peer_id_of(&wallet)
        {
            tracing::warn!(peer = %wallet.short(), "banned");
            self.swarm.behaviour_mut().blocks.block_peer(peer);
        }
    }

    pub(super) fn show_marks(&self, wallet: &Wallet) {
        let Some(record) = self.marks.get(wallet) else {
            return;
        };
        let last = record.last.to_string();
        let mut info = MarkInfo {
            marks: record.marks,
            is_banned: self.marks.is_banned(wallet),
            falsehood: record.last.is_falsehood().then(|| last.clone()),
            last,
        };
        self.write(|snapshot| {
            let before = snapshot.marks.get(wallet);
            if let Some(falsehood) = before.and_then(|before| before.falsehood.clone()) {
                info.falsehood = Some(falsehood);
            }
            if let Some(peer) = snapshot.peers.get_mut(wallet) {
                peer.marks = info.marks;
                peer.last_mark = Some(info.last.clone());
            }
            snapshot.marks.insert(*wallet, info);
            // The book is bounded and forgets; so do we.
            snapshot
                .marks
                .retain(|wallet, _| self.marks.get(wallet).is_some());
        });
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Snapshot)) {
        change(
            &mut self
                .snapshot
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Queues an event; those that a peer can make at will are dropped when the
    /// rest of the node does not keep up.
    pub(super) fn emit(&mut self, event: SwarmEvent) {
        let is_kept = matches!(event, SwarmEvent::Connected(_) | SwarmEvent::Gone(_));
        if is_kept || self.backlog.len() < BACKLOG_MAX {
            self.backlog.push_back(event);
        }
    }

    fn on_tick(&mut self) {
        let now_ms = clock::now_ms();
        for address in self.bootstrap.due(now_ms) {
            self.dial(DialOrder::Address(address));
        }
        for wallet in self.marks.pardon(now_ms) {
            self.show_marks(&wallet);
            let peer = identity::peer_id_of(&wallet).filter(|_| !self.kept_out.contains(&wallet));
            if let Some(peer) = peer {
                self.swarm.behaviour_mut().blocks.unblock_peer(peer);
            }
        }
    }

    /// Closes connections so that peers see us go at once, not by a time-out.
    async fn close(&mut self) {
        let peers: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for peer in peers {
            self.swarm.disconnect_peer_id(peer).ok();
        }
        let drain = async {
            while self.swarm.connected_peers().next().is_some() {
                self.swarm.select_next_some().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(1), drain)
            .await
            .ok();
    }
}
