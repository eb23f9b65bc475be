//! The fuzz bodies as a bounded property test: the committed corpus
//! (`fuzz/corpus`), the golden bytes, and random changes of both.
//!
//! `TALKOOT_SEEDS` scales the random part. `fuzz/` runs the same bodies under
//! libFuzzer; CONTRIBUTING.md says how.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

#[path = "../common/mod.rs"]
mod common;

mod bodies;

use bodies::Body;
use common::{Rng, seeds};
use std::fs;
use std::path::{Path, PathBuf};

/// Corpora of the bodies in `inference/tests/fuzz`.
const OTHERS: [&str; 2] = ["gguf", "safetensors"];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// The files of a folder, sorted; none if there is no folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = workspace().join("fuzz/corpus").join(name);
    files(&folder)
        .iter()
        .map(|path| fs::read(path).unwrap())
        .collect()
}

/// The golden bytes of messages and entries.
fn golden() -> Vec<Vec<u8>> {
    let unhex = |path: &PathBuf| {
        let text: String = fs::read_to_string(path)
            .unwrap()
            .split_whitespace()
            .collect();
        let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
        (0..text.len()).step_by(2).map(digits).collect()
    };
    let folders = ["protocol/tests/golden", "ledger/tests/golden"];
    let paths = folders
        .iter()
        .flat_map(|folder| files(&workspace().join(folder)));
    let hex = paths.filter(|path| path.extension().is_some_and(|end| end == "hex"));
    hex.collect::<Vec<_>>().iter().map(unhex).collect()
}

/// Runs a body; says what it was given if it panics.
fn run((name, body): Body, data: &[u8]) {
    struct Guard<'a>(&'a str, &'a [u8]);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                println!("body {} with {:02x?}", self.0, self.1);
            }
        }
    }
    let _guard = Guard(name, data);
    body(data);
}

/// Some changes of some bytes.
fn change(random: &mut Rng, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..random.between(1, 4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next().to_le_bytes()[0]),
            2 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            3 if at < bytes.len() => drop(bytes.remove(at)),
            _ if at < bytes.len() => bytes[at] = random.next().to_le_bytes()[0],
            _ => {}
        }
    }
    bytes.truncate(8192);
}

#[test]
fn every_target_has_a_corpus_and_the_corpus_a_target() {
    let mut names: Vec<String> = bodies::all().iter().map(|body| body.0.to_owned()).collect();
    names.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    let folders: Vec<String> = files(&workspace().join("fuzz/corpus"))
        .iter()
        .map(name)
        .filter(|folder| !OTHERS.contains(&folder.as_str()))
        .collect();
    assert_eq!(folders, names);
    let manifest = fs::read_to_string(workspace().join("fuzz/Cargo.toml")).unwrap();
    for name in &names {
        assert!(
            manifest.contains(&format!("name = \"{name}\"")),
            "no target {name}"
        );
    }
}

#[test]
fn decoders_and_files_take_any_bytes() {
    let golden = golden();
    assert!(golden.len() > 50);
    for body in bodies::all()
        .into_iter()
        .filter(|body| body.0 != "admission")
    {
        let mut known = corpus(body.0);
        known.extend_from_slice(&golden);
        for data in &known {
            run(body, data);
        }
        let mut random = Rng(known.len() as u64);
        for _ in 0..seeds(2500) {
            let mut data = known[random.below(known.len())].clone();
            change(&mut random, &mut data, &known);
            run(body, &data);
        }
    }
}

#[test]
fn a_ledger_takes_any_entries() {
    let all = bodies::all();
    let body = *all.iter().find(|body| body.0 == "admission").unwrap();
    let known = corpus(body.0);
    for data in &known {
        run(body, data);
    }
    for seed in 0..seeds(1000) {
        let mut random = Rng(seed);
        let length = random.below(1500);
        let mut data: Vec<u8> = (0..length)
            .map(|_| random.next().to_le_bytes()[0])
            .collect();
        if !known.is_empty() && random.chance(60) {
            data = known[random.below(known.len())].clone();
            change(&mut random, &mut data, &known);
        }
        run(body, &data);
    }
}
