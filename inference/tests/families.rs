//! What families differ in: windows, norms of heads, biases and experts act, hold
//! the law, and are loaded for the held layers alone; other settings are refused
//! by name. That the numbers are transformers' is `parity.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{FAMILIES, bits, family, files, from_files, load_cut, logits_of, range, whole};
use serde_json::{Value, json};
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{
    Checkpoint, CheckpointError, ConfigError, SessionConfig, SessionId, Shard, ShardOptions,
    StepInput, StepItem, StepOutput, Wanted,
};
use talkoot_protocol::model::DType;

const FORMATS: [Option<PackedFormat>; 3] =
    [None, Some(PackedFormat::Bf16), Some(PackedFormat::Q8_0)];

fn open(name: &str, format: Option<PackedFormat>) -> Checkpoint {
    let checkpoint = Checkpoint::open(&family(name)).unwrap();
    match format {
        Some(format) => checkpoint.packed_as(format),
        None => checkpoint,
    }
}

/// The model of a family with another setting.
fn with(name: &str, key: &str, value: Value) -> Result<Checkpoint, CheckpointError> {
    let mut files = files(&family(name));
    let mut config: Value = serde_json::from_slice(&files["config.json"]).unwrap();
    config[key] = value;
    files.insert("config.json".to_owned(), config.to_string().into_bytes());
    from_files(files)
}

fn ids(count: u32) -> Vec<u32> {
    (0..count).map(|i| (i * 37 + 11) % 300).collect()
}

fn logits(checkpoint: &Checkpoint, chunks: &[usize], threads: usize) -> Vec<u32> {
    let options = ShardOptions {
        threads,
        ..ShardOptions::default()
    };
    let mut shards = load_cut(checkpoint, &whole(checkpoint), &options);
    bits(&logits_of(&mut shards, &ids(60), chunks, DType::F32))
}

#[test]
fn chunks_and_threads_do_not_change_a_bit_in_any_family() {
    for (name, format) in FAMILIES
        .into_iter()
        .flat_map(|name| FORMATS.map(|format| (name, format)))
    {
        let checkpoint = open(name, format);
        let expected = logits(&checkpoint, &[60], 1);
        for (chunks, threads) in [(&[1][..], 1), (&[7, 2], 1), (&[59, 1], 3)] {
            let got = logits(&checkpoint, chunks, threads);
            assert!(got == expected, "{name} {format:?} {chunks:?} {threads}");
        }
    }
}

/// Sessions of different lengths in one step: their rows meet at the experts.
#[test]
fn batching_does_not_change_a_bit_in_any_family() {
    for (name, format) in FAMILIES
        .into_iter()
        .flat_map(|name| FORMATS.map(|format| (name, format)))
    {
        let checkpoint = open(name, format);
        let mut shard = Shard::load(&checkpoint, range(0, 4), &ShardOptions::default()).unwrap();
        let prompts = [&ids(60)[..], &ids(20)[7..], &ids(3)[..]];
        let alone: Vec<Vec<u32>> = prompts
            .iter()
            .map(|prompt| {
                let shard = std::slice::from_mut(&mut shard);
                bits(&logits_of(shard, prompt, &[60], DType::F32))
            })
            .collect();
        for session in 0..3 {
            let config = SessionConfig {
                range: range(0, 4),
                capacity_tokens: 60,
                hidden_dtype: DType::F32,
            };
            shard.open(SessionId(session), config).unwrap();
        }
        let items: Vec<StepItem<'_>> = (0..)
            .zip(prompts)
            .map(|(session, prompt)| StepItem {
                session: SessionId(session),
                position: 0,
                input: StepInput::Tokens(prompt),
                wanted: Wanted::AllLogits,
            })
            .collect();
        for (output, alone) in shard.step(&items).unwrap().into_iter().zip(alone) {
            let StepOutput::Logits(logits) = output else {
                panic!("logits wanted")
            };
            assert!(bits(&logits) == alone, "{name} {format:?}");
        }
    }
}

