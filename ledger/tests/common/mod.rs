//! What the ledger's tests share: keys, entries of every kind, randomness, and
//! a naive oracle to compare with.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

pub mod agreed;
pub mod history;
pub mod net;
pub mod oracle;

use std::collections::BTreeMap;
use talkoot_ledger::kinds::{Admit, Frontier, Reserve};
use talkoot_ledger::{Entry, Payload, Ugft, id_of};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, Founder, Genesis, Hash, JobId, Keypair, LayerRange, ModelCard,
    ModelId, NetworkId, Offer, Policy, Signed, Verified, Wallet,
};

/// An entry with a right signature.
pub type E = Verified<Entry>;

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In 0..end.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end as u64)).unwrap()
    }

    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + u32::try_from(self.below((high - low + 1) as usize)).unwrap()
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.between(0, 99) < percent
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }

    pub fn sample<T: Copy>(&mut self, items: &[T], count: usize) -> Vec<T> {
        let mut all = items.to_vec();
        self.shuffle(&mut all);
        all.truncate(count);
        all
    }
}

/// How many seeds a seeded test runs: `TALKOOT_SEEDS` percent of its default.
pub fn seeds(default: u64) -> u64 {
    let percent = std::env::var("TALKOOT_SEEDS")
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(100);
    (default * percent / 100).max(1)
}

/// The seeds of a seeded test: so many, or the one in `TALKOOT_SEED`, which
/// replays a failure.
pub fn seed_list(default: u64) -> Vec<u64> {
    match std::env::var("TALKOOT_SEED") {
        Ok(text) => vec![text.parse().unwrap()],
        Err(_) => (0..seeds(default)).collect(),
    }
}

/// Whether a test that counts what it met has met enough; a replay of one seed
/// or a shortened run need not.
pub fn is_enough(found: impl IntoIterator<Item = u64>, least: u64) -> bool {
    let is_short = std::env::var_os("TALKOOT_SEED").is_some() || seeds(100) < 100;
    is_short || found.into_iter().all(|found| found >= least)
}

/// Prints the seed when the test that holds it panics.
#[derive(Debug)]
pub struct SeedGuard(pub u64);

impl Drop for SeedGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("TALKOOT_SEED={} replays this", self.0);
        }
    }
}

/// One offer's numbers.
#[derive(Debug, Clone, Copy)]
pub struct OfferTerms {
    pub price: u64,
    pub share_kflop: u64,
    pub service_rate: u32,
    pub reliability_ppm: u32,
    pub shard_bytes: u64,
    pub memory_bytes: u64,
}

impl Default for OfferTerms {
    fn default() -> Self {
        Self {
            price: 1,
            share_kflop: 1000,
            service_rate: 0,
            reliability_ppm: 1_000_000,
            shard_bytes: 50,
            memory_bytes: 100,
        }
    }
}

/// A model card of a tiny model.
pub fn model_card(name: &str) -> ModelCard {
    ModelCard {
        name: name.into(),
        family: "llama".into(),
        shape: talkoot_protocol::ModelShape {
            layers: 2,
            hidden: 8,
            intermediate: 16,
            heads: 2,
            kv_heads: 1,
            head_dim: 4,
            vocabulary: 32,
            context: 64,
            active_experts: 0,
        },
        dtype: talkoot_protocol::DType::F32,
        quantiser_version: 0,
        settings: Hash::ZERO,
        config: Hash::ZERO,
        tokenizer: Hash::ZERO,
        template: Hash::ZERO,
        tensors: Hash::ZERO,
        weight_bytes: 1234,
    }
}

/// Keys by name, and a network of founders.
#[derive(Debug)]
pub struct Kit {
    pub genesis: Genesis,
    pub network: NetworkId,
    keys: BTreeMap<Wallet, Keypair>,
}

/// The key of a name.
pub fn key(name: &str) -> Keypair {
    Keypair::from_seed(Hash::of_blob(name.as_bytes()).as_bytes())
}

