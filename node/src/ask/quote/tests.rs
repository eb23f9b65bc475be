//! Quotes by hand: a small model on two stages.

use super::*;
use std::net::SocketAddr;
use talkoot_protocol::{ArithmeticId, Hash, Keypair, ModelShape};

fn wallet(seed: u8) -> Wallet {
    Keypair::from_seed(&[seed; 32]).wallet()
}

/// 518,656 FLOPs per token: 90,624 for each layer and 65,536 for the head.
fn card() -> ModelCard {
    ModelCard {
        name: "stories".to_owned(),
        family: "llama".to_owned(),
        shape: ModelShape {
            layers: 5,
            hidden: 64,
            intermediate: 172,
            heads: 8,
            kv_heads: 4,
            head_dim: 8,
            vocabulary: 512,
            context: 512,
            active_experts: 0,
        },
        dtype: DType::F32,
        quantiser_version: 0,
        settings: Hash::ZERO,
        config: Hash::ZERO,
        tokenizer: Hash::ZERO,
        template: Hash::ZERO,
        tensors: Hash::ZERO,
        weight_bytes: 100,
    }
}

fn route(seeds: [u8; 2]) -> Vec<RouteStage> {
    let ranges = [(0, 2), (2, 5)];
    let stage = |(seed, (start, end))| RouteStage {
        wallet: wallet(seed),
        range: LayerRange::new(start, end).unwrap(),
        addresses: Vec::<SocketAddr>::new(),
    };
    seeds.into_iter().zip(ranges).map(stage).collect()
}

fn offers(card: &ModelCard, route: &[RouteStage]) -> Vec<Offer> {
    let offer = |stage: &RouteStage| Offer {
        worker: stage.wallet,
        submitter: wallet(9),
        nonce: 1,
        model: card.id(),
        range: stage.range,
        shard_bytes: 50,
        arithmetic: ArithmeticId(1),
        price_ugft_per_token: 518,
        prompt_tokens_max: 100,
        completion_tokens_max: 100,
        window_tokens: 32,
        share_kflop: card.shape.flops_per_token(stage.range).unwrap() / 1000,
        service_rate: 0,
        hardware_ppm: 1_000_000,
        reliability_ppm: 900_000,
        memory_bytes: 100,
        expires_ms: 0,
    };
    route.iter().map(offer).collect()
}

fn quoted(policy: &Policy, seeds: [u8; 2], is_offered: bool) -> QuoteView {
    let (card, route) = (card(), route(seeds));
    let offers = offers(&card, &route);
    let list: Vec<&Offer> = offers.iter().collect();
    let subject = Subject {
        me: wallet(9),
        policy,
        card: &card,
        tokens: (10, 20),
        route: &route,
    };
    view(&subject, is_offered.then_some(list.as_slice()), 20_000).unwrap()
}

#[test]
fn price_split_and_reference_of_a_route_by_hand() {
    let quote = quoted(&Policy::default(), [1, 2], true);
    assert_eq!((quote.flops_per_token, quote.flops), (518_656, 15_559_680));
    assert_eq!(quote.free, None);
    assert_eq!(quote.precision_ppm, Some(1_000_000));
    assert_eq!((quote.price_ugft_per_token, quote.cap_ugft), (518, 15_540));
    assert_eq!((quote.weight_total, quote.held_ugft), (518, 15_540));
    let parts: Vec<&QuotePart> = quote
        .stages
        .iter()
        .map(|stage| stage.part.as_ref().unwrap())
        .collect();
    // No history: T = 1; half of the memory full: P = 1.
    for (part, share, hold, earned) in [
        (parts[0], 181, 5_430, 4_887),
        (parts[1], 337, 10_110, 9_099),
    ] {
        assert_eq!((part.share_kflop, part.weight), (share, share));
        assert_eq!(
            (part.throughput_ppm, part.pressure_ppm),
            (1_000_000, 1_000_000)
        );
        assert_eq!(
            (part.hardware_ppm, part.reliability_ppm),
            (1_000_000, 900_000)
        );
        assert_eq!((part.hold_ugft, part.earned_ugft), (hold, earned));
    }
    assert_eq!(quote.divy.model_size_factor, 1.0);
    assert_eq!(quote.divy.total_credits, 30.0);
    // 2 of 5 layers in 5.43 s and 3 in 10.11 s; memory 0.4 and 0.6 full.
    let credits = parts[0].divy_credits;
    assert!((credits - 13.139).abs() < 0.001, "{credits}");
    assert!((credits + parts[1].divy_credits - 30.0).abs() < 1e-9);
}

#[test]
fn own_stages_count_in_the_split_and_hold_nothing() {
    let quote = quoted(&Policy::default(), [9, 2], true);
    assert!(quote.stages[0].own && !quote.stages[1].own);
    assert_eq!(quote.cap_ugft, 15_540);
    assert_eq!(quote.held_ugft, 10_110);
    assert_eq!(quote.stages[0].part.as_ref().unwrap().hold_ugft, 0);
}

#[test]
fn what_costs_nothing_says_why_and_still_counts_flops_and_credits() {
    let off = Policy {
        accounting: false,
        ..Policy::default()
    };
    for (policy, seeds, why) in [
        (&off, [1, 2], "accounting is off"),
        (&Policy::default(), [9, 9], "our own"),
    ] {
        let quote = quoted(policy, seeds, false);
        assert!(quote.free.as_deref().unwrap().contains(why));
        assert_eq!((quote.price_ugft_per_token, quote.cap_ugft), (0, 0));
        assert!(quote.stages.iter().all(|stage| stage.part.is_none()));
        let flops: u64 = quote.stages.iter().map(|stage| stage.flops_per_token).sum();
        assert_eq!(flops, quote.flops_per_token);
        assert_eq!(quote.divy.total_credits, 30.0);
    }
}

#[test]
fn prices_by_size_are_quoted_as_such() {
    let by_size = Policy {
        pricing: Pricing::Size,
        ..Policy::default()
    };
    let quote = quoted(&by_size, [1, 2], true);
    assert_eq!(
        (quote.pricing.as_str(), quote.precision_ppm),
        ("size", None)
    );
    assert_eq!(quote.cap_ugft, 30_000_000);
}

#[test]
fn tokens_beyond_the_context_are_refused_with_the_numbers() {
    assert!(check_tokens(&card(), (500, 12)).is_ok());
    let error = check_tokens(&card(), (u32::MAX, u32::MAX)).unwrap_err();
    assert_eq!(error.code, ErrorCode::ContextLengthExceeded);
    assert!(error.message.contains("512"), "{error}");
}
