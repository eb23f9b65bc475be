//! Whole jobs: the ring gives what one process gives, and the books are right.

use crate::network::{
    Carrier, Network, Node, Plan, Seen, checkpoint, checkpoint_as, ranges, recorder,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use talkoot::api::{AskError, ErrorCode};
use talkoot::core::job::Deadlines;
use talkoot::jobs::submit::{JobReport, JobRequest, submit};
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{
    Checkpoint, GenerateOptions, SessionConfig, SessionId, Shard, ShardOptions, StepInput,
    StepItem, StepOutput, TokenSampler, Wanted, generate, score,
};
use talkoot_protocol::control::{Grammar, SamplingParams};
use talkoot_protocol::frame::Finish;
use talkoot_protocol::{DType, JobId, Wallet};
use tokio::sync::watch;

const FOUR: [u32; 5] = [0, 1, 2, 3, 5];

fn alone(prompt: &[u32], tokens_max: u32, sampling: &SamplingParams, dtype: DType) -> Vec<u32> {
    alone_with(&checkpoint(), prompt, tokens_max, sampling, dtype)
}

fn alone_with(
    checkpoint: &Checkpoint,
    prompt: &[u32],
    tokens_max: u32,
    sampling: &SamplingParams,
    dtype: DType,
) -> Vec<u32> {
    let mut shards: Vec<Shard> = ranges(&[0, 5])
        .into_iter()
        .map(|range| Shard::load(checkpoint, range, &ShardOptions::default()).unwrap())
        .collect();
    let options = GenerateOptions {
        tokens_max,
        hidden_dtype: dtype,
        ..GenerateOptions::default()
    };
    let mut sampler = TokenSampler::new(sampling.clone(), prompt);
    generate(&mut shards, prompt, &options, &mut sampler, &mut |_| true)
        .unwrap()
        .ids
}

async fn run(
    network: &Network,
    request: JobRequest,
    stop_after: usize,
) -> (Result<JobReport, AskError>, Arc<Mutex<Seen>>) {
    let (observer, seen) = recorder(stop_after);
    let (_keep, cancel) = watch::channel(false);
    let result = submit(network.asker().clone(), request, observer, cancel).await;
    (result, seen)
}

/// Waits until all stages have said their last word about a job.
async fn settled(network: &Network, job: JobId) -> talkoot_ledger::views::JobView {
    for _ in 0..500 {
        let view = network.ledger.lock().unwrap().job(job).unwrap();
        if view.held.0 == 0 {
            return view;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the job did not settle");
}

fn prompt(tokens: u32) -> Vec<u32> {
    (0..tokens).map(|i| 1 + i * 37 % 500).collect()
}

async fn ring_equals_one_process(carrier: Carrier) {
    let network = Plan::new(carrier, &FOUR).build();
    // Longer than a chunk, so that prefill is cut.
    let ids = prompt(300);
    let expected = alone(&ids, 48, &SamplingParams::default(), DType::F32);
    let (report, seen) = run(&network, network.request(&ids, 48), usize::MAX).await;
    let report = report.unwrap();
    {
        let seen = seen.lock().unwrap();
        assert_eq!(seen.ids(), expected);
        assert_eq!(seen.job, Some(report.job));
        assert!(seen.tokens.iter().all(|event| event.times.len() == 4));
    }
    assert_eq!(report.finish, Finish::Length);
    assert_eq!(report.completion_tokens, 48);
    assert!(report.reserved);
    println!(
        "{carrier:?}: {:.1} µs per token and hop, compute {:?}",
        report.overhead_us_per_token_hop, report.compute_us_per_token
    );
    let view = settled(&network, report.job).await;
    assert!(view.stages.iter().all(|stage| stage.is_final));
    assert!(
        view.stages
            .iter()
            .all(|stage| stage.frontier == Some((300, 48)))
    );
    assert_eq!(view.burned.0, view.earned.0 + view.commons.0);
    assert!(view.burned.0 > 0 && view.burned.0 <= view.cap.0);
    assert_eq!(network.ledger.lock().unwrap().sum().0, 0);
}

#[tokio::test]
async fn a_ring_over_memory_equals_one_process() {
    ring_equals_one_process(Carrier::Memory).await;
}

#[tokio::test]
async fn a_ring_over_quic_equals_one_process() {
    ring_equals_one_process(Carrier::Quic).await;
}

#[tokio::test]
async fn a_ring_of_packed_shards_equals_one_process() {
    for format in PackedFormat::ALL {
        let mut plan = Plan::new(Carrier::Memory, &FOUR);
        plan.format = Some(format);
        let network = plan.build();
        let ids = prompt(20);
        let sampling = SamplingParams::default();
        let expected = alone_with(
            &checkpoint_as(Some(format)),
            &ids,
            16,
            &sampling,
            DType::F32,
        );
        let (report, seen) = run(&network, network.request(&ids, 16), usize::MAX).await;
        report.unwrap();
        assert_eq!(seen.lock().unwrap().ids(), expected, "{format:?}");
    }
}

#[tokio::test]
async fn sampling_penalties_and_bf16_are_the_same_through_a_ring() {
    let network = Plan::new(Carrier::Memory, &FOUR).build();
    let ids = prompt(12);
    let sampling = SamplingParams {
        temperature: 0.9,
        top_p: 0.95,
        repetition_penalty: 1.3,
        seed: 7,
        logprobs: true,
        top_logprobs: 2,
        ..SamplingParams::default()
    };
    let mut request = network.request(&ids, 32);
    request.sampling = sampling.clone();
    request.hidden_dtype = DType::Bf16;
    let expected = alone(&ids, 32, &sampling, DType::Bf16);
    let (report, seen) = run(&network, request, usize::MAX).await;
    report.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.ids(), expected);
    assert!(seen.tokens.iter().all(|event| event.logprob.is_some()));
    assert!(seen.tokens.iter().all(|event| event.top.len() == 2));
}

#[tokio::test]
async fn a_ring_scores_a_prompt_as_one_process_does() {
    let network = Plan::new(Carrier::Memory, &FOUR).build();
    let ids = prompt(150);
    let mut request = network.request(&ids, 3);
    request.sampling.prompt_logprobs = true;
    request.sampling.top_logprobs = 2;
    let (report, seen) = run(&network, request, usize::MAX).await;
    report.unwrap();
    let seen = seen.lock().unwrap();
    assert_eq!(seen.scores.len(), ids.len() - 1);

    let range = ranges(&[0, 5])[0];
    let mut shard = Shard::load(&checkpoint(), range, &ShardOptions::default()).unwrap();
    let config = SessionConfig {
        range,
        capacity_tokens: 150,
        hidden_dtype: DType::F32,
    };
    shard.open(SessionId(1), config).unwrap();
    let item = StepItem {
        session: SessionId(1),
        position: 0,
        input: StepInput::Tokens(&ids),
        wanted: Wanted::AllLogits,
    };
    let Some(StepOutput::Logits(logits)) = shard.step(&[item]).unwrap().pop() else {
        panic!("logits were asked for");
    };
    let vocabulary = network.card.shape.vocabulary as usize;
    for ((row, &id), seen) in logits.chunks(vocabulary).zip(&ids[1..]).zip(&seen.scores) {
        let alone = score(row, id, 2);
        assert_eq!(seen.logprob.to_bits(), alone.logprob.to_bits());
        let tops = seen
            .top
            .iter()
            .map(|top| (top.token, top.logprob.to_bits()));
        let expected = alone.top.iter().map(|top| (top.id, top.logprob.to_bits()));
        assert!(tops.eq(expected));
    }
}

#[tokio::test]
async fn the_last_stage_follows_a_grammar_or_refuses_it() {
    let network = Plan::new(Carrier::Memory, &FOUR).build();
    let stop_ids = checkpoint().asker().unwrap().stop_ids().to_vec();
    let asker = checkpoint().asker().unwrap();
    let request = |schema: &str, seed| {
        let mut request = network.request(&prompt(12), 200);
        request.stop_ids.clone_from(&stop_ids);
        request.sampling.temperature = 1.5;
        request.sampling.seed = seed;
        request.sampling.grammar = Some(Grammar::JsonSchema(schema.to_owned()));
        request
    };
    let schema = r#"{"type": "object", "properties": {"ok": {"type": "boolean"}},
        "required": ["ok"], "additionalProperties": false}"#;
    for seed in 0..3 {
        let (report, seen) = run(&network, request(schema, seed), usize::MAX).await;
        assert_eq!(report.unwrap().finish, Finish::Stop);
        let ids = seen.lock().unwrap().ids();
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|id| asker.token_bytes(*id).to_vec())
            .collect();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert!(value["ok"].is_boolean(), "{value}");
    }
    let (refused, seen) = run(&network, request("{\"type\": 7}", 0), usize::MAX).await;
    let refused = refused.unwrap_err();
    assert!(refused.message.contains("grammar"), "{refused}");
    assert!(seen.lock().unwrap().tokens.is_empty());
}

