//! What a node says of itself, its peers and the models it knows.

use super::{BalanceView, ChainView};
use crate::core::lending::Pause;
use serde::{Deserialize, Serialize};
use talkoot_ledger::sync::SyncProgress;
use utoipa::ToSchema;

/// `status`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Version of the software.
    pub version: String,
    /// Our wallet.
    pub wallet: String,
    /// Our libp2p peer id.
    pub peer_id: String,
    /// Name of the network.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// Whether a chat model has a full route now; if not, `reasons` says why.
    pub ready: bool,
    /// Why the node is not ready, or what it should tell its owner.
    pub reasons: Vec<String>,
    /// Connected peers.
    pub peers: usize,
    /// What we serve.
    pub serving: Vec<ServedView>,
    /// What is being loaded to be served.
    #[serde(default)]
    pub loading: Option<LoadingView>,
    /// Why nothing is lent now; null while layers are lent.
    #[serde(default)]
    pub paused: Option<PausedView>,
    /// When another node last announced itself with our identity, milliseconds
    /// since 1970.
    #[serde(default)]
    pub twin_ms: Option<u64>,
    /// The instruction set of our kernels.
    #[serde(default)]
    pub instruction_set: String,
    /// Threads that compute a step together.
    #[serde(default)]
    pub threads: usize,
    /// Models known in the network.
    pub models: Vec<ModelView>,
    /// Our balance.
    pub balance: BalanceView,
    /// The chain.
    pub chain: ChainView,
    /// Who is in the books.
    #[serde(default)]
    pub books: BooksView,
    /// How far catching up with the peers is.
    pub sync: SyncView,
    /// Whether we may sign entries; if not, why.
    pub signing: String,
    /// Whether jobs are paid in this network.
    pub accounting: bool,
    /// What its prices follow: `flops` or `size`.
    pub pricing: String,
    /// libp2p addresses, with our peer id.
    pub addresses: Vec<String>,
    /// Data-plane addresses.
    pub data_addresses: Vec<String>,
    /// Other networks seen on this local network.
    #[serde(default)]
    pub neighbours: Vec<NeighbourNetworkView>,
    /// Milliseconds since start.
    pub uptime_ms: u64,
}

/// Another network on this local network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NeighbourNetworkView {
    /// Its name.
    pub network: String,
    /// Its id.
    pub network_id: String,
    /// The wallet of a node of it.
    pub wallet: String,
    /// That node's libp2p peer id.
    pub peer_id: String,
    /// Where that node is.
    pub address: String,
}

/// Why a node lends nothing now, and until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PausedView {
    /// `by_hand`, `hours`, `battery` or `busy`.
    pub kind: String,
    /// In words.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// Until when, milliseconds since 1970, where that is known.
    pub until_ms: Option<u64>,
}

impl From<Pause> for PausedView {
    fn from(pause: Pause) -> Self {
        Self {
            kind: pause.reason.name().to_owned(),
            reason: pause.reason.to_string(),
            since_ms: pause.since_ms,
            until_ms: pause.until_ms,
        }
    }
}

/// How to pause lending.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PauseRequest {
    /// For how long, milliseconds; until `resume` without it.
    #[serde(default)]
    pub for_ms: Option<u64>,
    /// In the owner's words.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Whether layers are lent, after `pause` and `resume`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LendingView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Why nothing is lent now; null while layers are lent.
    pub paused: Option<PausedView>,
}

/// `state`: what a page shows first. What changes later is told by `events`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StateView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Where to listen from: `events?after=`.
    pub cursor: u64,
    /// The node's clock, milliseconds since 1970.
    pub now_ms: u64,
    /// The node.
    pub status: StatusView,
    /// Connected peers.
    pub peers: Vec<PeerView>,
    /// The newest jobs, newest first.
    pub jobs: Vec<super::RunView>,
}

/// How many wallets are in the books.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
pub struct BooksView {
    /// All of them.
    pub wallets: u64,
    /// Those proven to have forked their log.
    pub forked_wallets: u64,
}

