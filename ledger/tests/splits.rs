//! The split of a job: worked examples and its laws under random offers.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{MODEL, Rng, seeds, wallet};
use talkoot_ledger::Ugft;
use talkoot_ledger::split::{Factors, JobSize, Split, SplitError, factors, weights};
use talkoot_protocol::{ArithmeticId, LayerRange, Offer, Policy};

fn offer(layer: u32) -> Offer {
    Offer {
        worker: wallet(&format!("worker {layer}")),
        submitter: wallet("s"),
        nonce: 1,
        model: MODEL,
        range: LayerRange::new(layer, layer + 1).unwrap(),
        shard_bytes: 16,
        arithmetic: ArithmeticId(1),
        price_ugft_per_token: 1,
        prompt_tokens_max: 1000,
        completion_tokens_max: 1000,
        window_tokens: 32,
        share_kflop: 1_000_000,
        service_rate: 0,
        hardware_ppm: 2_000_000,
        reliability_ppm: 1_000_000,
        memory_bytes: 32,
        expires_ms: 0,
    }
}

fn weights_of(offers: &[Offer], policy: &Policy) -> Result<Vec<u64>, SplitError> {
    weights(&offers.iter().collect::<Vec<_>>(), policy)
}

#[test]
fn weights_by_hand() {
    let policy = Policy::default();
    // T = 1 without history; P = 0.85 + 0.3 · 16/32 = 1.
    assert_eq!(weights_of(&[offer(0)], &policy), Ok(vec![1_000_000]));
    // Rates 10, 20, 30: the lower median of three is 20; T = 0.5, 1, 1.5.
    let rated = |rates: &[u32]| -> Vec<Offer> {
        (0..)
            .zip(rates)
            .map(|(layer, &service_rate)| Offer {
                service_rate,
                ..offer(layer)
            })
            .collect()
    };
    assert_eq!(
        weights_of(&rated(&[10, 20, 30]), &policy),
        Ok(vec![500_000, 1_000_000, 1_500_000])
    );
    // Of an even number the lower middle one; clamped at 0.5 and 1.5.
    assert_eq!(
        weights_of(&rated(&[1, 20, 30, 900]), &policy),
        Ok(vec![500_000, 1_000_000, 1_500_000, 1_500_000])
    );
    // No history stands at the median of those who have one.
    assert_eq!(
        weights_of(&rated(&[0, 20, 30]), &policy),
        Ok(vec![1_000_000, 1_000_000, 1_500_000])
    );
    let slow = Factors {
        share_kflop: 1_000_000,
        throughput_ppm: 500_000,
        pressure_ppm: 1_000_000,
        hardware_ppm: 1_000_000,
        weight: 500_000,
    };
    let route = rated(&[10, 20, 30]);
    let list: Vec<&Offer> = route.iter().collect();
    assert_eq!(factors(&list, &policy).unwrap()[0], slow);
    // Memory pressure from 0.85 to 1.15.
    let idle = Offer {
        shard_bytes: 0,
        ..offer(0)
    };
    let full = Offer {
        shard_bytes: 99,
        ..offer(1)
    };
    assert_eq!(
        weights_of(&[idle, full], &policy),
        Ok(vec![850_000, 1_150_000])
    );
    // The hardware multiplier counts only when the genesis says so.
    let on = Policy {
        hardware_multiplier: true,
        ..Policy::default()
    };
    assert_eq!(weights_of(&[offer(0)], &on), Ok(vec![2_000_000]));
    // Nobody weighs nothing.
    let nothing = Offer {
        share_kflop: 0,
        ..offer(0)
    };
    assert_eq!(weights_of(&[nothing], &policy), Ok(vec![1]));
    let no_memory = Offer {
        memory_bytes: 0,
        ..offer(0)
    };
    assert_eq!(weights_of(&[no_memory], &policy), Err(SplitError::NoMemory));
}

#[test]
fn a_split_by_hand() {
    let offers = [
        offer(0),
        Offer {
            share_kflop: 2_000_000,
            reliability_ppm: 900_000,
            ..offer(1)
        },
    ];
    let size = JobSize {
        price_ugft_per_token: 10,
        prompt_tokens: 4,
        completion_tokens_max: 6,
    };
    let list: Vec<&Offer> = offers.iter().collect();
    let split = Split::new(wallet("s"), &list, size, &Policy::default()).unwrap();
    assert_eq!(split.cap, Ugft(100));
    assert_eq!(
        split
            .stages
            .iter()
            .map(|stage| stage.hold)
            .collect::<Vec<_>>(),
        [Ugft(33), Ugft(66)]
    );
    assert_eq!(split.held_total(), Ugft(99));
    assert_eq!(split.gross(1, 4, 1), Some(Ugft(33)));
    assert_eq!(split.earned(1, Ugft(33)), Some(Ugft(29)));
    assert_eq!(split.gross(2, 4, 1), None);
    let own = Split::new(offers[0].worker, &list, size, &Policy::default()).unwrap();
    assert_eq!((own.stages[0].hold, own.gross(0, 4, 1)), (Ugft::ZERO, None));
    assert_eq!(
        own.stages[1].hold,
        Ugft(66),
        "own stages count in the sum of weights"
    );
}

