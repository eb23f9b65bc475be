//! The shapes of `ledger quote`: what a job would cost, and why.

use super::Prompt;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What to quote.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QuoteRequest {
    /// Name, id or unique prefix of an id; none means the first with a full
    /// route.
    pub model: Option<String>,
    /// Tokens of the prompt; not looked at when there is a `prompt`.
    #[serde(default)]
    pub prompt_tokens: u32,
    /// The prompt itself: its tokens are counted as those of a question are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// Tokens of the completion at most; as of a question when nothing is said.
    #[serde(default)]
    pub completion_tokens_max: Option<u32>,
}

/// What a job would cost by today's route and offers. Nothing is reserved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuoteView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Model id.
    pub model: String,
    /// Its name.
    pub model_name: String,
    /// How its weights are stored.
    pub dtype: String,
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the completion at most.
    pub completion_tokens_max: u32,
    /// Tokens a session may hold.
    #[serde(default)]
    pub context: u32,
    /// Floating-point operations of one token through the whole model.
    pub flops_per_token: u64,
    /// Those of all tokens.
    pub flops: u128,
    /// What prices follow here: `flops` or `size`.
    pub pricing: String,
    /// The price factor of the stored precision, where prices follow FLOPs.
    pub precision_ppm: Option<u64>,
    /// Why nothing is paid, when nothing is; the amounts are 0 then.
    pub free: Option<String>,
    /// Price of one token, µGFT.
    pub price_ugft_per_token: u64,
    /// What it costs at most: all tokens at this price, µGFT.
    pub cap_ugft: u64,
    /// What would be held of it, for foreign stages, µGFT.
    pub held_ugft: u64,
    /// What is available to us now, µGFT.
    pub available_ugft: i128,
    /// Σ of the stages' weights.
    pub weight_total: u128,
    /// The route.
    pub stages: Vec<QuoteStage>,
    /// What the reference accounting would ask, in its own unit.
    pub divy: QuoteCredits,
}

/// One stage of the route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuoteStage {
    /// Whose.
    pub peer: String,
    /// First layer and one past the last.
    pub layers: [u32; 2],
    /// Whether it is our own: counted in the split, neither held nor paid.
    pub own: bool,
    /// Floating-point operations of one token through these layers.
    pub flops_per_token: u64,
    /// Its offer's part; none where nothing is paid.
    pub part: Option<QuotePart>,
}

/// The factors of one stage's part, and what they come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuotePart {
    /// Its part of a token's FLOPs, kFLOP.
    pub share_kflop: u64,
    /// Service rate of its recent work, kFLOP per millisecond; 0 without any.
    pub service_rate: u32,
    /// T: that rate against the route's median, parts per million.
    pub throughput_ppm: u64,
    /// Bytes of its weights.
    pub shard_bytes: u64,
    /// Memory it lends.
    pub memory_bytes: u64,
    /// P: how full that memory is, parts per million.
    pub pressure_ppm: u64,
    /// M: its hardware, parts per million.
    pub hardware_ppm: u64,
    /// R: which part of its gross it earns, parts per million.
    pub reliability_ppm: u32,
    /// share · T · P · M: its part of the total weight.
    pub weight: u64,
    /// What would be held for it: the most it could cost, µGFT.
    pub hold_ugft: u64,
    /// What it would earn of that; the rest goes to the commons, µGFT.
    pub earned_ugft: u64,
    /// What the reference accounting would pay it if it worked at its service
    /// rate, in credits.
    pub divy_credits: f64,
}

/// Consumption by the reference accounting, in credits: tokens weighted by the
/// size of the model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct QuoteCredits {
    /// Bytes of the model as stored.
    pub model_bytes: u64,
    /// Credits of one token.
    pub model_size_factor: f64,
    /// Credits of the prompt.
    pub prompt_credits: f64,
    /// Credits of the completion.
    pub completion_credits: f64,
    /// Both.
    pub total_credits: f64,
}