#[tokio::test]
async fn a_node_alone_is_free_and_leaves_no_entry() {
    let network = Plan::new(Carrier::Quic, &[0, 5]).build();
    let ids = prompt(9);
    let expected = alone(&ids, 20, &SamplingParams::default(), DType::F32);
    let (observer, seen) = recorder(usize::MAX);
    let (_keep, cancel) = watch::channel(false);
    let worker = network.nodes[1].plane.clone();
    let request = network.request(&ids, 20);
    let report = submit(worker, request, observer, cancel).await.unwrap();
    assert_eq!(seen.lock().unwrap().ids(), expected);
    assert!(!report.reserved);
    assert_eq!(network.ledger.lock().unwrap().length(), 0);
}

#[tokio::test]
async fn a_stop_id_ends_the_answer_and_is_counted() {
    let network = Plan::new(Carrier::Memory, &FOUR).build();
    let ids = prompt(5);
    let plain = alone(&ids, 16, &SamplingParams::default(), DType::F32);
    let mut request = network.request(&ids, 16);
    request.stop_ids = vec![plain[10]];
    let end = plain.iter().position(|id| *id == plain[10]).unwrap();
    let (report, seen) = run(&network, request, usize::MAX).await;
    let report = report.unwrap();
    assert_eq!(seen.lock().unwrap().ids(), plain[..=end]);
    assert_eq!(report.finish, Finish::Stop);
    assert_eq!(report.completion_tokens as usize, end + 1);
}

