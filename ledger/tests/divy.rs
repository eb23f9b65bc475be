//! Divy's published vectors, number by number; what holds for any input; and
//! the receipt of a job of ours.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{Kit, OfferTerms, Rng, seeds, wallet};
use talkoot_ledger::divy::{
    AssignmentCreditInput, ConsumptionPolicyOutput, ConsumptionQuoteInput,
    ConsumptionSettlementInput, CreditPolicyInput, CreditPolicyOutput, RealtimeAccountingInput,
    RealtimeAccountingOutput, compute_consumption_components, compute_credit_policy,
    compute_realtime_accounting_delta, quote_consumption, settle_consumption,
};
use talkoot_ledger::{Ledger, Payload, Source, id_of};
use talkoot_protocol::JobId;

const GIB: u64 = 1 << 30;
const MODEL_BYTES: u64 = 64 * GIB;
const COLUMNS: u32 = 8192;

fn worker(
    time_ms: u64,
    capacity: u32,
    columns: (u32, u32),
    memory_bytes: u64,
) -> AssignmentCreditInput {
    AssignmentCreditInput {
        worker_id: format!("{}..{}", columns.0, columns.1),
        execution_time_ms: time_ms,
        assigned_capacity_units: capacity,
        shard_column_start: columns.0,
        shard_column_end: columns.1,
        available_memory_bytes: memory_bytes,
    }
}

/// Two workers with half of the columns each: (time, capacity, GiB lent).
fn halves(a: (u64, u32, u64), b: (u64, u32, u64)) -> Vec<AssignmentCreditInput> {
    vec![
        worker(a.0, a.1, (0, COLUMNS / 2), a.2 * GIB),
        worker(b.0, b.1, (COLUMNS / 2, COLUMNS), b.2 * GIB),
    ]
}

fn job(tokens: (u32, u32), assignments: Vec<AssignmentCreditInput>) -> CreditPolicyInput {
    CreditPolicyInput {
        prompt_tokens: tokens.0,
        completion_tokens: tokens.1,
        total_model_bytes: MODEL_BYTES,
        total_columns: COLUMNS,
        assignments,
    }
}

fn policy(tokens: (u32, u32), assignments: Vec<AssignmentCreditInput>) -> CreditPolicyOutput {
    compute_credit_policy(job(tokens, assignments))
}

#[track_caller]
fn near(actual: f64, expected: f64) {
    assert!(
        (actual - expected).abs() < 1e-9,
        "{actual} is not {expected}"
    );
}

/// The reference prints some numbers with fewer digits.
#[track_caller]
fn rounded(actual: f64, expected: f64, digits: i32) {
    let half = 0.5 * 10_f64.powi(-digits);
    assert!(
        (actual - expected).abs() <= half,
        "{actual} is not {expected}"
    );
}

#[track_caller]
fn credits(output: &CreditPolicyOutput, expected: &[f64]) {
    assert_eq!(output.assignments.len(), expected.len());
    for (assignment, &expected) in output.assignments.iter().zip(expected) {
        near(assignment.credits, expected);
    }
}

fn sum(output: &CreditPolicyOutput) -> f64 {
    output.assignments.iter().map(|worker| worker.credits).sum()
}

#[track_caller]
fn cost(output: ConsumptionPolicyOutput, factor: f64, prompt: f64, completion: f64) {
    near(output.model_size_factor, factor);
    near(output.prompt_credits, prompt);
    near(output.completion_credits, completion);
    near(output.total_credits, prompt + completion);
}

#[test]
fn vector_1_equals_share_alike() {
    let output = policy((8, 4), halves((500, 4, 16), (500, 4, 16)));
    near(output.job_credit_budget, 24.0);
    credits(&output, &[12.0, 12.0]);
    for worker in &output.assignments {
        near(worker.measured_service_rate, 4.0);
        near(worker.reference_service_rate, 4.0);
        near(worker.throughput_multiplier, 1.0);
        near(worker.memory_pressure, 1.0);
        near(worker.resource_pressure_multiplier, 1.15);
        near(worker.compute_share, 0.5);
        near(worker.normalized_contribution_share, 0.5);
    }
    near(sum(&output), output.job_credit_budget);
}

