//! How the credits of a job are shared among the workers that hold its model.
//!
//! Each worker's weight is its share of the declared compute, times how fast it
//! was against the median (half to one and a half), times how full its memory
//! was (0.85 to 1.15). Column ranges are neither checked for gaps nor for
//! overlaps, as in the original.

use super::{divide, model_size_factor};

/// Times below this count as this: a rate stays finite.
const EXECUTION_SECONDS_MIN: f64 = 0.001;
const THROUGHPUT_MIN: f64 = 0.5;
const THROUGHPUT_MAX: f64 = 1.5;
const RESOURCE_BASE: f64 = 0.85;
const RESOURCE_SPAN: f64 = 0.30;

/// A job, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreditPolicyInput {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens of the completion.
    pub completion_tokens: u32,
    /// Bytes of the whole model.
    pub total_model_bytes: u64,
    /// Columns of the whole model.
    pub total_columns: u32,
    /// Who did the work.
    pub assignments: Vec<AssignmentCreditInput>,
}

/// What one worker did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentCreditInput {
    /// Who.
    pub worker_id: String,
    /// How long it worked.
    pub execution_time_ms: u64,
    /// What its hardware is worth; 0 counts as 1.
    pub assigned_capacity_units: u32,
    /// The first column it holds.
    pub shard_column_start: u32,
    /// One past the last.
    pub shard_column_end: u32,
    /// Memory it lends; 0 counts as full.
    pub available_memory_bytes: u64,
}

/// How a job's credits are shared.
#[derive(Debug, Clone, PartialEq)]
pub struct CreditPolicyOutput {
    /// What is shared.
    pub job_credit_budget: f64,
    /// The shares, in the order of the input; they add up to the budget.
    pub assignments: Vec<AssignmentCreditOutput>,
}

/// What one worker gets, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct AssignmentCreditOutput {
    /// Who.
    pub worker_id: String,
    /// What it gets.
    pub credits: f64,
    /// Its part of the declared compute.
    pub compute_share: f64,
    /// Its speed against the median, 0.5 to 1.5.
    pub throughput_multiplier: f64,
    /// What its full memory adds or its empty memory takes, 0.85 to 1.15.
    pub resource_pressure_multiplier: f64,
    /// Its part of the credits.
    pub normalized_contribution_share: f64,
    /// Declared compute per second.
    pub measured_service_rate: f64,
    /// The median of all workers' rates.
    pub reference_service_rate: f64,
    /// How full its memory was, 0 to 1.
    pub memory_pressure: f64,
}

/// What can be said of one worker without the others.
struct Measured {
    compute_units: f64,
    service_rate: f64,
    memory_pressure: f64,
}

/// Shares the credits of a job, or of a part of one. Without workers nothing
/// is shared; no tokens count as one.
#[must_use]
pub fn compute_credit_policy(input: CreditPolicyInput) -> CreditPolicyOutput {
    if input.assignments.is_empty() {
        return CreditPolicyOutput {
            job_credit_budget: 0.0,
            assignments: Vec::new(),
        };
    }
    let tokens = input.prompt_tokens.saturating_add(input.completion_tokens);
    let budget = f64::from(tokens.max(1)) * model_size_factor(input.total_model_bytes);
    let measured: Vec<Measured> = input
        .assignments
        .iter()
        .map(|assignment| measure(assignment, &input))
        .collect();
    let reference = median(measured.iter().map(|worker| worker.service_rate).collect());
    let units_total: f64 = measured.iter().map(|worker| worker.compute_units).sum();
    let weighed: Vec<AssignmentCreditOutput> = input
        .assignments
        .iter()
        .zip(&measured)
        .map(|(assignment, worker)| weigh(&assignment.worker_id, worker, reference, units_total))
        .collect();
    let weight_total: f64 = weighed.iter().map(weight).sum();
    let share = |mut output: AssignmentCreditOutput| {
        output.normalized_contribution_share = divide(weight(&output), weight_total);
        output.credits = budget * output.normalized_contribution_share;
        output
    };
    CreditPolicyOutput {
        job_credit_budget: budget,
        assignments: weighed.into_iter().map(share).collect(),
    }
}

fn measure(assignment: &AssignmentCreditInput, job: &CreditPolicyInput) -> Measured {
    let columns = assignment
        .shard_column_end
        .saturating_sub(assignment.shard_column_start)
        .max(1);
    let fraction = f64::from(columns) / f64::from(job.total_columns.max(1));
    let capacity = f64::from(assignment.assigned_capacity_units.max(1));
    let compute_units = capacity * fraction.max(f64::EPSILON);
    let seconds = (assignment.execution_time_ms as f64 / 1000.0).max(EXECUTION_SECONDS_MIN);
    let memory_pressure = match assignment.available_memory_bytes {
        0 => 1.0,
        available => (job.total_model_bytes as f64 * fraction / available as f64).clamp(0.0, 1.0),
    };
    Measured {
        compute_units,
        service_rate: compute_units / seconds,
        memory_pressure,
    }
}

/// All but the credits, which depend on everybody's weight.
fn weigh(
    worker_id: &str,
    worker: &Measured,
    reference: f64,
    units_total: f64,
) -> AssignmentCreditOutput {
    let throughput = divide(worker.service_rate, reference).clamp(THROUGHPUT_MIN, THROUGHPUT_MAX);
    AssignmentCreditOutput {
        worker_id: worker_id.to_owned(),
        credits: 0.0,
        compute_share: divide(worker.compute_units, units_total),
        throughput_multiplier: throughput,
        resource_pressure_multiplier: RESOURCE_BASE + RESOURCE_SPAN * worker.memory_pressure,
        normalized_contribution_share: 0.0,
        measured_service_rate: worker.service_rate,
        reference_service_rate: reference,
        memory_pressure: worker.memory_pressure,
    }
}

fn weight(output: &AssignmentCreditOutput) -> f64 {
    output.compute_share * output.throughput_multiplier * output.resource_pressure_multiplier
}

/// The middle value; of an even number the mean of the two in the middle.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let upper = values.len() / 2;
    let lower = values.len().saturating_sub(1) / 2;
    match (values.get(lower), values.get(upper)) {
        (Some(lower), Some(upper)) => f64::midpoint(*lower, *upper),
        _ => 0.0,
    }
}
