//! GGUF files as llama.cpp's tools write them: the same models as the published
//! checkpoints they were made of, blocks computed with as they are, K-quants value
//! for value. llama.cpp's own converter wrote the files in bf16,
//! `scripts/make_gguf_fixtures.py` the others.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{bits, family, fixture, load_cut, logits_of, whole};
use std::path::PathBuf;
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{
    ARITHMETIC_KERNELS_BF16, ARITHMETIC_KERNELS_INT8, Backend, ChatMessage, Checkpoint,
    CheckpointError, GenerateOptions, Shard, ShardOptions, StoredFormat, TokenSampler, generate,
};
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::model::DType;

/// A file and the published checkpoint with the same tokenizer.
const MODELS: [(&str, &str); 8] = [
    ("llama-bf16", "llama"),
    ("qwen3-bf16", "qwen3"),
    ("qwen2-f16", "qwen2"),
    ("mixtral-bf16", "mixtral"),
    ("mistral-q8_0", "mistral"),
    ("qwen3-q4_0", "qwen3"),
    ("qwen3_moe-q8_0", "qwen3_moe"),
    ("llama-q4_k_m", "llama"),
];

fn path(name: &str) -> PathBuf {
    let folder = fixture("gguf");
    let split = folder.join(format!("{name}-00001-of-00002.gguf"));
    if split.exists() {
        return split;
    }
    folder.join(format!("{name}.gguf"))
}

fn open(name: &str) -> Checkpoint {
    Checkpoint::open(&path(name)).unwrap()
}

/// What transformers makes of the values that a file holds.
struct Answers {
    ids: Vec<u32>,
    greedy: Vec<u32>,
    logits: Vec<f32>,
}

fn tensors(name: &str) -> Vec<u8> {
    std::fs::read(fixture("gguf").join(format!("{name}.safetensors"))).unwrap()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let quads = bytes.as_chunks::<4>().0.iter();
    quads.map(|quad| f32::from_le_bytes(*quad)).collect()
}

fn answers(name: &str) -> Answers {
    let json = std::fs::read(fixture("gguf").join(format!("{name}.json"))).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let ids = |key: &str| serde_json::from_value(json[key].clone()).unwrap();
    let bytes = tensors(name);
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let logits = ["prefill", "decode"].map(|part| floats(tensors.tensor(part).unwrap().data()));
    Answers {
        ids: ids("ids"),
        greedy: ids("greedy"),
        logits: logits.concat(),
    }
}

fn logits(checkpoint: &Checkpoint, cuts: &[u32], ids: &[u32], backend: Backend) -> Vec<f32> {
    let options = ShardOptions {
        backend,
        ..ShardOptions::default()
    };
    let mut shards = load_cut(checkpoint, cuts, &options);
    logits_of(&mut shards, ids, &[5, 1], DType::F32)
}

/// The largest difference, and the size of all differences to that of the right.
fn difference(left: &[f32], right: &[f32]) -> (f32, f32) {
    assert_eq!(left.len(), right.len());
    let size = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
    let differences: Vec<f32> = left.iter().zip(right).map(|(a, b)| a - b).collect();
    let worst = differences
        .iter()
        .fold(0.0, |worst, d| f32::max(worst, d.abs()));
    (worst, size(&differences) / size(right))
}

/// Stock burn operations compute with the very values of the file; K-quants were
/// rounded to bf16.
#[test]
fn logits_are_those_of_transformers_on_the_values_of_the_file() {
    for (name, _) in MODELS {
        let checkpoint = open(name);
        let answers = answers(name);
        let ids = [answers.ids.as_slice(), &answers.greedy].concat();
        let ours = logits(&checkpoint, &whole(&checkpoint), &ids, Backend::Burn);
        let (worst, relative) = difference(&ours, &answers.logits);
        println!("{name}: {worst:e}, relative {relative:e}");
        if name == "llama-q4_k_m" {
            assert!(relative < 5e-3, "{name}: {relative}");
        } else {
            assert!(worst < 2e-3, "{name}: {worst}");
        }
        // The kernels round activations too.
        let kernels = logits(&checkpoint, &whole(&checkpoint), &ids, Backend::Kernels);
        let (_, relative) = difference(&kernels, &answers.logits);
        assert!(relative < 0.03, "{name}: {relative}");
    }
}

