//! `ledger quote` against a running network.

use crate::{BINARY, alone};
use std::process::Output;
use talkoot::api::quote::QuoteView;
use talkoot_tests::{Cluster, Member, WAIT, chat, wait_for};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_quote_bounds_the_bill_and_says_what_is_missing() {
    let _alone = alone();
    let members = [
        Member::asker(),
        Member::worker("0..4"),
        Member::worker("4..8"),
    ];
    let mut cluster = Cluster::start(BINARY, &members);
    cluster.wait_ready(0);
    let quote = |tokens: [&str; 2], more: &[&str]| {
        let line = ["ledger", "quote", "demo", "-p", tokens[0], "-n", tokens[1]];
        cluster.nodes[0].run(&[&line, more].concat())
    };
    let shown = quote(["16", "32"], &[]);
    assert!(shown.status.success(), "{}", said(&shown));
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(text.contains("Divy would ask 48.000000"), "{text}");

    let answer = cluster.nodes[0]
        .ask(&chat("Tell me about an owl.", 24))
        .unwrap();
    let done = &answer.done;
    let tokens = [done.prompt_tokens, done.completion_tokens].map(|count| count.to_string());
    let exact = quote([&tokens[0], &tokens[1]], &["--json"]);
    let exact: QuoteView = serde_json::from_slice(&exact.stdout).unwrap();
    // All tokens were used, so the cap is the bill but for the remainder.
    assert!(done.burned_ugft <= exact.held_ugft && exact.held_ugft <= exact.cap_ugft);
    assert!(exact.cap_ugft - done.burned_ugft <= 2, "{exact:?}");
    assert_eq!(exact.stages.len(), 2);
    assert!(exact.stages.iter().all(|stage| stage.part.is_some()));

    let unknown = cluster.nodes[0].run(&["ledger", "quote", "nothing", "-p", "1", "-n", "1"]);
    assert_eq!(unknown.status.code(), Some(4), "{}", said(&unknown));
    assert!(said(&unknown).contains("known: demo"), "{}", said(&unknown));
    let long = quote(["500", "5000000"], &[]);
    assert!(said(&long).contains("context"), "{}", said(&long));

    cluster.nodes[2].stop();
    let missing = wait_for("the route to be gone", WAIT, || {
        let output = cluster.nodes[0].run(&["ledger", "quote", "demo", "-p", "1", "-n", "1"]);
        let is_told = said(&output).contains("4..8");
        match output.status.code() {
            Some(6) if is_told => Ok(output),
            _ => Err(said(&output)),
        }
    });
    assert!(said(&missing).contains("talkoot up"), "{}", said(&missing));
}
