//! What can be asked about the books, and the shapes of the answers: for
//! `/api/v1/ledger`, the command line, the books on disk and the observer.
//!
//! Plain data. Amounts of balances have 128 bits, so these structs must not go
//! through a JSON `Value`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The chain as it is held here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChainView {
    /// Entries.
    pub length: u64,
    /// The last link.
    pub tip: String,
}

/// What one wallet has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BalanceView {
    /// Whose.
    pub wallet: String,
    /// Earned less burned, µGFT.
    pub balance_ugft: i128,
    /// What a next reservation could hold, µGFT.
    pub available_ugft: i128,
    /// Held by open jobs, µGFT.
    pub held_ugft: u128,
    /// Earned but not yet confirmed, µGFT.
    pub pending_ugft: u128,
    /// The credit line, received less passed on, µGFT.
    pub line_ugft: i128,
}

/// A page of balances, sorted by wallet.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BalancesView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// One row per wallet that has a line, a log or a name.
    pub balances: Vec<BalanceView>,
    /// The wallet after which the next page begins; none when this is the last.
    #[serde(default)]
    pub next_after: Option<String>,
    /// The commons, µGFT.
    pub commons_ugft: u128,
    /// Σ balances + commons; 0 always.
    pub sum_ugft: i128,
    /// The chain these were read at.
    pub chain: ChainView,
}

/// What an entry came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OutcomeView {
    /// `inert`, `noted`, `admitted`, `reserved`, `paid` or `released`.
    pub name: String,
    /// For an inert one: the reason's number.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<u16>,
    /// For an inert one: the reason in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// For a line passed on: to whom.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wallet: Option<String>,
    /// For a line passed on: how much, µGFT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub line_ugft: Option<u64>,
    /// For a reservation: held for all foreign stages together, µGFT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub held_ugft: Option<u64>,
    /// For a payment: burned by the submitter through this entry, µGFT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub burned_ugft: Option<u64>,
    /// For a payment: earned by the stage through this entry, µGFT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub earned_ugft: Option<u64>,
    /// For a payment: whether it frees the rest of the hold.
    #[serde(rename = "final", skip_serializing_if = "Option::is_none", default)]
    pub is_final: Option<bool>,
    /// For a release: what no stage can be paid any more, µGFT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub freed_ugft: Option<u64>,
}

/// One ledger entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Its id.
    pub id: String,
    /// Its place in the chain.
    pub index: u64,
    /// The link of the entry before; the network's id for the first.
    pub link_before: String,
    /// Its link.
    pub link: String,
    /// The digest of what it came to, which the link covers.
    pub effect_hash: String,
    /// Who wrote it.
    pub author: String,
    /// Its number in the author's log.
    pub seq: u64,
    /// The entry before in that log.
    pub prev: Option<String>,
    /// What else it cites.
    pub refs: Vec<String>,
    /// Causal depth.
    pub lamport: u64,
    /// The author's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Wallets it introduces.
    pub names: Vec<String>,
    /// Kind, in words.
    pub kind: String,
    /// The job it orders, or is about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job: Option<String>,
    /// What it does, as one sentence.
    pub summary: String,
    /// `ok`, or why it has no effect.
    pub effect: String,
    /// The same in parts.
    pub outcome: OutcomeView,
    /// Whether founders have confirmed it.
    pub confirmed: bool,
    /// Which founders have.
    pub confirmed_by: Vec<String>,
    /// For an entry that spends: what was available to it, µGFT.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub available_ugft: Option<i128>,
    /// The payload's fields.
    pub fields: serde_json::Value,
    /// The signed bytes, hexadecimal, where asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<String>,
}

/// Asks for a part of the chain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntriesQuestion {
    /// Only entries at this index and after; then the oldest are given first.
    /// Without it the newest are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
    /// Only entries before this index.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Only of this wallet, or the only one whose id begins so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// Only of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Only about this job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Only those that came to this: `ok`, or the name of an outcome.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// With their signed bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub bytes: bool,
}

/// A page of the chain.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EntriesView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Entries, oldest first.
    pub entries: Vec<EntryView>,
    /// The first index that was looked at: ask on with `before` this.
    pub from: u64,
    /// One past the last index that was looked at: ask on with `from` this.
    pub before: u64,
    /// The chain they were read from.
    pub chain: ChainView,
}

/// Asks for entries in the order in which they came here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArrivalsQuestion {
    /// The number of the first; none only asks where the end is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<u64>,
}

/// Entries in the order in which they came.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ArrivalsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Entries, the first to come first.
    pub entries: Vec<EntryView>,
    /// The number to ask on with.
    pub next: u64,
    /// The chain now.
    pub chain: ChainView,
}

/// Asks for one entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryQuestion {
    /// Its id, or a beginning that no other has.
    pub id: String,
}

/// Asks about one wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorQuestion {
    /// Its id, or a beginning that no other has.
    pub wallet: String,
}

/// Asks about one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobQuestion {
    /// Its id, or a beginning that no other has.
    pub id: String,
}

