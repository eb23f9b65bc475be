//! The law: cut anywhere, fed in any chunks, batched with anything, on any
//! number of threads, the bits are those of the whole.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{
    bits, fixture, load_cut, logits_of, open_all, range, reference_models, references, whole,
};
use std::path::Path;
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{
    Backend, ChatMessage, Checkpoint, GenerateOptions, SessionConfig, SessionId, Shard,
    ShardOptions, StepInput, StepItem, StepOutput, TokenSampler, Wanted, generate,
};
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::model::DType;

const DTYPES: [DType; 2] = [DType::F32, DType::Bf16];
/// As stored, and packed.
const FORMATS: [Option<PackedFormat>; 4] = [
    None,
    Some(PackedFormat::Bf16),
    Some(PackedFormat::Q8_0),
    Some(PackedFormat::Q4_0),
];

fn open(path: &Path, format: Option<PackedFormat>) -> Checkpoint {
    let checkpoint = Checkpoint::open(path).unwrap();
    match format {
        Some(format) => checkpoint.packed_as(format),
        None => checkpoint,
    }
}

fn ids_of(model: &Path) -> Vec<u32> {
    let reference = references(model)
        .into_iter()
        .find(|r| r.name == "short")
        .unwrap();
    [reference.ids, reference.greedy].concat()
}

