//! The body for admission: the bytes choose what several authors write, how it
//! is signed and in which order it arrives. After each step the invariants
//! hold, and in the end another order of arrival gives the same bytes.

use super::input::Input;
use crate::common::{E, Kit, OfferTerms, wallet};
use std::sync::OnceLock;
use talkoot_ledger::kinds::{self, Admit, Equivocation, Model, Release, Reserve};
use talkoot_ledger::{
    Admission, Balance, Entry, HOLD_GRACE_MS, Ledger, Payload, Source, Ugft, id_of,
};
use talkoot_protocol::limits::ENTRY_PAYLOAD_BYTES_MAX;
use talkoot_protocol::{Hash, JobId, LayerRange, NetworkId, Signed, Verified, Wallet, codec};

const STEPS_MAX: usize = 48;
const LINE: u64 = 1000;
const AMOUNTS: [u64; 8] = [1, 0, 10, LINE / 2, LINE, LINE + 1, 1 << 60, u64::MAX];
const PRICES: [u64; 6] = [1, 0, 2, 100, 1_000_000_000_000, 999];
const TOKENS: [u32; 6] = [10, 0, 1, 100, 1000, 1 << 18];

struct World {
    kit: &'static Kit,
    /// Founders, workers, and one whom nobody names.
    authors: [Wallet; 6],
    ledger: Ledger,
    /// Everything that was rightly signed, in the order of writing.
    made: Vec<E>,
    held_back: Vec<E>,
    nonce: u64,
}

fn kit() -> &'static Kit {
    static KIT: OnceLock<Kit> = OnceLock::new();
    KIT.get_or_init(|| {
        let founders = [("f0", LINE), ("f1", LINE), ("f2", LINE)];
        Kit::new(&founders, &["w0", "w1", "x"])
    })
}

/// Any bytes.
pub(super) fn admission(data: &[u8]) {
    let mut input = Input::new(data);
    let mut world = World::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        world.step(&mut input);
        world.check();
    }
    world.finish(&mut input);
}

