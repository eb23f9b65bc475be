//! Each way to be inert, and each way to be in no set at all.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{E, Kit, OfferTerms, wallet};
use talkoot_ledger::kinds::{self, Equivocation, Model, Reserve};
use talkoot_ledger::{Admission, Ledger, Outcome, Payload, Reason, Source, Ugft, id_of};
use talkoot_protocol::{Hash, JobId, Signed, Verified, Wallet};

struct World {
    kit: Kit,
    ledger: Ledger,
    names: E,
    s: Wallet,
    w: Wallet,
}

fn world() -> World {
    let kit = Kit::new(&[("s", 1000)], &["w", "v", "x"]);
    let mut ledger = Ledger::new(kit.genesis.clone());
    let (s, w) = (wallet("s"), wallet("w"));
    let names = kit.naming(s, &[w, wallet("v"), wallet("x")]);
    ledger.admit(names.clone(), Source::Own, 0);
    World {
        kit,
        ledger,
        names,
        s,
        w,
    }
}

impl World {
    fn add(&mut self, entry: &E) -> Outcome {
        let admission = self.ledger.admit(entry.clone(), Source::Own, 0);
        assert!(
            matches!(admission, Admission::Added { .. }),
            "{admission:?}"
        );
        self.ledger.view(&id_of(entry)).unwrap().outcome
    }

    fn plain(&self) -> Reserve {
        let stages = [
            (self.w, 1, OfferTerms::default()),
            (wallet("v"), 1, OfferTerms::default()),
        ];
        self.kit.reserve_payload(self.s, &stages, 10, 90)
    }

    fn reserve(&mut self, change: impl FnOnce(&Kit, &mut Reserve)) -> Outcome {
        let mut reserve = self.plain();
        change(&self.kit, &mut reserve);
        let entry = self.kit.entry(
            self.s,
            Some(&self.names.clone()),
            &[],
            &Payload::Reserve(Box::new(reserve)),
        );
        self.add(&entry)
    }
}

fn again(
    kit: &Kit,
    offer: &mut Signed<talkoot_protocol::Offer>,
    change: impl FnOnce(&mut talkoot_protocol::Offer),
) {
    let mut value = offer.claimed().clone();
    change(&mut value);
    *offer = kit.sign_offer(value);
}

#[test]
fn a_right_reserve_holds_its_cap_less_dust() {
    let outcome = world().reserve(|_, _| {});
    assert_eq!(outcome, Outcome::Reserved { held: Ugft(100) });
}

type Change = fn(&Kit, &mut Reserve);

#[test]
fn a_reserve_is_inert_for_each_thing_wrong_with_it() {
    let cases: Vec<(Reason, Change)> = vec![
        (Reason::NotTiled, |_, r| r.layers = 3),
        (Reason::NotTiled, |_, r| r.offers.reverse()),
        (Reason::NotTiled, |_, r| drop(r.offers.remove(0))),
        (Reason::WalletTwice, |kit, r| {
            let mut twice = r.offers[0].claimed().clone();
            twice.range = r.offers[1].claimed().range;
            twice.nonce = 9;
            r.offers[1] = kit.sign_offer(twice);
        }),
        (Reason::OfferSubmitter, |kit, r| {
            again(kit, &mut r.offers[0], |o| o.submitter = wallet("x"))
        }),
        (Reason::OfferModel, |kit, r| {
            again(kit, &mut r.offers[0], |o| {
                o.model.0 = Hash::of_blob(b"other")
            })
        }),
        (Reason::PricesDiffer, |kit, r| {
            again(kit, &mut r.offers[1], |o| o.price_ugft_per_token = 2)
        }),
        (Reason::AboveOffer, |kit, r| {
            again(kit, &mut r.offers[0], |o| o.prompt_tokens_max = 9)
        }),
        (Reason::AboveOffer, |kit, r| {
            again(kit, &mut r.offers[0], |o| o.completion_tokens_max = 89)
        }),
        (Reason::NoMemory, |kit, r| {
            again(kit, &mut r.offers[0], |o| o.memory_bytes = 0)
        }),
        (Reason::OfferSignature, |_, r| {
            let mut bytes = r.offers[0].to_bytes();
            *bytes.last_mut().unwrap() ^= 1;
            r.offers[0] = Signed::decode(&bytes).unwrap();
        }),
        (Reason::TooLittle, |kit, r| {
            r.price_ugft_per_token = 11;
            for offer in &mut r.offers {
                again(kit, offer, |o| o.price_ugft_per_token = 11);
            }
        }),
        (Reason::ContinuesUnknown, |_, r| {
            r.continues = Some(JobId(Hash::of_blob(b"none")))
        }),
        (Reason::Malformed, |_, r| r.layers = 0),
        (Reason::Malformed, |_, r| r.offers.clear()),
    ];
    for (index, (reason, change)) in cases.into_iter().enumerate() {
        assert_eq!(
            world().reserve(change),
            Outcome::Inert(reason),
            "case {index}"
        );
    }
}

