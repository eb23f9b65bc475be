//! Honest nodes that write only what [`Ledger::compose`] gives them: jobs are
//! ordered, done and settled, founders witness, and all ends up confirmed.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{E, Kit, OfferTerms, Rng, seeds, wallet};
use std::collections::BTreeMap;
use talkoot_ledger::{Balance, ComposeError, Draft, Ledger, Outcome, Payload, Source, Ugft, id_of};
use talkoot_protocol::{JobId, Verified, Wallet};

struct Town {
    kit: Kit,
    nodes: BTreeMap<Wallet, Ledger>,
    /// Entries that a node has not been given yet.
    mail: BTreeMap<Wallet, Vec<E>>,
    nonce: u64,
}

const FOUNDERS: [&str; 4] = ["f0", "f1", "f2", "f3"];

fn town() -> Town {
    let lines: Vec<(&str, u64)> = FOUNDERS.iter().map(|name| (*name, 10_000)).collect();
    let kit = Kit::new(&lines, &["w0", "w1"]);
    let wallets: Vec<Wallet> = FOUNDERS
        .iter()
        .chain(&["w0", "w1"])
        .map(|name| wallet(name))
        .collect();
    let nodes = wallets
        .iter()
        .map(|who| (*who, Ledger::new(kit.genesis.clone())))
        .collect();
    let mail = wallets.iter().map(|who| (*who, Vec::new())).collect();
    Town {
        kit,
        nodes,
        mail,
        nonce: 0,
    }
}

impl Town {
    fn write(&mut self, me: Wallet, draft: Draft) -> Result<E, ComposeError> {
        let ledger = self.nodes.get_mut(&me).unwrap();
        let entry = ledger.compose(me, draft)?;
        let entry = Verified::sign(entry, self.kit.key(me), self.kit.network).unwrap();
        ledger.admit(entry.clone(), Source::Own, 0);
        assert!(
            ledger.holds(&id_of(&entry)),
            "a composed entry was not taken"
        );
        for (_, mail) in self.mail.iter_mut().filter(|(who, _)| **who != me) {
            mail.push(entry.clone());
        }
        Ok(entry)
    }

    fn deliver(&mut self, me: Wallet, random: &mut Rng, count: usize) {
        let mail = self.mail.get_mut(&me).unwrap();
        random.shuffle(mail);
        let batch: Vec<E> = mail.drain(..count.min(mail.len())).collect();
        self.nodes
            .get_mut(&me)
            .unwrap()
            .admit_batch(batch, Source::Peer(wallet("mail")), 0);
    }

    fn deliver_all(&mut self, random: &mut Rng) {
        let all: Vec<Wallet> = self.nodes.keys().copied().collect();
        for me in all {
            self.deliver(me, random, usize::MAX);
        }
    }

    fn order(&mut self, me: Wallet, random: &mut Rng) -> Option<E> {
        let others: Vec<Wallet> = self
            .nodes
            .keys()
            .copied()
            .filter(|who| *who != me)
            .collect();
        self.nonce += 1;
        let count = random.between(1, 3) as usize;
        let terms = OfferTerms {
            price: 3,
            ..OfferTerms::default()
        };
        let stages: Vec<_> = random
            .sample(&others, count)
            .into_iter()
            .map(|w| (w, self.nonce, terms))
            .collect();
        let max = random.between(1, 300);
        let payload = Payload::Reserve(Box::new(self.kit.reserve_payload(me, &stages, 10, max)));
        let draft = Draft::new(&payload, 0);
        let entry = self.nodes[&me].compose(me, draft.clone()).ok()?;
        // An honest node writes nothing inert.
        self.nodes[&me]
            .preview(&entry)
            .reason
            .is_none()
            .then(|| self.write(me, draft).unwrap())
    }

