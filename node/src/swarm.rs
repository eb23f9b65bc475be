//! The control plane: the one place that names libp2p.
//!
//! One task owns the libp2p swarm. Everybody else holds a [`SwarmHandle`], sends
//! it commands through a bounded queue and reads snapshots; what happens comes
//! out as [`SwarmEvent`]s. Peers are named by their wallets throughout.

mod behaviour;
mod bootstrap;
mod codec;
mod dials;
mod events;
pub mod identity;
mod neighbours;
pub mod scout;
mod task;

use crate::core::dials::{DialBook, FailedDial};
use crate::core::peers::Mark;
use crate::exchange::{ExchangeError, Protocol, Topic};
use behaviour::Role;
use libp2p::gossipsub::{MessageAcceptance, MessageId};
use libp2p::request_response::ResponseChannel;
use libp2p::{Multiaddr, PeerId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use talkoot_protocol::{Hash, Keypair, NetworkId, Wallet};
use task::{Command, DialOrder};
use tokio::sync::{mpsc, oneshot};

/// Commands that may wait.
const COMMANDS_MAX: usize = 1024;
/// Events that may wait.
const EVENTS_MAX: usize = 1024;

/// What the owner sets.
#[derive(Debug, Clone, Default)]
pub struct SwarmSettings {
    /// Multiaddrs to listen on; port 0 takes any.
    pub listen: Vec<String>,
    /// Multiaddrs of first contacts, with or without `/p2p/`.
    pub bootstrap: Vec<String>,
    /// Whether to look for peers on the local network.
    pub mdns: bool,
    /// Only to look: no request is answered, and no routing table takes us in.
    pub observer: bool,
}

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A text is no multiaddr.
    #[error("{0:?} is no multiaddr; an example is /ip4/0.0.0.0/udp/7470/quic-v1")]
    Address(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        reason: String,
    },
    /// A library refused its settings.
    #[error("cannot build the control plane: {0}")]
    Build(String),
}

/// A connected peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerInfo {
    /// Its wallet.
    pub wallet: Wallet,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// The address of our (first) connection to it.
    pub address: String,
    /// Whether it dialled us.
    pub is_inbound: bool,
    /// Round trip, µs, when measured.
    pub rtt_us: Option<u64>,
    /// What it calls its software.
    pub software: Option<String>,
    /// Marks for bad behaviour.
    pub marks: u32,
    /// The reason of the newest.
    pub last_mark: Option<String>,
}

/// The marks of a peer, connected or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkInfo {
    /// How many.
    pub marks: u32,
    /// The reason of the newest.
    pub last: String,
    /// Whether they ban it now.
    pub is_banned: bool,
    /// What it sent that does not verify, if it ever did.
    pub falsehood: Option<String>,
}

/// What happens on the control plane.
#[derive(Debug)]
pub enum SwarmEvent {
    /// The first connection to a peer.
    Connected(Wallet),
    /// A peer listens to a topic: what is published from now on reaches it.
    Subscribed(Wallet, Topic),
    /// The last connection to a peer closed.
    Gone(Wallet),
    /// A peer of the local network speaks for another network.
    Stranger {
        /// Who.
        peer: Wallet,
        /// Where, without its peer id.
        address: String,
    },
    /// A gossip message. It is forwarded only after [`SwarmHandle::judge`].
    Gossip {
        /// On which topic.
        topic: Topic,
        /// Its bytes, at most the limit of gossip.
        bytes: Vec<u8>,
        /// Who sent it to us; not always who wrote it.
        from: Wallet,
        /// For the verdict.
        receipt: GossipReceipt,
    },
    /// A peer asks something.
    Request {
        /// Who.
        from: Wallet,
        /// In which protocol.
        protocol: Protocol,
        /// The request, within its protocol's limit.
        bytes: Vec<u8>,
        /// For the answer.
        reply: Reply,
    },
}

/// Names a gossip message that waits for its verdict.
#[derive(Debug)]
pub struct GossipReceipt {
    message: MessageId,
    source: PeerId,
}

/// What becomes of a gossip message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// Forward it.
    Accept,
    /// Drop it; nobody is to blame.
    Ignore,
    /// Drop it; who sent it should have known.
    Reject,
}

impl From<Acceptance> for MessageAcceptance {
    fn from(acceptance: Acceptance) -> Self {
        match acceptance {
            Acceptance::Accept => Self::Accept,
            Acceptance::Ignore => Self::Ignore,
            Acceptance::Reject => Self::Reject,
        }
    }
}

/// The way back to a peer that asked. Dropping it answers nothing.
#[derive(Debug)]
pub struct Reply {
    protocol: Protocol,
    channel: ResponseChannel<codec::Message>,
    commands: mpsc::Sender<Command>,
}

