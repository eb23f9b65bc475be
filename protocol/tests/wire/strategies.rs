//! Random values within bounds, for the round trips.

use crate::fixtures::{key, network};
use proptest::collection::vec;
use proptest::prelude::*;
use talkoot_protocol::announce::{Presence, Served};
use talkoot_protocol::control::{
    ControlMessage, FailCode, Grammar, JobOrder, OfferRequest, Open, SamplingParams, StageAddress,
    StageReport,
};
use talkoot_protocol::frame::{
    Finish, Frame, FrameHeader, FrameKind, ScoresPayload, StageTime, TokenLogprob, TokenPayload,
    TokenScore,
};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, DType, Hash, JobId, LayerRange, ModelId, Offer, Signed,
    Verified, Wallet,
};

pub(crate) fn hash() -> impl Strategy<Value = Hash> {
    any::<[u8; 32]>().prop_map(Hash::from_bytes)
}

pub(crate) fn range() -> impl Strategy<Value = LayerRange> {
    (0_u32..1024)
        .prop_flat_map(|start| (Just(start), start + 1..=1024))
        .prop_map(|(start, end)| LayerRange::new(start, end).unwrap())
}

pub(crate) fn offer() -> impl Strategy<Value = Verified<Offer>> {
    let numbers = any::<[u64; 4]>();
    let bounded = (
        0..=1_u64 << 36,
        50_000_u32..=8_000_000,
        500_000_u32..=1_000_000,
        0..=1_000_000_000_000_u64,
        1_u32..=1024,
    );
    let tokens = (0..=1_u32 << 18, 0..=1_u32 << 18, any::<u32>());
    (hash(), range(), any::<u16>(), numbers, bounded, tokens).prop_map(
        |(model, range, arithmetic, [nonce, shard_bytes, memory_bytes, expires_ms], b, t)| {
            let offer = Offer {
                worker: key(2).wallet(),
                submitter: key(1).wallet(),
                nonce,
                model: ModelId(model),
                range,
                shard_bytes,
                arithmetic: ArithmeticId(arithmetic),
                price_ugft_per_token: b.3,
                prompt_tokens_max: t.0,
                completion_tokens_max: t.1,
                window_tokens: b.4,
                share_kflop: b.0,
                service_rate: t.2,
                hardware_ppm: b.1,
                reliability_ppm: b.2,
                memory_bytes,
                expires_ms,
            };
            Verified::sign(offer, &key(2), network()).unwrap()
        },
    )
}

pub(crate) fn attestation() -> impl Strategy<Value = Verified<Attestation>> {
    let done = (0..=1_u32 << 18, 0..=1_u32 << 18);
    (
        any::<u32>(),
        hash(),
        hash(),
        done,
        vec(any::<u64>(), 0..=64),
    )
        .prop_map(|(number, previous, transcript, done, stage_compute_us)| {
            let attestation = Attestation {
                stage: key(3).wallet(),
                job: JobId(previous),
                number,
                previous,
                prompt_done: done.0,
                completion_done: done.1,
                transcript,
                stage_compute_us,
                arithmetic: ArithmeticId(1),
            };
            Verified::sign(attestation, &key(3), network()).unwrap()
        })
}

pub(crate) fn ack() -> impl Strategy<Value = Verified<Ack>> {
    (
        hash(),
        hash(),
        0..=1_u32 << 18,
        0..=1_u32 << 18,
        any::<bool>(),
    )
        .prop_map(
            |(job, attestation, prompt_done, completion_done, is_final)| {
                let ack = Ack {
                    submitter: key(1).wallet(),
                    job: JobId(job),
                    attestation,
                    prompt_done,
                    completion_done,
                    is_final,
                };
                Verified::sign(ack, &key(1), network()).unwrap()
            },
        )
}

fn addresses() -> impl Strategy<Value = Vec<String>> {
    vec("[ -~]{0,128}", 0..=16)
}