    fn witness(&mut self, founder: Wallet) -> bool {
        let is_due = self.nodes[&founder].is_witness_due(founder, 0);
        if is_due {
            self.write(founder, Draft::new(&Payload::Witness, 0))
                .unwrap();
        }
        is_due
    }

    fn settle(&mut self, job: &E, done: u32) {
        let payload = self.kit.frontier_payload(job, 10, done, true);
        let stages = self.nodes[&job.author]
            .job(JobId(id_of(job)))
            .unwrap()
            .stages;
        for stage in stages {
            let draft =
                Draft::new(&Payload::Frontier(Box::new(payload.clone())), 0).citing(id_of(job));
            let entry = self.write(stage.worker, draft).unwrap();
            let view = self.nodes[&stage.worker].view(&id_of(&entry)).unwrap();
            assert!(
                matches!(view.outcome, Outcome::Paid { is_final: true, .. }),
                "{:?}",
                view.outcome
            );
        }
    }
}

fn run(seed: u64) -> (usize, u64) {
    let mut random = Rng(seed);
    let mut town = town();
    let founders: Vec<Wallet> = FOUNDERS.iter().map(|name| wallet(name)).collect();
    assert_eq!(
        town.write(wallet("w0"), Draft::new(&Payload::Witness, 0)),
        Err(ComposeError::NotNamed)
    );
    let names = Draft::new(&Payload::Witness, 0).naming([wallet("w1"), wallet("w0")]);
    town.write(founders[0], names).unwrap();
    town.deliver_all(&mut random);
    let (mut settled, mut ordered) = (0, 0);
    let mut open: Vec<(E, u32)> = Vec::new();
    for _ in 0..60 {
        let everybody: Vec<Wallet> = town.nodes.keys().copied().collect();
        let me = random.pick(&everybody);
        town.deliver(me, &mut random, 10);
        match random.below(3) {
            0 => {
                if let Some(job) = town.order(me, &mut random) {
                    let Some(Payload::Reserve(reserve)) =
                        Payload::decode(job.kind, &job.payload).unwrap()
                    else {
                        unreachable!()
                    };
                    let max = reserve.completion_tokens_max;
                    open.push((job, random.between(0, max)));
                    ordered += 1;
                }
            }
            1 if founders.contains(&me) => drop(town.witness(me)),
            _ if !open.is_empty() => {
                let (job, done) = open.swap_remove(random.below(open.len()));
                town.deliver_all(&mut random);
                town.settle(&job, done);
                settled += 1;
            }
            _ => {}
        }
    }
    // Quiet: mail arrives, and founders witness until nothing is due.
    for round in 0.. {
        town.deliver_all(&mut random);
        let due = founders
            .iter()
            .filter(|founder| town.witness(**founder))
            .count();
        if due == 0 {
            break;
        }
        assert!(round < 10, "witnesses without end");
    }
    check(&town, seed);
    (settled, ordered)
}

fn check(town: &Town, seed: u64) {
    let first = &town.nodes[&wallet("f0")];
    for (who, ledger) in &town.nodes {
        assert_eq!(
            (ledger.length(), ledger.tip()),
            (first.length(), first.tip()),
            "SEED={seed}: {who:?}"
        );
        assert_eq!(ledger.sum(), Balance::ZERO);
        assert_eq!(ledger.pending_count(), 0);
    }
    for view in first.entries(0) {
        assert!(
            view.outcome.is_effective(),
            "SEED={seed}: {:?}",
            view.outcome
        );
        let kind = view.entry.kind;
        let counts = kind != talkoot_ledger::kinds::WITNESS;
        assert!(
            !counts || view.is_confirmed,
            "SEED={seed}: not confirmed in the end"
        );
    }
    for account in first.accounts() {
        assert_eq!(account.pending, Ugft::ZERO);
        let left = account.line.join(account.balance).without(account.held);
        assert!(left >= Balance::ZERO, "SEED={seed}");
        // With everything confirmed, what a next entry may spend is what is left.
        assert_eq!(
            first.available(account.wallet),
            left,
            "SEED={seed}: {:?}",
            account.wallet
        );
    }
    let jobs: Vec<_> = first.jobs().filter_map(|id| first.job(id)).collect();
    for job in &jobs {
        assert_eq!(job.burned.0, job.earned.0 + job.commons.0);
        assert!(job.burned <= job.cap);
    }
}

