//! A network looked at from outside, by the program, while it works.

use crate::{BINARY, alone};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use talkoot_tests::{Cluster, Member, QUIET, WAIT, chat, wait_for};

/// A command that has no home, and must not make one.
fn outside(home: &Path, address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command
        .env("TALKOOT_HOME", home)
        .args(["ledger", "inspect", "--bootstrap", address])
        .args(arguments)
        .stdin(Stdio::null());
    command
}

fn json(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("{error}: {text} {said}")
    })
}

/// Killed when the test is over.
struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// The entries that a tail has written so far.
fn tailed(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let whole = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    whole
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn an_observer_sees_jobs_burn_and_ends_with_the_same_tip() {
    let _alone = alone();
    let workers = ["0..2", "2..4", "4..6", "6..8"].map(Member::worker);
    let members = [vec![Member::asker()], workers.to_vec()].concat();
    let cluster = Cluster::start(BINARY, &members);
    cluster.wait_ready(0);
    let home = cluster.directory().join("no-home");
    let address = cluster.nodes[2].p2p_address();
    let log = cluster.directory().join("tail.jsonl");
    let file = std::fs::File::create(&log).unwrap();
    let tail = outside(&home, &address, &["follow", "--json"])
        .stdout(file)
        .stderr(Stdio::null())
        .spawn();
    let _tail = Tail(tail.unwrap());
    // It follows once it shows what was there before: the cards of the model.
    wait_for("the tail to begin", WAIT, || match tailed(&log).len() {
        0 => Err("nothing yet".to_owned()),
        _ => Ok(()),
    });
    let mut request = chat("Tell me a long story about a fox.", 128);
    request.ignore_stop_ids = true;
    let done = cluster.nodes[0].ask(&request).unwrap().done;
    let burned = wait_for("the job to burn in the tail", QUIET, || {
        let entries = tailed(&log);
        let of_job = entries
            .iter()
            .filter(|entry| entry["job"] == done.job.as_str());
        let burned = of_job.filter_map(|entry| entry["outcome"]["burned_ugft"].as_u64());
        match burned.sum::<u64>() {
            burned if burned == done.burned_ugft => Ok(burned),
            burned => Err(format!("{burned} of {}", done.burned_ugft)),
        }
    });
    assert!(burned > 0);
    // Founders confirm what was acknowledged for a while: in between, the observer
    // may see a chain that is over when it is compared.
    let found = wait_for("the same tip from outside", QUIET, || {
        let found = json(&outside(&home, &address, &["--json"]).output().unwrap());
        let everyone = cluster.wait_equal(&[0, 1, 2, 3, 4]);
        match found["verify"]["chain"]["tip"] == everyone.tip.as_str() {
            true => Ok(found),
            false => Err(format!("{} there: {found}", everyone.tip)),
        }
    });
    assert_eq!(found["verify"]["ok"], true, "{found}");
    assert_eq!(found["verify"]["signatures"], found["verify"]["entries"]);
    let network = cluster.nodes[0].status().network_id;
    assert_eq!(found["genesis"]["id"], network.as_str());
    views_are_those_of_a_member(&cluster, &home, &address, &done.job);
    wrong_expectations_have_their_codes(&home, &address);
    assert!(!home.exists(), "an observer needs no home and makes none");
    assert_eq!(cluster.nodes[0].balances().balances.len(), 5);
}

fn views_are_those_of_a_member(cluster: &Cluster, home: &Path, address: &str, job: &str) {
    let seen = json(
        &outside(home, address, &["job", &job[..12], "--json"])
            .output()
            .unwrap(),
    );
    let told = json(&cluster.nodes[0].run(&["ledger", "job", job, "--json"]));
    for part in [
        "burned_ugft",
        "earned_ugft",
        "commons_ugft",
        "stages",
        "state",
    ] {
        assert_eq!(seen[part], told[part], "{part}");
    }
    assert_eq!(seen["state"], "done");
    let agree = seen["neighbours"].as_array().unwrap();
    assert!(
        agree.iter().all(|pair| pair["verdict"] == "agree"),
        "{seen}"
    );
    let exported = outside(home, address, &["export"]).output().unwrap();
    assert!(exported.status.success());
    let offline = cluster.nodes[1].run(&["ledger", "--offline", "export"]);
    let lines = |output: &Output| String::from_utf8_lossy(&output.stdout).lines().count();
    assert!(lines(&exported) >= 10 && lines(&offline) >= 10);
}

fn wrong_expectations_have_their_codes(home: &Path, address: &str) {
    let code = |arguments: &[&str]| {
        let output = outside(home, address, arguments).output().unwrap();
        output.status.code()
    };
    assert_eq!(code(&["show", "zz"]), Some(2));
    let other = "ab".repeat(32);
    assert_eq!(code(&["--network", &other]), Some(7));
    let nobody = outside(home, "127.0.0.1:1", &["--wait", "1s"]).output();
    assert_eq!(nobody.unwrap().status.code(), Some(3));
}