#[test]
fn extremes_are_errors_or_exact_and_never_panic() {
    let policy = Policy {
        hardware_multiplier: true,
        ..Policy::default()
    };
    let most = Offer {
        share_kflop: 1 << 36,
        hardware_ppm: 8_000_000,
        service_rate: u32::MAX,
        shard_bytes: u64::MAX,
        memory_bytes: u64::MAX,
        ..offer(0)
    };
    let offers: Vec<Offer> = (0..64)
        .map(|layer| Offer {
            range: offer(layer).range,
            ..most.clone()
        })
        .collect();
    let list: Vec<&Offer> = offers.iter().collect();
    let size = JobSize {
        price_ugft_per_token: 1 << 40,
        prompt_tokens: 1 << 18,
        completion_tokens_max: 1 << 18,
    };
    let split = Split::new(wallet("s"), &list, size, &policy).unwrap();
    assert_eq!(split.held_total(), split.cap);
    let size = JobSize {
        price_ugft_per_token: u64::MAX,
        ..size
    };
    assert_eq!(
        Split::new(wallet("s"), &list, size, &policy),
        Err(SplitError::OutOfRange)
    );
}

/// Σ earned + commons = burned ≤ cap at every frontier; everything grows with
/// the frontier, and deltas add up to the one-shot total.
#[test]
fn laws_of_the_split_under_random_offers() {
    for seed in 0..seeds(300) {
        let mut random = Rng(seed);
        let count = random.between(1, 8);
        let offers: Vec<Offer> = (0..count)
            .map(|layer| Offer {
                share_kflop: u64::from(random.between(0, 1 << 20)) << random.below(16),
                service_rate: random.between(0, 50) * random.between(0, 1000),
                hardware_ppm: random.between(50_000, 8_000_000),
                reliability_ppm: random.between(500_000, 1_000_000),
                shard_bytes: random.next() >> random.below(60),
                memory_bytes: (random.next() >> random.below(60)).max(1),
                ..offer(layer)
            })
            .collect();
        let list: Vec<&Offer> = offers.iter().collect();
        let size = JobSize {
            price_ugft_per_token: u64::from(random.between(0, 3_000_000)),
            prompt_tokens: random.between(0, 300),
            completion_tokens_max: random.between(0, 300),
        };
        let submitter = if random.chance(30) {
            offers[0].worker
        } else {
            wallet("s")
        };
        let policy = Policy {
            hardware_multiplier: random.chance(50),
            ..Policy::default()
        };
        let split = Split::new(submitter, &list, size, &policy).unwrap();
        let mut last = vec![(0_u64, 0_u64); split.stages.len()];
        let mut deltas = last.clone();
        for done in 0..=size.completion_tokens_max {
            let mut burned = 0;
            for stage in (0..split.stages.len()).filter(|&stage| !split.stages[stage].is_own) {
                let gross = split.gross(stage, size.prompt_tokens, done).unwrap();
                let earned = split.earned(stage, gross).unwrap();
                assert!(
                    earned <= gross && gross <= split.stages[stage].hold,
                    "SEED={seed}"
                );
                assert!(
                    (last[stage].0, last[stage].1) <= (gross.0, earned.0),
                    "SEED={seed}: not monotone"
                );
                assert!(earned.0 >= last[stage].1, "SEED={seed}: not monotone");
                deltas[stage].0 += gross.0 - last[stage].0;
                deltas[stage].1 += earned.0 - last[stage].1;
                last[stage] = (gross.0, earned.0);
                burned += gross.0;
            }
            assert!(burned <= split.cap.0, "SEED={seed}");
        }
        assert_eq!(deltas, last, "SEED={seed}");
        let whole = split.stages.iter().all(|stage| !stage.is_own);
        let dust = split.cap.0 - split.held_total().0;
        assert!(
            !whole || dust < split.stages.len() as u64,
            "SEED={seed}: {dust} is more than dust"
        );
    }
}
