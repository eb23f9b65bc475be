//! A model by its name: imported, served, listed, shown, and spared while it is
//! in use; who lacks it is told what would help.

use crate::{BINARY, alone};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use talkoot_tests::{Cluster, Member, Node, chat};

fn demo() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo")
}

fn json(output: &Output) -> Value {
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{log}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn here(node: &Node) -> (Value, Vec<String>) {
    let view = json(&node.run(&["models", "--json"]));
    let names = view["here"].as_array().unwrap().iter();
    let names = names.map(|model| model["name"].as_str().unwrap().to_owned());
    let names = names.collect();
    (view, names)
}

#[test]
fn a_model_is_served_by_its_name_and_spared_while_it_is() {
    let _alone = alone();
    let mut cluster = Cluster::start(BINARY, &[Member::default()]);
    let node = &mut cluster.nodes[0];
    let origin = demo().display().to_string();
    let imported = json(&node.run(&["import", &origin, "--name", "small", "--json"]));
    assert_eq!(here(node).1, ["demo", "small"]);
    node.stop();
    let logged = node.log().len();
    node.add_arguments(&["--model", "small", "--layers", "0..4"]);
    node.restart();
    // The hashes of the import are enough.
    assert!(!node.log()[logged..].contains("hashing"), "{}", node.log());
    let served = node.status().serving.remove(0);
    assert_eq!(served.name, "small");
    assert_eq!(Value::from(served.model), imported["id"]);
    let shown = json(&node.run(&["show", "small", "--json"]));
    assert_eq!(shown["serving"][0]["layers"], serde_json::json!([0, 4]));
    assert_eq!(shown["files"]["condition"], "whole");
    assert_eq!(here(node).0["models"][0]["coverage"][4], 0);

    let failed = node.run(&["ask", "--model", "small", "Tell me about an owl."]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(6), "{said}");
    assert!(
        said.contains("`talkoot up --model small --layers 4..8`"),
        "{said}"
    );
    let other = json(&node.run(&["import", &origin, "--name", "other", "--json"]));
    assert_ne!(other["id"], imported["id"]);
    let failed = node.run(&["ask", "--model", "other", "Tell me about an owl."]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(4), "{said}");
    assert!(said.contains("`talkoot up --model other`"), "{said}");
    assert!(node.run(&["rm", "other", "--yes"]).status.success());

    let refused = node.run(&["rm", "small", "--yes"]);
    assert_eq!(refused.status.code(), Some(9));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("serves small"));
    node.stop();
    let (view, names) = here(node);
    assert_eq!(view["running"], false);
    assert_eq!(names, ["demo", "small"]);
    let dry = json(&node.run(&["rm", "small", "--json"]));
    assert_eq!(
        (&dry["removed"], here(node).1.len()),
        (&Value::from(false), 2)
    );
    assert!(node.run(&["rm", "small", "--yes"]).status.success());
    assert_eq!(here(node).1, ["demo"]);
    assert!(demo().join("model.safetensors").exists());
    let gone = node.run(&["up", "--model", "small"]);
    assert_eq!(gone.status.code(), Some(9));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no such model here"));
}

#[test]
fn a_directory_that_is_only_read_serves_by_name_and_stays_as_it_is() {
    let _alone = alone();
    let models = tempfile::tempdir().unwrap();
    let folder = models.path().join("small");
    std::fs::create_dir(&folder).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        std::fs::copy(demo().join(name), folder.join(name)).unwrap();
    }
    let directory = models.path().display().to_string();
    let member = Member {
        arguments: ["--model", "small", "--model-dirs", &directory]
            .map(str::to_owned)
            .to_vec(),
    };
    let cluster = Cluster::start(BINARY, &[member]);
    let node = &cluster.nodes[0];
    assert_eq!(node.status().serving[0].name, "small");
    let mut request = chat("Tell me about an owl.", 8);
    request.prompt = talkoot::api::Prompt::Text("One day".to_owned());
    assert!(!node.ask(&request).unwrap().text.is_empty());
    let shown = json(&node.run(&["show", "small", "--model-dirs", &directory, "--json"]));
    assert_eq!(shown["files"]["place"], "read-only");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 3);
    assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 1);
    // What lacks a file is refused by its name.
    std::fs::remove_file(folder.join("tokenizer.json")).unwrap();
    let other = Node::new(BINARY, &cluster.directory().join("other"), &[]);
    let refused = other.run(&["import", &folder.display().to_string()]);
    assert_eq!(refused.status.code(), Some(7));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("tokenizer.json"));
}

#[test]
fn an_asker_without_files_is_told_what_nobody_serves_and_how_to_serve_it() {
    let _alone = alone();
    let mut worker = Member::worker("0..4");
    worker
        .arguments
        .extend(["--model", "demo", "--quantize", "q4_0"].map(str::to_owned));
    let cluster = Cluster::start(BINARY, &[Member::asker(), worker]);
    let asker = &cluster.nodes[0];
    let known = || match json(&asker.run(&["models", "--json"]))["models"].as_array() {
        Some(models) if models.len() == 1 => Ok(models[0].clone()),
        other => Err(format!("{other:?}")),
    };
    let model = talkoot_tests::wait_for("the worker's announcement", talkoot_tests::WAIT, known);
    assert_eq!(model["local"], false);
    let failed = asker.run(&["ask", "Tell me about an owl."]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(6), "{said}");
    let command = "`talkoot up --model demo --layers 4..8 --quantize q4_0`";
    assert!(said.contains(command), "{said}");
    let shown = json(&asker.run(&["show", "demo-q4_0", "--json"]));
    assert_eq!(shown["id"], model["id"]);
    assert_eq!(shown["serving"][0]["layers"], serde_json::json!([0, 4]));
    assert_eq!(shown["serving"][0]["is_this_node"], false);
}
