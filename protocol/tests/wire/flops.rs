//! Floating-point operations of known models, and prices from them.

use crate::fixtures::{card, range};
use talkoot_protocol::genesis::{Policy, Pricing};
use talkoot_protocol::{DType, LayerRange, ModelCard, ModelShape};

fn shape(
    [layers, hidden, intermediate]: [u32; 3],
    [heads, kv_heads, head_dim]: [u32; 3],
    vocabulary: u32,
) -> ModelShape {
    ModelShape {
        layers,
        hidden,
        intermediate,
        heads,
        kv_heads,
        head_dim,
        vocabulary,
        context: 512,
        active_experts: 0,
    }
}

fn llama_1b() -> ModelShape {
    shape([16, 2048, 8192], [32, 8, 64], 128_256)
}

fn whole(shape: &ModelShape) -> u64 {
    shape
        .flops_per_token(LayerRange::whole(shape.layers).unwrap())
        .unwrap()
}

#[test]
fn known_models() {
    assert_eq!(whole(&llama_1b()), 2_471_493_632, "Llama-3.2-1B");
    let qwen = shape([24, 896, 4864], [14, 2, 64], 151_936);
    assert_eq!(whole(&qwen), 987_922_432, "Qwen2.5-0.5B");
    let stories = shape([5, 64, 172], [8, 4, 8], 512);
    assert_eq!(whole(&stories), 518_656, "stories260k");
}

#[test]
fn parts_add_up_to_the_whole() {
    let shape = llama_1b();
    for cut in 1..shape.layers {
        let [left, right] =
            [range(0, cut), range(cut, shape.layers)].map(|r| shape.flops_per_token(r).unwrap());
        assert_eq!(left + right, whole(&shape), "cut at {cut}");
    }
}

#[test]
fn only_active_experts_count() {
    let mut shape = llama_1b();
    shape.active_experts = 2;
    let feed_forward = 2 * 16 * 3 * 2048 * 8192;
    assert_eq!(whole(&shape), whole(&llama_1b()) + feed_forward);
}

#[test]
fn overflow_is_none() {
    let mut shape = llama_1b();
    shape.intermediate = u32::MAX;
    shape.hidden = u32::MAX;
    shape.active_experts = u32::MAX;
    assert_eq!(shape.flops_per_token(range(0, 1)), None);
    assert_eq!(
        Policy::default().flops_price_ugft(u64::MAX, DType::F32),
        Some(u64::MAX / 1000)
    );
    let steep = Policy {
        f32_ppm: u64::MAX,
        ..Policy::default()
    };
    assert_eq!(steep.flops_price_ugft(u64::MAX, DType::F32), None);
}

#[test]
fn price_follows_precision() {
    let policy = Policy::default();
    let flops = whole(&llama_1b());
    let price = |dtype| policy.flops_price_ugft(flops, dtype).unwrap();
    assert_eq!(price(DType::F32), 2_471_493);
    assert_eq!(price(DType::Bf16), 1_235_746);
    assert_eq!(price(DType::F16), 1_235_746);
    assert_eq!(price(DType::Q8_0), 617_873);
    assert_eq!(price(DType::Q4_0), 308_936);
}

#[test]
fn a_card_is_priced_as_the_policy_says() {
    let stored = |dtype, weight_bytes| ModelCard {
        dtype,
        weight_bytes,
        shape: llama_1b(),
        ..card()
    };
    let by_flops = Policy::default();
    let bf16 = stored(DType::Bf16, 2_471_500_000);
    assert_eq!(by_flops.price_ugft_per_token(&bf16), Some(1_235_746));
    let by_size = Policy {
        pricing: Pricing::Size,
        // Precision counts in the size, not a second time.
        f16_ppm: 1,
        ..Policy::default()
    };
    let price = |dtype, bytes| by_size.price_ugft_per_token(&stored(dtype, bytes));
    const GIB: u64 = 1 << 30;
    assert_eq!(price(DType::Bf16, 2_471_500_000), Some(1_000_000));
    assert_eq!(price(DType::Bf16, 0), Some(1_000_000));
    assert_eq!(price(DType::Bf16, 32 * GIB), Some(1_000_000));
    assert_eq!(price(DType::F16, 64 * GIB), Some(2_000_000));
    // One model, stored in four ways.
    assert_eq!(price(DType::F32, 128 * GIB), Some(2_000_000));
    assert_eq!(price(DType::Q8_0, 34 * GIB), Some(2_000_000));
    assert_eq!(price(DType::Q4_0, 18 * GIB), Some(2_000_000));
    // Rounded down: one byte more is 29 millionths of a µGFT.
    assert_eq!(price(DType::F16, 32 * GIB + 1), Some(1_000_000));
    assert_eq!(price(DType::F16, 32 * GIB + 34_360), Some(1_000_001));
    // 64 · 2^64 / 18 bytes still have a price.
    assert_eq!(price(DType::Q4_0, u64::MAX), Some(1_908_874_353_777_777));
}