/// Asks for a page of balances.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BalancesQuestion {
    /// Only wallets that sort after this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Asks for the logs that are forked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ForksQuestion;

/// Asks for the founding document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GenesisQuestion;

/// A founder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FounderView {
    /// Who.
    pub wallet: String,
    /// Its line in the genesis, µGFT: its weight in confirming.
    pub line_ugft: u64,
}

/// The founding document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenesisView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The network's id: the hash of the document.
    pub id: String,
    /// Its name, for people.
    pub name: String,
    /// When it was written, milliseconds since 1970.
    pub created_ms: u64,
    /// What prices follow: `flops` or `size`.
    pub pricing: String,
    /// The price factors of 32, 16, 8 and 4 bits, where prices follow FLOPs.
    pub precision_ppm: [u64; 4],
    /// Whether the hardware multiplier of offers counts.
    pub hardware_multiplier: bool,
    /// Whether jobs are paid.
    pub accounting: bool,
    /// The founders.
    pub founders: Vec<FounderView>,
    /// Entries held.
    pub chain: ChainView,
    /// The canonical bytes, hexadecimal.
    pub bytes: String,
}

/// One wallet: its log, its place, its money, its jobs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuthorView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whose.
    pub wallet: String,
    /// Its line in the genesis, if it is a founder, µGFT.
    pub founder_line_ugft: Option<u64>,
    /// The entry that names it; founders need none.
    pub named_in: Option<String>,
    /// Who wrote that entry.
    pub named_by: Option<String>,
    /// The lowest number at which two of its entries are held.
    pub forked_at: Option<u64>,
    /// Entries that prove a fork of it.
    pub proofs: Vec<String>,
    /// Its account.
    pub account: BalanceView,
    /// Its entries.
    pub entries_total: u64,
    /// The newest of them, oldest first.
    pub entries: Vec<EntryView>,
    /// Jobs it ordered.
    pub submitted_total: u64,
    /// Jobs of which it is a stage.
    pub worked_total: u64,
    /// The newest jobs of either, newest first.
    pub jobs: Vec<AuthorJobView>,
    /// Median speed of its attested work, kFLOP per millisecond; 0 without any.
    pub service_rate: u32,
    /// The chain these were read at.
    pub chain: ChainView,
}

/// A job in the view of one of its parties.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuthorJobView {
    /// Its id.
    pub job: String,
    /// `submitter`, `worker` or `both`.
    pub role: String,
    /// Burned by the job, µGFT.
    pub burned_ugft: u64,
    /// Earned by this wallet in it, µGFT.
    pub earned_ugft: u64,
    /// Still held by the job, µGFT.
    pub held_ugft: u64,
    /// Whether founders have confirmed its `Reserve`.
    pub confirmed: bool,
    /// What the `Reserve` came to.
    pub effect: String,
}

/// One stage of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobStageView {
    /// Who.
    pub worker: String,
    /// First layer and one past the last.
    pub layers: [u32; 2],
    /// Whether it is the submitter itself, which is neither held for nor paid.
    pub own: bool,
    /// Its part of the FLOPs of one token, kFLOP.
    pub share_kflop: u64,
    /// The service rate it offered, kFLOP per millisecond.
    pub service_rate: u32,
    /// Bytes of its weights.
    pub shard_bytes: u64,
    /// Bytes it lends.
    pub memory_bytes: u64,
    /// T: speed against the route's median, parts per million.
    pub throughput_ppm: u64,
    /// P: how full the lent memory is, parts per million.
    pub pressure_ppm: u64,
    /// M: the hardware multiplier, parts per million.
    pub hardware_ppm: u64,
    /// R: what of the gross is earned, parts per million.
    pub reliability_ppm: u32,
    /// share · T · P · M.
    pub weight: u64,
    /// Held for it by the `Reserve`, µGFT.
    pub hold_ugft: u64,
    /// Still held, µGFT.
    pub held_ugft: u64,
    /// Burned for it, µGFT.
    pub burned_ugft: u64,
    /// Earned by it, µGFT.
    pub earned_ugft: u64,
    /// Prompt and completion tokens of its newest effective frontier.
    pub frontier: Option<[u32; 2]>,
    /// Whether its last word has effect.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// Whether that frontier is confirmed.
    pub confirmed: bool,
    /// Its compute time for the job, as the last stage attests, µs.
    pub compute_us: Option<u64>,
}

/// One step of a job's frontier: an entry of a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FrontierStepView {
    /// The entry.
    pub id: String,
    /// Its place in the chain.
    pub index: u64,
    /// Which stage, from 0; none when its author is no stage.
    pub stage: Option<usize>,
    /// Who wrote it.
    pub author: String,
    /// The author's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Prompt tokens acknowledged.
    pub prompt: u32,
    /// Completion tokens acknowledged.
    pub completion: u32,
    /// Burned for all stages up to here in the chain, µGFT.
    pub burned_total_ugft: u64,
    /// What it came to.
    pub effect: String,
    /// The same in parts.
    pub outcome: OutcomeView,
    /// Whether founders have confirmed it.
    pub confirmed: bool,
    /// Which founders have.
    pub confirmed_by: Vec<String>,
}