#[test]
fn sixty_five_stages_are_too_many() {
    let outcome = world().reserve(|kit, reserve| {
        let stages = vec![(wallet("w"), 1, OfferTerms::default()); 65];
        *reserve = kit.reserve_payload(wallet("s"), &stages, 1, 1);
    });
    assert_eq!(outcome, Outcome::Inert(Reason::TooManyStages));
}

#[test]
fn an_offer_is_carried_once_by_a_log_even_by_an_inert_reserve() {
    let mut world = world();
    let inert = world.reserve(|_, r| r.layers = 3);
    assert_eq!(inert, Outcome::Inert(Reason::NotTiled));
    let tip = world.ledger.log_tip(&world.s).unwrap();
    let prev = world.ledger.entry(&tip.id).unwrap().clone();
    let reserve = Payload::Reserve(Box::new(world.plain()));
    let entry = world.kit.entry(world.s, Some(&prev), &[], &reserve);
    assert_eq!(world.add(&entry), Outcome::Inert(Reason::OfferUsed));
    assert!(world.ledger.offer_used(world.w, 1).is_some());
    assert_eq!(world.ledger.nonce_highest(world.w), Some(1));
}

#[test]
fn a_job_is_continued_by_a_reserve_that_names_it() {
    let mut world = world();
    let names = world.names.clone();
    let first = world
        .kit
        .reserve(world.s, Some(&names), &[], &[(world.w, 1)], 10);
    world.add(&first);
    let stages = [(wallet("v"), 1, OfferTerms::default())];
    let mut next = world.kit.reserve_payload(world.s, &stages, 0, 10);
    next.continues = Some(JobId(id_of(&first)));
    let next = world.kit.entry(
        world.s,
        Some(&first),
        &[],
        &Payload::Reserve(Box::new(next)),
    );
    assert_eq!(world.add(&next), Outcome::Reserved { held: Ugft(10) });
}

#[test]
fn own_stages_count_in_the_split_and_are_neither_held_nor_burned() {
    let mut world = world();
    let stages = [
        (world.s, 1, OfferTerms::default()),
        (world.w, 1, OfferTerms::default()),
    ];
    let payload = world.kit.reserve_payload(world.s, &stages, 0, 100);
    let names = world.names.clone();
    let job = world.kit.entry(
        world.s,
        Some(&names),
        &[],
        &Payload::Reserve(Box::new(payload)),
    );
    assert_eq!(world.add(&job), Outcome::Reserved { held: Ugft(50) });
    let own = world
        .kit
        .frontier(world.s, Some(&job), &[], &job, 100, true);
    assert_eq!(world.add(&own), Outcome::Inert(Reason::NotAStage));
    let paid = world
        .kit
        .frontier(world.w, None, &[&names, &job], &job, 100, true);
    assert_eq!(
        world.add(&paid),
        Outcome::Paid {
            burned: Ugft(50),
            earned: Ugft(50),
            is_final: true
        }
    );
}

struct Jobs<'a> {
    names: &'a E,
    job: &'a E,
    poor: &'a E,
    other: &'a E,
}

fn broken_frontiers(kit: &Kit, w: Wallet, jobs: Jobs<'_>) -> Vec<(Reason, E)> {
    let Jobs {
        names,
        job,
        poor,
        other,
    } = jobs;
    let by = |author: Wallet, payload: kinds::Frontier, job: &E| {
        let refs = [names, job];
        kit.entry(author, None, &refs, &Payload::Frontier(Box::new(payload)))
    };
    let right = || kit.frontier_payload(job, 10, 20, false);
    let mut foreign_attestation = right();
    foreign_attestation.attestation = kit.frontier_payload(other, 0, 5, false).attestation;
    let mut foreign_ack = right();
    foreign_ack.ack = kit.frontier_payload(job, 10, 21, false).ack;
    let mut forged = right();
    let mut bytes = forged.ack.to_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    forged.ack = Signed::decode(&bytes).unwrap();
    let mut above = right();
    let mut ack = above.ack.claimed().clone();
    ack.completion_done += 1;
    above.ack = Verified::sign(ack, kit.key(job.author), kit.network)
        .unwrap()
        .into();
    vec![
        (Reason::NotAStage, by(wallet("x"), right(), job)),
        (Reason::Attestation, by(w, foreign_attestation, job)),
        (Reason::Ack, by(w, foreign_ack, job)),
        (Reason::Ack, by(w, forged, job)),
        (Reason::AckAbove, by(w, above, job)),
        (
            Reason::PromptAbove,
            by(w, kit.frontier_payload(job, 11, 20, false), job),
        ),
        (
            Reason::CompletionAbove,
            by(w, kit.frontier_payload(job, 10, 91, false), job),
        ),
        (
            Reason::JobInert,
            by(w, kit.frontier_payload(poor, 0, 1, false), poor),
        ),
        (Reason::JobUnknown, by(w, right(), names)),
    ]
}