impl Reply {
    /// Sends the answer.
    pub async fn send(self, bytes: Vec<u8>) {
        let Self {
            protocol,
            channel,
            commands,
        } = self;
        let respond = Command::Respond {
            protocol,
            channel,
            bytes,
        };
        // A node that is stopping owes no answers.
        commands.send(respond).await.ok();
    }
}

/// What the task shows to everybody.
#[derive(Debug, Default)]
struct Snapshot {
    peers: BTreeMap<Wallet, PeerInfo>,
    marks: BTreeMap<Wallet, MarkInfo>,
    listeners: Vec<String>,
    dials: DialBook,
    /// When the first contacts that failed are dialled next, by address.
    redials: BTreeMap<String, u64>,
}

/// An address that gave no connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreachedAddress {
    /// Where.
    pub address: String,
    /// Why, and since when.
    pub failed: FailedDial,
    /// When it is dialled next, where that is planned; milliseconds since 1970.
    pub next_ms: Option<u64>,
}

/// The way to the swarm task; cheap to clone.
#[derive(Debug, Clone)]
pub struct SwarmHandle {
    commands: mpsc::Sender<Command>,
    snapshot: Arc<RwLock<Snapshot>>,
}

/// Starts the control plane and waits until every listener has its address.
/// Needs a tokio runtime; the swarm task runs until [`SwarmHandle::shutdown`].
///
/// # Errors
/// [`StartError`].
pub async fn start(
    key: &Keypair,
    network: NetworkId,
    settings: &SwarmSettings,
) -> Result<(SwarmHandle, mpsc::Receiver<SwarmEvent>), StartError> {
    let listen = parse_all(&settings.listen)?;
    let bootstrap = parse_all(&settings.bootstrap)?;
    let role = if settings.observer {
        Role::Observer
    } else {
        Role::Member
    };
    let swarm = behaviour::build(key, network, role, settings.mdns)
        .map_err(|error| StartError::Build(error.to_string()))?;
    let (commands, commands_in) = mpsc::channel(COMMANDS_MAX);
    let (events, events_out) = mpsc::channel(EVENTS_MAX);
    let handle = SwarmHandle {
        commands,
        snapshot: Arc::default(),
    };
    let mut task = task::Task::new(swarm, network, &handle);
    task.listen(listen).await?;
    task.bootstrap_with(bootstrap);
    tokio::spawn(task.run(commands_in, events));
    Ok((handle, events_out))
}

/// An address without the peer id at its end; what is no address stays as it is.
#[must_use]
pub fn without_peer_id(address: &str) -> String {
    address.parse().map_or_else(
        |_| address.to_owned(),
        |address: Multiaddr| bootstrap::without_peer(&address).to_string(),
    )
}

fn parse_all(texts: &[String]) -> Result<Vec<Multiaddr>, StartError> {
    texts
        .iter()
        .map(|text| text.parse().map_err(|_| StartError::Address(text.clone())))
        .collect()
}

impl SwarmHandle {
    /// Dials a multiaddr.
    ///
    /// # Errors
    /// [`StartError::Address`] when the text is none. Whether a connection comes
    /// of it is seen in [`Self::peers`].
    pub async fn dial(&self, address: &str) -> Result<(), StartError> {
        let address = address
            .parse()
            .map_err(|_| StartError::Address(address.to_owned()))?;
        self.send(Command::Dial(DialOrder::Address(address))).await;
        Ok(())
    }

    /// Dials a peer unless it is connected or being dialled. Texts that are no
    /// addresses are passed over: they come from announcements.
    pub async fn dial_peer(&self, peer: Wallet, addresses: &[String]) {
        let addresses: Vec<Multiaddr> = addresses
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect();
        let Some(peer) = identity::peer_id_of(&peer).filter(|_| !addresses.is_empty()) else {
            return;
        };
        self.send(Command::Dial(DialOrder::Peer(peer, addresses)))
            .await;
    }

    /// Dials these addresses now and whenever they are not connected.
    ///
    /// # Errors
    /// [`StartError::Address`] when one is none; then none is taken.
    pub async fn bootstrap_with(&self, addresses: &[String]) -> Result<(), StartError> {
        let addresses = parse_all(addresses)?;
        self.send(Command::Bootstrap(addresses)).await;
        Ok(())
    }

    /// Keeps out exactly these peers, beside those whose marks ban them.
    pub async fn keep_out(&self, peers: BTreeSet<Wallet>) {
        self.send(Command::KeepOut(peers)).await;
    }

    /// The addresses that gave no connection, and why.
    #[must_use]
    pub fn unreached(&self) -> Vec<UnreachedAddress> {
        self.read(|snapshot| {
            let failed = snapshot.dials.failed();
            let view = |(address, failed): (&str, &FailedDial)| UnreachedAddress {
                address: address.to_owned(),
                failed: failed.clone(),
                next_ms: snapshot.redials.get(address).copied(),
            };
            failed.map(view).collect()
        })
    }