#[test]
fn vector_2_the_faster_worker_gets_more() {
    let output = policy((8, 4), halves((400, 4, 16), (1200, 4, 16)));
    credits(&output, &[18.0, 6.0]);
    let [fast, slow] = output.assignments.as_slice() else {
        panic!()
    };
    near(fast.measured_service_rate, 5.0);
    near(slow.measured_service_rate, 2.0 / 1.2);
    near(fast.reference_service_rate, 10.0 / 3.0);
    near(fast.throughput_multiplier, 1.5);
    near(slow.throughput_multiplier, 0.5);
}

#[test]
fn vector_3_the_larger_shard_gets_more() {
    let assignments = vec![
        worker(1000, 8, (0, 6144), 24 * GIB),
        worker(1000, 4, (6144, 8192), 24 * GIB),
    ];
    let output = policy((8, 4), assignments);
    credits(&output, &[22.841_379_310_345, 1.158_620_689_655]);
    let [large, small] = output.assignments.as_slice() else {
        panic!()
    };
    near(large.compute_share, 6.0 / 7.0);
    near(small.compute_share, 1.0 / 7.0);
    near(large.measured_service_rate, 6.0);
    near(small.measured_service_rate, 1.0);
    near(small.reference_service_rate, 3.5);
    near(large.throughput_multiplier, 1.5);
    near(small.throughput_multiplier, 0.5);
    near(large.memory_pressure, 1.0);
    near(small.memory_pressure, 2.0 / 3.0);
}

#[test]
fn vector_4_tight_memory_gets_a_premium() {
    let output = policy((8, 4), halves((800, 4, 40), (800, 4, 80)));
    credits(&output, &[12.699_029_126_214, 11.300_970_873_786]);
    let [tight, roomy] = output.assignments.as_slice() else {
        panic!()
    };
    near(tight.memory_pressure, 0.8);
    near(roomy.memory_pressure, 0.4);
    near(tight.resource_pressure_multiplier, 1.09);
    near(roomy.resource_pressure_multiplier, 0.97);
}

fn quote(prompt: u32, completion: u32) -> ConsumptionPolicyOutput {
    quote_consumption(ConsumptionQuoteInput {
        prompt_tokens: prompt,
        requested_completion_tokens: completion,
        total_model_bytes: MODEL_BYTES,
    })
}

fn settle(prompt: u32, completion: u32, total_model_bytes: u64) -> ConsumptionPolicyOutput {
    settle_consumption(ConsumptionSettlementInput {
        prompt_tokens: prompt,
        actual_completion_tokens: completion,
        total_model_bytes,
    })
}

#[test]
fn vector_5_a_quote() {
    cost(quote(8, 4), 2.0, 16.0, 8.0);
}

#[test]
fn vector_6_a_settlement_of_a_model_at_the_scale() {
    cost(settle(10, 3, 32 * GIB), 1.0, 10.0, 3.0);
}

fn delta(
    prompt: (u32, bool),
    frontier: u32,
    accounted: u32,
    assignments: Vec<AssignmentCreditInput>,
) -> Option<RealtimeAccountingOutput> {
    compute_realtime_accounting_delta(RealtimeAccountingInput {
        prompt_tokens: prompt.0,
        frontier_completion_tokens: frontier,
        accounted_completion_tokens: accounted,
        prompt_credits_accounted: prompt.1,
        total_model_bytes: MODEL_BYTES,
        total_columns: COLUMNS,
        assignments,
    })
}

#[test]
fn vector_7_the_prompt_is_accounted_once_it_is_done() {
    let output = delta((8, false), 0, 0, halves((500, 4, 16), (500, 4, 16))).unwrap();
    assert_eq!(output.prompt_tokens_delta, 8);
    assert_eq!(output.completion_tokens_delta, 0);
    assert_eq!(output.frontier_completion_tokens, 0);
    cost(output.consumption, 2.0, 16.0, 0.0);
    credits(&output.contribution, &[8.0, 8.0]);
    near(sum(&output.contribution), 16.0);
    near(output.contribution.job_credit_budget, 16.0);
}