#[tokio::test]
async fn nothing_past_the_observers_stop_is_acknowledged_or_paid() {
    let network = Plan::new(Carrier::Memory, &FOUR).build();
    let (report, seen) = run(&network, network.request(&prompt(20), 100), 11).await;
    let report = report.unwrap();
    assert_eq!(report.finish, Finish::Stop);
    assert_eq!(report.completion_tokens, 11);
    assert_eq!(seen.lock().unwrap().tokens.len(), 11);
    let acks = network.nodes[0].books.acks_sent.lock().unwrap().clone();
    assert!(acks.iter().all(|ack| ack.completion_done <= 11));
    assert!(acks.last().unwrap().is_final);
    let view = settled(&network, report.job).await;
    assert!(
        view.stages
            .iter()
            .all(|stage| stage.frontier == Some((20, 11)))
    );
}

#[tokio::test]
async fn a_cancelled_job_is_settled_for_what_was_received() {
    let mut plan = Plan::new(Carrier::Memory, &FOUR);
    plan.slow = Some((2, Duration::from_millis(10)));
    let network = plan.build();
    let (observer, seen) = recorder(usize::MAX);
    let (keep, cancel) = watch::channel(false);
    let job = submit(
        network.asker().clone(),
        network.request(&prompt(20), 400),
        observer,
        cancel,
    );
    let cancel_later = async {
        while seen.lock().unwrap().tokens.len() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(keep);
    };
    let (result, ()) = tokio::join!(job, cancel_later);
    assert_eq!(result.unwrap_err().code, ErrorCode::Cancelled);
    let (job, received) = {
        let seen = seen.lock().unwrap();
        (seen.job.unwrap(), u32::try_from(seen.tokens.len()).unwrap())
    };
    let view = settled(&network, job).await;
    assert!(
        view.stages
            .iter()
            .all(|stage| stage.frontier == Some((20, received)))
    );
}

/// Ends the third stage in the middle of an answer; gives its wallet.
async fn end_a_stage(network: &mut Network, end: fn(&Node)) -> (AskError, JobId, Wallet) {
    let request = network.request(&prompt(20), 400);
    let ending = network.nodes.remove(3);
    let wallet = ending.key.wallet();
    let (observer, seen) = recorder(usize::MAX);
    let (_keep, cancel) = watch::channel(false);
    let job = submit(network.asker().clone(), request, observer, cancel);
    let kill = async {
        while seen.lock().unwrap().tokens.len() < 20 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        end(&ending);
        drop(ending);
    };
    let both = async { tokio::join!(job, kill) };
    let (result, ()) = tokio::time::timeout(Duration::from_secs(20), both)
        .await
        .unwrap();
    let job = seen.lock().unwrap().job.unwrap();
    (result.unwrap_err(), job, wallet)
}

