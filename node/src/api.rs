//! What a node tells and does for its owner: the one list of requests behind
//! `/api/v1`, `/v1`, the command line and the testnet.
//!
//! Plain data and one handle. Numbers are raw integers with their unit in the
//! name; ids are full hexadecimal. How they are shown is the caller's business.

mod error;
mod ledger;
pub mod quote;

pub use error::{AskError, ErrorCode};
pub use ledger::*;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use talkoot_ledger::sync::SyncProgress;
use utoipa::ToSchema;

/// The version of these shapes, on every JSON object that stands alone.
pub const SCHEMA: u32 = 1;

/// `status`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StatusView {
    /// [`SCHEMA`].
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
    /// Milliseconds since start.
    pub uptime_ms: u64,
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
    /// Measured speed.
    pub layers_per_second: u32,
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
    /// The address we are connected to.
    pub address: String,
    /// Round trip, µs, when measured.
    pub rtt_us: Option<u64>,
    /// Software version it announced.
    pub software: Option<String>,
    /// What it serves.
    pub serving: Vec<ServedView>,
    /// Marks for bad behaviour.
    pub marks: u32,
    /// The reason of the newest mark.
    pub last_mark: Option<String>,
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
    /// [`SCHEMA`].
    pub schema: u32,
    /// Connected peers.
    pub peers: Vec<PeerView>,
}

/// `models`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ModelsView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Models known in the network.
    pub models: Vec<ModelView>,
}

/// `id`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Our wallet.
    pub wallet: String,
    /// Our libp2p peer id.
    pub peer_id: String,
    /// Name of the current network, if this home is in one.
    pub network: Option<String>,
    /// Its id.
    pub network_id: Option<String>,
    /// Where identity and ledgers lie.
    pub data: String,
}

/// An invitation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InviteView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The ticket text.
    pub ticket: String,
    /// When it ends, milliseconds since 1970.
    pub expires_ms: u64,
    /// The line it passes on, µGFT.
    pub line_ugft: u64,
}

/// What to invite with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InviteRequest {
    /// For how long, milliseconds.
    pub ttl_ms: u64,
    /// The line to pass on, µGFT.
    pub line_ugft: u64,
}

/// One message of a chat.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text.
    #[serde(default)]
    pub content: String,
    /// The tools an assistant called, as the template expects them: `{"id",
    /// "type": "function", "function": {"name", "arguments": {…}}}`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<Value>,
    /// Which call a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The name of who speaks, or of the tool that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What to continue.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// A chat, rendered with the model's template.
    Chat(Vec<ChatMessage>),
    /// Plain text, continued as it is.
    Text(String),
    /// Token ids, continued as they are.
    Tokens(Vec<u32>),
}

/// What an answer's text must be: tokens that would break it are not picked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grammar {
    /// Any JSON object.
    JsonObject,
    /// JSON that this JSON Schema describes (the schema as text).
    JsonSchema(String),
    /// A text that matches this regular expression whole.
    Regex(String),
    /// A text of this context-free grammar, in the Lark dialect of llguidance.
    Lark(String),
}

/// A question.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AskRequest {
    /// Name, id or unique prefix of an id; none means the only or first model
    /// with a full route.
    pub model: Option<String>,
    /// What to continue.
    pub prompt: Prompt,
    /// Completion tokens at most; none means up to the context, at most 512.
    pub completion_tokens_max: Option<u32>,
    /// Sampling temperature.
    #[serde(default)]
    pub temperature: f32,
    /// See `SamplingParams`.
    #[serde(default)]
    pub top_k: u32,
    /// See `SamplingParams`.
    #[serde(default = "one")]
    pub top_p: f32,
    /// See `SamplingParams`.
    #[serde(default)]
    pub min_p: f32,
    /// See `SamplingParams`.
    #[serde(default = "one")]
    pub repetition_penalty: f32,
    /// See `SamplingParams`.
    #[serde(default)]
    pub frequency_penalty: f32,
    /// See `SamplingParams`.
    #[serde(default)]
    pub presence_penalty: f32,
    /// Random seed; none draws one.
    pub seed: Option<u64>,
    /// Texts that end the answer.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Whether to report log-probabilities.
    #[serde(default)]
    pub logprobs: bool,
    /// Alternatives to report with their log-probabilities.
    #[serde(default)]
    pub top_logprobs: u8,
    /// Keep on after a stop id (for measurements).
    #[serde(default)]
    pub ignore_stop_ids: bool,
    /// Added to the logits of these tokens, before anything else.
    #[serde(default)]
    pub logit_bias: Vec<(u32, f32)>,
    /// What the answer's text must be.
    #[serde(default)]
    pub grammar: Option<Grammar>,
    /// Report the prompt's tokens as [`AskEvent::Prompt`] too; with `logprobs`
    /// or `top_logprobs`, with their log-probabilities.
    #[serde(default)]
    pub echo: bool,
    /// Tools that the model may call, as its template expects them. Only with a
    /// chat, and only where the template knows tools.
    #[serde(default)]
    pub tools: Vec<Value>,
    /// A name for this request that all its stages write into their logs: at
    /// most 64 characters of `A-Za-z0-9._-`. HTTP names every request; none leaves
    /// the logs with the job's id alone.
    #[serde(default)]
    pub request_id: Option<String>,
}

