//! Tests of the views over small books: one paid job, one forked log.

use super::LedgerQuestion;
use crate::api::{
    ArrivalsQuestion, AuthorQuestion, BalancesQuestion, EntriesQuestion, EntryQuestion, ErrorCode,
    ForksQuestion, JobQuestion,
};
use serde_json::json;
use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_ledger::{Draft, Entry, Ledger, Payload, Source, id_of};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, Founder, Genesis, Hash, JobId, Keypair, LayerRange, ModelId,
    Offer, Policy, Signed, Verified, Wallet,
};

fn key(byte: u8) -> Keypair {
    Keypair::from_seed(&[byte; 32])
}

pub(crate) fn wallet(byte: u8) -> Wallet {
    key(byte).wallet()
}

/// Founders 1, 2 and 3.
pub(crate) fn empty() -> Ledger {
    let founder = |byte| Founder {
        wallet: wallet(byte),
        line_ugft: 1_000_000,
    };
    let founders = [1, 2, 3].map(founder).to_vec();
    Ledger::new(Genesis::new("three", 1, Policy::default(), founders).unwrap())
}

fn signed(ledger: &Ledger, author: u8, draft: Draft) -> Verified<Entry> {
    let entry = ledger.compose(wallet(author), draft).unwrap();
    Verified::sign(entry, &key(author), ledger.network()).unwrap()
}

fn admit(ledger: &mut Ledger, entry: Verified<Entry>) -> Hash {
    let id = id_of(&entry);
    ledger.admit(entry, Source::Own, 0);
    assert!(ledger.holds(&id));
    id
}

fn write(ledger: &mut Ledger, author: u8, payload: &Payload) -> Hash {
    let entry = signed(ledger, author, Draft::new(payload, 1_000));
    admit(ledger, entry)
}

fn offer(ledger: &Ledger, worker: u8, layer: u32) -> Signed<Offer> {
    let offer = Offer {
        worker: wallet(worker),
        submitter: wallet(1),
        nonce: 1,
        model: ModelId(Hash::ZERO),
        range: LayerRange::new(layer, layer + 1).unwrap(),
        shard_bytes: 50,
        arithmetic: ArithmeticId(1),
        price_ugft_per_token: 10,
        prompt_tokens_max: 1000,
        completion_tokens_max: 1000,
        window_tokens: 32,
        share_kflop: 1000 * u64::from(layer + 1),
        service_rate: 0,
        hardware_ppm: 1_000_000,
        reliability_ppm: 900_000,
        memory_bytes: 100,
        expires_ms: 5000,
    };
    let signed = Verified::sign(offer, &key(worker), ledger.network());
    signed.unwrap().into()
}

/// The final frontier of one stage, all of 4 + 20 tokens; `sent` and `received`
/// are one byte each.
fn last_word(ledger: &Ledger, job: JobId, received: u8, sent: u8) -> Payload {
    let attestation = Attestation {
        stage: wallet(2),
        job,
        number: 0,
        previous: Hash::ZERO,
        prompt_done: 4,
        completion_done: 20,
        transcript: Hash::ZERO,
        stage_compute_us: vec![1000, 2000],
        arithmetic: ArithmeticId(1),
    };
    let attestation = Verified::sign(attestation, &key(2), ledger.network()).unwrap();
    let ack = Ack {
        submitter: wallet(1),
        job,
        attestation: attestation.id(),
        prompt_done: 4,
        completion_done: 20,
        is_final: true,
    };
    let ack = Verified::sign(ack, &key(1), ledger.network()).unwrap();
    Payload::Frontier(Box::new(Frontier {
        job,
        attestation: attestation.into(),
        ack: ack.into(),
        is_final: true,
        received: Hash::from_bytes([received; 32]),
        sent: Hash::from_bytes([sent; 32]),
    }))
}

/// Founder 1 names worker 9 and orders a job from 9 and founder 2; both end it,
/// all founders see it. What 9 sent is what 2 received if `is_honest`.
pub(crate) fn books(is_honest: bool) -> (Ledger, JobId) {
    let mut ledger = empty();
    let naming = Draft::new(&Payload::Witness, 500).naming([wallet(9)]);
    let naming = signed(&ledger, 1, naming);
    admit(&mut ledger, naming);
    let reserve = Reserve {
        model: ModelId(Hash::ZERO),
        layers: 2,
        prompt_tokens: 4,
        completion_tokens_max: 100,
        price_ugft_per_token: 10,
        deadline_ms: 9_000,
        continues: None,
        offers: vec![offer(&ledger, 9, 0), offer(&ledger, 2, 1)],
    };
    let job = JobId(write(&mut ledger, 1, &Payload::Reserve(Box::new(reserve))));
    let first = last_word(&ledger, job, 0, 7);
    write(&mut ledger, 9, &first);
    let second = last_word(&ledger, job, if is_honest { 7 } else { 8 }, 0);
    write(&mut ledger, 2, &second);
    for founder in [1, 2, 3] {
        write(&mut ledger, founder, &Payload::Witness);
    }
    (ledger, job)
}