#[tokio::test]
async fn a_stage_that_is_killed_is_named_and_the_others_are_paid() {
    let mut plan = Plan::new(Carrier::Quic, &FOUR);
    plan.slow = Some((0, Duration::from_millis(10)));
    let mut network = plan.build();
    let (error, job, wallet) = end_a_stage(&mut network, |node| node.plane.abandon()).await;
    assert_eq!(error.code, ErrorCode::StageFailed);
    assert!(error.message.contains(&wallet.short()), "{error}");
    assert!(error.message.contains("layers 2..3"), "{error}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    let view = network.ledger.lock().unwrap().job(job).unwrap();
    for stage in &view.stages {
        assert_eq!(stage.is_final, stage.worker != wallet);
        assert_eq!(stage.earned.0 > 0, stage.worker != wallet);
        assert_eq!(stage.held.0 > 0, stage.worker == wallet);
    }
    assert_eq!(network.ledger.lock().unwrap().sum().0, 0);
}

#[tokio::test]
async fn a_stage_that_stops_says_so_and_is_paid_too() {
    let mut plan = Plan::new(Carrier::Quic, &FOUR);
    plan.slow = Some((0, Duration::from_millis(10)));
    let mut network = plan.build();
    let (error, job, wallet) = end_a_stage(&mut network, |node| node.plane.begin_shutdown()).await;
    assert!(error.message.contains(&wallet.short()), "{error}");
    assert!(error.message.contains("the node is stopping"), "{error}");
    let view = settled(&network, job).await;
    assert!(view.stages.iter().all(|stage| stage.earned.0 > 0));
}

#[tokio::test]
async fn a_submitter_that_vanishes_leaves_settled_stages() {
    let mut plan = Plan::new(Carrier::Quic, &FOUR);
    plan.slow = Some((1, Duration::from_millis(5)));
    let mut network = plan.build();
    let request = network.request(&prompt(20), 400);
    let (observer, seen) = recorder(usize::MAX);
    let (_keep, cancel) = watch::channel(false);
    let asker = network.nodes.remove(0);
    let task = tokio::spawn(submit(asker.plane.clone(), request, observer, cancel));
    while seen.lock().unwrap().tokens.len() < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let job = seen.lock().unwrap().job.unwrap();
    task.abort();
    drop(asker);
    let view = settled(&network, job).await;
    let received = u32::try_from(seen.lock().unwrap().tokens.len()).unwrap();
    for stage in &view.stages {
        let (prompt, completion) = stage.frontier.unwrap();
        assert_eq!(prompt, 20);
        assert!(completion <= received && completion + 32 >= received);
    }
}

#[tokio::test]
async fn ten_jobs_at_once_give_the_same_texts_as_one() {
    let network = Plan::new(Carrier::Quic, &FOUR).build();
    let prompts: Vec<Vec<u32>> = (3..13).map(prompt).collect();
    let jobs = prompts
        .iter()
        .map(|ids| run(&network, network.request(ids, 24), usize::MAX));
    let results = futures::future::join_all(jobs).await;
    for (ids, (report, seen)) in prompts.iter().zip(results) {
        let expected = alone(ids, 24, &SamplingParams::default(), DType::F32);
        assert_eq!(seen.lock().unwrap().ids(), expected);
        settled(&network, report.unwrap().job).await;
    }
    assert_eq!(network.ledger.lock().unwrap().sum().0, 0);
}

#[tokio::test]
async fn too_little_credit_is_refused_before_any_work_with_the_numbers() {
    let mut plan = Plan::new(Carrier::Memory, &FOUR);
    plan.line_ugft = 1_000;
    let network = plan.build();
    let (result, seen) = run(&network, network.request(&prompt(10), 10), usize::MAX).await;
    let error = result.unwrap_err();
    assert_eq!(error.code, ErrorCode::InsufficientCredits);
    assert!(error.message.contains("1000 µGFT are available"), "{error}");
    assert!(seen.lock().unwrap().job.is_none());
    assert_eq!(network.ledger.lock().unwrap().length(), 0);
}

#[tokio::test]
async fn a_busy_stage_and_an_unserved_layer_say_so() {
    let mut plan = Plan::new(Carrier::Memory, &FOUR);
    plan.sessions_max = 0;
    let network = plan.build();
    let (result, _) = run(&network, network.request(&prompt(10), 10), usize::MAX).await;
    let error = result.unwrap_err();
    assert_eq!(error.code, ErrorCode::Busy);
    assert!(error.message.contains("layers"), "{error}");

    let network = Plan::new(Carrier::Memory, &FOUR).build();
    let mut request = network.request(&prompt(10), 10);
    let cuts = ranges(&[0, 1, 2, 4, 5]);
    for (stage, range) in request.route.iter_mut().zip(cuts) {
        stage.range = range;
    }
    let (result, _) = run(&network, request, usize::MAX).await;
    let error = result.unwrap_err();
    assert_eq!(error.code, ErrorCode::NoRoute);
    assert!(error.message.contains("are served"), "{error}");
    assert_eq!(network.ledger.lock().unwrap().length(), 0);
}

#[tokio::test]
async fn a_hung_stage_is_named_by_the_next() {
    let mut plan = Plan::new(Carrier::Memory, &FOUR);
    plan.deadlines = Deadlines {
        prompt_hop_us: 600_000,
        token_hop_us: 600_000,
        ..Deadlines::default()
    };
    plan.slow = Some((1, Duration::from_secs(3)));
    let network = plan.build();
    let (result, _) = run(&network, network.request(&prompt(10), 10), usize::MAX).await;
    let error = result.unwrap_err();
    assert_eq!(error.code, ErrorCode::StageFailed);
    assert!(error.message.contains("layers 1..2"), "{error}");
}