#[test]
fn greedy_tokens_are_those_of_transformers() {
    for (name, _) in MODELS {
        let checkpoint = open(name);
        let answers = answers(name);
        let options = ShardOptions {
            backend: Backend::Burn,
            ..ShardOptions::default()
        };
        let mut shards = load_cut(&checkpoint, &whole(&checkpoint), &options);
        let mut sampler = TokenSampler::new(SamplingParams::default(), &answers.ids);
        let options = GenerateOptions {
            tokens_max: answers.greedy.len() as u32,
            ..GenerateOptions::default()
        };
        let ids = &answers.ids;
        let made = generate(&mut shards, ids, &options, &mut sampler, &mut |_| true).unwrap();
        assert_eq!(made.ids, answers.greedy, "{name}");
    }
}

/// Floats of the same weights are the same bits, whichever file they came in.
#[test]
fn floats_give_the_bits_of_the_published_checkpoint() {
    for (name, family_name) in MODELS
        .into_iter()
        .filter(|(name, _)| name.ends_with("bf16"))
    {
        let (file, published) = (open(name), Checkpoint::open(&family(family_name)).unwrap());
        assert_eq!(file.config(), published.config(), "{name}");
        let ids = answers(name).ids;
        let run = |checkpoint: &Checkpoint| {
            let cuts = whole(checkpoint);
            bits(&logits(checkpoint, &cuts, &ids, Backend::Kernels))
        };
        assert!(run(&file) == run(&published), "{name}");
        // Packed by us, too: the rows were brought into the same order.
        let packed = |checkpoint: Checkpoint| run(&checkpoint.packed_as(PackedFormat::Q8_0));
        let hashes = |checkpoint: &Checkpoint| -> Vec<_> {
            let list = checkpoint.tensor_list().unwrap().iter();
            let matrices = list.filter(|record| record.dtype == StoredFormat::Bf16);
            let matrices = matrices.filter(|record| record.dims.len() == 2);
            matrices
                .map(|record| (record.name.clone(), record.hash))
                .collect()
        };
        let own = hashes(&file);
        let published_hashes = hashes(&published);
        assert!(
            own.len() > 20 && own.iter().all(|one| published_hashes.contains(one)),
            "{name}"
        );
        assert!(packed(file) == packed(published), "{name}");
    }
}

#[test]
fn cut_anywhere_is_bit_equal_in_every_format() {
    for (name, _) in MODELS {
        let checkpoint = open(name);
        let layers = checkpoint.config().shape.layers;
        let ids = answers(name).ids;
        let run = |cuts: &[u32]| bits(&logits(&checkpoint, cuts, &ids, Backend::Kernels));
        let expected = run(&[0, layers]);
        for cut in 1..layers {
            assert!(run(&[0, cut, layers]) == expected, "{name} {cut}");
        }
        assert!(run(&(0..=layers).collect::<Vec<_>>()) == expected, "{name}");
    }
}

#[test]
fn blocks_stay_what_they_are_and_k_quants_become_brain_floats() {
    for (name, dtype, packed, version, arithmetic) in [
        (
            "mistral-q8_0",
            DType::Q8_0,
            PackedFormat::Q8_0,
            0,
            ARITHMETIC_KERNELS_INT8,
        ),
        (
            "qwen3-q4_0",
            DType::Q4_0,
            PackedFormat::Q4_0,
            0,
            ARITHMETIC_KERNELS_INT8,
        ),
        (
            "llama-q4_k_m",
            DType::Bf16,
            PackedFormat::Bf16,
            1,
            ARITHMETIC_KERNELS_BF16,
        ),
    ] {
        let checkpoint = open(name);
        let card = checkpoint.card("m").unwrap();
        assert_eq!((card.name.as_str(), card.dtype), ("m", dtype), "{name}");
        assert_eq!(card.quantiser_version, version, "{name}");
        assert_eq!(checkpoint.packed_format(), Some(packed), "{name}");
        let range = checkpoint.config().layers();
        let shard = Shard::load(&checkpoint, range, &ShardOptions::default()).unwrap();
        assert_eq!(shard.arithmetic(), arithmetic, "{name}");
        // Known before it is loaded, but for vectors, which are held in f32 as stored.
        assert_eq!(
            shard.weight_bytes(),
            checkpoint.weight_bytes(range),
            "{name}"
        );
        // Asked for another format it is another model.
        let other = open(name).packed_as(PackedFormat::Q4_0).card("m").unwrap();
        assert_eq!(
            (other.name.as_str(), other.quantiser_version),
            ("m-q4_0", 1)
        );
    }
}

