//! The main job: a prompt answered through layer shards, and equal books.

use crate::{BINARY, alone};
use serde_json::Value;
use std::process::Command;
use talkoot::api::{RunDetailView, RunsView, StageView};
use talkoot::models::LocalModel;
use talkoot_inference::{
    ChatMessage, GenerateOptions, Shard, ShardOptions, TokenSampler, generate,
};
use talkoot_protocol::LayerRange;
use talkoot_protocol::control::SamplingParams;
use talkoot_tests::{Answer, Cluster, Member, chat};

const PROMPT: &str = "Tell me a long story about a fox who lost a drum.";
const TOKENS: u32 = 128;

/// Greedy tokens of the whole demo model in this process.
fn one_process(prompt: &str, tokens: u32) -> Vec<u32> {
    let model = LocalModel::demo().unwrap();
    let range = LayerRange::whole(model.card.shape.layers).unwrap();
    let mut shards = [Shard::load(&model.checkpoint, range, &ShardOptions::default()).unwrap()];
    let messages = [ChatMessage {
        role: "user".into(),
        content: prompt.into(),
        ..ChatMessage::default()
    }];
    let prompt = model.asker.encode_chat(&messages, &[], true).unwrap();
    let mut sampler = TokenSampler::new(SamplingParams::default(), &prompt);
    let options = GenerateOptions {
        tokens_max: tokens,
        ..GenerateOptions::default()
    };
    let generated = generate(&mut shards, &prompt, &options, &mut sampler, &mut |_| true);
    generated.unwrap().ids
}

#[test]
fn four_workers_answer_as_one_process_and_hold_the_same_books() {
    let _alone = alone();
    let workers = ["0..2", "2..4", "4..6", "6..8"].map(Member::worker);
    let members = [vec![Member::asker()], workers.to_vec()].concat();
    let cluster = Cluster::start(BINARY, &members);
    cluster.wait_ready(0);
    let mut request = chat(PROMPT, TOKENS);
    request.ignore_stop_ids = true;
    let answer = cluster.nodes[0].ask(&request).unwrap();
    assert_eq!(answer.tokens, one_process(PROMPT, TOKENS));
    let done = &answer.done;
    assert_eq!((done.completion_tokens, done.stages.len()), (TOKENS, 4));
    assert!(done.settled, "the stages post their last frontier at once");
    let earned: u64 = done.stages.iter().map(|stage| stage.earned_ugft).sum();
    assert!(done.stages.iter().all(|stage| stage.earned_ugft > 0));
    assert_eq!(done.burned_ugft, earned + done.commons_ugft);
    assert_eq!(done.held_ugft, 0);
    let chain = cluster.wait_equal(&[0, 1, 2, 3, 4]);
    assert!(chain.length >= 5, "a reserve and four frontiers at least");
    for node in &cluster.nodes {
        let balances = node.balances();
        assert_eq!(balances.sum_ugft, 0);
        assert_eq!(balances.balances.len(), 5);
    }
    jobs_know_what_the_bill_says(&cluster, &answer);
    println!(
        "overhead {:.0} us per token and hop",
        done.overhead_us_per_token_hop
    );
}

