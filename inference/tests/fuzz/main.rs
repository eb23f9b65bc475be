//! The fuzz bodies as a bounded property test: the committed corpus (`fuzz/corpus`),
//! every truncation of it, and random changes.
//!
//! `TALKOOT_SEEDS` scales the random part. `fuzz/` runs the same bodies under
//! libFuzzer; CONTRIBUTING.md says how.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod bodies;

use bodies::{BODIES, Body};
use std::path::{Path, PathBuf};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = workspace().join("fuzz/corpus").join(name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

/// Random numbers from a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

/// Runs a body; says what it was given if it panics.
fn run((name, body): Body, data: &[u8]) -> bool {
    struct Guard<'a>(&'a str, &'a [u8]);
    impl Drop for Guard<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                println!("body {} with {:02x?}", self.0, self.1);
            }
        }
    }
    let _guard = Guard(name, data);
    body(data)
}

/// Some changes of some bytes: numbers that lie are where the header is.
fn change(random: &mut Random, bytes: &mut Vec<u8>, others: &[Vec<u8>]) {
    for _ in 0..=random.below(3) {
        let near = if random.below(4) > 0 {
            2048
        } else {
            usize::MAX
        };
        let at = random.below(bytes.len().min(near) + 1);
        let byte = random.next().to_le_bytes()[0];
        match random.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => {
                let other = &others[random.below(others.len())];
                let from = random.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 if at + 8 <= bytes.len() => {
                let extremes = [0, 1, u64::MAX, 1 << 31, 1 << 63, u64::from(byte)];
                let value = extremes[random.below(extremes.len())];
                bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
            }
            _ if at < bytes.len() => bytes[at] = byte,
            _ => {}
        }
    }
}

#[test]
fn every_target_has_a_corpus_of_models() {
    let manifest = std::fs::read_to_string(workspace().join("fuzz/Cargo.toml")).unwrap();
    for body in BODIES {
        assert!(manifest.contains(&format!("name = \"{}\"", body.0)));
        let known = corpus(body.0);
        assert!(!known.is_empty());
        for data in known {
            assert!(run(body, &data), "{} has a seed that is no model", body.0);
        }
    }
}

#[test]
fn readers_take_any_bytes() {
    let seeds = std::env::var("TALKOOT_SEEDS").ok();
    let percent: usize = seeds.and_then(|text| text.parse().ok()).unwrap_or(100);
    for body in BODIES {
        let known = corpus(body.0);
        for data in &known {
            for end in (0..data.len()).step_by(7) {
                assert!(!run(body, &data[..end]), "{} cut at {end}", body.0);
            }
        }
        let mut random = Random(known.len() as u64 + 1);
        let mut opened = 0;
        for _ in 0..(4000 * percent / 100).max(1) {
            let mut data = known[random.below(known.len())].clone();
            change(&mut random, &mut data, &known);
            opened += usize::from(run(body, &data));
        }
        println!("{}: {opened} changed files were models", body.0);
    }
}