#[test]
fn vector_8_then_only_the_new_completion() {
    let output = delta((8, true), 6, 3, halves((400, 4, 16), (800, 4, 16))).unwrap();
    assert_eq!(output.prompt_tokens_delta, 0);
    assert_eq!(output.completion_tokens_delta, 3);
    assert_eq!(output.frontier_completion_tokens, 6);
    cost(output.consumption, 2.0, 0.0, 6.0);
    credits(&output.contribution, &[4.0, 2.0]);
    let [fast, slow] = output.contribution.assignments.as_slice() else {
        panic!()
    };
    near(fast.measured_service_rate, 5.0);
    near(slow.measured_service_rate, 2.5);
    near(fast.reference_service_rate, 3.75);
    near(fast.throughput_multiplier, 4.0 / 3.0);
    near(slow.throughput_multiplier, 2.0 / 3.0);
}

#[test]
fn vector_9_nothing_new_is_nothing() {
    assert_eq!(
        delta((8, true), 3, 3, halves((400, 4, 16), (800, 4, 16))),
        None
    );
    // A frontier that fell back is not new either.
    assert_eq!(
        delta((8, true), 2, 3, halves((400, 4, 16), (800, 4, 16))),
        None
    );
}

#[test]
fn vector_10_quote_and_settlement_of_the_readme() {
    let reserved = quote(128, 256).total_credits;
    let burned = settle(128, 180, MODEL_BYTES).total_credits;
    near(reserved, 768.0);
    near(burned, 616.0);
    near(reserved - burned, 152.0);
}

#[test]
fn vector_11_the_delta_of_the_readme() {
    let output = delta((128, true), 32, 24, halves((300, 8, 24), (900, 4, 16))).unwrap();
    near(output.consumption.total_credits, 16.0);
    credits(
        &output.contribution,
        &[13.714_285_714_286, 2.285_714_285_714],
    );
    let [fast, slow] = output.contribution.assignments.as_slice() else {
        panic!()
    };
    rounded(fast.measured_service_rate, 13.3333, 4);
    rounded(slow.measured_service_rate, 2.2222, 4);
    rounded(fast.reference_service_rate, 7.7778, 4);
}

#[test]
fn vector_12_increments_add_up_to_the_total() {
    let workers = || halves((300, 8, 24), (900, 4, 16));
    let mut earned = [0.0, 0.0];
    let mut burned = 0.0;
    let mut account = |output: RealtimeAccountingOutput| {
        burned += output.consumption.total_credits;
        for (sum, worker) in earned.iter_mut().zip(&output.contribution.assignments) {
            *sum += worker.credits;
        }
        output.frontier_completion_tokens
    };
    account(delta((128, false), 0, 0, workers()).unwrap());
    let mut accounted = 0;
    for step in (0..22).map(|_| 8).chain([4]) {
        accounted = account(delta((128, true), accounted + step, accounted, workers()).unwrap());
    }
    assert_eq!(accounted, 180);
    near(earned[0], 528.0);
    near(earned[1], 88.0);
    near(burned, 616.0);
    credits(&policy((128, 180), workers()), &[528.0, 88.0]);
}

#[test]
fn vector_13_three_workers_of_a_large_model() {
    let output = compute_credit_policy(CreditPolicyInput {
        total_model_bytes: 128 * GIB,
        total_columns: 100,
        ..job(
            (10, 10),
            vec![
                worker(100, 2, (0, 50), 64 * GIB),
                worker(1000, 2, (50, 75), 0),
                worker(500, 2, (75, 100), 16 * GIB),
            ],
        )
    });
    near(output.job_credit_budget, 80.0);
    near(output.assignments[0].reference_service_rate, 1.0);
    credits(&output, &[160.0 / 3.0, 80.0 / 9.0, 160.0 / 9.0]);
}