#[test]
fn frontiers_are_inert_for_each_thing_wrong_with_them() {
    let mut world = world();
    let names = world.names.clone();
    let stages = [
        (world.w, 1, OfferTerms::default()),
        (wallet("v"), 1, OfferTerms::default()),
    ];
    let kit = Kit::new(&[("s", 1000)], &["w", "v", "x"]);
    let job = kit.reserve_payload(world.s, &stages, 10, 90);
    let job = kit.entry(world.s, Some(&names), &[], &Payload::Reserve(Box::new(job)));
    let poor = kit.reserve_payload(world.s, &[(world.w, 2, OfferTerms::default())], 0, 1000);
    let poor = kit.entry(world.s, Some(&job), &[], &Payload::Reserve(Box::new(poor)));
    let other = kit.reserve(
        world.s,
        Some(&poor),
        &[],
        &[(world.w, 3), (wallet("v"), 3)],
        10,
    );
    for entry in [&job, &poor, &other] {
        world.add(entry);
    }
    let jobs = Jobs {
        names: &names,
        job: &job,
        poor: &poor,
        other: &other,
    };
    let cases = broken_frontiers(&kit, world.w, jobs);
    for (reason, entry) in cases {
        let mut fresh = Ledger::new(kit.genesis.clone());
        fresh.admit_batch(
            vec![names.clone(), job.clone(), poor.clone(), other.clone()],
            Source::Own,
            0,
        );
        fresh.admit(entry.clone(), Source::Own, 0);
        assert_eq!(
            fresh.view(&id_of(&entry)).unwrap().outcome,
            Outcome::Inert(reason)
        );
    }
}

#[test]
fn a_stage_is_paid_the_most_it_claimed_and_nothing_after_its_last_word() {
    let mut world = world();
    let (names, w) = (world.names.clone(), world.w);
    let job = world
        .kit
        .reserve(world.s, Some(&names), &[], &[(w, 1)], 100);
    world.add(&job);
    let mut prev: Option<E> = None;
    let paid = |burned: u64, is_final| Outcome::Paid {
        burned: Ugft(burned),
        earned: Ugft(burned),
        is_final,
    };
    let steps = [
        (30, false, paid(30, false)),
        (10, false, paid(0, false)),
        (50, false, paid(20, false)),
        (40, true, paid(0, true)),
        (90, false, Outcome::Inert(Reason::AfterFinal)),
    ];
    for (done, is_final, expected) in steps {
        let entry = world
            .kit
            .frontier(w, prev.as_ref(), &[&names, &job], &job, done, is_final);
        assert_eq!(world.add(&entry), expected);
        prev = Some(entry);
    }
    let view = world.ledger.job(JobId(id_of(&job))).unwrap();
    assert_eq!(
        (view.burned, view.earned, view.held),
        (Ugft(50), Ugft(50), Ugft::ZERO)
    );
    assert_eq!(view.stages[0].frontier, Some((0, 40)));
    assert!(view.stages[0].is_final);
}

#[test]
fn reliability_below_one_pays_the_commons() {
    let mut world = world();
    let (names, w) = (world.names.clone(), world.w);
    let terms = OfferTerms {
        reliability_ppm: 750_000,
        ..OfferTerms::default()
    };
    let job = world.kit.reserve_payload(world.s, &[(w, 1, terms)], 0, 99);
    let job = world
        .kit
        .entry(world.s, Some(&names), &[], &Payload::Reserve(Box::new(job)));
    world.add(&job);
    let entry = world.kit.frontier(w, None, &[&names, &job], &job, 99, true);
    assert_eq!(
        world.add(&entry),
        Outcome::Paid {
            burned: Ugft(99),
            earned: Ugft(74),
            is_final: true
        }
    );
    assert_eq!(world.ledger.commons().0, 25);
    assert_eq!(world.ledger.sum().0, 0);
}