#[test]
fn cut_at_every_boundary_and_into_four_equals_whole() {
    let models = reference_models();
    for (path, format) in models
        .iter()
        .flat_map(|path| FORMATS.map(|format| (path, format)))
    {
        let checkpoint = open(path, format);
        let layers = checkpoint.config().shape.layers;
        let ids = ids_of(path);
        let options = ShardOptions::default();
        let mut cuts: Vec<Vec<u32>> = (1..layers).map(|cut| vec![0, cut, layers]).collect();
        cuts.push(vec![0, 1, layers / 2, layers - 1, layers]);
        cuts.push((0..=layers).collect());
        for dtype in DTYPES {
            let mut shards = load_cut(&checkpoint, &whole(&checkpoint), &options);
            let expected = bits(&logits_of(&mut shards, &ids, &[5, 1], dtype));
            for cut in &cuts {
                let mut shards = load_cut(&checkpoint, cut, &options);
                let got = bits(&logits_of(&mut shards, &ids, &[5, 1], dtype));
                assert!(
                    got == expected,
                    "{} {format:?} {cut:?} {dtype}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn stock_burn_cut_equals_whole_for_equal_chunks() {
    let path = fixture("tiny");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let options = ShardOptions {
        backend: Backend::Burn,
        ..ShardOptions::default()
    };
    let ids = ids_of(&path);
    let run = |cuts: &[u32]| {
        bits(&logits_of(
            &mut load_cut(&checkpoint, cuts, &options),
            &ids,
            &[5, 1],
            DType::F32,
        ))
    };
    assert!(run(&[0, 4]) == run(&[0, 1, 3, 4]));
}

/// Stock burn operations run the packed values in plain floats, so they differ
/// from the kernels by the rounding of activations alone.
#[test]
fn packed_kernels_are_close_to_stock_burn_on_the_same_values() {
    let path = fixture("stories260k");
    let ids = ids_of(&path);
    for (format, tolerance) in [
        (PackedFormat::Bf16, 0.004),
        (PackedFormat::Q8_0, 0.016),
        (PackedFormat::Q4_0, 0.016),
    ] {
        let checkpoint = open(&path, Some(format));
        let run = |backend| {
            let options = ShardOptions {
                backend,
                ..ShardOptions::default()
            };
            let mut shards = load_cut(&checkpoint, &whole(&checkpoint), &options);
            logits_of(&mut shards, &ids, &[ids.len()], DType::F32)
        };
        let (kernels, burn) = (run(Backend::Kernels), run(Backend::Burn));
        let size = |values: &[f32]| values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let differences: Vec<f32> = kernels.iter().zip(&burn).map(|(a, b)| a - b).collect();
        let error = size(&differences) / size(&burn);
        println!("{format:?}: {error}");
        assert!(error > 0.0 && error < tolerance, "{format:?}: {error}");
    }
}

#[test]
fn chunks_do_not_change_a_bit() {
    for (name, format) in ["tiny", "stories260k"]
        .into_iter()
        .flat_map(|name| FORMATS.map(|format| (name, format)))
    {
        let path = fixture(name);
        let checkpoint = open(&path, format);
        let vocabulary = checkpoint.config().shape.vocabulary;
        let ids: Vec<u32> = (0..150).map(|i| (i * 37 + 11) % vocabulary).collect();
        let mut shards = load_cut(&checkpoint, &whole(&checkpoint), &ShardOptions::default());
        for dtype in DTYPES {
            let expected = bits(&logits_of(&mut shards, &ids, &[ids.len()], dtype));
            for chunks in [&[1][..], &[2], &[3, 1], &[17], &[64, 65], &[149, 1]] {
                let got = bits(&logits_of(&mut shards, &ids, chunks, dtype));
                assert!(got == expected, "{name} {format:?} {chunks:?} {dtype}");
            }
        }
    }
}

#[test]
fn threads_do_not_change_a_bit() {
    let path = fixture("stories260k");
    let ids = ids_of(&path);
    for format in FORMATS {
        let checkpoint = open(&path, format);
        let run = |threads| {
            let options = ShardOptions {
                threads,
                ..ShardOptions::default()
            };
            let mut shards = load_cut(&checkpoint, &whole(&checkpoint), &options);
            bits(&logits_of(&mut shards, &ids, &[ids.len()], DType::F32))
        };
        assert!(run(1) == run(3), "{format:?}");
    }
}

/// One whole shard steps sessions of different lengths, row counts, ranges and
/// formats together; each gives what it gives alone.
#[test]
fn batching_does_not_change_a_bit() {
    for format in FORMATS {
        check_batching(&open(&fixture("stories260k"), format));
    }
}

fn check_batching(checkpoint: &Checkpoint) {
    let layers = checkpoint.config().shape.layers;
    let options = ShardOptions::default();
    let prompts: Vec<Vec<u32>> = [9_usize, 1, 4, 30]
        .iter()
        .map(|&count| {
            (0..count as u32)
                .map(|i| (i * i + 7 * count as u32) % 512)
                .collect()
        })
        .collect();
    let next: Vec<u32> = vec![5, 6, 7, 8];
    let dtypes = [DType::F32, DType::F32, DType::Bf16, DType::F32];
    let expected: Vec<Vec<u32>> = (0..4)
        .map(|i| {
            let mut shards = load_cut(checkpoint, &[0, layers], &options);
            let ids = [prompts[i].as_slice(), &[next[i]]].concat();
            bits(&logits_of(&mut shards, &ids, &[ids.len()], dtypes[i]))
        })
        .collect();

    let mut shard = Shard::load(checkpoint, range(0, layers), &options).unwrap();
    for (i, hidden_dtype) in dtypes.into_iter().enumerate() {
        let config = SessionConfig {
            range: range(0, layers),
            capacity_tokens: 64,
            hidden_dtype,
        };
        shard.open(SessionId(i as u64), config).unwrap();
    }
    let item = |i: usize, position: usize, ids| StepItem {
        session: SessionId(i as u64),
        position: position as u32,
        input: StepInput::Tokens(ids),
        wanted: Wanted::AllLogits,
    };
    let mut got: Vec<Vec<u32>> = vec![Vec::new(); 4];
    let mut run = |shard: &mut Shard, items: &[StepItem<'_>]| {
        for (item, output) in items.iter().zip(shard.step(items).unwrap()) {
            let StepOutput::Logits(logits) = output else {
                panic!("logits wanted")
            };
            got[item.session.0 as usize].extend(bits(&logits));
        }
    };
    run(
        &mut shard,
        &[item(2, 0, &prompts[2]), item(0, 0, &prompts[0])],
    );
    // Decode of two sessions together with the prompts of two others.
    run(
        &mut shard,
        &[
            item(0, 9, &next[0..1]),
            item(3, 0, &prompts[3]),
            item(2, 4, &next[2..3]),
            item(1, 0, &prompts[1]),
        ],
    );
    run(
        &mut shard,
        &[item(3, 30, &next[3..4]), item(1, 1, &next[1..2])],
    );
    assert!(got == expected);
}

#[test]
fn a_session_may_run_any_part_of_a_held_range() {
    let path = fixture("stories260k");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let layers = checkpoint.config().shape.layers;
    let ids = ids_of(&path);
    let options = ShardOptions::default();
    let expected = bits(&logits_of(
        &mut load_cut(&checkpoint, &[0, layers], &options),
        &ids,
        &[ids.len()],
        DType::F32,
    ));
    // One shard holds everything and plays three stages of the same job.
    let mut shard = Shard::load(&checkpoint, range(0, layers), &options).unwrap();
    let parts = [range(0, 2), range(2, 3), range(3, layers)];
    for (i, part) in parts.iter().enumerate() {
        let config = SessionConfig {
            range: *part,
            capacity_tokens: ids.len() as u32,
            hidden_dtype: DType::F32,
        };
        shard.open(SessionId(i as u64), config).unwrap();
    }
    let mut hidden = Vec::new();
    for i in 0..3 {
        let input = if i == 0 {
            StepInput::Tokens(&ids)
        } else {
            StepInput::Hidden(&hidden)
        };
        let wanted = if i == 2 {
            Wanted::AllLogits
        } else {
            Wanted::Hidden
        };
        let item = StepItem {
            session: SessionId(i),
            position: 0,
            input,
            wanted,
        };
        match shard.step(&[item]).unwrap().remove(0) {
            StepOutput::Hidden(rows) => hidden = rows,
            StepOutput::Logits(logits) => assert!(bits(&logits) == expected),
            StepOutput::Nothing => panic!("something was wanted"),
        }
    }
}

#[test]
fn bf16_borders_are_half_the_bytes_and_close() {
    let path = fixture("tiny");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let ids = ids_of(&path);
    let mut shards = load_cut(&checkpoint, &[0, 2, 4], &ShardOptions::default());
    let session = SessionId(1);
    open_all(&mut shards, session, 64, DType::Bf16);
    let item = StepItem {
        session,
        position: 0,
        input: StepInput::Tokens(&ids),
        wanted: Wanted::Hidden,
    };
    let StepOutput::Hidden(rows) = shards[0].step(&[item]).unwrap().remove(0) else {
        panic!("hidden wanted")
    };
    assert_eq!(rows.len(), ids.len() * 64 * 2);
    shards.iter_mut().for_each(|shard| {
        shard.close(session);
    });
    let exact = logits_of(&mut shards, &ids, &[64], DType::F32);
    let rounded = logits_of(&mut shards, &ids, &[64], DType::Bf16);
    assert!(exact != rounded);
    let worst = exact
        .iter()
        .zip(&rounded)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 0.3, "{worst}");
}

#[test]
fn generation_is_the_same_through_cuts_and_samples_reproducibly() {
    let path = fixture("stories260k");
    let checkpoint = Checkpoint::open(&path).unwrap();
    let prompt = checkpoint
        .asker()
        .unwrap()
        .encode("Once upon a time", true)
        .unwrap();
    let params = SamplingParams {
        temperature: 0.9,
        top_p: 0.95,
        seed: 42,
        ..Default::default()
    };
    let run = |cuts: &[u32], seed: u64, chunk_tokens: usize| {
        let mut shards = load_cut(&checkpoint, cuts, &ShardOptions::default());
        let options = GenerateOptions {
            tokens_max: 40,
            chunk_tokens,
            ..GenerateOptions::default()
        };
        let mut sampler = TokenSampler::new(
            SamplingParams {
                seed,
                ..params.clone()
            },
            &prompt,
        );
        generate(&mut shards, &prompt, &options, &mut sampler, &mut |_| true)
            .unwrap()
            .ids
    };
    let whole = run(&[0, 5], 42, 256);
    assert_eq!(whole, run(&[0, 2, 4, 5], 42, 2));
    assert_ne!(whole, run(&[0, 5], 43, 256));
}

/// The model that is embedded in the program, when its files are there.
#[test]
fn the_demo_model_answers_the_same_in_four_parts() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo");
    if !path.join("model.safetensors").exists() {
        println!("skipped: no demo model");
        return;
    }
    let checkpoint = Checkpoint::open(&path).unwrap();
    let asker = checkpoint.asker().unwrap();
    assert!(asker.has_template());
    let message = ChatMessage {
        role: "user".to_owned(),
        content: "Tell me a story about a fox who lost a drum.".to_owned(),
        ..ChatMessage::default()
    };
    let prompt = asker.encode_chat(&[message], &[], true).unwrap();
    let run = |cuts: &[u32]| {
        let mut shards = load_cut(&checkpoint, cuts, &ShardOptions::default());
        let options = GenerateOptions {
            tokens_max: 48,
            stop_ids: asker.stop_ids().to_vec(),
            ..GenerateOptions::default()
        };
        let mut sampler = TokenSampler::new(SamplingParams::default(), &prompt);
        generate(&mut shards, &prompt, &options, &mut sampler, &mut |_| true).unwrap()
    };
    let layers = checkpoint.config().shape.layers;
    let whole = run(&[0, layers]);
    assert_eq!(whole, run(&[0, 2, 4, 6, layers]));
    println!("{}", asker.tokenizer().decode(&whole.ids).unwrap());
}