#[test]
fn a_job_shows_every_factor_and_adds_up() {
    let (ledger, id) = books(true);
    let question = JobQuestion {
        id: id.to_string()[..9].to_owned(),
    };
    let job = question.answer(&ledger).unwrap();
    assert_eq!(job.id, id.to_string());
    assert_eq!((job.state.as_str(), job.confirmed), ("done", true));
    assert_eq!((job.cap_ugft, job.burned_ugft), (1040, 240));
    assert_eq!(job.earned_ugft + job.commons_ugft, job.burned_ugft);
    assert_eq!(job.held_ugft, 0);
    let [first, second] = job.stages.as_slice() else {
        panic!("{:?}", job.stages)
    };
    // 50 of 100 bytes: P is one; nobody has a history: T is one.
    assert_eq!(
        (first.throughput_ppm, first.pressure_ppm),
        (1_000_000, 1_000_000)
    );
    assert_eq!((first.weight, second.weight), (1000, 2000));
    assert_eq!((first.hold_ugft, second.hold_ugft), (346, 693));
    assert_eq!((first.earned_ugft, second.earned_ugft), (72, 144));
    assert_eq!(first.frontier, Some([4, 20]));
    assert_eq!(second.compute_us, Some(2000));
    let steps: Vec<_> = job
        .frontiers
        .iter()
        .map(|step| (step.stage, step.burned_total_ugft, step.completion))
        .collect();
    assert_eq!(steps, [(Some(0), 80, 20), (Some(1), 240, 20)]);
    assert!(job.frontiers.iter().all(|step| step.confirmed));
    assert!(
        job.founders
            .iter()
            .all(|founder| founder.reserve && founder.frontiers == 2)
    );
    assert_eq!(job.neighbours[0].verdict, "agree");
    // A model below 32 GiB: a token is a credit.
    let divy = job.divy.unwrap();
    assert!((divy.quoted_credits - 104.0).abs() < 1e-9, "{divy:?}");
    assert!((divy.settled_credits - 24.0).abs() < 1e-9, "{divy:?}");
    assert_eq!(divy.stage_credits.len(), 2);
    let (ledger, id) = books(false);
    let id = id.to_string();
    let job = JobQuestion { id }.answer(&ledger).unwrap();
    assert_eq!(job.neighbours[0].verdict, "differ");
}

#[test]
fn an_open_job_knows_nothing_of_neighbours() {
    let (ledger, id) = books(true);
    let mut early = empty();
    for placed in ledger.placed(0..3) {
        early.admit(placed.entry.clone(), Source::Own, 0);
    }
    let id = id.to_string();
    let job = JobQuestion { id }.answer(&early).unwrap();
    assert_eq!((job.state.as_str(), job.confirmed), ("open", false));
    assert_eq!(job.frontiers.len(), 1);
    assert_eq!(job.neighbours[0].verdict, "unknown");
    assert!(job.neighbours[0].sent.is_some() && job.neighbours[0].received.is_none());
}

#[test]
fn pages_from_either_end_are_the_whole_chain() {
    let (ledger, _) = books(true);
    let ids: Vec<String> = ledger.links(0).map(|link| link.id.to_string()).collect();
    let (mut forward, mut back) = (Vec::new(), Vec::new());
    let mut question = EntriesQuestion {
        count: Some(2),
        ..EntriesQuestion::default()
    };
    loop {
        let page = question.answer(&ledger).unwrap();
        question.before = Some(page.from);
        back.splice(0..0, page.entries.into_iter().map(|entry| entry.id));
        if page.from == 0 {
            break;
        }
    }
    let mut from = 0;
    while from < ledger.length() {
        let question = EntriesQuestion {
            from: Some(from),
            count: Some(3),
            ..EntriesQuestion::default()
        };
        let page = question.answer(&ledger).unwrap();
        from = page.before;
        forward.extend(page.entries.into_iter().map(|entry| entry.id));
    }
    assert_eq!((&forward, &back), (&ids, &ids));
    let links: Vec<_> = EntriesQuestion::default().answer(&ledger).unwrap().entries;
    assert_eq!(links[0].link_before, ledger.network().to_string());
    assert!(
        links
            .windows(2)
            .all(|pair| pair[0].link == pair[1].link_before)
    );
}

fn filtered(filters: serde_json::Value) -> EntriesQuestion {
    serde_json::from_value(filters).unwrap()
}

