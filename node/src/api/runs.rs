//! The newest jobs of this node: how far they are, what they cost, and where
//! their time went. The newest are kept; the ledger keeps the money for ever.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `jobs`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RunsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Newest first.
    pub jobs: Vec<RunView>,
}

/// One job that this node asks for or works in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunView {
    /// The job.
    pub job: String,
    /// What its stages call it in their logs; may be empty.
    pub request_id: String,
    /// What this node is to it: `asker` or `worker`.
    pub role: String,
    /// The model's id.
    pub model: String,
    /// The model's name.
    pub model_name: String,
    /// `prompt`, `answering`, `settling` (complete, and not all stages have said
    /// their last word), `done`, `failed` or `cancelled`.
    pub state: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it began, milliseconds since 1970.
    pub started_ms: u64,
    /// When it ended.
    pub ended_ms: Option<u64>,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Prompt tokens accepted as done.
    pub prompt_done: u32,
    /// Completion tokens made, as far as this node knows.
    pub completion_tokens: u32,
    /// Completion tokens that the asker accepted: what money follows.
    pub acked_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// Held for it by the ledger, µGFT; 0 for a free job.
    pub held_ugft: u64,
    /// Burned by it so far, by the ledger, µGFT.
    pub burned_ugft: u64,
    /// Earned by this node in it so far, by the ledger, µGFT.
    pub earned_ugft: u64,
    /// Withheld to the commons so far, µGFT.
    pub commons_ugft: u64,
    /// Price of a token, µGFT; 0 for a free job.
    pub price_ugft_per_token: u64,
    /// Tokens per second after the first.
    pub tokens_per_second: f64,
    /// From the beginning to the first token, µs.
    pub time_to_first_token_us: u64,
    /// The route; a worker knows all of it too.
    pub stages: Vec<super::StageView>,
}

/// Half of the values, and 95 of a hundred, are no larger; µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SpreadView {
    /// The median.
    pub p50: u64,
    /// The 95th percentile.
    pub p95: u64,
}

/// Where the time of a token goes in one stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HopView {
    /// Which stage, from 0.
    pub stage: usize,
    /// Waiting in the stage: its queue, and others' rows of the same step.
    pub wait_us: SpreadView,
    /// Computing.
    pub compute_us: SpreadView,
    /// The link to the next stage: its part of the wire, divided as the stages
    /// estimate their links; 0 for a worker, who cannot know it.
    pub wire_us: SpreadView,
}

/// What one stage did for one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StageSampleView {
    /// Waiting in the stage, µs.
    pub wait_us: u32,
    /// Computing, µs.
    pub compute_us: u32,
    /// Its part of the wire, µs.
    pub wire_us: u32,
}

/// The time of one token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenSampleView {
    /// Since the job began, µs.
    pub at_us: u64,
    /// Since the token before, µs.
    pub interval_us: u64,
    /// What of it no stage had the token, µs: all hops of the wire together.
    pub wire_us: u64,
    /// The stages, in order; for a worker those up to its own.
    pub stages: Vec<StageSampleView>,
}

/// One job with its times. The asker sees those of all stages; a worker those of
/// the stages up to its own, without the wire.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunDetailView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The job.
    #[serde(flatten)]
    pub run: RunView,
    /// Per stage, over the tokens after the first.
    pub hops: Vec<HopView>,
    /// The wire, all hops together.
    pub wire_us: SpreadView,
    /// The newest tokens, oldest first.
    pub tokens: Vec<TokenSampleView>,
}