#[test]
fn every_block_has_the_values_of_the_reference() {
    let bytes = tensors("blocks");
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for format in StoredFormat::ALL
        .into_iter()
        .filter(|format| !format.is_float())
    {
        let part = |part: &str| tensors.tensor(&format!("{format}.{part}")).unwrap().data();
        let expected = floats(part("values"));
        let mut values = Vec::new();
        format.widen(part("blocks"), &mut values);
        assert!(
            values.len() == expected.len() && values.len() >= 256,
            "{format}"
        );
        for (value, expected) in values.iter().zip(&expected) {
            assert!(
                (value - expected).abs() <= 1e-6 * expected.abs(),
                "{format}"
            );
        }
    }
}

#[test]
fn tokenizer_template_and_stop_ids_come_from_the_metadata() {
    for (name, family_name) in MODELS {
        let own = open(name).asker().unwrap();
        let published = Checkpoint::open(&family(family_name))
            .unwrap()
            .asker()
            .unwrap();
        for text in [
            "Once upon a time",
            "naïve <|end_of_text|> 東京 🙂\n\n  x1234",
            "",
        ] {
            let ids = own.encode(text, true).unwrap();
            assert_eq!(
                ids,
                published.encode(text, true).unwrap(),
                "{name} {text:?}"
            );
            assert_eq!(
                own.tokenizer().decode(&ids).unwrap(),
                published.tokenizer().decode(&ids).unwrap()
            );
        }
        assert_eq!(own.stop_ids(), published.stop_ids(), "{name}");
        let message = ChatMessage {
            role: "user".to_owned(),
            content: "hi".to_owned(),
            ..ChatMessage::default()
        };
        let chat = std::slice::from_ref(&message);
        assert_eq!(
            own.render_chat(chat, &[], true).unwrap(),
            published.render_chat(chat, &[], true).unwrap()
        );
    }
}

/// Merges that were made of pieces and scores cut texts as those of the published
/// tokenizer do.
#[test]
fn pieces_and_scores_are_the_published_tokenizer() {
    let own = open("pieces-q8_0").asker().unwrap();
    let published = Checkpoint::open(&fixture("stories260k"))
        .unwrap()
        .asker()
        .unwrap();
    for text in [
        "Once upon a time, there was a little girl named Lily.",
        "  two  spaces and\na line, 東京 🙂 <s> naïve",
        "antidisestablishmentarianism",
        "",
    ] {
        let ids = own.encode(text, true).unwrap();
        assert_eq!(ids, published.encode(text, true).unwrap(), "{text:?}");
        assert_eq!(
            own.tokenizer().decode(&ids).unwrap(),
            published.tokenizer().decode(&ids).unwrap()
        );
    }
}

#[test]
fn a_split_is_opened_by_its_first_file_and_whole() {
    let first = path("mixtral-bf16");
    let second = first.with_file_name("mixtral-bf16-00002-of-00002.gguf");
    let error = Checkpoint::open(&second).unwrap_err().to_string();
    assert!(error.contains("open the first"), "{error}");
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join(first.file_name().unwrap());
    std::fs::copy(&first, &copy).unwrap();
    let error = Checkpoint::open(&copy).unwrap_err();
    assert!(
        matches!(&error, CheckpointError::Io { path, .. } if path.ends_with(second.file_name().unwrap()))
    );
    // Its own first part in the place of the second.
    std::fs::copy(&first, directory.path().join(second.file_name().unwrap())).unwrap();
    let error = Checkpoint::open(&copy).unwrap_err().to_string();
    assert!(error.contains("not file 2 of 2"), "{error}");
    let renamed = directory.path().join("other.gguf");
    std::fs::copy(&first, &renamed).unwrap();
    let error = Checkpoint::open(&renamed).unwrap_err().to_string();
    assert!(error.contains("-00001-of-00002.gguf"), "{error}");
}
