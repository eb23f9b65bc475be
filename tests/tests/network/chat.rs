//! `chat`, `credits` and `quote` against a running network: what is said, what it
//! costs, and that every amount is in the books.

use crate::{BINARY, alone};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use talkoot_tests::{Cluster, Member, Node, QUIET, chat, wait_for};

const QUESTION: &str = "Tell me about an owl.";

fn said(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json(node: &Node, line: &[&str]) -> Value {
    let output = node.run(line);
    assert!(
        output.status.success(),
        "{line:?}: {}",
        said(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Talks through stdin until its end.
fn talk(node: &Node, arguments: &[&str], lines: &[&str]) -> Output {
    let line = [&["chat"], arguments].concat();
    node.run_with(&line, &lines.join("\n"))
}

#[test]
fn a_conversation_answers_counts_and_goes_on_after_errors() {
    let _alone = alone();
    let members = [
        Member::asker(),
        Member::worker("0..4"),
        Member::worker("4..8"),
    ];
    let mut cluster = Cluster::start(BINARY, &members);
    cluster.wait_ready(0);
    let file = cluster.directory().join("talk.json");
    converse_and_save(&cluster.nodes[0], &file);
    go_on(&cluster.nodes[0], &file);
    let unknown = talk(&cluster.nodes[0], &["nothing"], &[]);
    let notes = said(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(4), "{notes}");
    every_amount_is_in_the_books(&cluster.nodes[0], &cluster.nodes[1]);

    cluster.nodes[2].stop();
    let lost = wait_for("the route to be gone", QUIET, || {
        let output = talk(&cluster.nodes[0], &["demo"], &[QUESTION, "/stats"]);
        match output.status.code() {
            Some(6) => Ok(said(&output.stderr)),
            _ => Err(said(&output.stderr)),
        }
    });
    assert!(lost.contains("what to do"), "{lost}");
    assert!(lost.contains("no answer yet"), "it went on: {lost}");
}

/// Three questions with commands between them; what the first got is saved.
fn converse_and_save(asker: &Node, file: &Path) {
    let alone_answer = asker.ask(&chat(QUESTION, 16)).unwrap();
    let save = format!("/save {}", file.display());
    let output = talk(
        asker,
        &["demo", "--max-tokens", "16"],
        &[
            QUESTION,
            "/route",
            "/fly",
            "/stats",
            &save,
            "/undo",
            "Tell me \\",
            "more.",
            "/quote",
            "/credits",
            "/retry",
            "/exit",
            "never read",
        ],
    );
    let (answers, notes) = (said(&output.stdout), said(&output.stderr));
    assert!(output.status.success(), "{notes}");
    assert!(answers.starts_with(&alone_answer.text), "{answers}");
    assert!(!answers.contains('['), "only answers: {answers}");
    assert!(!notes.contains('\x1b'), "no colours in a pipe: {notes}");
    assert_eq!(notes.matches(" burned ").count(), 3, "{notes}");
    for part in [
        "0..4",
        "4..8",
        "there is no /fly",
        "16 completion",
        "forgot \"Tell me about",
        "credit line",
        "such questions",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
    let saved: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(saved["messages"][0]["content"], QUESTION);
    assert_eq!(saved["messages"][1]["content"], alone_answer.text);
    assert_eq!(saved["max_tokens"], 16);
}

/// The saved conversation, taken up again.
fn go_on(asker: &Node, file: &Path) {
    let path = file.display().to_string();
    let output = talk(asker, &["--load", &path], &["And then?"]);
    let notes = said(&output.stderr);
    assert!(notes.contains("1 questions and their answers"), "{notes}");
    assert!(!output.stdout.is_empty(), "{notes}");
}

/// Five answers were asked for: what was said of them is what the ledger has.
fn every_amount_is_in_the_books(asker: &Node, worker: &Node) {
    let credits = json(asker, &["credits", "--json"]);
    let number = |value: &Value| value.as_i64().unwrap();
    let account = &credits["account"];
    let sum = number(&credits["earned_total_ugft"]) - number(&credits["burned_total_ugft"])
        + number(&account["line_ugft"])
        - number(&account["held_ugft"])
        - number(&account["pending_ugft"])
        - number(&credits["line_unconfirmed_ugft"])
        - number(&credits["freed_unconfirmed_ugft"])
        - number(&credits["other_ugft"]);
    assert_eq!(sum, number(&account["available_ugft"]), "{credits}");
    let history = json(asker, &["credits", "--history", "--json"]);
    let rows = history["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "{history}");
    let last = rows.last().unwrap();
    assert_eq!(
        number(&last["balance_ugft"]),
        -number(&credits["burned_total_ugft"])
    );
    assert_eq!(last["role"], "asker");
    for row in rows {
        let job = json(
            asker,
            &["ledger", "job", row["job"].as_str().unwrap(), "--json"],
        );
        assert_eq!(row["burned_ugft"], job["burned_ugft"]);
    }
    let by_hour = json(asker, &["credits", "--history", "--by", "hour", "--json"]);
    let asked: i64 = by_hour["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| number(&bucket["jobs_asked"]))
        .sum();
    assert_eq!(asked, 5, "{by_hour}");

    let earned = wait_for("the worker's own books to have all five", QUIET, || {
        let credits = json(worker, &["credits", "--json"]);
        let history = json(worker, &["credits", "--history", "--json"]);
        let rows = history["rows"].as_array().unwrap().len();
        (rows == 5)
            .then_some(credits)
            .ok_or_else(|| format!("{rows} jobs"))
    });
    let wallet = worker.status().wallet;
    let seen = json(asker, &["credits", "--of", &wallet[..12], "--json"]);
    assert_eq!(seen["earned_total_ugft"], earned["earned_total_ugft"]);
    // Without its node the journal says the same.
    let offline = json(worker, &["credits", "--offline", "--json"]);
    assert_eq!(offline["earned_total_ugft"], earned["earned_total_ugft"]);

    let quote = json(asker, &["quote", "demo", QUESTION, "-n", "16", "--json"]);
    let answer = asker.ask(&chat(QUESTION, 16)).unwrap().done;
    assert_eq!(quote["prompt_tokens"], answer.prompt_tokens);
    assert!(number(&quote["held_ugft"]) >= i64::try_from(answer.burned_ugft).unwrap());
    assert!(number(&quote["affordable"]) > 1);
    let shown = asker.run(&[
        "ask",
        "--quote",
        "--show-route",
        "--max-tokens",
        "4",
        QUESTION,
    ]);
    let notes = said(&shown.stderr);
    assert!(
        notes.contains("GFT at most") && notes.contains("computes layers 0..4"),
        "{notes}"
    );
}