#[test]
fn filters_join() {
    let (ledger, job) = books(true);
    let (job, first) = (job.to_string(), wallet(1).to_string());
    let worker = &wallet(9).to_string()[..12];
    for (filters, count) in [
        (json!({ "author": first }), 3),
        (json!({ "kind": "witness" }), 4),
        (json!({ "kind": "4" }), 4),
        (json!({ "job": job }), 3),
        (json!({ "effect": "paid" }), 2),
        (json!({ "effect": "inert" }), 0),
        (json!({ "effect": "ok" }), 7),
        (json!({ "job": job, "author": worker }), 1),
    ] {
        let page = filtered(filters.clone()).answer(&ledger).unwrap();
        assert_eq!(page.entries.len(), count, "{filters}");
    }
}

#[test]
fn wrong_filters_are_explained() {
    let (ledger, _) = books(true);
    for filters in [
        json!({ "kind": "fruit" }),
        json!({ "effect": "good" }),
        json!({ "author": "zz" }),
        json!({ "count": 1001 }),
        json!({ "count": 251, "bytes": true }),
    ] {
        let error = filtered(filters.clone()).answer(&ledger).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest, "{filters}");
    }
    let stranger = filtered(json!({ "author": "00".repeat(32) }));
    let error = stranger.answer(&ledger).unwrap_err();
    assert_eq!(error.code, ErrorCode::NotFound);
    let id = String::new();
    let error = EntryQuestion { id }.answer(&ledger).unwrap_err();
    assert_eq!(error.code, ErrorCode::InvalidRequest);
}

#[test]
fn a_wallet_shows_who_named_it_and_what_it_did() {
    let (ledger, job) = books(true);
    let ask = |byte| {
        let wallet = wallet(byte).to_string();
        AuthorQuestion { wallet }.answer(&ledger).unwrap()
    };
    let worker = ask(9);
    assert_eq!(worker.named_by, Some(wallet(1).to_string()));
    assert_eq!((worker.founder_line_ugft, worker.forked_at), (None, None));
    assert_eq!((worker.submitted_total, worker.worked_total), (0, 1));
    assert_eq!(worker.jobs[0].job, job.to_string());
    assert_eq!(
        (worker.jobs[0].role.as_str(), worker.jobs[0].earned_ugft),
        ("worker", 72)
    );
    assert_eq!((worker.entries_total, worker.account.balance_ugft), (1, 72));
    let submitter = ask(1);
    assert_eq!(
        (submitter.named_by, submitter.founder_line_ugft),
        (None, Some(1_000_000))
    );
    assert_eq!((submitter.submitted_total, submitter.entries_total), (1, 3));
    let balances = BalancesQuestion::default().answer(&ledger).unwrap();
    assert_eq!((balances.sum_ugft, balances.balances.len()), (0, 4));
    let after = Some(balances.balances[2].wallet.clone());
    let rest = BalancesQuestion { after }.answer(&ledger).unwrap();
    assert_eq!(rest.balances, balances.balances[3..]);
}

#[test]
fn a_fork_shows_both_entries_and_its_proofs() {
    let mut ledger = empty();
    let twins = [1, 2].map(|time| signed(&ledger, 3, Draft::new(&Payload::Witness, time)));
    assert!(ForksQuestion.answer(&ledger).unwrap().forks.is_empty());
    for twin in twins {
        admit(&mut ledger, twin);
    }
    let view = ForksQuestion.answer(&ledger).unwrap();
    let fork = &view.forks[0];
    assert_eq!(
        (fork.author.clone(), fork.seq),
        (wallet(3).to_string(), Some(0))
    );
    assert_eq!((fork.entries.len(), fork.proofs.len()), (2, 0));
    let proof = ledger.equivocations_due().remove(0);
    let proof = write(&mut ledger, 1, &proof);
    let view = ForksQuestion.answer(&ledger).unwrap();
    assert_eq!(view.forks[0].proofs, [proof.to_string()]);
    let wallet = wallet(3).to_string();
    let author = AuthorQuestion { wallet }.answer(&ledger).unwrap();
    assert_eq!((author.forked_at, author.entries_total), (Some(0), 2));
}

#[test]
fn arrivals_are_in_the_order_in_which_entries_came() {
    let (ledger, _) = books(true);
    let end = ArrivalsQuestion::default().answer(&ledger).unwrap();
    assert_eq!((end.entries.len(), end.next), (0, ledger.length()));
    // Handed in by the last of the chain first, as far as parents allow.
    let mut other = empty();
    let witness = write(&mut other, 3, &Payload::Witness);
    for placed in ledger.placed(0..3) {
        other.admit(placed.entry.clone(), Source::Own, 0);
    }
    let all = ArrivalsQuestion { from: Some(0) }.answer(&other).unwrap();
    assert_eq!((all.entries.len(), all.next), (4, 4));
    assert_eq!(all.entries[0].id, witness.to_string());
    let rest = ArrivalsQuestion { from: Some(3) }.answer(&other).unwrap();
    assert_eq!(rest.entries, all.entries[3..]);
}
