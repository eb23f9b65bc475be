//! Tests of a quote as people read it: every factor, too little, nothing to pay.

use super::*;
use crate::api::quote::{QuoteCredits, QuoteStage};

fn view() -> QuoteView {
    QuoteView {
        schema: 1,
        model: "ab".repeat(32),
        model_name: "demo".to_owned(),
        dtype: "bf16".to_owned(),
        prompt_tokens: 10,
        completion_tokens_max: 20,
        context: 512,
        flops_per_token: 1_036_000,
        flops: 31_080_000,
        pricing: "flops".to_owned(),
        precision_ppm: Some(500_000),
        free: None,
        price_ugft_per_token: 518,
        cap_ugft: 15_540,
        held_ugft: 5_430,
        available_ugft: 15_540,
        weight_total: 518,
        stages: vec![
            stage("c1", [0, 2], false, Some(part(181, 5_430))),
            stage("c2", [2, 5], true, Some(part(337, 0))),
        ],
        divy: QuoteCredits {
            model_bytes: 64 << 30,
            model_size_factor: 2.0,
            prompt_credits: 20.0,
            completion_credits: 40.0,
            total_credits: 60.0,
        },
    }
}

fn stage(peer: &str, layers: [u32; 2], own: bool, part: Option<QuotePart>) -> QuoteStage {
    QuoteStage {
        peer: peer.repeat(32),
        layers,
        own,
        flops_per_token: 181_248,
        part,
    }
}

fn part(weight: u64, hold_ugft: u64) -> QuotePart {
    QuotePart {
        share_kflop: weight,
        service_rate: 0,
        throughput_ppm: 1_000_000,
        shard_bytes: 1,
        memory_bytes: 2,
        pressure_ppm: 1_150_000,
        hardware_ppm: 1_000_000,
        reliability_ppm: 900_000,
        weight,
        hold_ugft,
        earned_ugft: hold_ugft,
        divy_credits: 30.0,
    }
}

fn row(text: &str, index: usize) -> Vec<&str> {
    let mut stages = text.lines().skip_while(|line| !line.contains("STAGE"));
    let row = stages.nth(index).unwrap();
    row.split_whitespace().collect()
}

#[test]
fn every_factor_is_shown() {
    let text = text(&view());
    for expected in [
        "1,036,000 per token, 31,080,000 in all",
        "0.000518 GFT per token (by flops times 0.500000 for bf16), 0.015540 GFT in all at most",
        "0.015540 GFT: enough",
        "Divy would ask 60.000000 = 20.000000 + 40.000000 credits, 2.000000 per token of 64.0 GiB",
        "held 0.005430 GFT of at most 0.015540",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
    let factors = ["181", "1.000000", "1.150000", "1.000000", "181"];
    assert_eq!(&row(&text, 1)[3..8], factors);
    assert_eq!(
        &row(&text, 1)[8..],
        ["0.005430", "0.900000", "0.005430", "30.000000"]
    );
    assert_eq!(&row(&text, 2)[8..], ["own", "0.900000", "own", "30.000000"]);
}

#[test]
fn too_little_is_said() {
    let poor = QuoteView {
        available_ugft: -1,
        ..view()
    };
    assert!(text(&poor).contains("-0.000001 GFT: too little"));
}

#[test]
fn what_is_free_has_no_amounts() {
    let free = QuoteView {
        free: Some("accounting is off in this network".to_owned()),
        stages: vec![stage("c1", [0, 5], false, None)],
        ..view()
    };
    let text = text(&free);
    assert!(text.contains("nothing: accounting is off in this network"));
    assert!(!text.contains("held") && !text.contains("available"));
    assert_eq!(
        &row(&text, 1)[3..],
        ["181", "-", "-", "-", "-", "-", "-", "-", "-"]
    );
}
