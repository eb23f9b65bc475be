//! GGUF files that lie: every lie is refused with what is wrong and where, before
//! anything is allocated for it.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise"
)]

mod common;

use bytes::Bytes;
use common::fixture;
use std::collections::BTreeMap;
use talkoot_inference::{Checkpoint, CheckpointError};

/// A file written piece by piece, right or wrong.
#[derive(Clone)]
struct File {
    version: u32,
    keys: Vec<Vec<u8>>,
    tensors: Vec<Vec<u8>>,
    tensor_count: Option<u64>,
    key_count: Option<u64>,
    data: Vec<u8>,
}

fn text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

fn key(name: &str, kind: u32, value: &[u8]) -> Vec<u8> {
    [&text(name), &kind.to_le_bytes()[..], value].concat()
}

fn size(name: &str, value: u32) -> Vec<u8> {
    key(name, 4, &value.to_le_bytes())
}

fn words(name: &str, value: &str) -> Vec<u8> {
    key(name, 8, &text(value))
}

fn tensor(name: &str, dims: &[u64], kind: u32, offset: u64) -> Vec<u8> {
    let mut bytes = text(name);
    bytes.extend((dims.len() as u32).to_le_bytes());
    dims.iter().for_each(|dim| bytes.extend(dim.to_le_bytes()));
    bytes.extend(kind.to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes
}

impl File {
    /// Two tensors of 32 floats each, and nothing said about a model.
    fn new() -> Self {
        Self {
            version: 3,
            keys: vec![words("general.architecture", "llama")],
            tensors: vec![
                tensor("token_embd.weight", &[8, 4], 0, 0),
                tensor("b", &[32], 0, 128),
            ],
            tensor_count: None,
            key_count: None,
            data: vec![0; 256],
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF".to_vec();
        bytes.extend(self.version.to_le_bytes());
        let tensors = self.tensor_count.unwrap_or(self.tensors.len() as u64);
        bytes.extend(tensors.to_le_bytes());
        let keys = self.key_count.unwrap_or(self.keys.len() as u64);
        bytes.extend(keys.to_le_bytes());
        bytes.extend(self.keys.concat());
        bytes.extend(self.tensors.concat());
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}

fn open(bytes: Vec<u8>) -> CheckpointError {
    let files = BTreeMap::from([("model.gguf".to_owned(), Bytes::from(bytes))]);
    Checkpoint::from_files(&files).unwrap_err()
}

/// What is said of a file that was changed.
fn said(change: impl FnOnce(&mut File)) -> String {
    let mut file = File::new();
    change(&mut file);
    open(file.bytes()).to_string()
}

#[test]
fn the_file_that_is_changed_here_is_right_as_far_as_it_goes() {
    let error = said(|_| {});
    assert!(
        error.contains("llama.attention.head_count is missing"),
        "{error}"
    );
}

type Lie = (&'static str, fn(&mut File));

#[test]
fn counts_and_texts_that_lie_are_refused() {
    let lies: [Lie; 13] = [
        ("version 2", |file| file.version = 2),
        ("version 50331648", |file| file.version = 3_u32.swap_bytes()),
        ("18446744073709551615 tensors", |file| {
            file.tensor_count = Some(u64::MAX)
        }),
        ("0 dimensions", |file| file.tensor_count = Some(1000)),
        ("4097 keys", |file| file.key_count = Some(4097)),
        ("bytes of a text", |file| {
            file.keys.push(u64::MAX.to_le_bytes().to_vec())
        }),
        ("is not UTF-8", |file| {
            file.keys
                .push([&1_u64.to_le_bytes()[..], &[0xff], &[0; 8]].concat());
        }),
        ("occurs twice", |file| {
            file.keys.push(words("general.architecture", "llama"))
        }),
        ("kind 77", |file| file.keys.push(key("a", 77, &[]))),
        ("9223372036854775807 elements", |file| {
            let array = [&4_u32.to_le_bytes()[..], &(u64::MAX >> 1).to_le_bytes()].concat();
            file.keys.push(key("a", 9, &array));
        }),
        ("key a", |file| {
            let array = [&8_u32.to_le_bytes()[..], &8_000_000_u64.to_le_bytes()].concat();
            file.keys.push(key("a", 9, &array));
        }),
        ("a list of kind 9", |file| {
            file.keys
                .push(key("a", 9, &[&9_u32.to_le_bytes()[..], &[0; 8]].concat()));
        }),
        ("general.alignment = 24", |file| {
            file.keys.push(size("general.alignment", 24))
        }),
    ];
    for (expected, lie) in lies {
        let error = said(lie);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

#[test]
fn tensors_that_lie_are_refused_by_name() {
    let lies: [Lie; 9] = [
        ("tensor b: offset 129", |file| {
            file.tensors[1] = tensor("b", &[31], 0, 129)
        }),
        ("tensor b: offset 1099511627776", |file| {
            file.tensors[1] = tensor("b", &[32], 0, 1 << 40);
        }),
        ("tensor b: offset 18446744073709551584", |file| {
            file.tensors[1] = tensor("b", &[32], 0, u64::MAX - 31);
        }),
        ("goes beyond the file", |file| {
            file.tensors[1] = tensor("b", &[33], 0, 128)
        }),
        ("goes beyond the file", |file| {
            file.tensors[1] = tensor("b", &[1 << 40, 1 << 40, 1 << 40], 0, 128);
        }),
        ("tensor b: overlaps", |file| {
            file.tensors[1] = tensor("b", &[32], 0, 96)
        }),
        ("whole blocks of 256", |file| {
            file.tensors[1] = tensor("b", &[32], 12, 128)
        }),
        ("5 dimensions", |file| {
            file.tensors[1] = tensor("b", &[1; 5], 0, 128)
        }),
        ("impossible shape", |file| {
            file.tensors[1] = tensor("b", &[0, 4], 0, 128)
        }),
    ];
    for (expected, lie) in lies {
        let error = said(lie);
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let error = said(|file| file.tensors[1] = tensor("token_embd.weight", &[32], 0, 128));
    assert!(error.contains("described twice"), "{error}");
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    let lies: [Lie; 7] = [
        ("general.architecture is missing", |file| file.keys.clear()),
        ("general.architecture = falcon", |file| {
            file.keys = vec![words("general.architecture", "falcon")];
        }),
        ("llama.logit_scale", |file| {
            file.keys.push(size("llama.logit_scale", 2))
        }),
        ("is file 2 of 3", |file| {
            file.keys
                .extend([size("split.no", 1), size("split.count", 3)]);
        }),
        ("the limit is 1024", |file| {
            file.keys.push(size("split.count", 1_000_000))
        }),
        ("-00001-of-00002.gguf", |file| {
            file.keys.push(size("split.count", 2))
        }),
        ("split.count is no whole number", |file| {
            file.keys.push(words("split.count", "2"))
        }),
    ];
    for (expected, lie) in lies {
        let error = said(lie);
        assert!(error.contains(expected), "{expected}: {error}");
    }
}

/// A file of a real model with one text in it replaced by another of its length.
fn replaced(name: &str, from: &str, to: &str) -> String {
    let mut bytes = std::fs::read(fixture("gguf").join(name)).unwrap();
    assert_eq!(from.len(), to.len());
    let found = bytes
        .windows(from.len())
        .position(|part| part == from.as_bytes());
    let at = found.unwrap();
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    open(bytes).to_string()
}

#[test]
fn models_that_lack_or_bring_something_are_refused_by_its_name() {
    let lies = [
        (
            "blk.3.ffn_up.weight",
            "blk.9.ffn_up.weight",
            "blk.3.ffn_up.weight is missing",
        ),
        (
            "rope_freqs.weight",
            "rope_other.weight",
            "rope_other.weight",
        ),
        (
            "tokenizer.ggml.pre",
            "tokenizer.ggml.prx",
            "tokenizer.ggml.pre = (missing)",
        ),
        ("tokenizer.ggml.tokens", "tokenizer.ggml.tokenz", "0 tokens"),
        (
            "llama.block_count",
            "llama.block_kount",
            "llama.block_kount",
        ),
    ];
    for (from, to, expected) in lies {
        let error = replaced("llama-bf16.gguf", from, to);
        assert!(error.contains(expected), "{from}: {error}");
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let bytes = std::fs::read(fixture("gguf").join("qwen3-q4_0.gguf")).unwrap();
    for end in (0..bytes.len()).step_by(997).chain([bytes.len() - 33]) {
        open(bytes[..end].to_vec());
    }
}