/// What two neighbours say of the bytes between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NeighbourView {
    /// The stage that sent, from 0.
    pub sender: usize,
    /// The stage that received.
    pub receiver: usize,
    /// Running hash of what was sent, by the sender's newest frontier.
    pub sent: Option<String>,
    /// Running hash of what was received, by the receiver's newest frontier.
    pub received: Option<String>,
    /// `agree`, `differ`, or `unknown` while one has not said, or not the last
    /// word.
    pub verdict: String,
}

/// A founder's view of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobFounderView {
    /// Who.
    pub wallet: String,
    /// Its weight, µGFT.
    pub line_ugft: u64,
    /// Whether it has confirmed the `Reserve`.
    pub reserve: bool,
    /// How many of the effective frontiers it has confirmed.
    pub frontiers: usize,
}

/// What Divy's reference formulas would have made of a job, in their own unit:
/// credits, which are tokens weighted by the size of the model. Never booked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DivyView {
    /// What would have been reserved.
    pub quoted_credits: f64,
    /// What would have been burned.
    pub settled_credits: f64,
    /// What would have been paid each stage, in order.
    pub stage_credits: Vec<f64>,
}

/// One job.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct JobView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Its id: that of the `Reserve`.
    pub id: String,
    /// Place of the `Reserve` in the chain.
    pub index: u64,
    /// Who ordered it.
    pub submitter: String,
    /// The submitter's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Which model.
    pub model: String,
    /// Its name, if an entry carries its card.
    pub model_name: Option<String>,
    /// Layers of the model.
    pub layers: u32,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// Price of one token, µGFT.
    pub price_ugft_per_token: u64,
    /// When the submitter gives up, milliseconds since 1970.
    pub deadline_ms: u64,
    /// From when on a founder's witness says that it is over, milliseconds
    /// since 1970.
    pub over_from_ms: u64,
    /// The release that ended its holds, if one has effect.
    pub released_by: Option<String>,
    /// The job it carries on.
    pub continues: Option<String>,
    /// What the `Reserve` came to.
    pub effect: String,
    /// Whether it is confirmed.
    pub confirmed: bool,
    /// `open`, `done` (every foreign stage said its last word), `released` or
    /// `inert`.
    pub state: String,
    /// (prompt + completion maximum) · price, µGFT.
    pub cap_ugft: u64,
    /// Burned in all, µGFT.
    pub burned_ugft: u64,
    /// Earned in all, µGFT.
    pub earned_ugft: u64,
    /// Burned and not earned, µGFT.
    pub commons_ugft: u64,
    /// Still held, µGFT.
    pub held_ugft: u64,
    /// The stages with every factor of the split.
    pub stages: Vec<JobStageView>,
    /// Entries about the job.
    pub frontiers_total: u64,
    /// The newest of its frontiers, in the chain's order.
    pub frontiers: Vec<FrontierStepView>,
    /// Who has confirmed what.
    pub founders: Vec<JobFounderView>,
    /// Whether neighbours agree about the bytes between them.
    pub neighbours: Vec<NeighbourView>,
    /// Reference figures, once there is a frontier.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub divy: Option<DivyView>,
    /// The chain these were read at.
    pub chain: ChainView,
}

/// A log with two entries at one number.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForkView {
    /// Whose.
    pub author: String,
    /// The lowest such number that is held, or that is proven.
    pub seq: Option<u64>,
    /// The entries there, as far as they are held.
    pub entries: Vec<EntryView>,
    /// Entries that prove it to everybody.
    pub proofs: Vec<String>,
}

/// All forked logs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ForksView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// One per author, the first of them by wallet.
    pub forks: Vec<ForkView>,
    /// Authors whose logs are forked.
    pub total: u64,
    /// Wallets looked at.
    pub authors: u64,
    /// The chain these were read at.
    pub chain: ChainView,
}

/// A peer of an observer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ObservedPeerView {
    /// Who.
    pub wallet: String,
    /// Where it is connected.
    pub address: String,
    /// Entries it says that it holds.
    pub length: u64,
    /// The last link it says that it has.
    pub tip: String,
    /// Whether that is the observer's chain.
    pub equal: bool,
}

/// What `ledger inspect` found.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InspectView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The founding document of the network.
    pub genesis: GenesisView,
    /// The peers that answer.
    pub peers: Vec<ObservedPeerView>,
    /// Wallets that have a line, a log or a name.
    pub wallets: u64,
    /// Logs that are forked.
    pub forks: u64,
    /// The commons, µGFT.
    pub commons_ugft: u128,
    /// What was computed again here.
    pub verify: VerifyView,
}

/// The outcome of `ledger verify`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VerifyView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whether everything holds.
    pub ok: bool,
    /// Entries read.
    pub entries: u64,
    /// Signatures checked.
    pub signatures: u64,
    /// The recomputed chain.
    pub chain: ChainView,
    /// Σ balances + commons.
    pub sum_ugft: i128,
    /// What does not hold.
    pub problems: Vec<String>,
}
