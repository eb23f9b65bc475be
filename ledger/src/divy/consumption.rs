//! What the tokens of a request cost: before (quote) and after (settle).

use super::model_size_factor;

/// What is known before the request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumptionQuoteInput {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the completion at most.
    pub requested_completion_tokens: u32,
    /// Bytes of the whole model.
    pub total_model_bytes: u64,
}

/// What is known after the request ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsumptionSettlementInput {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the completion that came.
    pub actual_completion_tokens: u32,
    /// Bytes of the whole model.
    pub total_model_bytes: u64,
}

/// What it costs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConsumptionPolicyOutput {
    /// Credits of one token.
    pub model_size_factor: f64,
    /// Credits of the prompt.
    pub prompt_credits: f64,
    /// Credits of the completion.
    pub completion_credits: f64,
    /// Both.
    pub total_credits: f64,
}

/// What a request costs at most: what to reserve.
#[must_use]
pub fn quote_consumption(input: ConsumptionQuoteInput) -> ConsumptionPolicyOutput {
    compute_consumption_components(
        input.prompt_tokens,
        input.requested_completion_tokens,
        input.total_model_bytes,
    )
}

/// What a request did cost; the rest of the reservation is refunded.
#[must_use]
pub fn settle_consumption(input: ConsumptionSettlementInput) -> ConsumptionPolicyOutput {
    compute_consumption_components(
        input.prompt_tokens,
        input.actual_completion_tokens,
        input.total_model_bytes,
    )
}

/// Prompt and completion, each times the weight of a token, and their sum.
#[must_use]
pub fn compute_consumption_components(
    prompt_tokens: u32,
    completion_tokens: u32,
    total_model_bytes: u64,
) -> ConsumptionPolicyOutput {
    let factor = model_size_factor(total_model_bytes);
    let [prompt_credits, completion_credits] =
        [prompt_tokens, completion_tokens].map(|tokens| f64::from(tokens) * factor);
    ConsumptionPolicyOutput {
        model_size_factor: factor,
        prompt_credits,
        completion_credits,
        total_credits: prompt_credits + completion_credits,
    }
}