#[test]
fn honest_nodes_settle_confirm_and_agree() {
    let (mut settled, mut ordered) = (0, 0);
    for seed in 0..seeds(25) {
        let (done, all) = run(seed);
        settled += done;
        ordered += all;
    }
    assert!(settled > 100 && ordered > 100, "{settled} {ordered}");
}

#[test]
fn a_proven_forker_is_cited_no_more_except_by_its_own_stage() {
    let kit = Kit::new(&[("s", 1000), ("f", 1000)], &["w"]);
    let (s, f, w) = (wallet("s"), wallet("f"), wallet("w"));
    let names = kit.naming(f, &[w]);
    let job = kit.reserve(s, None, &[&names], &[(w, 1)], 10);
    let (left, right) = (
        kit.witness(s, Some(&job), &[], 1),
        kit.witness(s, Some(&job), &[], 2),
    );
    let mut ledger = Ledger::new(kit.genesis.clone());
    ledger.admit_batch(
        vec![names.clone(), job.clone(), left.clone(), right],
        Source::Own,
        0,
    );
    assert_eq!(ledger.forked_authors(), [s].into());
    let due = ledger.equivocations_due();
    let alarm = kit.entry(f, Some(&names), &[], &due[0]);
    let mut alarmed = Ledger::new(kit.genesis.clone());
    alarmed.admit_batch(vec![names.clone(), alarm.clone()], Source::Own, 0);
    assert_eq!(
        alarmed.view(&id_of(&alarm)).unwrap().outcome,
        Outcome::Noted
    );
    assert_eq!(
        alarmed.forked_authors(),
        [s].into(),
        "proven without the fork itself"
    );
    let plain = ledger.compose(f, Draft::new(&Payload::Witness, 0)).unwrap();
    assert!(plain.refs.is_empty());
    assert!(!ledger.is_witness_due(f, 0));
    assert_eq!(
        ledger.compose(s, Draft::new(&Payload::Witness, 0)),
        Err(ComposeError::Forked)
    );
    let payload = Payload::Frontier(Box::new(kit.frontier_payload(&job, 0, 5, true)));
    let entry = ledger
        .compose(w, Draft::new(&payload, 0).citing(id_of(&job)))
        .unwrap();
    assert!(entry.refs.contains(&id_of(&job)) && !entry.refs.contains(&id_of(&left)));
    let entry = Verified::sign(entry, kit.key(w), kit.network).unwrap();
    ledger.admit(entry.clone(), Source::Own, 0);
    // The fork is above the reserve, so the reserve stands and pays.
    assert!(matches!(
        ledger.view(&id_of(&entry)).unwrap().outcome,
        Outcome::Paid { .. }
    ));
    assert!(ledger.is_witness_due(f, 0));
}

#[test]
fn the_service_rate_is_the_median_of_the_last_twenty_jobs() {
    let kit = Kit::new(&[("s", 1_000_000)], &["w"]);
    let (s, w) = (wallet("s"), wallet("w"));
    let names = kit.naming(s, &[w]);
    let mut ledger = Ledger::new(kit.genesis.clone());
    ledger.admit(names.clone(), Source::Own, 0);
    assert_eq!(ledger.service_rate(w), 0);
    let (mut s_tip, mut w_tip): (E, Option<E>) = (names.clone(), None);
    for n in 1..=30_u32 {
        // 1000 kFLOP per token and n tokens in 1 ms.
        let job = kit.reserve(s, Some(&s_tip), &[], &[(w, u64::from(n))], 100);
        let paid = kit.frontier(w, w_tip.as_ref(), &[&names, &job], &job, n, true);
        ledger.admit_batch(vec![job.clone(), paid.clone()], Source::Own, 0);
        (s_tip, w_tip) = (job, Some(paid));
        // Of the last twenty (or fewer) the lower middle one.
        let first = n.saturating_sub(19).max(1);
        assert_eq!(
            ledger.service_rate(w),
            1000 * ((first + n) / 2),
            "after {n} jobs"
        );
    }
    assert_eq!(ledger.service_rate(s), 0);
}

