//! One node alone, a second one joining, and what a user is told when
//! something does not work.

use crate::{BINARY, alone};
use serde_json::Value;
use talkoot_tests::{Node, QUIET, WAIT, chat, wait_for};

fn json(output: &std::process::Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!(
            "{error}: {text} {}",
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

#[test]
fn a_node_alone_answers_invites_and_a_newcomer_asks_through_it() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let mut first = Node::new(BINARY, &directory.path().join("first"), &[]);
    std::fs::create_dir_all(directory.path()).unwrap();
    assert_eq!(
        first.run(&["status"]).status.code(),
        Some(3),
        "not running has its own exit code"
    );
    first.spawn();
    first.wait_up();
    wait_for("a first start to be ready", WAIT, || {
        let status = first.status();
        if status.ready {
            Ok(())
        } else {
            Err(status.reasons.join("; "))
        }
    });
    let free = first.run(&["ask", "--max-tokens", "12", "Tell me a story about an owl."]);
    assert!(
        free.status.success(),
        "{}",
        String::from_utf8_lossy(&free.stderr)
    );
    assert!(!free.stdout.is_empty());
    assert!(
        first
            .entries()
            .entries
            .iter()
            .all(|entry| entry.kind != "reserve"),
        "a job on own layers is free"
    );
    errors_say_what_to_do(&first);

    let ticket = json(&first.run(&["invite", "--line", "100GFT", "--json"]));
    let ticket = ticket["ticket"].as_str().unwrap();
    let arguments = ["--no-serve", "--join", ticket].map(str::to_owned);
    let mut second = Node::new(BINARY, &directory.path().join("second"), &arguments);
    second.spawn();
    second.wait_up();
    wait_for("the newcomer's line", QUIET, || {
        let status = second.status();
        let available = status.balance.available_ugft;
        if status.ready && available == 100_000_000 {
            Ok(())
        } else {
            Err(format!("{status:?}"))
        }
    });
    let answer = second
        .ask(&chat("Tell me a story about a cat.", 12))
        .unwrap_or_else(|failed| panic!("{}", failed.error));
    assert!(answer.done.burned_ugft > 0, "foreign layers cost");
    wait_for("equal books", QUIET, || {
        let (ours, theirs) = (first.status().chain, second.status().chain);
        if ours == theirs {
            Ok(())
        } else {
            Err(format!("{ours:?} {theirs:?}"))
        }
    });
    let balances = json(&second.run(&["ledger", "balances", "--json"]));
    assert_eq!(balances["sum_ugft"], 0);
    second.stop();
    books_are_read_from_disk(&second, &balances);
    first.stop();
}

fn books_are_read_from_disk(stopped: &Node, balances: &Value) {
    let verified = stopped.run(&["ledger", "verify", "--full"]);
    assert!(verified.status.success(), "verify needs no running node");
    let on_disk = stopped.run(&["ledger", "balances", "--json"]);
    let said = String::from_utf8_lossy(&on_disk.stderr);
    assert!(said.contains("reading the journal"), "{said}");
    assert_eq!(json(&on_disk)["balances"], balances["balances"]);
}

fn errors_say_what_to_do(node: &Node) {
    let unknown = node.run(&["ask", "--model", "no-such-model", "hello"]);
    assert_eq!(unknown.status.code(), Some(4));
    let mut long = chat(&"word ".repeat(5000), 10);
    let failed = node.ask(&long).unwrap_err();
    assert!(failed.error.message.contains("tokens"), "{}", failed.error);
    long.prompt = talkoot::api::Prompt::Text(String::new());
    long.model = Some("no-such-model".into());
    assert!(node.ask(&long).is_err());
}