/// How far a node is with fetching entries that peers have and it lacks.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
pub struct SyncView {
    /// Whether entries are being fetched.
    pub catching_up: bool,
    /// Entries still to come, by what peers claim.
    pub to_fetch: u64,
    /// Entries fetched so far, this time.
    pub fetched: u64,
    /// Peers that are asked for a part now.
    pub peers: usize,
    /// Entries fetched in a second, lately.
    pub entries_per_second: u64,
}

impl From<SyncProgress> for SyncView {
    fn from(progress: SyncProgress) -> Self {
        Self {
            catching_up: progress.is_catching_up,
            to_fetch: progress.to_fetch,
            fetched: progress.fetched,
            peers: progress.peers,
            entries_per_second: progress.entries_per_second,
        }
    }
}

/// How far a model is with loading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LoadingView {
    /// Its name.
    pub model: String,
    /// `opening`, `hashing` (which model it is), `packing`, or `reading` from
    /// the cache.
    pub step: String,
    /// How much of the step is done.
    pub percent: u32,
}

impl std::fmt::Display for LoadingView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {} %", self.step, self.model, self.percent)
    }
}

/// A range of layers that one node serves.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServedView {
    /// Model id.
    pub model: String,
    /// Its name.
    pub name: String,
    /// First layer and one past the last.
    pub layers: [u32; 2],
    /// Layers of the whole model.
    pub layers_total: u32,
    /// Measured speed, with the rests of `--max-cpu`: what is announced.
    pub layers_per_second: u32,
    /// Measured speed without rests, 0 when not known.
    #[serde(default)]
    pub measured_layers_per_second: u32,
    /// The part of the time in which it computes, in parts per million; 0 when not
    /// known.
    #[serde(default)]
    pub duty_ppm: u32,
    /// Bytes of the weights, 0 when not known.
    pub bytes: u64,
    /// Bytes of the caches of open sessions.
    #[serde(default)]
    pub session_bytes: u64,
    /// Bytes that those caches may take, 0 when not known.
    #[serde(default)]
    pub session_bytes_max: u64,
    /// Open sessions.
    #[serde(default)]
    pub sessions: usize,
    /// Sessions at most, 0 when not known.
    #[serde(default)]
    pub sessions_max: usize,
    /// How the weights are stored; empty when not known.
    #[serde(default)]
    pub dtype: String,
    /// The id of the arithmetic.
    #[serde(default)]
    pub arithmetic: String,
}

/// One connected peer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PeerView {
    /// Its wallet.
    pub wallet: String,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// The owner's name for it.
    #[serde(default)]
    pub label: Option<String>,
    /// The address we are connected to.
    pub address: String,
    /// Whether another peer passes the bytes on; no node does that yet.
    #[serde(default)]
    pub is_relayed: bool,
    /// Who dialled: `outbound` (we), or `inbound`.
    #[serde(default)]
    pub direction: String,
    /// Whether it may write into the ledger. A newcomer that nobody has named
    /// may not.
    #[serde(default = "yes")]
    pub is_member: bool,
    /// Round trip, µs, when measured.
    pub rtt_us: Option<u64>,
    /// Software version it announced.
    pub software: Option<String>,
    /// What it serves.
    pub serving: Vec<ServedView>,
    /// By how much its clock was ahead of ours when it last announced itself, ms.
    #[serde(default)]
    pub clock_offset_ms: Option<i64>,
    /// Marks for bad behaviour.
    pub marks: u32,
    /// The reason of the newest mark.
    pub last_mark: Option<String>,
}

const fn yes() -> bool {
    true
}

/// One model known here.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ModelView {
    /// Model id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Layers.
    pub layers: u32,
    /// How the weights are stored.
    pub dtype: String,
    /// Tokens a session may hold.
    pub context: u32,
    /// For each layer, how many peers (we included) serve it.
    pub coverage: Vec<u32>,
    /// Price of one token, µGFT; 0 without accounting.
    pub price_ugft_per_token: u64,
    /// Whether the files are here.
    pub local: bool,
}

/// `peers`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PeersView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Connected peers.
    pub peers: Vec<PeerView>,
}

/// `models`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ModelsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Models known in the network.
    pub models: Vec<ModelView>,
}
