//! Nodes that die in the middle of a job, and what their books say after.

use crate::{BINARY, alone};
use std::sync::mpsc;
use talkoot::api::{ErrorCode, RunsView};
use talkoot_tests::{Cluster, Member, QUIET, chat, wait_for};

const PROMPT: &str = "Tell me a long story about a bear who found a kite.";

fn cluster() -> Cluster {
    let workers = ["0..3", "3..6", "6..8"].map(Member::worker);
    let cluster = Cluster::start(BINARY, &[vec![Member::asker()], workers.to_vec()].concat());
    cluster.wait_ready(0);
    cluster
}

#[test]
fn a_stage_killed_mid_answer_is_named_and_the_books_stay_right() {
    let _alone = alone();
    let mut cluster = cluster();
    let lost = cluster.nodes[2].status().wallet;
    let mut request = chat(PROMPT, 900);
    request.ignore_stop_ids = true;
    let (started, begun) = mpsc::channel();
    let (asker, rest) = cluster.nodes.split_at_mut(1);
    let failed = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            asker[0].ask_watched(&request, |tokens| {
                if tokens == 20 {
                    started.send(()).unwrap();
                }
            })
        });
        begun.recv().unwrap();
        rest[1].kill();
        asking.join().unwrap().unwrap_err()
    });
    assert_eq!(
        failed.error.code,
        ErrorCode::StageFailed,
        "{}",
        failed.error
    );
    let message = &failed.error.message;
    assert!(
        message.contains(&lost[..8]) && message.contains("3..6"),
        "names peer and layers: {message}"
    );
    assert!(!failed.text.is_empty(), "what came before stays");
    // The living stages settle without the dead one; its hold stands until it
    // is back.
    wait_finals(&cluster, 2);
    cluster.nodes[2].restart();
    // The returned stage finds the last acknowledgement in its journal and
    // settles too: nothing stays held.
    let asker = cluster.nodes[0].status().wallet;
    wait_for("the freed holds", QUIET, || {
        let balances = cluster.nodes[0].balances().balances;
        let held = balances.iter().find(|row| row.wallet == asker);
        match held.map(|row| row.held_ugft) {
            Some(0) => Ok(()),
            held => Err(format!("{held:?} held")),
        }
    });
    let chain = cluster.wait_equal(&[0, 1, 2, 3]);
    assert!(chain.length >= 3);
    for node in &cluster.nodes {
        assert_eq!(node.balances().sum_ugft, 0);
        assert!(
            node.run(&["ledger", "verify", "--full", "--json"])
                .status
                .success()
        );
    }
    no_number_twice(&cluster);
    // The network works on: the next answer goes through the returned node.
    cluster.wait_ready(0);
    let answer = cluster.nodes[0]
        .ask(&chat(PROMPT, 16))
        .unwrap_or_else(|failed| panic!("{}", failed.error));
    assert_eq!(answer.done.stages.len(), 3);
}

#[test]
fn an_asker_killed_mid_answer_pays_what_it_acknowledged_and_returns() {
    let _alone = alone();
    let mut cluster = cluster();
    let mut request = chat(PROMPT, 900);
    request.ignore_stop_ids = true;
    let asker = cluster.nodes.remove(0);
    let (started, begun) = mpsc::channel();
    let killed = std::thread::scope(|scope| {
        let asking = scope.spawn(|| {
            asker.ask_watched(&request, |tokens| {
                if tokens == 40 {
                    started.send(()).unwrap();
                }
            })
        });
        begun.recv().unwrap();
        let pid = asker.client().api().pid.to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-9", &pid])
                .status()
                .unwrap()
                .success()
        );
        asking.join().unwrap()
    });
    assert!(killed.is_err());
    // All three stages post what was acknowledged, without the asker.
    wait_finals(&cluster, 3);
    cluster.nodes.insert(0, asker);
    cluster.nodes[0].kill();
    // It was everybody's bootstrap and comes back on another port: it finds the
    // others through the addresses they give it.
    let bootstrap = cluster.nodes[1].p2p_address();
    cluster.nodes[0].add_arguments(&["--bootstrap", &bootstrap]);
    cluster.nodes[0].restart();
    cluster.wait_equal(&[0, 1, 2, 3]);
    let burned = cluster.nodes[0].balances();
    assert_eq!(burned.sum_ugft, 0);
    no_number_twice(&cluster);
    // It still knows what it asked, and what became of it.
    let jobs: RunsView = cluster.nodes[0].client().get("jobs").unwrap();
    let job = &jobs.jobs[0];
    assert_eq!((job.role.as_str(), job.state.as_str()), ("asker", "failed"));
    assert_eq!(job.error.as_deref(), Some("the node ended before the job"));
    assert!(job.burned_ugft > 0, "{job:?}");
}

/// Waits until node 0 holds this many final frontiers.
fn wait_finals(cluster: &Cluster, count: usize) {
    wait_for("the stages' last frontiers", QUIET, || {
        let entries = cluster.nodes[0].entries().entries;
        let finals = entries
            .iter()
            .filter(|entry| entry.effect.ends_with("final"));
        match finals.count() {
            found if found >= count => Ok(()),
            found => Err(format!("{found} final frontiers")),
        }
    });
}

/// No author of the cluster has two entries with one number.
fn no_number_twice(cluster: &Cluster) {
    let entries = cluster.nodes[0].entries().entries;
    let mut numbers: Vec<(String, u64)> = entries
        .iter()
        .map(|entry| (entry.author.clone(), entry.seq))
        .collect();
    numbers.sort_unstable();
    let before = numbers.len();
    numbers.dedup();
    assert_eq!(numbers.len(), before);
}
