//! What Divy's per-job formulas would have made of a job of ours.
//!
//! The units are Divy's: credits (size-weighted tokens), not GFT. What its
//! input asks for is taken from signed numbers of ours:
//! - tokens: what the effective frontier that came furthest acknowledges;
//! - model bytes: the tensors of the card as stored, or, without the card, the
//!   sum of the offers' shard bytes;
//! - columns: layers. Divy splits every layer among all workers, Talkoot gives
//!   each worker layers of its own; the part of the model is what counts in
//!   both;
//! - capacity units: 1 for everybody, as our offers declare none. So a stage's
//!   share is its part of the layers; the head's FLOPs do not count;
//! - time: what that frontier's attestation says of each stage's compute, in
//!   whole milliseconds rounded up;
//! - memory: what the offer lends.
//!
//! A receipt is shown and never booked. There is none before the first frontier.

use super::{
    AssignmentCreditInput, ConsumptionPolicyOutput, ConsumptionQuoteInput,
    ConsumptionSettlementInput, CreditPolicyInput, CreditPolicyOutput, compute_credit_policy,
    quote_consumption, settle_consumption,
};
use crate::facts::{Facts, FrontierFacts};
use crate::graph::Ix;
use crate::kinds::{self, Payload};
use crate::ledger::Ledger;
use talkoot_protocol::{JobId, Offer};

/// What one stage did, as Divy wants to know it.
#[derive(Debug, Clone, Copy)]
pub struct StageWork<'a> {
    /// What it offered.
    pub offer: &'a Offer,
    /// How long it computed.
    pub compute_us: u64,
}

/// What Divy would have quoted, settled and paid, in its credits.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// What it would have reserved.
    pub quote: ConsumptionPolicyOutput,
    /// What it would have burned.
    pub settlement: ConsumptionPolicyOutput,
    /// What it would have paid each stage, in the order of the layers, own
    /// stages included.
    pub contribution: CreditPolicyOutput,
}

impl Receipt {
    /// The receipt of a job that came as far as `done` of what was `ordered`,
    /// both in prompt and completion tokens.
    #[must_use]
    pub fn new(
        ordered: (u32, u32),
        done: (u32, u32),
        weight_bytes: Option<u64>,
        stages: &[StageWork<'_>],
    ) -> Self {
        let shards = stages.iter().map(|stage| stage.offer.shard_bytes);
        let total_model_bytes = weight_bytes.unwrap_or_else(|| shards.fold(0, u64::saturating_add));
        let layers = stages.iter().map(|stage| stage.offer.range.end()).max();
        let assignment = |stage: &StageWork<'_>| AssignmentCreditInput {
            worker_id: stage.offer.worker.to_string(),
            execution_time_ms: stage.compute_us.div_ceil(1000),
            assigned_capacity_units: 1,
            shard_column_start: stage.offer.range.start(),
            shard_column_end: stage.offer.range.end(),
            available_memory_bytes: stage.offer.memory_bytes,
        };
        Self {
            quote: quote_consumption(ConsumptionQuoteInput {
                prompt_tokens: ordered.0,
                requested_completion_tokens: ordered.1,
                total_model_bytes,
            }),
            settlement: settle_consumption(ConsumptionSettlementInput {
                prompt_tokens: done.0,
                actual_completion_tokens: done.1,
                total_model_bytes,
            }),
            contribution: compute_credit_policy(CreditPolicyInput {
                prompt_tokens: done.0,
                completion_tokens: done.1,
                total_model_bytes,
                total_columns: layers.unwrap_or(0),
                assignments: stages.iter().map(assignment).collect(),
            }),
        }
    }
}

impl Ledger {
    /// What Divy would have made of a job; `None` before its first frontier,
    /// and when its offers form no route.
    #[must_use]
    pub fn divy_receipt(&self, job: JobId) -> Option<Receipt> {
        let ix = self.core.graph().find(&job.0)?;
        let payload = Payload::decode(kinds::RESERVE, &self.entry(&job.0)?.payload);
        let Ok(Some(Payload::Reserve(reserve))) = payload else {
            return None;
        };
        let newest = self.furthest_frontier(ix)?;
        let times = newest.stage_compute_us.iter();
        let stages: Vec<StageWork<'_>> = reserve
            .offers
            .iter()
            .zip(times)
            .map(|(offer, &compute_us)| StageWork {
                offer: offer.claimed(),
                compute_us,
            })
            .collect();
        if stages.len() != reserve.offers.len() {
            return None;
        }
        Some(Receipt::new(
            (reserve.prompt_tokens, reserve.completion_tokens_max),
            (newest.prompt_done, newest.completion_done),
            self.card(reserve.model).map(|card| card.weight_bytes),
            &stages,
        ))
    }

    /// The effective frontier of a job that acknowledges most.
    fn furthest_frontier(&self, job: Ix) -> Option<&FrontierFacts> {
        let stages = &self.core.jobs.get(&job)?.stages;
        stages
            .iter()
            .flat_map(|stage| &stage.frontiers)
            .map(|&ix| self.core.record(ix))
            .filter(|record| record.outcome.is_effective())
            .filter_map(|record| match &record.facts {
                Facts::Frontier(facts) => Some(facts.as_ref()),
                _ => None,
            })
            .max_by_key(|facts| (facts.prompt_done, facts.completion_done))
    }
}
