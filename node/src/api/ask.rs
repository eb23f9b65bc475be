//! A question, and the pieces of its answer.

use super::AskError;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

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
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StageView {
    /// Whose.
    pub peer: String,
    /// First layer and one past the last.
    pub layers: [u32; 2],
    /// Compute time per token, µs.
    pub compute_us_per_token: f64,
    /// Time per token that was waiting in this stage or on its link to the next,
    /// µs.
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
