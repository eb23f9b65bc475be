//! Entries, offers, attestations and acks made by hand: what liars write, and
//! what honest parties sign between each other outside the books.

use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_ledger::{Entry, Payload, id_of};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, Hash, JobId, Keypair, LayerRange, ModelId, NetworkId, Offer,
    Signed, Verified, Wallet,
};

/// An entry with a right signature.
pub(crate) type E = Verified<Entry>;

pub(crate) const MODEL: ModelId = ModelId(Hash::ZERO);
const ARITHMETIC: ArithmeticId = ArithmeticId(1);

/// What an entry says, apart from its place.
#[derive(Debug, Clone)]
pub(crate) struct Words {
    pub(crate) kind: u16,
    pub(crate) payload: Vec<u8>,
    pub(crate) names: Vec<Wallet>,
    pub(crate) time_ms: u64,
}

impl Words {
    pub(crate) fn new(payload: &Payload, time_ms: u64) -> Self {
        Self {
            kind: payload.kind(),
            payload: payload.to_bytes(),
            names: Vec::new(),
            time_ms,
        }
    }
}

/// An entry after `prev` that cites `refs`, with a right structure.
pub(crate) fn entry(
    network: NetworkId,
    key: &Keypair,
    prev: Option<&E>,
    refs: &[E],
    words: Words,
) -> E {
    let me = key.wallet();
    let foreign = || refs.iter().filter(|parent| parent.author != me).take(8);
    let mut ids: Vec<Hash> = foreign().map(id_of).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut names = words.names;
    names.sort_unstable();
    names.dedup();
    let lamport = prev
        .into_iter()
        .chain(foreign())
        .map(|parent| parent.lamport);
    let entry = Entry {
        network,
        author: me,
        seq: prev.map_or(0, |prev| prev.seq + 1),
        prev: prev.map_or(Hash::ZERO, id_of),
        refs: ids,
        lamport: lamport.max().unwrap_or(0) + 1,
        time_ms: words.time_ms,
        names,
        kind: words.kind,
        payload: words.payload,
    };
    Verified::sign(entry, key, network).expect("within its bounds")
}

/// What a worker promises.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) price: u64,
    pub(crate) share_kflop: u64,
    pub(crate) service_rate: u32,
    pub(crate) reliability_ppm: u32,
    pub(crate) shard_bytes: u64,
    pub(crate) memory_bytes: u64,
}

pub(crate) fn offer(
    worker: Wallet,
    submitter: Wallet,
    nonce: u64,
    layer: u32,
    terms: Terms,
) -> Offer {
    Offer {
        worker,
        submitter,
        nonce,
        model: MODEL,
        range: LayerRange::new(layer, layer + 1).expect("a layer"),
        shard_bytes: terms.shard_bytes,
        arithmetic: ARITHMETIC,
        price_ugft_per_token: terms.price,
        prompt_tokens_max: 100_000,
        completion_tokens_max: 100_000,
        window_tokens: 32,
        share_kflop: terms.share_kflop,
        service_rate: terms.service_rate,
        hardware_ppm: 1_000_000,
        reliability_ppm: terms.reliability_ppm,
        memory_bytes: terms.memory_bytes,
        expires_ms: u64::MAX,
    }
}

pub(crate) fn sign_offer(network: NetworkId, key: &Keypair, offer: Offer) -> Signed<Offer> {
    Verified::sign(offer, key, network)
        .expect("within its bounds")
        .into()
}

pub(crate) fn reserve(offers: Vec<Signed<Offer>>, size: (u32, u32), deadline_ms: u64) -> Reserve {
    let first = offers.first().map(Signed::claimed);
    Reserve {
        model: first.map_or(MODEL, |offer| offer.model),
        layers: u32::try_from(offers.len()).unwrap_or(u32::MAX),
        prompt_tokens: size.0,
        completion_tokens_max: size.1,
        price_ugft_per_token: first.map_or(1, |offer| offer.price_ugft_per_token),
        deadline_ms,
        continues: None,
        offers,
    }
}

/// How far a job is, and how its last stage says so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Progress {
    pub(crate) number: u32,
    pub(crate) previous: Hash,
    pub(crate) done: (u32, u32),
    pub(crate) stages: usize,
}

pub(crate) fn attest(
    network: NetworkId,
    key: &Keypair,
    job: JobId,
    progress: Progress,
) -> Verified<Attestation> {
    let attestation = Attestation {
        stage: key.wallet(),
        job,
        number: progress.number,
        previous: progress.previous,
        prompt_done: progress.done.0,
        completion_done: progress.done.1,
        transcript: Hash::ZERO,
        stage_compute_us: vec![1000 * u64::from(progress.done.1 + 1); progress.stages],
        arithmetic: ARITHMETIC,
    };
    Verified::sign(attestation, key, network).expect("within its bounds")
}

pub(crate) fn ack(
    network: NetworkId,
    key: &Keypair,
    attestation: &Verified<Attestation>,
    done: (u32, u32),
    is_final: bool,
) -> Verified<Ack> {
    let ack = Ack {
        submitter: key.wallet(),
        job: attestation.job,
        attestation: attestation.id(),
        prompt_done: done.0,
        completion_done: done.1,
        is_final,
    };
    Verified::sign(ack, key, network).expect("within its bounds")
}

pub(crate) fn frontier(pair: &Acked, is_final: bool) -> Payload {
    Payload::Frontier(Box::new(Frontier {
        job: pair.1.job,
        attestation: pair.0.clone().into(),
        ack: pair.1.clone().into(),
        is_final,
        received: Hash::ZERO,
        sent: Hash::ZERO,
    }))
}

/// An attestation and the ack of it.
pub(crate) type Acked = (Verified<Attestation>, Verified<Ack>);