/// Four workers with a layer each: together they hold every expert once, and each
/// those of its own layer.
#[test]
fn experts_are_loaded_for_the_held_layers_alone() {
    for name in ["mixtral", "qwen3_moe"] {
        let checkpoint = open(name, None);
        let options = ShardOptions::default();
        let bytes = |cuts: &[u32]| -> Vec<u64> {
            let shards = load_cut(&checkpoint, cuts, &options);
            shards.iter().map(Shard::weight_bytes).collect()
        };
        let parts = bytes(&[0, 1, 2, 3, 4]);
        assert_eq!(parts.iter().sum::<u64>(), bytes(&[0, 4])[0], "{name}");
        assert_eq!(parts[1], parts[2]);
        let experts = 4 * 3 * 32 * 32 * 2;
        assert!(parts[1] > experts && parts[1] < 2 * experts, "{parts:?}");
    }
}

#[test]
fn flops_count_the_experts_that_a_token_uses() {
    let shape = |name| open(name, None).config().shape;
    let mixtral = shape("mixtral");
    assert_eq!((mixtral.active_experts, mixtral.intermediate), (2, 32));
    let attention = 2 * 32 * 32 + 2 * 32 * 16;
    assert_eq!(
        mixtral.flops_per_token(range(1, 2)),
        Some(2 * (attention + 2 * 3 * 32 * 32))
    );
    assert_eq!(shape("qwen3_moe").active_experts, 3);
    assert_eq!(shape("qwen3").active_experts, 0);
}

#[test]
fn a_window_hides_what_lies_further_back_and_nothing_else() {
    let windowed = logits(&open("mistral", None), &[60], 1);
    let seeing = with("mistral", "sliding_window", Value::Null).unwrap();
    let all = logits(&seeing, &[60], 1);
    let vocabulary = 320;
    // Rows 0 to 6 see everything within a window of 7.
    assert!(windowed[..7 * vocabulary] == all[..7 * vocabulary]);
    assert!(windowed[7 * vocabulary..8 * vocabulary] != all[7 * vocabulary..8 * vocabulary]);
    let wide = with("mistral", "sliding_window", json!(60)).unwrap();
    assert!(logits(&wide, &[60], 1) == all);
}

#[test]
fn unsupported_settings_of_each_family_are_refused_by_name() {
    let cases = [
        (
            "qwen2",
            "use_sliding_window",
            json!(true),
            "use_sliding_window",
        ),
        ("qwen3", "attention_bias", json!(true), "attention_bias"),
        (
            "qwen3",
            "layer_types",
            json!(["sliding_attention"]),
            "layer_types",
        ),
        (
            "mistral",
            "layer_types",
            json!(["full_attention"]),
            "layer_types",
        ),
        ("mistral", "sliding_window", json!(0), "sliding_window"),
        (
            "mixtral",
            "num_local_experts",
            Value::Null,
            "num_local_experts",
        ),
        ("mixtral", "num_local_experts", json!(5000), "num_experts"),
        (
            "mixtral",
            "num_experts_per_tok",
            json!(9),
            "num_experts_per_tok",
        ),
        (
            "mixtral",
            "num_experts_per_tok",
            json!(0),
            "num_experts_per_tok",
        ),
        (
            "qwen3_moe",
            "mlp_only_layers",
            json!([1]),
            "mlp_only_layers",
        ),
        (
            "qwen3_moe",
            "decoder_sparse_step",
            json!(2),
            "decoder_sparse_step",
        ),
    ];
    for (name, key, value, expected) in cases {
        match with(name, key, value) {
            Err(CheckpointError::Config(
                ConfigError::Unsupported { setting, .. } | ConfigError::OutOfBounds { setting, .. },
            )) => assert_eq!(setting, expected),
            other => panic!("{name} {key}: {:?}", other.err()),
        }
    }
    // An expert that is not there is missed by name.
    let error = with("mixtral", "num_local_experts", json!(5)).unwrap_err();
    assert!(error.to_string().contains("block_sparse_moe"), "{error}");
}

/// Settings that a family does not have stay out of the text that the card hashes,
/// so that the id of a model does not depend on which families a program knows.
#[test]
fn settings_of_other_families_are_not_written() {
    let text = |name| open(name, None).config().settings.canonical_json();
    for name in ["llama", "qwen2", "qwen3"] {
        assert!(!text(name).contains("window") && !text(name).contains("experts"));
    }
    assert!(text("mistral").contains("\"window\":7"));
    let experts = "\"experts\":{\"count\":4,\"normalised\":true}";
    assert!(text("mixtral").contains(experts));
}