impl World {
    fn new() -> Self {
        let kit = kit();
        let names = kit.naming(wallet("f0"), &[wallet("w0"), wallet("w1")]);
        let mut ledger = Ledger::new(kit.genesis.clone());
        ledger.admit(names.clone(), Source::Own, 0);
        Self {
            kit,
            authors: ["w0", "f0", "w1", "f1", "f2", "x"].map(wallet),
            ledger,
            made: vec![names],
            held_back: Vec::new(),
            nonce: 0,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let author = input.pick(&self.authors);
        let Some((kind, payload)) = self.payload(author, input) else {
            return;
        };
        if payload.len() > ENTRY_PAYLOAD_BYTES_MAX {
            return;
        }
        let prev = self.prev(author, input);
        let refs = self.refs(author, prev.as_ref(), input);
        let refs: Vec<&E> = refs.iter().map(|&i| &self.made[i]).collect();
        let names: Vec<Wallet> = if input.chance(16) {
            vec![input.pick(&self.authors)]
        } else {
            Vec::new()
        };
        let entry = self
            .kit
            .raw(author, prev.as_ref(), &refs, kind, payload, &names);
        let entry = self.bend(entry.into_inner(), input);
        if input.chance(16) {
            self.refuse_forged(&entry, input);
        } else if let Ok(entry) = Verified::sign(entry, self.kit.key(author), self.kit.network) {
            assert_eq!(
                E::from_bytes(&entry.to_bytes(), self.kit.network).as_ref(),
                Ok(&entry)
            );
            // Nothing can follow numbers near the end, and no set holds them.
            if entry.lamport < 1 << 60 {
                self.made.push(entry.clone());
            }
            self.deliver(entry, input);
        }
    }

    fn newest(&self, author: Wallet) -> Option<&E> {
        self.made.iter().rev().find(|entry| entry.author == author)
    }

    /// Mostly the newest entry of the author; else any entry, or none.
    fn prev(&self, author: Wallet, input: &mut Input<'_>) -> Option<E> {
        match input.byte() {
            0..=200 => self.newest(author).cloned(),
            201..=240 => Some(self.made[input.below(self.made.len())].clone()),
            _ => None,
        }
    }

    fn refs(&self, author: Wallet, prev: Option<&E>, input: &mut Input<'_>) -> Vec<usize> {
        let mut refs = Vec::new();
        if prev.is_none() && !input.chance(16) {
            refs.push(0);
        }
        let is_strict = !input.chance(16);
        for _ in 0..input.below(4) {
            let back = input.below(self.made.len());
            let i = self.made.len() - 1 - back;
            if !is_strict || self.made[i].author != author {
                refs.push(i);
            }
        }
        refs.retain(|&i| !is_strict || self.made[i].author != author);
        refs
    }

    /// Sometimes an envelope that no set can hold.
    fn bend(&self, mut entry: Entry, input: &mut Input<'_>) -> Entry {
        // Some say that the deadline of all jobs is over.
        let over_ms = HOLD_GRACE_MS + 9000;
        entry.time_ms = if input.chance(64) { over_ms } else { 0 } + self.made.len() as u64;
        if !input.chance(24) {
            return entry;
        }
        match input.below(7) {
            0 => entry.lamport = entry.lamport.wrapping_add(u64::from(input.byte())),
            1 => entry.lamport = entry.lamport.wrapping_sub(u64::from(input.byte())),
            2 => (entry.seq, entry.lamport) = (u64::MAX - 1, u64::MAX),
            3 => entry.prev = Hash::from_bytes([input.byte(); 32]),
            4 => entry.refs = vec![Hash::from_bytes([input.byte(); 32])],
            5 => entry.network = NetworkId(Hash::ZERO),
            _ => entry.time_ms = u64::MAX,
        }
        entry
    }

    /// Signed by another, or with a signature of any bytes: it does not verify.
    fn refuse_forged(&self, entry: &Entry, input: &mut Input<'_>) {
        let body = codec::encode(entry);
        let other = self.authors.iter().find(|other| **other != entry.author);
        let signature = match input.below(2) {
            0 => *self
                .kit
                .key(*other.unwrap())
                .sign(
                    talkoot_protocol::SignContext::Entry,
                    self.kit.network,
                    &body,
                )
                .as_bytes(),
            _ => [input.byte(); 64],
        };
        let length = (body.len() as u64).to_le_bytes();
        let bytes = [length.as_slice(), &body, &signature].concat();
        assert!(
            E::from_bytes(&bytes, self.kit.network).is_err(),
            "a forgery verifies"
        );
    }

    fn payload(&mut self, author: Wallet, input: &mut Input<'_>) -> Option<(u16, Vec<u8>)> {
        let payload = match input.below(11) {
            0 => Payload::Witness,
            1 => {
                let kind = u16::from(input.below(10).to_le_bytes()[0]);
                let length = input.below(600);
                return Some((kind, input.bytes(length).to_vec()));
            }
            2 => Payload::Admit(Admit {
                wallet: input.pick(&self.authors),
                line_ugft: Ugft(input.pick(&AMOUNTS)),
            }),
            3 | 4 => Payload::Reserve(Box::new(self.reserve(author, input))),
            5 | 6 => return self.frontier(input),
            7 => {
                let [first, second] = [(); 2].map(|()| input.below(self.made.len()));
                Payload::Equivocation(Equivocation::new(&self.made[first], &self.made[second]))
            }
            8 => Payload::Release(Release {
                job: JobId(id_of(&self.made[input.below(self.made.len())])),
            }),
            9 => {
                let length = input.below(300);
                Payload::Model(Model {
                    card: input.bytes(length).to_vec(),
                })
            }
            _ => return Some(self.changed(input)),
        };
        Some((payload.kind(), payload.to_bytes()))
    }

    /// An earlier payload again, with some of its bytes changed.
    fn changed(&self, input: &mut Input<'_>) -> (u16, Vec<u8>) {
        let entry = &self.made[input.below(self.made.len())];
        let mut payload = entry.payload.clone();
        for _ in 0..input.below(4) {
            if !payload.is_empty() {
                let at = input.below(payload.len());
                payload[at] = input.byte();
            }
        }
        (entry.kind, payload)
    }

    fn terms(input: &mut Input<'_>, price: u64) -> OfferTerms {
        OfferTerms {
            price,
            share_kflop: input.pick(&[1000, 0, 1, 1 << 36, 3333]),
            service_rate: input.pick(&[0, 1, 7, u32::MAX]),
            reliability_ppm: input.pick(&[1_000_000, 500_000, 777_777]),
            shard_bytes: input.pick(&[50, 0, u64::MAX]),
            memory_bytes: input.pick(&[100, 1, u64::MAX, 0]),
        }
    }

    fn reserve(&mut self, author: Wallet, input: &mut Input<'_>) -> Reserve {
        self.nonce += 1;
        let nonce = if input.chance(16) { 1 } else { self.nonce };
        let price = input.pick(&PRICES);
        let stages: Vec<_> = (0..=input.below(4))
            .map(|_| {
                let terms = if input.chance(80) {
                    Self::terms(input, price)
                } else {
                    OfferTerms {
                        price,
                        ..OfferTerms::default()
                    }
                };
                (input.pick(&self.authors), nonce, terms)
            })
            .collect();
        let tokens = [(); 2].map(|()| input.pick(&TOKENS));
        let submitter = if input.chance(16) {
            input.pick(&self.authors)
        } else {
            author
        };
        let mut reserve = self
            .kit
            .reserve_payload(submitter, &stages, tokens[0], tokens[1]);
        if input.chance(24) {
            match input.below(6) {
                0 => reserve.price_ugft_per_token = input.pick(&AMOUNTS),
                1 => reserve.layers = input.pick(&[0, 1, 1024, u32::MAX]),
                2 => {
                    reserve.continues = Some(JobId(id_of(&self.made[input.below(self.made.len())])))
                }
                3 => reserve.deadline_ms = input.pick(&[0, u64::MAX]),
                4 => reserve.offers.reverse(),
                _ => self.widen(&mut reserve, input),
            }
        }
        reserve
    }

    /// Another range in the first offer, signed by its worker or by another.
    fn widen(&self, reserve: &mut Reserve, input: &mut Input<'_>) {
        let Some(signed) = reserve.offers.first_mut() else {
            return;
        };
        let mut offer = signed.claimed().clone();
        let Ok(range) = LayerRange::new(0, 1 + u32::from(input.byte())) else {
            return;
        };
        offer.range = range;
        let right = self.kit.sign_offer(offer);
        *signed = if input.chance(128) {
            let mut bytes = right.to_bytes();
            bytes.iter_mut().rev().take(64).for_each(|byte| *byte = 1);
            Signed::decode(&bytes).unwrap_or(right)
        } else {
            right
        };
    }

    fn frontier(&self, input: &mut Input<'_>) -> Option<(u16, Vec<u8>)> {
        let is_job = |entry: &&E| {
            entry.kind == kinds::RESERVE
                && Payload::decode(entry.kind, &entry.payload).is_ok_and(|payload| {
                    matches!(payload, Some(Payload::Reserve(reserve))
                        if reserve.offers.iter().all(|offer| self.authors.contains(&offer.claimed().worker)))
                })
        };
        let jobs: Vec<&E> = self.made.iter().filter(is_job).collect();
        if jobs.is_empty() {
            return None;
        }
        let job = jobs[jobs.len() - 1 - input.below(jobs.len())];
        let done = [(); 2].map(|()| input.pick(&TOKENS));
        let mut frontier = self
            .kit
            .frontier_payload(job, done[0], done[1], input.chance(100));
        if input.chance(16) {
            let other = jobs[input.below(jobs.len())];
            let other = self.kit.frontier_payload(other, done[1], done[0], false);
            match input.below(3) {
                0 => frontier.ack = other.ack,
                1 => frontier.attestation = other.attestation,
                _ => frontier.job = other.job,
            }
        }
        Some((
            kinds::FRONTIER,
            Payload::Frontier(Box::new(frontier)).to_bytes(),
        ))
    }

    fn deliver(&mut self, entry: E, input: &mut Input<'_>) {
        if input.chance(48) {
            self.held_back.push(entry);
            return;
        }
        let source = input.pick(&[Source::Own, Source::Peer(wallet("peer"))]);
        let admission = self.ledger.admit(entry.clone(), source, 0);
        let is_held = self.ledger.holds(&id_of(&entry));
        match admission {
            Admission::Added { .. } => assert!(is_held),
            Admission::Known => {}
            Admission::Pending { .. } => assert!(self.ledger.is_pending(&id_of(&entry))),
            Admission::Refused(_) | Admission::Later => assert!(!is_held),
        }
        if input.chance(24) {
            let late = std::mem::take(&mut self.held_back);
            self.ledger.admit_batch(late, Source::Own, 0);
        }
    }

    fn check(&self) {
        let ledger = &self.ledger;
        assert_eq!(ledger.sum(), Balance::ZERO);
        let accounts = ledger.accounts();
        let lines: i128 = accounts.iter().map(|account| account.line.0).sum();
        assert_eq!(lines, i128::from(3 * LINE), "lines were made or lost");
        let balances: i128 = accounts.iter().map(|account| account.balance.0).sum();
        assert_eq!(balances + ledger.commons().0, 0);
        assert!(ledger.commons() >= Balance::ZERO);
        let forked = ledger.forks();
        let is_forked = |wallet| forked.iter().any(|fork| fork.author == wallet);
        let founders_are_right = !self
            .kit
            .genesis
            .founders
            .iter()
            .any(|f| is_forked(f.wallet));
        for account in accounts {
            assert!(account.held >= Balance::ZERO, "{account:?}");
            if founders_are_right && !is_forked(account.wallet) {
                let left = account.line.0 + account.balance.0 - account.held.0;
                assert!(left >= 0, "{account:?} is overdrawn");
                assert!(ledger.available(account.wallet) >= Balance::ZERO);
            }
        }
        for job in ledger.jobs().filter_map(|job| ledger.job(job)) {
            assert_eq!(job.burned.0, job.earned.0 + job.commons.0);
            assert!(job.burned <= job.cap && job.held <= job.cap);
        }
    }

    /// All that was made, in another order and in batches, gives the same.
    fn finish(mut self, input: &mut Input<'_>) {
        let late = std::mem::take(&mut self.held_back);
        self.ledger.admit_batch(late, Source::Own, 0);
        self.check();
        // What found no token or was forgotten is handed in again.
        self.ledger.admit_batch(self.made.clone(), Source::Own, 0);
        let mut other = Ledger::new(self.kit.genesis.clone());
        let mut left = self.made.clone();
        left.reverse();
        let count = left.len();
        for _ in 0..count.min(16) {
            left.swap(input.below(count), count - 1);
        }
        for batch in left.chunks(1 + input.below(8)) {
            other.admit_batch(batch.to_vec(), Source::Own, 0);
        }
        assert_eq!(other.tip(), self.ledger.tip(), "another order, other bytes");
        assert!(other.links(0).eq(self.ledger.links(0)));
        assert_eq!(other.accounts(), self.ledger.accounts());
    }
}
