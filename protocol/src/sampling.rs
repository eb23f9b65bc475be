//! How the last stage picks tokens.
//!
//! These parameters hold floats: they are never part of anything signed. Bounds
//! are checked here; whether a grammar can be understood is its reader's
//! business.

use crate::codec::{DecodeError, bound};
use crate::limits;
use bincode::{Decode, Encode};

/// How the last stage picks a token.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct SamplingParams {
    /// 0 picks the most likely token.
    pub temperature: f32,
    /// Keep the k most likely tokens; 0 keeps all.
    pub top_k: u32,
    /// Keep the smallest set of tokens whose probabilities reach this sum.
    pub top_p: f32,
    /// Drop tokens below this part of the most likely one's probability.
    pub min_p: f32,
    /// Divides (or multiplies) the logits of tokens seen before; 1 is off.
    pub repetition_penalty: f32,
    /// Subtracted once per earlier occurrence in the completion.
    pub frequency_penalty: f32,
    /// Subtracted once if the token occurred in the completion.
    pub presence_penalty: f32,
    /// The random number of a position is a function of (seed, position).
    pub seed: u64,
    /// How many alternatives to report with their log-probabilities.
    pub top_logprobs: u8,
    /// Whether to report the chosen token's log-probability.
    pub logprobs: bool,
    /// Added to the logits of these tokens before anything else.
    pub logit_bias: Vec<(u32, f32)>,
    /// Whether to report the log-probabilities of the prompt's tokens, with as
    /// many alternatives.
    pub prompt_logprobs: bool,
    /// What the completion's text must be; only the last stage gets it.
    pub grammar: Option<Grammar>,
}

/// What a completion's text must be: tokens that would break it are not picked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Grammar {
    /// Any JSON object.
    JsonObject,
    /// JSON that this JSON Schema describes.
    JsonSchema(String),
    /// A text that this regular expression matches whole.
    Regex(String),
    /// A text of this context-free grammar, in the Lark dialect of llguidance.
    Lark(String),
}

impl Grammar {
    /// Bytes of the text that describes it.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        match self {
            Self::JsonObject => 0,
            Self::JsonSchema(text) | Self::Regex(text) | Self::Lark(text) => text.len(),
        }
    }
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            seed: 0,
            top_logprobs: 0,
            logprobs: false,
            logit_bias: Vec::new(),
            prompt_logprobs: false,
            grammar: None,
        }
    }
}

impl SamplingParams {
    /// Bounds on every field; NaN and infinity are out of bounds.
    ///
    /// # Errors
    /// [`DecodeError::OutOfBounds`] naming the field.
    pub fn check(&self) -> Result<(), DecodeError> {
        bound((0.0..=100.0).contains(&self.temperature), "temperature")?;
        bound(self.top_p > 0.0 && self.top_p <= 1.0, "top_p")?;
        bound((0.0..=1.0).contains(&self.min_p), "min_p")?;
        bound(
            (0.01..=100.0).contains(&self.repetition_penalty),
            "repetition_penalty",
        )?;
        bound(
            (-100.0..=100.0).contains(&self.frequency_penalty),
            "frequency_penalty",
        )?;
        bound(
            (-100.0..=100.0).contains(&self.presence_penalty),
            "presence_penalty",
        )?;
        bound(
            usize::from(self.top_logprobs) <= limits::TOP_LOGPROBS_MAX,
            "top_logprobs",
        )?;
        bound(self.logit_bias.len() <= limits::BIAS_MAX, "logit_bias")?;
        bound(
            self.logit_bias
                .iter()
                .all(|(_, bias)| (-1000.0..=1000.0).contains(bias)),
            "logit_bias",
        )?;
        let grammar_bytes = self.grammar.as_ref().map_or(0, Grammar::bytes);
        bound(grammar_bytes <= limits::GRAMMAR_BYTES_MAX, "grammar")
    }
}