impl AskRequest {
    /// A greedy request without limits.
    #[must_use]
    pub fn plain(model: Option<String>, prompt: Prompt) -> Self {
        Self {
            model,
            prompt,
            completion_tokens_max: None,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            seed: None,
            stop: Vec::new(),
            logprobs: false,
            top_logprobs: 0,
            ignore_stop_ids: false,
            logit_bias: Vec::new(),
            grammar: None,
            echo: false,
            tools: Vec::new(),
            request_id: None,
        }
    }
}

const fn one() -> f32 {
    1.0
}

/// One piece of an answer in the making.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AskEvent {
    /// A route was found and reserved; work begins.
    Routed {
        /// The job.
        job: String,
        /// The model's id.
        model: String,
        /// The model's name.
        model_name: String,
        /// The route.
        stages: Vec<StageView>,
        /// Prompt tokens.
        prompt_tokens: u32,
        /// Held for the job at most, µGFT; 0 for a free job.
        #[serde(deserialize_with = "narrow")]
        held_ugft: u128,
    },
    /// Further tokens of the prompt, where asked for: all of them together
    /// come before the first `Delta`, in order. The first token of a prompt has
    /// no log-probability.
    Prompt {
        /// The tokens.
        tokens: Vec<TokenView>,
    },
    /// Text that will not change any more.
    Delta {
        /// The text; may be empty while a character is incomplete.
        text: String,
        /// The tokens behind it.
        tokens: Vec<TokenView>,
    },
    /// The answer is complete.
    Done(Box<AskDone>),
    /// The answer failed; what came before stays.
    Failed(AskError),
}

/// serde cannot read 128 bits inside a tagged enum. A hold is bounded by credit
/// lines, which fit 64 bits together.
fn narrow<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
    u64::deserialize(deserializer).map(u128::from)
}

/// One token and its log-probabilities.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: u32,
    /// Its text alone (lossy where it is a part of a character).
    pub text: String,
    /// Its bytes in the text; empty for a token that only controls.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
    /// ln p, where asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub logprob: Option<f32>,
    /// Alternatives, where asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub top: Vec<TopView>,
}

/// One alternative.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct TopView {
    /// Its id.
    pub id: u32,
    /// Its text alone.
    pub text: String,
    /// Its bytes in the text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bytes: Vec<u8>,
    /// ln p.
    pub logprob: f32,
}

/// One stage of a route.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// Whose.
    pub peer: String,
    /// First layer and one past the last.
    pub layers: [u32; 2],
    /// Compute time per token, µs.
    pub compute_us_per_token: f64,
    /// Time per token between the previous stage's end and this one's start,
    /// µs: queues, serialisation, the wire.
    pub hop_us_per_token: f64,
    /// Earned by this job, µGFT.
    pub earned_ugft: u64,
}

/// The end of an answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AskDone {
    /// The job.
    pub job: String,
    /// `stop` or `length`.
    pub finish: String,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens.
    pub completion_tokens: u32,
    /// From the request to the first token, µs.
    pub time_to_first_token_us: u64,
    /// Completion tokens per second after the first.
    pub tokens_per_second: f64,
    /// Median over tokens of (wall less the stages' compute) / hops, µs.
    pub overhead_us_per_token_hop: f64,
    /// The route with its times and earnings.
    pub stages: Vec<StageView>,
    /// Burned by this job, µGFT.
    pub burned_ugft: u64,
    /// Withheld to the commons, µGFT.
    pub commons_ugft: u64,
    /// Still held, µGFT.
    pub held_ugft: u64,
    /// Whether all stages have posted their final frontier.
    pub settled: bool,
    /// Whether jobs are paid in this network; off, all amounts are 0.
    pub accounting: bool,
}

/// Text to make tokens of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenizeRequest {
    /// As in [`AskRequest`].
    pub model: Option<String>,
    /// A chat is rendered with the model's template; ids are refused.
    pub prompt: Prompt,
    /// Whether a text is framed with the model's begin mark. A template writes
    /// its own.
    pub add_special: bool,
    /// Whether a chat ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// As in [`AskRequest`].
    pub tools: Vec<Value>,
}

/// The tokens of a text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenizeView {
    /// Name of the model.
    pub model_name: String,
    /// The ids.
    pub ids: Vec<u32>,
    /// The exact names of the tokens, as the tokenizer has them.
    pub names: Vec<String>,
    /// Tokens a session may hold.
    pub context: u32,
}

/// What is known of a model's tokenizer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenizerView {
    /// Name of the model.
    pub model_name: String,
    /// Tokens a session may hold.
    pub context: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Texts of special tokens by name (`bos_token`, `eos_token`, …).
    pub special_tokens: BTreeMap<String, String>,
    /// Ids that end an answer.
    pub stop_ids: Vec<u32>,
    /// The chat template, where there is one.
    pub chat_template: Option<String>,
    /// Whether that template knows tools.
    pub has_tools: bool,
}