fn served() -> impl Strategy<Value = Served> {
    (
        hash(),
        "[a-zäß€]{0,16}",
        range(),
        any::<u16>(),
        1..=u32::MAX,
        any::<u32>(),
    )
        .prop_map(
            |(model, name, range, arithmetic, layers_per_second, context)| Served {
                model: ModelId(model),
                name,
                card: model,
                layers: 1024,
                range,
                arithmetic: ArithmeticId(arithmetic),
                layers_per_second,
                context,
            },
        )
}

pub(crate) fn presence() -> impl Strategy<Value = Presence> {
    let lists = (addresses(), addresses(), vec(served(), 0..=16));
    ("[ -~]{0,32}", lists, any::<u16>(), any::<u64>()).prop_map(
        |(software, (addresses, data_addresses, served), free_sessions, memory_bytes)| Presence {
            software,
            addresses,
            data_addresses,
            served,
            free_sessions,
            memory_bytes,
        },
    )
}

fn sampling() -> impl Strategy<Value = SamplingParams> {
    let penalties = (0.01_f32..=100.0, -100.0_f32..=100.0, -100.0_f32..=100.0);
    let cuts = (
        0.0_f32..=100.0,
        any::<u32>(),
        0.001_f32..=1.0,
        0.0_f32..=1.0,
    );
    let report = (any::<u64>(), 0_u8..=20, any::<bool>(), any::<bool>());
    let bias = vec((any::<u32>(), -1000.0_f32..=1000.0), 0..=32);
    let fields = (
        cuts,
        penalties,
        report,
        bias,
        proptest::option::of(grammar()),
    );
    fields.prop_map(
        |(cuts, penalties, report, logit_bias, grammar)| SamplingParams {
            temperature: cuts.0,
            top_k: cuts.1,
            top_p: cuts.2,
            min_p: cuts.3,
            repetition_penalty: penalties.0,
            frequency_penalty: penalties.1,
            presence_penalty: penalties.2,
            seed: report.0,
            top_logprobs: report.1,
            logprobs: report.2,
            logit_bias,
            prompt_logprobs: report.3,
            grammar,
        },
    )
}

fn grammar() -> impl Strategy<Value = Grammar> {
    prop_oneof![
        Just(Grammar::JsonObject),
        "\\PC{0,100}".prop_map(Grammar::JsonSchema),
        "\\PC{0,100}".prop_map(Grammar::Regex),
        "\\PC{0,100}".prop_map(Grammar::Lark),
    ]
}

fn hidden_dtype() -> impl Strategy<Value = DType> {
    prop_oneof![Just(DType::F32), Just(DType::Bf16)]
}

fn stages() -> impl Strategy<Value = Vec<StageAddress>> {
    vec((1_u32..=16, any::<[u8; 32]>(), addresses()), 1..=64).prop_map(|parts| {
        let mut next = 0;
        parts
            .into_iter()
            .map(|(layers, wallet, addresses)| {
                let range = LayerRange::new(next, next + layers).unwrap();
                next += layers;
                StageAddress {
                    wallet: Wallet::from_bytes(wallet),
                    range,
                    addresses,
                }
            })
            .collect()
    })
}

fn open() -> impl Strategy<Value = Open> {
    let route = stages().prop_flat_map(|stages| {
        let last = u16::try_from(stages.len()).unwrap() - 1;
        (Just(stages), 0..=last)
    });
    let tokens = vec(any::<u32>(), 1..=300);
    let stops = vec(any::<u32>(), 0..=64);
    let order = vec(any::<u8>(), 0..=400).prop_map(JobOrder::Reserved);
    (
        order,
        hash(),
        any::<u32>(),
        route,
        addresses(),
        hidden_dtype(),
        sampling(),
        tokens,
        stops,
    )
        .prop_map(
            |(order, model, epoch, route, addresses, dtype, sampling, tokens, stops)| Open {
                order,
                model: ModelId(model),
                epoch,
                stages: route.0,
                index: route.1,
                submitter_addresses: addresses,
                hidden_dtype: dtype,
                sampling,
                prompt_tokens: u32::try_from(tokens.len()).unwrap(),
                prompt_ids: tokens,
                stop_ids: stops,
                completion_tokens_max: 64,
                request_id: format!("r-{epoch}"),
            },
        )
}

