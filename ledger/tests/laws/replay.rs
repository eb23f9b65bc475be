//! Law: what was signed for one network, job, submitter or purpose has no
//! effect in another, and none twice.

use crate::common::{E, Kit, OfferTerms, Rng, SeedGuard, seed_list, wallet};
use talkoot_ledger::kinds::{Equivocation, Frontier, Reserve};
use talkoot_ledger::views::AccountView;
use talkoot_ledger::{
    Admission, Balance, Entry, Ledger, Outcome, Payload, Reason, Source, StructureError, Ugft,
    id_of,
};
use talkoot_protocol::{SignContext, Signature, Verified, Wallet, codec};

const CONTEXTS: [SignContext; 7] = [
    SignContext::Entry,
    SignContext::Announcement,
    SignContext::Offer,
    SignContext::FreeJob,
    SignContext::Attestation,
    SignContext::Ack,
    SignContext::Ticket,
];

/// Two submitters, two workers, and a job of the first that is under way.
struct Scene {
    kit: Kit,
    ledger: Ledger,
    /// The newest entries of the submitters s and t and the workers w and v.
    s: E,
    t: E,
    w: E,
    v: E,
    job: E,
    reserve: Reserve,
    tokens: (u32, u32),
    nonce: u64,
}

type Books = (Vec<AccountView>, Balance);

impl Scene {
    fn new(line: u64, random: &mut Rng) -> Self {
        let kit = Kit::new(&[("s", line), ("t", line)], &["w", "v"]);
        let [s, t, w, v] = ["s", "t", "w", "v"].map(wallet);
        let names = kit.naming(s, &[w, v]);
        let t_first = kit.witness(t, None, &[&names], 1);
        let [w_first, v_first] = [w, v].map(|who| kit.witness(who, None, &[&names], 1));
        let terms = OfferTerms {
            price: random.next() % 50 + 1,
            share_kflop: random.next() % 5000 + 1,
            reliability_ppm: random.between(500_000, 1_000_000),
            ..OfferTerms::default()
        };
        let tokens = (random.between(1, 20), random.between(1, 20));
        let reserve = kit.reserve_payload(s, &[(w, 7, terms), (v, 7, terms)], tokens.0, tokens.1);
        let payload = Payload::Reserve(Box::new(reserve.clone()));
        let job = kit.entry(s, Some(&names), &[], &payload);
        let mut scene = Self {
            ledger: Ledger::new(kit.genesis.clone()),
            kit,
            s: names,
            t: t_first,
            w: w_first,
            v: v_first,
            job: job.clone(),
            reserve,
            tokens,
            nonce: 100,
        };
        for entry in [&scene.s, &scene.t, &scene.w, &scene.v, &job] {
            scene.ledger.admit(entry.clone(), Source::Own, 0);
        }
        scene.s = job;
        scene
    }

    fn books(&self) -> Books {
        (self.ledger.accounts(), self.ledger.commons())
    }

    fn tip(&mut self, author: Wallet) -> &mut E {
        let tips = [&mut self.s, &mut self.t, &mut self.w, &mut self.v];
        tips.into_iter().find(|tip| tip.author == author).unwrap()
    }

    /// Posts a payload as the next entry of `author`, who has seen the job.
    fn post(&mut self, author: Wallet, refs: &[&E], payload: &Payload) -> Outcome {
        let prev = self.tip(author).clone();
        let refs: Vec<&E> = refs
            .iter()
            .copied()
            .filter(|entry| entry.author != author)
            .collect();
        let entry = self.kit.entry(author, Some(&prev), &refs, payload);
        let admission = self.ledger.admit(entry.clone(), Source::Own, 0);
        assert!(
            matches!(admission, Admission::Added { .. }),
            "{admission:?}"
        );
        *self.tip(author) = entry.clone();
        self.ledger.view(&id_of(&entry)).unwrap().outcome
    }

    /// Another job of the same two parties.
    fn second_job(&mut self) -> E {
        self.nonce += 1;
        let terms = OfferTerms {
            price: self.reserve.price_ugft_per_token,
            ..OfferTerms::default()
        };
        let [s, w, v] = ["s", "w", "v"].map(wallet);
        let stages = [(w, self.nonce, terms), (v, self.nonce, terms)];
        let reserve = self
            .kit
            .reserve_payload(s, &stages, self.tokens.0, self.tokens.1);
        let payload = Payload::Reserve(Box::new(reserve));
        let outcome = self.post(s, &[], &payload);
        assert!(outcome.is_effective(), "{outcome:?}");
        self.s.clone()
    }

    fn full(&self, job: &E, is_final: bool) -> Frontier {
        self.kit
            .frontier_payload(job, self.tokens.0, self.tokens.1, is_final)
    }
}

fn frontier(frontier: &Frontier) -> Payload {
    Payload::Frontier(Box::new(frontier.clone()))
}

/// Whole entries, and the same bodies under other names and signatures.
fn entries_count_in_one_network(here: &Scene, there: &mut Scene) {
    let before = there.books();
    let held: Vec<E> = here
        .ledger
        .entries(0)
        .map(|view| view.entry.clone())
        .collect();
    for entry in held {
        let bytes = entry.to_bytes();
        assert!(E::from_bytes(&bytes, there.kit.network).is_err());
        let admission = there.ledger.admit(entry.clone(), Source::Own, 0);
        assert_eq!(admission, Admission::Refused(StructureError::Network));
        let mut value = entry.clone().into_inner();
        value.network = there.kit.network;
        let body = codec::encode(&value);
        let relabelled = envelope(&body, entry.signature());
        assert!(E::from_bytes(&relabelled, there.kit.network).is_err());
        for context in CONTEXTS {
            let signature = there
                .kit
                .key(entry.author)
                .sign(context, there.kit.network, &body);
            let read = E::from_bytes(&envelope(&body, &signature), there.kit.network);
            assert_eq!(read.is_ok(), context == SignContext::Entry, "{context:?}");
        }
    }
    assert_eq!(there.books(), before);
}

