//! Fixed keys, ids and objects that the samples and the tests share.

use talkoot_protocol::control::{FreeJob, Grammar, JobOrder, Open, SamplingParams, StageAddress};
use talkoot_protocol::genesis::{Founder, Genesis, Policy};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, DType, Hash, HashContext, JobId, Keypair, LayerRange,
    ModelCard, ModelId, ModelShape, NetworkId, Offer, Verified,
};

/// The key of test person `number`.
pub(crate) fn key(number: u8) -> Keypair {
    Keypair::from_seed(&[number; 32])
}

/// A hash that stands for anything.
pub(crate) fn hash(text: &str) -> Hash {
    Hash::of(HashContext::Effect, text.as_bytes())
}

pub(crate) fn genesis() -> Genesis {
    let founders = [1, 2].map(|number| Founder {
        wallet: key(number).wallet(),
        line_ugft: 1_000_000 * u64::from(number),
    });
    Genesis::new(
        "golden",
        1_700_000_000_000,
        Policy::default(),
        founders.to_vec(),
    )
    .unwrap()
}

pub(crate) fn network() -> NetworkId {
    genesis().id()
}

pub(crate) fn range(start: u32, end: u32) -> LayerRange {
    LayerRange::new(start, end).unwrap()
}

pub(crate) fn card() -> ModelCard {
    ModelCard {
        name: "golden-model".to_owned(),
        family: "llama".to_owned(),
        shape: ModelShape {
            layers: 8,
            hidden: 64,
            intermediate: 172,
            heads: 8,
            kv_heads: 4,
            head_dim: 8,
            vocabulary: 512,
            context: 512,
            active_experts: 0,
        },
        dtype: DType::Bf16,
        quantiser_version: 0,
        settings: hash("settings"),
        config: hash("config"),
        tokenizer: hash("tokenizer"),
        template: Hash::ZERO,
        tensors: hash("tensors"),
        weight_bytes: 1_037_312,
    }
}

pub(crate) fn model() -> ModelId {
    card().id()
}

pub(crate) fn job() -> JobId {
    JobId(hash("job"))
}

/// The offer of person 2 to person 1.
pub(crate) fn offer() -> Offer {
    Offer {
        worker: key(2).wallet(),
        submitter: key(1).wallet(),
        nonce: 7,
        model: model(),
        range: range(0, 4),
        shard_bytes: 500_000,
        arithmetic: ArithmeticId(1),
        price_ugft_per_token: 259,
        prompt_tokens_max: 256,
        completion_tokens_max: 256,
        window_tokens: 32,
        share_kflop: 200,
        service_rate: 0,
        hardware_ppm: 1_000_000,
        reliability_ppm: 1_000_000,
        memory_bytes: 1 << 30,
        expires_ms: 1_700_000_060_000,
    }
}

pub(crate) fn signed_offer() -> Verified<Offer> {
    Verified::sign(offer(), &key(2), network()).unwrap()
}

pub(crate) fn attestation() -> Verified<Attestation> {
    let attestation = Attestation {
        stage: key(3).wallet(),
        job: job(),
        number: 1,
        previous: hash("attestation 0"),
        prompt_done: 12,
        completion_done: 8,
        transcript: hash("transcript"),
        stage_compute_us: vec![1200, 1300],
        arithmetic: ArithmeticId(1),
    };
    Verified::sign(attestation, &key(3), network()).unwrap()
}

pub(crate) fn ack() -> Verified<Ack> {
    let ack = Ack {
        submitter: key(1).wallet(),
        job: job(),
        attestation: attestation().id(),
        prompt_done: 12,
        completion_done: 7,
        is_final: true,
    };
    Verified::sign(ack, &key(1), network()).unwrap()
}

pub(crate) fn free_job() -> Verified<FreeJob> {
    let order = FreeJob {
        submitter: key(1).wallet(),
        nonce: 99,
        model: model(),
        layers: 8,
        prompt_tokens: 12,
        completion_tokens_max: 64,
        issued_ms: 1_700_000_000_123,
    };
    Verified::sign(order, &key(1), network()).unwrap()
}

/// An `Open` for two stages, to the last of them.
pub(crate) fn open(order: JobOrder) -> Open {
    let stage = |person, start, end| StageAddress {
        wallet: key(person).wallet(),
        range: range(start, end),
        addresses: vec![format!("127.0.0.1:{}", 7000 + u16::from(person))],
    };
    Open {
        order,
        model: model(),
        epoch: 0,
        stages: vec![stage(2, 0, 4), stage(3, 4, 8)],
        index: 1,
        submitter_addresses: vec!["[::1]:7471".to_owned()],
        hidden_dtype: DType::F32,
        sampling: SamplingParams {
            temperature: 0.5,
            top_k: 40,
            seed: 11,
            top_logprobs: 2,
            logprobs: true,
            logit_bias: vec![(5, -1.5)],
            grammar: Some(Grammar::JsonSchema("{}".to_owned())),
            ..SamplingParams::default()
        },
        prompt_ids: vec![1, 2, 3],
        stop_ids: vec![2],
        prompt_tokens: 3,
        completion_tokens_max: 64,
        request_id: "req-1".to_owned(),
    }
}