pub(crate) fn control() -> impl Strategy<Value = ControlMessage> {
    let reason = || "\\PC{0,100}";
    let report = (hash(), hash(), any::<u64>(), any::<u64>());
    let request = (
        hash(),
        range(),
        1..=1_u32 << 17,
        0..=1_u32 << 17,
        hidden_dtype(),
    );
    prop_oneof![
        request.prop_map(
            |(model, range, prompt_tokens, completion_tokens_max, hidden_dtype)| {
                ControlMessage::OfferRequest(OfferRequest {
                    model: ModelId(model),
                    range,
                    prompt_tokens,
                    completion_tokens_max,
                    hidden_dtype,
                })
            }
        ),
        offer().prop_map(|offer| ControlMessage::Offer(offer.into())),
        reason().prop_map(|reason| ControlMessage::Refused {
            code: FailCode::Credit,
            reason,
        }),
        open().prop_map(|open| ControlMessage::Open(Box::new(open))),
        (attestation(), ack()).prop_map(|(attestation, ack)| ControlMessage::Ack {
            attestation: Signed::from(attestation),
            ack: ack.into(),
        }),
        (any::<u16>(), range(), reason()).prop_map(|(stage, range, reason)| {
            ControlMessage::Fail {
                stage,
                range,
                code: FailCode::Timeout,
                reason,
            }
        }),
        report.prop_map(|(received, sent, rows, compute_us)| {
            ControlMessage::Closed(StageReport {
                received,
                sent,
                rows,
                compute_us,
            })
        }),
    ]
}

pub(crate) fn frame() -> impl Strategy<Value = Frame> {
    let kind = prop_oneof![
        Just(FrameKind::Prompt),
        Just(FrameKind::Hidden),
        Just(FrameKind::Token),
        Just(FrameKind::Attestation),
        Just(FrameKind::Scores),
    ];
    let place = (any::<u32>(), 0..=(1_u32 << 18) - 1024, 1_u32..=1024);
    let times = vec(any::<(u32, u32, u32)>(), 0..=64);
    (
        kind,
        hidden_dtype(),
        hash(),
        place,
        times,
        vec(any::<u8>(), 0..=300),
    )
        .prop_map(
            |(kind, dtype, job, (epoch, position, rows), times, payload)| Frame {
                header: FrameHeader {
                    kind,
                    dtype,
                    job: JobId(job),
                    epoch,
                    position,
                    rows,
                    times: u16::try_from(times.len()).unwrap(),
                    length: u32::try_from(payload.len()).unwrap(),
                },
                times: times
                    .into_iter()
                    .map(|(compute_us, stay_us, link_us)| StageTime {
                        compute_us,
                        stay_us,
                        link_us,
                    })
                    .collect(),
                payload,
            },
        )
}

pub(crate) fn scores_payload() -> impl Strategy<Value = ScoresPayload> {
    let score = (-100.0_f32..=0.0, token_payload())
        .prop_map(|(logprob, TokenPayload { top, .. })| TokenScore { logprob, top });
    vec(score, 0..=8).prop_map(|scores| ScoresPayload { scores })
}

pub(crate) fn token_payload() -> impl Strategy<Value = TokenPayload> {
    let top = vec((any::<u32>(), -100.0_f32..=0.0), 0..=20);
    let finish = prop_oneof![Just(Finish::Stop), Just(Finish::Length)];
    let logprob = proptest::option::of(-100.0_f32..=0.0);
    (any::<u32>(), logprob, top, proptest::option::of(finish)).prop_map(
        |(token, logprob, top, finish)| TokenPayload {
            token,
            logprob,
            top: top
                .into_iter()
                .map(|(token, logprob)| TokenLogprob { token, logprob })
                .collect(),
            finish,
        },
    )
}