/// The wallet of a name.
pub fn wallet(name: &str) -> Wallet {
    key(name).wallet()
}

pub const MODEL: ModelId = ModelId(Hash::ZERO);

impl Kit {
    pub fn new(founders: &[(&str, u64)], others: &[&str]) -> Self {
        Self::with_policy(founders, others, Policy::default())
    }

    pub fn with_policy(founders: &[(&str, u64)], others: &[&str], policy: Policy) -> Self {
        let list = founders.iter().map(|(name, line_ugft)| Founder {
            wallet: wallet(name),
            line_ugft: *line_ugft,
        });
        let genesis = Genesis::new("test", 1, policy, list.collect()).unwrap();
        let names = founders
            .iter()
            .map(|founder| founder.0)
            .chain(others.iter().copied());
        let keys = names.map(|name| (wallet(name), key(name))).collect();
        Self {
            network: genesis.id(),
            genesis,
            keys,
        }
    }

    pub fn key(&self, wallet: Wallet) -> &Keypair {
        &self.keys[&wallet]
    }

    /// An entry of any payload after `prev`, citing `refs`.
    pub fn entry(&self, author: Wallet, prev: Option<&E>, refs: &[&E], payload: &Payload) -> E {
        self.raw(author, prev, refs, payload.kind(), payload.to_bytes(), &[])
    }

    #[expect(clippy::too_many_arguments, reason = "one call makes one entry")]
    pub fn raw(
        &self,
        author: Wallet,
        prev: Option<&E>,
        refs: &[&E],
        kind: u16,
        payload: Vec<u8>,
        names: &[Wallet],
    ) -> E {
        let mut ids: Vec<Hash> = refs.iter().map(|entry| id_of(entry)).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut names = names.to_vec();
        names.sort_unstable();
        let lamport = prev
            .into_iter()
            .chain(refs.iter().copied())
            .map(|entry| entry.lamport)
            .max()
            .unwrap_or(0);
        let entry = Entry {
            network: self.network,
            author,
            seq: prev.map_or(0, |prev| prev.seq + 1),
            prev: prev.map_or(Hash::ZERO, id_of),
            refs: ids,
            lamport: lamport + 1,
            time_ms: 1000,
            names,
            kind,
            payload,
        };
        Verified::sign(entry, self.key(author), self.network).unwrap()
    }

    /// A witness; `nonce` in its clock makes it unlike others.
    pub fn witness(&self, author: Wallet, prev: Option<&E>, refs: &[&E], nonce: u64) -> E {
        let mut entry = self
            .entry(author, prev, refs, &Payload::Witness)
            .into_inner();
        entry.time_ms = nonce;
        Verified::sign(entry, self.key(author), self.network).unwrap()
    }

    /// A witness that introduces wallets.
    pub fn naming(&self, author: Wallet, names: &[Wallet]) -> E {
        self.raw(
            author,
            None,
            &[],
            talkoot_ledger::kinds::WITNESS,
            Vec::new(),
            names,
        )
    }

    pub fn admit(&self, author: Wallet, prev: Option<&E>, refs: &[&E], to: Wallet, line: u64) -> E {
        self.entry(
            author,
            prev,
            refs,
            &Payload::Admit(Admit {
                wallet: to,
                line_ugft: Ugft(line),
            }),
        )
    }

    pub fn offer(
        &self,
        worker: Wallet,
        submitter: Wallet,
        nonce: u64,
        layer: u32,
        terms: OfferTerms,
    ) -> Offer {
        let _ = self;
        Offer {
            worker,
            submitter,
            nonce,
            model: MODEL,
            range: LayerRange::new(layer, layer + 1).unwrap(),
            shard_bytes: terms.shard_bytes,
            arithmetic: ArithmeticId(1),
            price_ugft_per_token: terms.price,
            prompt_tokens_max: 1000,
            completion_tokens_max: 1000,
            window_tokens: 32,
            share_kflop: terms.share_kflop,
            service_rate: terms.service_rate,
            hardware_ppm: 2_000_000,
            reliability_ppm: terms.reliability_ppm,
            memory_bytes: terms.memory_bytes,
            expires_ms: 5000,
        }
    }