/// The asker's and a worker's memory of the job, beside its bill.
fn jobs_know_what_the_bill_says(cluster: &Cluster, answer: &Answer) {
    let done = &answer.done;
    let job: RunDetailView = cluster.nodes[0]
        .client()
        .get(&format!("jobs/{}", &done.job[..12]))
        .unwrap();
    let run = &job.run;
    assert_eq!((run.role.as_str(), run.state.as_str()), ("asker", "done"));
    assert_eq!((run.completion_tokens, run.acked_tokens), (TOKENS, TOKENS));
    assert_eq!(run.burned_ugft, done.burned_ugft);
    let earned = |stages: &[StageView]| -> Vec<u64> {
        stages.iter().map(|stage| stage.earned_ugft).collect()
    };
    assert_eq!(earned(&run.stages), earned(&done.stages));
    assert_eq!((job.tokens.len(), job.hops.len()), (TOKENS as usize, 4));
    assert!(job.hops.iter().all(|hop| hop.compute_us.p50 > 0));
    assert!(job.wire_us.p95 >= job.wire_us.p50 && job.wire_us.p50 > 0);
    // Four links between four nodes: each has its part of the wire.
    assert!(
        job.hops.iter().all(|hop| hop.wire_us.p50 > 0),
        "{:?}",
        job.hops
    );
    for token in &job.tokens {
        let wire: u64 = token.stages.iter().map(|hop| u64::from(hop.wire_us)).sum();
        assert_eq!(wire, token.wire_us);
    }
    let jobs: RunsView = cluster.nodes[4].client().get("jobs").unwrap();
    let worked = &jobs.jobs[0];
    assert_eq!((&worked.job, worked.role.as_str()), (&done.job, "worker"));
    assert_eq!(worked.earned_ugft, done.stages[3].earned_ugft);
    assert_eq!(worked.acked_tokens, TOKENS);
    // A worker sees the times up to its own stage: the second one, of two.
    let second = &cluster.nodes[2].client();
    let own: RunDetailView = second.get(&format!("jobs/{}", done.job)).unwrap();
    assert_eq!((own.hops.len(), own.tokens.len()), (2, TOKENS as usize - 1));
    assert!(
        own.hops
            .iter()
            .all(|hop| hop.compute_us.p50 > 0 && hop.wire_us.p95 == 0)
    );
    let last = &cluster.nodes[4].client();
    let own: RunDetailView = last.get(&format!("jobs/{}", done.job)).unwrap();
    assert_eq!((own.hops.len(), own.tokens.len()), (4, TOKENS as usize));
    let shown = cluster.nodes[0].run(&["jobs", "show", &done.job[..8]]);
    assert!(shown.status.success());
    assert!(String::from_utf8_lossy(&shown.stdout).contains("####"));
}

/// Other sums, the same likeliest tokens.
#[test]
fn workers_on_stock_burn_answer_as_the_kernels_do() {
    const FEW: u32 = 6;
    let _alone = alone();
    let output = Command::new(BINARY)
        .args(["testnet", "--workers", "2", "--backend", "burn", "--json"])
        .args(["--max-tokens", &FEW.to_string(), PROMPT])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let mut detokenizer = LocalModel::demo().unwrap().asker.detokenizer();
    let mut expected: String = one_process(PROMPT, FEW)
        .into_iter()
        .map(|id| detokenizer.push(id).unwrap())
        .collect();
    expected.push_str(&detokenizer.finish().unwrap());
    assert_eq!(report["answer"], expected);
}

#[test]
fn the_testnet_command_proves_the_path_in_one_object() {
    let _alone = alone();
    let output = Command::new(BINARY)
        .args([
            "testnet",
            "--workers",
            "3",
            "--max-tokens",
            "24",
            "--json",
            PROMPT,
        ])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(
        text.contains(report["answer"].as_str().unwrap()),
        "the answer streams before the report"
    );
    let stages = report["stages"].as_array().unwrap();
    let layers: Vec<&Value> = stages.iter().map(|stage| &stage["layers"]).collect();
    assert_eq!(
        serde_json::to_string(&layers).unwrap(),
        "[[0,2],[2,5],[5,8]]"
    );
    let earned: u64 = stages
        .iter()
        .map(|stage| stage["earned_ugft"].as_u64().unwrap())
        .sum();
    let number = |name: &str| {
        report[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {report}"))
    };
    assert_eq!(number("burned_ugft"), earned + number("commons_ugft"));
    assert_eq!((number("held_ugft"), number("sum_ugft")), (0, 0));
    let chains = report["chains"].as_array().unwrap();
    assert_eq!(chains.len(), 4);
    assert!(chains.iter().all(|chain| chain["tip"] == chains[0]["tip"] && chain["length"] == chains[0]["length"]));
    assert!(number("prompt_tokens") > 0 && (1..=24).contains(&number("completion_tokens")));
    for name in [
        "time_to_first_token_us",
        "tokens_per_second",
        "overhead_us_per_token_hop",
    ] {
        assert!(report[name].as_f64().unwrap() > 0.0, "{name}");
    }
}