#[test]
fn vector_14_one_worker_gets_everything() {
    let output = compute_credit_policy(CreditPolicyInput {
        total_model_bytes: 16 * GIB,
        ..job((5, 5), vec![worker(700, 3, (0, COLUMNS), 32 * GIB)])
    });
    near(output.job_credit_budget, 10.0);
    credits(&output, &[10.0]);
    near(output.assignments[0].memory_pressure, 0.5);
    near(output.assignments[0].resource_pressure_multiplier, 1.0);
}

#[test]
fn vector_15_no_tokens_pay_one_and_cost_nothing() {
    let output = compute_credit_policy(CreditPolicyInput {
        total_model_bytes: 0,
        total_columns: 0,
        ..job((0, 0), vec![worker(0, 0, (0, 0), 0)])
    });
    near(output.job_credit_budget, 1.0);
    credits(&output, &[1.0]);
    near(compute_consumption_components(0, 0, 0).total_credits, 0.0);
    // The delta never asks for that.
    assert_eq!(delta((0, false), 0, 0, Vec::new()), None);
}

#[test]
fn vector_16_the_budget_saturates_and_the_cost_does_not() {
    let output = compute_credit_policy(CreditPolicyInput {
        total_model_bytes: GIB,
        ..job((u32::MAX, 10), vec![worker(1, 1, (0, COLUMNS), GIB)])
    });
    near(output.job_credit_budget, 4_294_967_295.0);
    let cost = compute_consumption_components(u32::MAX, 10, GIB);
    near(cost.total_credits, 4_294_967_305.0);
}

#[test]
fn vector_17_a_range_that_ends_before_it_starts_is_one_column() {
    let range = |columns| {
        compute_credit_policy(CreditPolicyInput {
            total_columns: 100,
            ..job(
                (8, 4),
                vec![
                    worker(500, 4, columns, 16 * GIB),
                    worker(500, 4, (50, 100), 16 * GIB),
                ],
            )
        })
    };
    let (inverted, one) = (range((60, 50)), range((60, 61)));
    for (a, b) in inverted.assignments.iter().zip(&one.assignments) {
        near(a.credits, b.credits);
        near(a.compute_share, b.compute_share);
    }
}

/// Why the caller must verify what goes in: what lies are worth.
#[test]
fn what_unverified_inputs_are_worth() {
    let against = |a| {
        let output = policy((8, 4), halves(a, (500, 4, 80)));
        [output.assignments[0].credits, output.assignments[1].credits]
    };
    let honest = against((500, 4, 80));
    near(honest[0], 12.0);
    let capacity = against((500, 8, 80));
    rounded(capacity[0], 19.2, 1);
    let memory = against((500, 4, 0));
    rounded(memory[0], 13.02, 2);
    let both_and_time = against((250, 8, 0));
    rounded(both_and_time[0], 21.04, 2);
    for pair in [honest, capacity, memory, both_and_time] {
        near(pair[0] + pair[1], 24.0);
    }
}

#[test]
fn nobody_shares_nothing() {
    let output = policy((8, 4), Vec::new());
    near(output.job_credit_budget, 0.0);
    assert!(output.assignments.is_empty());
}

fn random_workers(random: &mut Rng) -> Vec<AssignmentCreditInput> {
    let extreme = |random: &mut Rng, usual: u64| match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        _ => random.next() % usual,
    };
    (0..1 + random.below(8))
        .map(|_| AssignmentCreditInput {
            worker_id: String::new(),
            execution_time_ms: extreme(random, 10_000),
            assigned_capacity_units: u32::try_from(extreme(random, 64).min(u64::from(u32::MAX)))
                .unwrap(),
            shard_column_start: random.between(0, COLUMNS),
            shard_column_end: random.between(0, COLUMNS),
            available_memory_bytes: extreme(random, 128 * GIB),
        })
        .collect()
}