    pub fn sign_offer(&self, offer: Offer) -> Signed<Offer> {
        let key = self.key(offer.worker).clone();
        Verified::sign(offer, &key, self.network).unwrap().into()
    }

    /// A reserve over these stages, one layer each.
    pub fn reserve_payload(
        &self,
        submitter: Wallet,
        stages: &[(Wallet, u64, OfferTerms)],
        prompt: u32,
        completion_max: u32,
    ) -> Reserve {
        let offer = |(layer, (worker, nonce, terms)): (usize, &(Wallet, u64, OfferTerms))| {
            self.sign_offer(self.offer(
                *worker,
                submitter,
                *nonce,
                u32::try_from(layer).unwrap(),
                *terms,
            ))
        };
        Reserve {
            model: MODEL,
            layers: u32::try_from(stages.len()).unwrap(),
            prompt_tokens: prompt,
            completion_tokens_max: completion_max,
            price_ugft_per_token: stages.first().map_or(1, |stage| stage.2.price),
            deadline_ms: 9000,
            continues: None,
            offers: stages.iter().enumerate().map(offer).collect(),
        }
    }

    /// A reserve with plain offers: the workers with consecutive nonces.
    pub fn reserve(
        &self,
        author: Wallet,
        prev: Option<&E>,
        refs: &[&E],
        workers: &[(Wallet, u64)],
        max: u32,
    ) -> E {
        let stages: Vec<_> = workers
            .iter()
            .map(|(w, nonce)| (*w, *nonce, OfferTerms::default()))
            .collect();
        let payload = self.reserve_payload(author, &stages, 0, max);
        self.entry(author, prev, refs, &Payload::Reserve(Box::new(payload)))
    }

    /// A frontier payload: attestation by the last stage, ack by the submitter.
    pub fn frontier_payload(
        &self,
        job: &E,
        prompt: u32,
        completion: u32,
        is_final: bool,
    ) -> Frontier {
        let Some(Payload::Reserve(reserve)) = Payload::decode(job.kind, &job.payload).unwrap()
        else {
            panic!("not a reserve")
        };
        let last = reserve.offers.last().unwrap().claimed().worker;
        let id = JobId(id_of(job));
        let attestation = Attestation {
            stage: last,
            job: id,
            number: 0,
            previous: Hash::ZERO,
            prompt_done: prompt,
            completion_done: completion,
            transcript: Hash::ZERO,
            stage_compute_us: vec![1000; reserve.offers.len()],
            arithmetic: ArithmeticId(1),
        };
        let attestation = Verified::sign(attestation, self.key(last), self.network).unwrap();
        let ack = Ack {
            submitter: job.author,
            job: id,
            attestation: attestation.id(),
            prompt_done: prompt,
            completion_done: completion,
            is_final,
        };
        let ack = Verified::sign(ack, self.key(job.author), self.network).unwrap();
        Frontier {
            job: id,
            attestation: attestation.into(),
            ack: ack.into(),
            is_final,
            received: Hash::ZERO,
            sent: Hash::ZERO,
        }
    }

    /// A frontier of `author` for `job`, which must be among `refs` or in the
    /// past.
    #[expect(clippy::too_many_arguments, reason = "one call makes one entry")]
    pub fn frontier(
        &self,
        author: Wallet,
        prev: Option<&E>,
        refs: &[&E],
        job: &E,
        done: u32,
        is_final: bool,
    ) -> E {
        let payload = self.frontier_payload(job, 0, done, is_final);
        self.entry(author, prev, refs, &Payload::Frontier(Box::new(payload)))
    }
}
