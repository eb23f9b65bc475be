//! Divy, the reference accounting library, as a pure API in its own units.
//!
//! A *credit* is a token weighted by the size of the model; workers are paid
//! for columns of one model by capacity, measured speed and memory pressure.
//! Names, formulas and results are those of the original, number by number
//! (ledger/tests/divy.rs). Nothing here moves money: the ledger computes with
//! integers of its own ([`crate::split`]), and these floats never reach it.
//! As in the original, inputs are believed: whoever calls has verified them.
//! [`Receipt`] says what these formulas would have made of a job of ours.

mod consumption;
mod policy;
mod realtime;
mod receipt;

pub use consumption::{
    ConsumptionPolicyOutput, ConsumptionQuoteInput, ConsumptionSettlementInput,
    compute_consumption_components, quote_consumption, settle_consumption,
};
pub use policy::{
    AssignmentCreditInput, AssignmentCreditOutput, CreditPolicyInput, CreditPolicyOutput,
    compute_credit_policy,
};
pub use realtime::{
    RealtimeAccountingInput, RealtimeAccountingOutput, compute_realtime_accounting_delta,
};
pub use receipt::{Receipt, StageWork};

const GIB: f64 = 1_073_741_824.0;
/// A model of this many GiB or less weighs one credit per token.
const MODEL_SIZE_SCALE_GIB: f64 = 32.0;

/// What one token of a model of this size weighs: 1, or its size over 32 GiB
/// when that is more.
fn model_size_factor(total_model_bytes: u64) -> f64 {
    (total_model_bytes as f64 / GIB / MODEL_SIZE_SCALE_GIB).max(1.0)
}

/// A quotient that is finite whatever the denominator: sums and medians of
/// nothing count as the smallest step instead of zero.
fn divide(numerator: f64, denominator: f64) -> f64 {
    numerator / denominator.max(f64::EPSILON)
}
