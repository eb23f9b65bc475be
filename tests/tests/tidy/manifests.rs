//! The arrows between packages, read from `cargo metadata`.

use crate::source::workspace;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;

/// Which packages of the workspace each one may name.
const ARROWS: &[(&str, &[&str])] = &[
    ("talkoot-protocol", &[]),
    ("talkoot-ledger", &["talkoot-protocol"]),
    (
        "talkoot-simulation",
        &["talkoot-protocol", "talkoot-ledger"],
    ),
    ("talkoot-inference", &["talkoot-protocol"]),
    (
        "talkoot",
        &["talkoot-protocol", "talkoot-ledger", "talkoot-inference"],
    ),
    (
        "talkoot-tests",
        &[
            "talkoot-protocol",
            "talkoot-ledger",
            "talkoot-inference",
            "talkoot",
        ],
    ),
];

/// Outside libraries that one package alone depends on.
const OWNERS: &[(&str, &str)] = &[
    ("sled", "talkoot-ledger"),
    ("ed25519-dalek", "talkoot-protocol"),
    ("burn", "talkoot-inference"),
    ("tokenizers", "talkoot-inference"),
    ("minijinja", "talkoot-inference"),
    ("memmap2", "talkoot-inference"),
    ("libp2p", "talkoot"),
    ("libp2p-tls", "talkoot"),
    ("quinn", "talkoot"),
    ("rustls", "talkoot"),
    ("axum", "talkoot"),
    ("clap", "talkoot"),
    ("utoipa", "talkoot"),
    ("prometheus-client", "talkoot"),
];

/// What a package's benchmarks measure themselves against.
const YARDSTICKS: &[(&str, &str)] = &[("talkoot-ledger", "ed25519-dalek")];

/// Package name to the names of its dependencies, tests' and build's included.
type Dependencies = BTreeMap<String, Vec<String>>;

fn dependencies(metadata: &Value) -> Dependencies {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let list = |value: &Value| value.as_array().unwrap().clone();
    list(&metadata["packages"])
        .iter()
        .map(|package| {
            let name = text(&package["name"]);
            let is_yardstick = |dependency: &Value| {
                let pair = (name.as_str(), dependency["name"].as_str().unwrap());
                dependency["kind"] == "dev" && YARDSTICKS.contains(&pair)
            };
            let names = list(&package["dependencies"])
                .iter()
                .filter(|dependency| !is_yardstick(dependency))
                .map(|dependency| text(&dependency["name"]))
                .collect();
            (name, names)
        })
        .collect()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(workspace())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn breaches(dependencies: &Dependencies) -> Vec<String> {
    let mut breaches = Vec::new();
    for (package, names) in dependencies {
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| name == package) else {
            breaches.push(format!("{package} has no place among the arrows"));
            continue;
        };
        for name in names {
            let ours = name == "talkoot" || name.starts_with("talkoot-");
            if ours && !allowed.contains(&name.as_str()) {
                breaches.push(format!("{package} must not know {name}"));
            }
            let owner = OWNERS.iter().find(|(library, _)| library == name);
            if let Some((_, owner)) = owner.filter(|(_, owner)| owner != package) {
                breaches.push(format!("{package} must not know {name}, only {owner} may"));
            }
        }
    }
    breaches
}

#[test]
fn packages_know_only_what_they_may() {
    let dependencies = dependencies(&metadata());
    assert_eq!(
        dependencies.len(),
        ARROWS.len(),
        "{:?}",
        dependencies.keys()
    );
    let breaches = breaches(&dependencies);
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn dependencies_come_from_a_registry_and_lints_are_shared() {
    for package in metadata()["packages"].as_array().unwrap() {
        for dependency in package["dependencies"].as_array().unwrap() {
            let source = dependency["source"].as_str().unwrap_or("path");
            assert!(!source.starts_with("git+"), "{dependency}");
        }
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}",
            package["name"]
        );
    }
}

#[test]
fn the_arrows_can_fail() {
    let with = |package: &str, name: &str| -> usize {
        let metadata = serde_json::json!({
            "packages": [{ "name": package, "dependencies": [{ "name": name }] }]
        });
        breaches(&dependencies(&metadata)).len()
    };
    assert_eq!(with("talkoot-ledger", "talkoot-protocol"), 0);
    assert_eq!(with("talkoot-tests", "talkoot"), 0);
    assert_eq!(with("talkoot-ledger", "talkoot-inference"), 1);
    assert_eq!(with("talkoot-inference", "talkoot-ledger"), 1);
    assert_eq!(with("talkoot-protocol", "talkoot-ledger"), 1);
    assert_eq!(with("talkoot-inference", "talkoot"), 1);
    assert_eq!(with("talkoot", "sled"), 1);
    assert_eq!(with("talkoot-extra", "serde"), 1);
}