#[test]
fn credits_add_up_to_the_budget_and_every_factor_keeps_its_range() {
    for seed in 0..seeds(2_000) {
        let mut random = Rng(seed);
        let input = CreditPolicyInput {
            total_model_bytes: random.next() % (512 * GIB),
            ..job(
                (random.between(0, 5_000), random.between(0, 5_000)),
                random_workers(&mut random),
            )
        };
        let output = compute_credit_policy(input);
        let error = (sum(&output) - output.job_credit_budget).abs();
        assert!(error <= 1e-9 * output.job_credit_budget, "seed {seed}");
        for worker in &output.assignments {
            let ranges = [
                (worker.throughput_multiplier, 0.5, 1.5),
                (worker.resource_pressure_multiplier, 0.85, 1.15),
                (worker.memory_pressure, 0.0, 1.0),
                (worker.compute_share, 0.0, 1.0),
                (worker.normalized_contribution_share, 0.0, 1.0),
                (worker.credits, 0.0, output.job_credit_budget),
            ];
            for (value, low, high) in ranges {
                let fits = value >= low - 1e-9 && value <= high * (1.0 + 1e-9);
                assert!(fits, "seed {seed}: {value} not in {low}..{high}");
            }
        }
    }
}

#[test]
fn increments_are_the_total_when_times_stay_the_same() {
    for seed in 0..seeds(500) {
        let mut random = Rng(seed);
        let workers = random_workers(&mut random);
        let (prompt, completion) = (random.between(1, 500), random.between(1, 500));
        let mut earned = vec![0.0; workers.len()];
        let mut burned = 0.0;
        let (mut accounted, mut is_prompt_accounted) = (0, false);
        while accounted < completion {
            let frontier = (accounted + random.between(0, 40)).min(completion);
            let step = delta(
                (prompt, is_prompt_accounted),
                frontier,
                accounted,
                workers.clone(),
            );
            (accounted, is_prompt_accounted) = (frontier, true);
            let Some(step) = step else { continue };
            burned += step.consumption.total_credits;
            near(
                step.contribution.job_credit_budget,
                step.consumption.total_credits,
            );
            for (sum, worker) in earned.iter_mut().zip(&step.contribution.assignments) {
                *sum += worker.credits;
            }
        }
        let total = policy((prompt, completion), workers);
        rounded(burned, total.job_credit_budget, 6);
        for (sum, worker) in earned.iter().zip(&total.assignments) {
            rounded(*sum, worker.credits, 6);
        }
    }
}

#[test]
fn a_receipt_tells_what_the_reference_would_have_made_of_a_job() {
    let kit = Kit::new(&[("f", 100_000)], &["a", "b"]);
    let [founder, a, b] = ["f", "a", "b"].map(wallet);
    let mut ledger = Ledger::new(kit.genesis.clone());
    let mut post = |entry: &common::E| {
        ledger.admit(entry.clone(), Source::Own, 0);
        ledger.divy_receipt(JobId(id_of(entry)))
    };
    let naming = kit.naming(founder, &[a, b]);
    assert_eq!(post(&naming), None, "a witness is no job");
    let stages = [(a, 1, OfferTerms::default()), (b, 1, OfferTerms::default())];
    let payload = Payload::Reserve(Box::new(kit.reserve_payload(founder, &stages, 8, 4)));
    let reserve = kit.entry(founder, Some(&naming), &[], &payload);
    assert_eq!(post(&reserve), None, "nothing was done yet");
    let frontier = |author, completion| {
        let payload = kit.frontier_payload(&reserve, 8, completion, true);
        kit.entry(
            author,
            None,
            &[&naming, &reserve],
            &Payload::Frontier(Box::new(payload)),
        )
    };
    post(&frontier(b, 3));
    post(&frontier(a, 2));
    let receipt = ledger.divy_receipt(JobId(id_of(&reserve))).unwrap();
    // The furthest frontier counts; the model is the sum of the shards: tiny.
    cost(receipt.quote, 1.0, 8.0, 4.0);
    cost(receipt.settlement, 1.0, 8.0, 3.0);
    credits(&receipt.contribution, &[5.5, 5.5]);
    let workers = &receipt.contribution.assignments;
    assert_eq!(workers[0].worker_id, a.to_string());
    assert_eq!(workers[1].worker_id, b.to_string());
    // Half of 100 bytes in 100 lent; half a layer's capacity in 1 ms.
    near(workers[0].memory_pressure, 0.5);
    near(workers[0].measured_service_rate, 500.0);
}
