//! What a genesis can switch: accounting off, prices by size.

use crate::{BINARY, alone};
use serde_json::Value;
use std::process::Command;
use talkoot_protocol::Policy;
use talkoot_tests::{Cluster, Member, chat};

#[test]
fn without_accounting_a_question_is_answered_and_the_books_stay_empty() {
    let _alone = alone();
    let members = [
        Member::asker(),
        Member::worker("0..4"),
        Member::worker("4..8"),
    ];
    let policy = Policy {
        accounting: false,
        ..Policy::default()
    };
    let cluster = Cluster::start_under(policy, BINARY, &members);
    cluster.wait_ready(0);
    let asker = &cluster.nodes[0];
    let answer = asker.ask(&chat("Tell me about an owl.", 24)).unwrap();
    assert!(!answer.text.is_empty());
    let done = &answer.done;
    assert_eq!(done.stages.len(), 2, "both stages are foreign");
    assert!(!done.accounting && done.settled);
    assert_eq!((done.burned_ugft, done.held_ugft), (0, 0));
    let shown = asker.run(&["ask", "--max-tokens", "8", "Tell me about a fox."]);
    let bill = String::from_utf8_lossy(&shown.stderr).into_owned();
    assert!(bill.contains("accounting is off"), "{bill}");
    let status = asker.run(&["status"]);
    assert!(String::from_utf8_lossy(&status.stdout).contains("accounting is off"));
    let genesis = asker.run(&["ledger", "genesis"]);
    assert!(String::from_utf8_lossy(&genesis.stdout).contains("free: accounting is off"));
    cluster.wait_equal(&[0, 1, 2]);
    for node in &cluster.nodes {
        let entries = node.entries().entries;
        let is_paid = |kind: &str| kind == "reserve" || kind == "frontier";
        assert!(entries.iter().all(|entry| !is_paid(&entry.kind)));
        assert!(
            node.balances()
                .balances
                .iter()
                .all(|row| row.balance_ugft == 0)
        );
    }
}

fn testnet(arguments: &[&str]) -> Value {
    let output = Command::new(BINARY)
        .args(["testnet", "--workers", "2", "--max-tokens", "8", "--json"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn a_testnet_takes_the_switches() {
    let _alone = alone();
    let by_size = testnet(&["--pricing", "size"]);
    let number = |name: &str| by_size[name].as_u64().unwrap();
    let tokens = number("prompt_tokens") + number("completion_tokens");
    // The demo model is far below 32 GiB: one GFT per token, less what the
    // division among two stages leaves.
    let burned = number("burned_ugft");
    assert!(
        tokens * 1_000_000 - burned < 2,
        "{burned} for {tokens} tokens"
    );
    let unpaid = testnet(&["--accounting", "off"]);
    assert_eq!(unpaid["burned_ugft"], 0);
    // The workers describe their model, and that is all.
    assert!(unpaid["chains"][0]["length"].as_u64().unwrap() <= 2);
}