    /// The peers that are banned for their marks, with the reason of the newest.
    #[must_use]
    pub fn banned(&self) -> Vec<(Wallet, String)> {
        self.read(|snapshot| {
            let marks = snapshot.marks.iter().filter(|(_, info)| info.is_banned);
            marks
                .map(|(wallet, info)| (*wallet, info.last.clone()))
                .collect()
        })
    }

    /// Gossips to all who listen; nobody there is no error.
    pub async fn publish(&self, topic: Topic, bytes: Vec<u8>) {
        self.send(Command::Publish { topic, bytes }).await;
    }

    /// Gives the verdict on a gossip message.
    pub async fn judge(&self, receipt: GossipReceipt, acceptance: Acceptance) {
        self.send(Command::Judge {
            receipt,
            acceptance,
        })
        .await;
    }

    /// Asks a peer and waits for the answer.
    ///
    /// # Errors
    /// [`ExchangeError`]; a broken frame has already got its mark.
    pub async fn request(
        &self,
        peer: Wallet,
        protocol: Protocol,
        bytes: Vec<u8>,
        timeout: Duration,
    ) -> Result<Vec<u8>, ExchangeError> {
        if bytes.len() > protocol.request_bytes_max() {
            return Err(ExchangeError::RequestTooLong(bytes.len()));
        }
        self.exchange(peer, protocol, Ok(bytes), timeout).await
    }

    /// Sends a request as it is, within its limits or not.
    pub(crate) async fn exchange(
        &self,
        peer: Wallet,
        protocol: Protocol,
        request: codec::Message,
        timeout: Duration,
    ) -> Result<Vec<u8>, ExchangeError> {
        let peer = identity::peer_id_of(&peer).ok_or(ExchangeError::Unreachable)?;
        let (reply, answer) = oneshot::channel();
        self.send(Command::Request {
            peer,
            protocol,
            request,
            reply,
        })
        .await;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(ExchangeError::Stopped),
            Err(_) => Err(ExchangeError::Timeout),
        }
    }

    /// Says in the routing table that we provide these keys, until
    /// [`Self::stop_providing`].
    pub async fn provide(&self, keys: Vec<Hash>) {
        self.send(Command::Provide(keys)).await;
    }

    /// Stops saying so. Copies elsewhere live until they expire.
    pub async fn stop_providing(&self, keys: Vec<Hash>) {
        self.send(Command::StopProviding(keys)).await;
    }

    /// Asks the routing table who provides a key; empty when nobody answers in
    /// time.
    pub async fn find_providers(&self, key: Hash, timeout: Duration) -> Vec<Wallet> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::FindProviders { key, reply }).await;
        match tokio::time::timeout(timeout, answer).await {
            Ok(Ok(wallets)) => wallets,
            _ => Vec::new(),
        }
    }

    /// The connected peers.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerInfo> {
        self.read(|snapshot| snapshot.peers.values().cloned().collect())
    }

    /// One connected peer.
    #[must_use]
    pub fn peer(&self, wallet: &Wallet) -> Option<PeerInfo> {
        self.read(|snapshot| snapshot.peers.get(wallet).cloned())
    }

    /// The marks of a peer, also of one that has gone.
    #[must_use]
    pub fn marks(&self, wallet: &Wallet) -> Option<MarkInfo> {
        self.read(|snapshot| snapshot.marks.get(wallet).cloned())
    }

    /// The peers that sent what does not verify, and what; also those that have
    /// gone.
    #[must_use]
    pub fn falsehoods(&self) -> Vec<(Wallet, String)> {
        self.read(|snapshot| {
            let marks = snapshot.marks.iter();
            marks
                .filter_map(|(wallet, info)| Some((*wallet, info.falsehood.clone()?)))
                .collect()
        })
    }

    /// Whether a peer is connected.
    #[must_use]
    pub fn is_connected(&self, wallet: &Wallet) -> bool {
        self.read(|snapshot| snapshot.peers.contains_key(wallet))
    }

    /// The addresses we listen on, with our peer id.
    #[must_use]
    pub fn listeners(&self) -> Vec<String> {
        self.read(|snapshot| snapshot.listeners.clone())
    }

    /// Notes that a peer sent rubbish; enough marks ban it. Never waits: when
    /// the queue is full the mark is lost, and the peer has many more coming.
    pub fn mark(&self, peer: Wallet, mark: Mark) {
        self.commands.try_send(Command::Mark(peer, mark)).ok();
    }

    /// Closes all connections and ends the swarm task.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        self.send(Command::Shutdown(done)).await;
        ended.await.ok();
    }

    /// After the task has ended commands have no effect: that is what stopping
    /// means.
    async fn send(&self, command: Command) {
        self.commands.send(command).await.ok();
    }

    fn read<R>(&self, view: impl FnOnce(&Snapshot) -> R) -> R {
        view(&self.snapshot.read().unwrap_or_else(PoisonError::into_inner))
    }
}