fn envelope(body: &[u8], signature: &Signature) -> Vec<u8> {
    let length = (body.len() as u64).to_le_bytes();
    [&length, body, signature.as_bytes()].concat()
}

/// What stands inside entries: offers, attestations, acks, pairs.
fn parts_count_in_one_network(here: &Scene, there: &mut Scene) {
    let [s, w] = ["s", "w"].map(wallet);
    let before = there.books();
    let offers = Payload::Reserve(Box::new(here.reserve.clone()));
    assert_eq!(
        there.post(s, &[], &offers),
        Outcome::Inert(Reason::OfferSignature)
    );
    let right = there.full(&there.job, true);
    let foreign = here.full(&here.job, true);
    let attested = Frontier {
        attestation: foreign.attestation.clone(),
        ..right.clone()
    };
    let acked = Frontier {
        ack: foreign.ack.clone(),
        ..right
    };
    let renamed = Frontier {
        job: there.full(&there.job, true).job,
        ..foreign
    };
    for (payload, reason) in [
        (attested, Reason::Attestation),
        (acked, Reason::Ack),
        (renamed, Reason::Attestation),
    ] {
        let job = there.job.clone();
        let outcome = there.post(w, &[&job], &frontier(&payload));
        assert_eq!(outcome, Outcome::Inert(reason));
    }
    let twin = |nonce| here.kit.witness(s, Some(&here.job), &[], nonce);
    let pair = Payload::Equivocation(Equivocation::new(&twin(1), &twin(2)));
    assert_eq!(there.post(w, &[], &pair), Outcome::Inert(Reason::NoProof));
    assert!(there.ledger.forked_authors().is_empty());
    assert_eq!(there.books(), before);
}

/// Attestations and acks of one job in another, and by other stages.
fn parts_count_in_one_job(scene: &mut Scene, random: &mut Rng) {
    let [w, v] = ["w", "v"].map(wallet);
    let first = scene.job.clone();
    let second = scene.second_job();
    let before = scene.books();
    let (one, two) = (scene.full(&first, true), scene.full(&second, true));
    let mixed = [
        (
            Frontier {
                job: two.job,
                ..one.clone()
            },
            Reason::Attestation,
        ),
        (
            Frontier {
                ack: one.ack.clone(),
                ..two.clone()
            },
            Reason::Ack,
        ),
        (
            Frontier {
                attestation: one.attestation.clone(),
                ..two.clone()
            },
            Reason::Attestation,
        ),
    ];
    for (payload, reason) in mixed {
        let author = random.pick(&[w, v]);
        let outcome = scene.post(author, &[&first, &second], &frontier(&payload));
        assert_eq!(outcome, Outcome::Inert(reason));
    }
    // Others than the stages have no use for it.
    for author in [wallet("s"), wallet("t")] {
        let outcome = scene.post(author, &[&first, &second], &frontier(&one));
        assert_eq!(outcome, Outcome::Inert(Reason::NotAStage));
    }
    // An ack answers one attestation: not a higher one of the same job.
    let mut raised = one.attestation.claimed().clone();
    raised.number += 1;
    let last = scene.kit.key(raised.stage).clone();
    let raised = Verified::sign(raised, &last, scene.kit.network).unwrap();
    let payload = Frontier {
        attestation: raised.into(),
        ..one
    };
    let outcome = scene.post(w, &[&first], &frontier(&payload));
    assert_eq!(outcome, Outcome::Inert(Reason::Ack));
    assert_eq!(scene.books(), before);
}

/// The same words again: an offer in a second order, a frontier posted twice.
fn nothing_counts_twice(scene: &mut Scene, random: &mut Rng) {
    let [s, t, w] = ["s", "t", "w"].map(wallet);
    let job = scene.job.clone();
    let again = Payload::Reserve(Box::new(scene.reserve.clone()));
    let before = scene.books();
    assert_eq!(
        scene.post(s, &[], &again),
        Outcome::Inert(Reason::OfferUsed)
    );
    assert_eq!(
        scene.post(t, &[&job], &again),
        Outcome::Inert(Reason::OfferSubmitter)
    );
    assert_eq!(scene.books(), before);
    let payload = scene.full(&job, false);
    let first = scene.post(w, &[&job], &frontier(&payload));
    assert!(first.is_effective(), "{first:?}");
    let paid = scene.books();
    assert_ne!(paid, before);
    for _ in 0..random.between(1, 3) {
        let nothing = Outcome::Paid {
            burned: Ugft::ZERO,
            earned: Ugft::ZERO,
            is_final: false,
        };
        assert_eq!(scene.post(w, &[&job], &frontier(&payload)), nothing);
        assert_eq!(scene.books(), paid);
    }
}

#[test]
fn what_was_said_elsewhere_has_no_effect_here() {
    for seed in seed_list(30) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let here = Scene::new(1_000_000, &mut random);
        let mut there = Scene::new(1_000_001, &mut random);
        entries_count_in_one_network(&here, &mut there);
        parts_count_in_one_network(&here, &mut there);
        parts_count_in_one_job(&mut there, &mut random);
        nothing_counts_twice(&mut there, &mut random);
        assert_eq!(there.ledger.sum(), Balance::ZERO);
        assert!(Verified::<Entry>::from_bytes(&here.job.to_bytes(), here.kit.network).is_ok());
    }
}