#[test]
fn lines_are_passed_on_within_what_is_there() {
    let mut world = world();
    let names = world.names.clone();
    let (s, w, v) = (world.s, world.w, wallet("v"));
    let mut prev = names.clone();
    let mut step = |world: &mut World, author, to, line| {
        let entry = world.kit.admit(author, Some(&prev), &[], to, line);
        prev = entry.clone();
        world.add(&entry)
    };
    assert_eq!(step(&mut world, s, s, 5), Outcome::Inert(Reason::ToSelf));
    assert_eq!(step(&mut world, s, w, 0), Outcome::Inert(Reason::ZeroLine));
    assert_eq!(
        step(&mut world, s, w, 600),
        Outcome::Admitted {
            wallet: w,
            line: Ugft(600)
        }
    );
    assert_eq!(
        step(&mut world, s, v, 401),
        Outcome::Inert(Reason::TooLittle)
    );
    assert_eq!(
        step(&mut world, s, v, 400),
        Outcome::Admitted {
            wallet: v,
            line: Ugft(400)
        }
    );
    assert_eq!(world.ledger.account(w).line.0, 600);
    assert_eq!(world.ledger.account(s).line.0, 0);
    // The receiver spends it once it is confirmed in its past (s is the only
    // founder, so its own entry confirms).
    let on = world.kit.admit(w, None, &[&names, &prev], v, 600);
    assert_eq!(
        world.add(&on),
        Outcome::Admitted {
            wallet: v,
            line: Ugft(600)
        }
    );
}

#[test]
fn earnings_cannot_be_passed_on_as_a_line() {
    let mut world = world();
    let (names, w, v) = (world.names.clone(), world.w, wallet("v"));
    let job = world
        .kit
        .reserve(world.s, Some(&names), &[], &[(w, 1)], 100);
    world.add(&job);
    let earned = world
        .kit
        .frontier(w, None, &[&names, &job], &job, 100, true);
    world.add(&earned);
    assert_eq!(world.ledger.available(w).0, 0, "not confirmed yet");
    assert_eq!(world.ledger.account(w).pending, Ugft(100));
    let seen = world.kit.witness(world.s, Some(&job), &[&earned], 1);
    world.add(&seen);
    assert_eq!(world.ledger.available(w).0, 100);
    assert_eq!(world.ledger.account(w).pending, Ugft(0));
    let admit = world.kit.admit(w, Some(&earned), &[&seen], v, 50);
    assert_eq!(world.add(&admit), Outcome::Inert(Reason::AboveLine));
}

#[test]
fn other_kinds_are_noted_or_say_what_is_wrong() {
    let mut world = world();
    let names = world.names.clone();
    let kit = Kit::new(&[("s", 1000)], &["w", "v", "x"]);
    let next = |world: &mut World, prev: &mut E, kind: u16, payload: Vec<u8>| {
        let entry = kit.raw(world.s, Some(&*prev), &[], kind, payload, &[]);
        *prev = entry.clone();
        world.add(&entry)
    };
    let mut prev = names;
    assert_eq!(
        next(&mut world, &mut prev, 999, vec![1, 2]),
        Outcome::Inert(Reason::UnknownKind)
    );
    assert_eq!(
        next(&mut world, &mut prev, kinds::WITNESS, vec![1]),
        Outcome::Inert(Reason::Malformed)
    );
    assert_eq!(
        next(&mut world, &mut prev, kinds::RESERVE, vec![1]),
        Outcome::Inert(Reason::Malformed)
    );
    assert_eq!(
        next(&mut world, &mut prev, kinds::WITNESS, vec![]),
        Outcome::Noted
    );
    let no_card = Payload::Model(Model { card: vec![1] }).to_bytes();
    assert_eq!(
        next(&mut world, &mut prev, kinds::MODEL, no_card),
        Outcome::Inert(Reason::MalformedCard)
    );
    let (a, b) = (
        kit.witness(wallet("x"), None, &[], 1),
        kit.witness(wallet("x"), None, &[], 2),
    );
    let same = Payload::Equivocation(Equivocation::new(&a, &a)).to_bytes();
    assert_eq!(
        next(&mut world, &mut prev, kinds::EQUIVOCATION, same),
        Outcome::Inert(Reason::NoProof)
    );
    assert!(world.ledger.forked_authors().is_empty());
    let proof = Payload::Equivocation(Equivocation::new(&a, &b)).to_bytes();
    assert_eq!(
        next(&mut world, &mut prev, kinds::EQUIVOCATION, proof),
        Outcome::Noted
    );
    assert_eq!(world.ledger.forked_authors(), [wallet("x")].into());
}
