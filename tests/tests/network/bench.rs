//! `talkoot bench` as a process: what programs that start it rely on.

use crate::{BINARY, alone};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const SMALL: [&str; 7] = ["bench", "demo", "--prompt", "16", "--decode", "4", "--json"];

fn command(home: &Path) -> Command {
    let mut command = Command::new(BINARY);
    command.env("TALKOOT_HOME", home).args(SMALL);
    command
}

fn lines(output: &Output) -> Vec<Value> {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn check(run: &Value) {
    for name in [
        "prefill_tokens_per_s",
        "decode_tokens_per_s",
        "read_bandwidth_bytes_per_s",
    ] {
        let figure = run[name].as_f64().unwrap();
        assert!(figure.is_finite() && figure > 0.0, "{name}: {run}");
    }
    assert_eq!(
        (&run["prompt_tokens"], &run["decode_tokens"]),
        (&16.into(), &4.into())
    );
}

#[test]
fn a_run_is_a_line_and_needs_neither_node_nor_identity() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let more = [
        "--runs",
        "2",
        "--quantize",
        "q8_0",
        "--threads",
        "2",
        "--profile",
    ];
    let runs = lines(&command(home.path()).args(more).output().unwrap());
    assert_eq!(runs.len(), 2);
    for run in &runs {
        check(run);
        assert_eq!(
            (&run["format"], &run["threads"]),
            (&"q8_0".into(), &2.into())
        );
        let seconds = &run["profile_s"]["decode"];
        assert!(seconds["linear"].as_f64().unwrap() > 0.0, "{run}");
        assert!(seconds["head"].as_f64().unwrap() > 0.0, "{run}");
    }
    assert!(!home.path().join("data").exists());
    let middle = ["--runs", "1", "--layers", "2..4", "--streams", "3"];
    let runs = lines(&command(home.path()).args(middle).output().unwrap());
    check(&runs[0]);
    assert_eq!(
        (&runs[0]["format"], &runs[0]["streams"]),
        (&"none".into(), &3.into())
    );
}

#[test]
fn it_can_be_driven_line_by_line() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let mut process = command(home.path())
        .arg("--interactive")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = process.stdin.take().unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&output.next().unwrap().unwrap()).unwrap() };
    let ready = next();
    assert_eq!(ready["ready"], true);
    assert!(ready["load_s"].as_f64().unwrap() > 0.0);
    for _ in 0..2 {
        writeln!(input, "run").unwrap();
        check(&next());
    }
    writeln!(input, "quit").unwrap();
    assert!(process.wait().unwrap().success());
}

#[test]
fn perplexity_is_one_object_and_mistakes_have_their_codes() {
    let _alone = alone();
    let home = tempfile::tempdir().unwrap();
    let text = home.path().join("text");
    std::fs::write(
        &text,
        "<|begin|>Once, a fox lived by the river.\n\n<|begin|>\n",
    )
    .unwrap();
    let file = text.to_str().unwrap();
    let found = lines(
        &command(home.path())
            .args(["--perplexity", file])
            .output()
            .unwrap(),
    );
    let perplexity = found[0]["perplexity"].as_f64().unwrap();
    assert!(perplexity > 1.0 && perplexity < 2048.0, "{perplexity}");
    assert!(found[0]["tokens"].as_u64().unwrap() > 3);
    for (arguments, code) in [
        (&["bench", "/nowhere"][..], 4),
        (&["bench", "--layers", "0..99"], 9),
        (&["bench", "--prompt", "4000"], 9),
        (&["bench", "--perplexity", "/nowhere"], 9),
        (&["bench", "--quantize", "q2"], 2),
    ] {
        let mut command = Command::new(BINARY);
        let refused = command
            .env("TALKOOT_HOME", home.path())
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}");
    }
}