/// A busy history of one name: orders of four stages, each settled.
fn busy(count: usize) -> (Kit, Vec<E>) {
    let kit = Kit::new(
        &[("f0", 1 << 40), ("f1", 1 << 40), ("f2", 1 << 40)],
        &["w0", "w1", "w2", "w3"],
    );
    let workers: Vec<Wallet> = ["w0", "w1", "w2", "w3"]
        .iter()
        .map(|name| wallet(name))
        .collect();
    let founders: Vec<Wallet> = ["f0", "f1", "f2"].iter().map(|name| wallet(name)).collect();
    let names = kit.naming(founders[0], &workers);
    let mut tips: BTreeMap<Wallet, E> = [(founders[0], names.clone())].into();
    let mut entries = vec![names.clone()];
    let mut nonce = 0;
    while entries.len() < count {
        nonce += 1;
        let submitter = founders[entries.len() % 3];
        let newest = entries.last().unwrap().clone();
        let refs: Vec<&E> = [&newest]
            .into_iter()
            .filter(|entry| entry.author != submitter)
            .collect();
        let stages: Vec<(Wallet, u64)> = workers.iter().map(|w| (*w, nonce)).collect();
        let job = kit.reserve(submitter, tips.get(&submitter), &refs, &stages, 100);
        tips.insert(submitter, job.clone());
        entries.push(job.clone());
        for worker in &workers {
            let paid = kit.frontier(*worker, tips.get(worker), &[&names, &job], &job, 77, true);
            tips.insert(*worker, paid.clone());
            entries.push(paid);
        }
    }
    (kit, entries)
}

/// Sizes, not laws: `cargo test --release -p talkoot-ledger --test economy -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn twenty_thousand_entries() {
    let (kit, mut entries) = busy(20_000);
    #[expect(clippy::disallowed_methods, reason = "a measurement")]
    let clock = std::time::Instant::now;
    let start = clock();
    let mut ledger = Ledger::new(kit.genesis.clone());
    ledger.admit_batch(entries.clone(), Source::Own, 0);
    println!(
        "one batch: {:?} for {} entries",
        start.elapsed(),
        ledger.length()
    );
    let start = clock();
    let mut other = Ledger::new(kit.genesis.clone());
    for entry in &entries {
        other.admit(entry.clone(), Source::Own, 0);
    }
    println!("one by one: {:?}", start.elapsed());
    assert_eq!(ledger.tip(), other.tip());
    let start = clock();
    let mut random = Rng(1);
    for window in entries.chunks_mut(1000) {
        random.shuffle(window);
    }
    let mut shuffled = Ledger::new(kit.genesis.clone());
    for batch in entries.chunks(500) {
        shuffled.admit_batch(batch.to_vec(), Source::Own, 0);
    }
    println!(
        "shuffled, by 500: {:?}, {} held",
        start.elapsed(),
        shuffled.length()
    );
    let start = clock();
    let rate = ledger.service_rate(wallet("w0"));
    println!("service rate {rate}: {:?}", start.elapsed());
    let start = clock();
    let accounts = ledger.accounts().len();
    println!("{accounts} accounts: {:?}", start.elapsed());
    let start = clock();
    let available = ledger.available(wallet("f0"));
    println!("available {available}: {:?}", start.elapsed());
}
