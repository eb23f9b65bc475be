//! The sampler: reproducible, honest to its distribution, unbreakable.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

use proptest::prelude::*;
use std::collections::BTreeMap;
use talkoot_inference::{Sampler, TokenSampler};
use talkoot_protocol::control::SamplingParams;

fn warm() -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        ..SamplingParams::default()
    }
}

/// How often each token is drawn in `count` draws at different positions.
fn frequencies(params: &SamplingParams, logits: &[f32], count: u32) -> BTreeMap<u32, u32> {
    let mut counts = BTreeMap::new();
    for position in 0..count {
        let id = TokenSampler::new(params.clone(), &[])
            .sample(position, logits)
            .unwrap()
            .id;
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[test]
fn greedy_takes_the_largest_and_the_lowest_id_of_equals() {
    let mut sampler = TokenSampler::new(SamplingParams::default(), &[]);
    assert_eq!(sampler.sample(0, &[1.0, 3.0, 3.0, 2.0]).unwrap().id, 1);
    assert_eq!(
        sampler.sample(1, &[f32::NAN, -5.0, f32::NAN]).unwrap().id,
        1
    );
    assert_eq!(sampler.sample(2, &[f32::NAN; 4]).unwrap().id, 0);
}

#[test]
fn draws_follow_the_softmax() {
    let logits = [0.0, 1.0, 2.0, -1.0];
    let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
    let counts = frequencies(&warm(), &logits, 20_000);
    for (id, logit) in logits.iter().enumerate() {
        let expected = f64::from(*logit).exp() / total;
        let got = f64::from(counts[&(id as u32)]) / 20_000.0;
        assert!((got - expected).abs() < 0.015, "{id}: {got} {expected}");
    }
    let cold = frequencies(
        &SamplingParams {
            temperature: 0.1,
            ..warm()
        },
        &logits,
        1000,
    );
    assert!(cold[&2] > 990);
    let coldest = SamplingParams {
        temperature: 1e-44,
        ..warm()
    };
    assert_eq!(frequencies(&coldest, &logits, 100)[&2], 100);
}

#[test]
fn a_draw_depends_on_seed_and_position_alone() {
    let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
    let params = SamplingParams { seed: 9, ..warm() };
    let draw = |params: &SamplingParams, position| {
        TokenSampler::new(params.clone(), &[])
            .sample(position, &logits)
            .unwrap()
            .id
    };
    let mut running = TokenSampler::new(params.clone(), &[]);
    let all: Vec<u32> = (0..40)
        .map(|position| running.sample(position, &logits).unwrap().id)
        .collect();
    let alone: Vec<u32> = (0..40).map(|position| draw(&params, position)).collect();
    assert_eq!(all, alone);
    let other = SamplingParams { seed: 10, ..params };
    assert_ne!(
        all,
        (0..40)
            .map(|position| draw(&other, position))
            .collect::<Vec<_>>()
    );
}

#[test]
fn filters_keep_what_they_say() {
    let logits = [4.0, 3.0, 2.0, 1.0, 0.0];
    let kept = |params: SamplingParams| -> Vec<u32> {
        frequencies(&params, &logits, 4000).into_keys().collect()
    };
    assert_eq!(kept(SamplingParams { top_k: 2, ..warm() }), [0, 1]);
    // Probabilities 0.636, 0.234, 0.086, ..: two tokens reach 0.8, three 0.9.
    assert_eq!(
        kept(SamplingParams {
            top_p: 0.8,
            ..warm()
        }),
        [0, 1]
    );
    assert_eq!(
        kept(SamplingParams {
            top_p: 0.9,
            ..warm()
        }),
        [0, 1, 2]
    );
    assert_eq!(
        kept(SamplingParams {
            top_p: 1e-6,
            ..warm()
        }),
        [0]
    );
    // e^-1 = 0.37 and e^-2 = 0.135 of the most likely.
    assert_eq!(
        kept(SamplingParams {
            min_p: 0.2,
            ..warm()
        }),
        [0, 1]
    );
    assert_eq!(
        kept(SamplingParams {
            min_p: 1.0,
            ..warm()
        }),
        [0]
    );
}

#[test]
fn top_p_over_a_large_flat_vocabulary_keeps_its_share() {
    let logits = vec![0.0; 5000];
    let params = SamplingParams {
        top_p: 0.5,
        ..warm()
    };
    let counts = frequencies(&params, &logits, 3000);
    // Equal weights: the lower half of the ids, all of it.
    assert!(
        counts.keys().all(|id| *id < 2500),
        "{:?}",
        counts.keys().max()
    );
    assert!(*counts.keys().max().unwrap() > 2300);
}

#[test]
fn penalties_and_bias_change_the_choice() {
    let logits = [2.0, 1.9, -1.0];
    let greedy = |params: SamplingParams, prompt: &[u32]| {
        let mut sampler = TokenSampler::new(params, prompt);
        (0..3)
            .map(|position| sampler.sample(position, &logits).unwrap().id)
            .collect::<Vec<_>>()
    };
    let plain = SamplingParams::default;
    assert_eq!(greedy(plain(), &[]), [0, 0, 0]);
    // The prompt counts for repetition: 2.0 / 1.5 < 1.9, then 1.9 / 1.5 < 2.0 / 1.5.
    let repetition = SamplingParams {
        repetition_penalty: 1.5,
        ..plain()
    };
    assert_eq!(greedy(repetition, &[0]), [1, 0, 0]);
    // Presence and frequency count the completion only.
    let presence = SamplingParams {
        presence_penalty: 0.5,
        ..plain()
    };
    assert_eq!(greedy(presence, &[0]), [0, 1, 0]);
    let frequency = SamplingParams {
        frequency_penalty: 0.3,
        ..plain()
    };
    assert_eq!(greedy(frequency, &[0]), [0, 1, 0]);
    let bias = SamplingParams {
        logit_bias: vec![(2, 10.0), (99, 5.0)],
        ..plain()
    };
    assert_eq!(greedy(bias, &[]), [2, 2, 2]);
    // A negative logit is multiplied, so it sinks too.
    let mut sampler = TokenSampler::new(
        SamplingParams {
            repetition_penalty: 2.0,
            ..plain()
        },
        &[0],
    );
    assert_eq!(sampler.sample(0, &[-1.0, -1.5]).unwrap().id, 1);
}

#[test]
fn observed_tokens_count_like_drawn_ones() {
    let params = SamplingParams {
        presence_penalty: 1.0,
        ..SamplingParams::default()
    };
    let logits = [2.0, 1.5, 0.0];
    let mut drawn = TokenSampler::new(params.clone(), &[]);
    drawn.sample(0, &logits).unwrap();
    let mut resumed = TokenSampler::new(params, &[]);
    resumed.observe(0).unwrap();
    assert_eq!(
        drawn.sample(1, &logits).unwrap(),
        resumed.sample(1, &logits).unwrap()
    );
}

#[test]
fn log_probabilities_are_those_of_the_raw_logits() {
    let params = SamplingParams {
        temperature: 5.0,
        logit_bias: vec![(3, 100.0)],
        logprobs: true,
        top_logprobs: 2,
        ..SamplingParams::default()
    };
    let logits = [1.0, 3.0, 2.0, 0.0];
    let sampled = TokenSampler::new(params, &[]).sample(0, &logits).unwrap();
    assert_eq!(sampled.id, 3);
    let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
    let exact = |logit: f64| (logit - total.ln()) as f32;
    assert!((sampled.logprob.unwrap() - exact(0.0)).abs() < 1e-5);
    let ids: Vec<u32> = sampled.top.iter().map(|top| top.id).collect();
    assert_eq!(ids, [1, 2]);
    assert!((sampled.top[0].logprob - exact(3.0)).abs() < 1e-5);
    let silent = TokenSampler::new(SamplingParams::default(), &[])
        .sample(0, &logits)
        .unwrap();
    assert_eq!((silent.logprob, silent.top.len()), (None, 0));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a broken stage sends, the answer is a token of the vocabulary.
    #[test]
    fn any_logits_and_parameters_give_a_token(
        logits in proptest::collection::vec(
            prop_oneof![
                Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY),
                -1e30_f32..1e30, -5.0_f32..5.0,
            ],
            1..40,
        ),
        temperature in prop_oneof![Just(0.0_f32), 1e-6_f32..100.0],
        top_k in 0_u32..50, top_p in 1e-3_f32..=1.0, min_p in 0.0_f32..=1.0,
        penalty in 0.01_f32..100.0, seed in any::<u64>(), position in any::<u32>(),
    ) {
        let params = SamplingParams {
            temperature, top_k, top_p, min_p, seed,
            repetition_penalty: penalty, frequency_penalty: penalty - 50.0,
            logprobs: true, top_logprobs: 5,
            ..SamplingParams::default()
        };
        params.check().unwrap();
        let mut sampler = TokenSampler::new(params, &[0, 1, 1000]);
        for step in 0..3 {
            let sampled = sampler.sample(position.wrapping_add(step), &logits).unwrap();
            prop_assert!((sampled.id as usize) < logits.len());
            prop_assert!(sampled.top.len() <= 5);
        }
    }
}
