//! What a job is asked for, how it is watched, and what it came to.

use std::net::SocketAddr;
use std::ops::ControlFlow;
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::frame::{Finish, StageTime, TokenLogprob, TokenScore};
use talkoot_protocol::{DType, JobId, LayerRange, ModelCard, Wallet};

/// One stage of the route a job shall take.
#[derive(Debug, Clone)]
pub struct RouteStage {
    /// Who.
    pub wallet: Wallet,
    /// Which layers.
    pub range: LayerRange,
    /// Where its data plane answers; empty for ourselves.
    pub addresses: Vec<SocketAddr>,
}

/// What to compute, in tokens.
#[derive(Debug, Clone)]
pub struct JobRequest {
    /// The model.
    pub card: ModelCard,
    /// The route; tiles all layers.
    pub route: Vec<RouteStage>,
    /// Prompt ids.
    pub prompt_ids: Vec<u32>,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// How tokens are picked.
    pub sampling: SamplingParams,
    /// Token ids that end the completion.
    pub stop_ids: Vec<u32>,
    /// Number format between stages.
    pub hidden_dtype: DType,
    /// What all stages call this request in their logs; may be empty.
    pub request_id: String,
}

/// One token as it arrived.
#[derive(Debug, Clone)]
pub struct TokenEvent {
    /// 0 for the first completion token.
    pub index: u32,
    /// The token id.
    pub token: u32,
    /// ln p, where asked for.
    pub logprob: Option<f32>,
    /// Alternatives, where asked for.
    pub top: Vec<TokenLogprob>,
    /// Set on the last one.
    pub finish: Option<Finish>,
    /// Times of all stages for this token.
    pub times: Vec<StageTime>,
}

/// Told about a job while it runs. Called in the job's own task, before the
/// token is acknowledged, so it must be quick; `Break` ends the answer: nothing
/// past this token is acknowledged.
pub trait JobObserver: Send {
    /// The route is reserved (or free) and opened.
    fn opened(&mut self, job: JobId, held_ugft: u128);
    /// Scores of the prompt's next tokens arrived, where asked for; the first
    /// token of a prompt has none. All come before the first token.
    fn scores(&mut self, scores: &[TokenScore]) {
        let _ = scores;
    }
    /// A token arrived.
    fn token(&mut self, event: &TokenEvent) -> ControlFlow<()>;
}

/// What a finished job was.
#[derive(Debug, Clone)]
pub struct JobReport {
    /// Its id.
    pub job: JobId,
    /// Why it ended.
    pub finish: Finish,
    /// Completion tokens acknowledged.
    pub completion_tokens: u32,
    /// From start to the first token, µs.
    pub time_to_first_token_us: u64,
    /// From the first to the last token, µs.
    pub decode_us: u64,
    /// Per stage, in order: median compute per completion token, µs.
    pub compute_us_per_token: Vec<f64>,
    /// Per stage: median time per completion token that was waiting there or on
    /// its link to the next, µs.
    pub hop_us_per_token: Vec<f64>,
    /// Median over tokens of (wall less compute) / hops, µs.
    pub overhead_us_per_token_hop: f64,
    /// Whether the job left entries in the ledger.
    pub reserved: bool,
}

impl JobReport {
    /// Completion tokens per second after the first; 0 without a second.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        let later = f64::from(self.completion_tokens.saturating_sub(1));
        let seconds = std::time::Duration::from_micros(self.decode_us).as_secs_f64();
        if seconds > 0.0 { later / seconds } else { 0.0 }
    }
}
