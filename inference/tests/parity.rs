//! Logits and greedy tokens agree with transformers in float32, on our kernels
//! and on stock burn.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{logits_of, reference_models, references, whole};
use talkoot_inference::{
    Backend, Checkpoint, Finish, GenerateOptions, ShardOptions, TokenSampler, generate,
};
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::model::DType;

const TOLERANCE: f32 = 2e-3;

fn worst_difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter()
        .zip(theirs)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, |worst, difference| {
            assert!(!difference.is_nan());
            f32::max(worst, difference)
        })
}

fn check_all(backend: Backend) {
    for path in reference_models() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let options = ShardOptions {
            backend,
            ..ShardOptions::default()
        };
        let mut shards = common::load_cut(&checkpoint, &whole(&checkpoint), &options);
        for reference in references(&path) {
            let ids = [reference.ids.as_slice(), &reference.greedy].concat();
            let ours = logits_of(&mut shards, &ids, &[reference.ids.len(), 1], DType::F32);
            let theirs = [reference.prefill.as_slice(), &reference.decode].concat();
            let worst = worst_difference(&ours, &theirs);
            println!("{} {}: {worst:e}", path.display(), reference.name);
            assert!(
                worst < TOLERANCE,
                "{} {}: {worst}",
                path.display(),
                reference.name
            );
        }
    }
}

#[test]
fn logits_agree_with_transformers() {
    check_all(Backend::Kernels);
}

#[test]
fn stock_burn_logits_agree_with_transformers() {
    check_all(Backend::Burn);
}

#[test]
fn greedy_tokens_and_text_are_identical() {
    for path in reference_models() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let asker = checkpoint.asker().unwrap();
        let mut shards =
            common::load_cut(&checkpoint, &whole(&checkpoint), &ShardOptions::default());
        for reference in references(&path) {
            let ids = asker.encode(&reference.text, true).unwrap();
            assert_eq!(ids, reference.ids, "{} {}", path.display(), reference.name);
            let tokens_max = reference.greedy.len() as u32;
            let options = GenerateOptions {
                tokens_max,
                ..GenerateOptions::default()
            };
            let mut sampler = TokenSampler::new(SamplingParams::default(), &ids);
            let generated =
                generate(&mut shards, &ids, &options, &mut sampler, &mut |_| true).unwrap();
            assert_eq!(
                generated.ids,
                reference.greedy,
                "{} {}",
                path.display(),
                reference.name
            );
            assert_eq!(generated.finish, Finish::Length);
            assert_eq!(shards[0].session_count(), 0);
        }
    }
}
