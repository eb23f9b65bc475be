//! What a job earned and cost since it was last accounted.

use super::{
    AssignmentCreditInput, ConsumptionPolicyOutput, CreditPolicyInput, CreditPolicyOutput,
    compute_consumption_components, compute_credit_policy,
};

/// A running job: how far it is and what of it is accounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealtimeAccountingInput {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Completion tokens so far.
    pub frontier_completion_tokens: u32,
    /// Completion tokens that are accounted.
    pub accounted_completion_tokens: u32,
    /// Whether the prompt is accounted.
    pub prompt_credits_accounted: bool,
    /// Bytes of the whole model.
    pub total_model_bytes: u64,
    /// Columns of the whole model.
    pub total_columns: u32,
    /// Who works.
    pub assignments: Vec<AssignmentCreditInput>,
}

/// What is new.
#[derive(Debug, Clone, PartialEq)]
pub struct RealtimeAccountingOutput {
    /// Prompt tokens to account now: all or none.
    pub prompt_tokens_delta: u32,
    /// Completion tokens to account now.
    pub completion_tokens_delta: u32,
    /// The frontier as given: what is accounted afterwards.
    pub frontier_completion_tokens: u32,
    /// Earned by the workers.
    pub contribution: CreditPolicyOutput,
    /// Paid by the one who asked.
    pub consumption: ConsumptionPolicyOutput,
}

/// Accounts what is new; `None` when nothing is.
#[must_use]
pub fn compute_realtime_accounting_delta(
    input: RealtimeAccountingInput,
) -> Option<RealtimeAccountingOutput> {
    let prompt = match input.prompt_credits_accounted {
        true => 0,
        false => input.prompt_tokens,
    };
    let frontier = input.frontier_completion_tokens;
    let completion = frontier.saturating_sub(input.accounted_completion_tokens);
    if (prompt, completion) == (0, 0) {
        return None;
    }
    Some(RealtimeAccountingOutput {
        prompt_tokens_delta: prompt,
        completion_tokens_delta: completion,
        frontier_completion_tokens: frontier,
        consumption: compute_consumption_components(prompt, completion, input.total_model_bytes),
        contribution: compute_credit_policy(CreditPolicyInput {
            prompt_tokens: prompt,
            completion_tokens: completion,
            total_model_bytes: input.total_model_bytes,
            total_columns: input.total_columns,
            assignments: input.assignments,
        }),
    })
}
