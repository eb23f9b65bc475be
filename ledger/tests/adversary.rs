//! The ledger against a naive oracle, on random histories with cheaters.
//!
//! One of four founders cheats, and so do two workers. On every set the ledger
//! must come to what the oracle comes to, the books must balance, and nothing
//! confirmed may flip.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::history::{self, History};
use common::oracle::{Fold, Set, bits};
use common::{Rng, seeds};
use std::collections::BTreeMap;
use talkoot_ledger::{Admission, Balance, Ledger, Outcome, Reason, Source, id_of};
use talkoot_protocol::Wallet;

fn wallets(fold: &Fold) -> Vec<Wallet> {
    let mut all: Vec<Wallet> = fold
        .balances
        .keys()
        .chain(fold.lines.keys())
        .chain(fold.held.keys())
        .copied()
        .collect();
    all.sort();
    all.dedup();
    all
}

/// Feeds a set in random order and batches.
fn feed(history: &History, ledger: &mut Ledger, set: Set, random: &mut Rng) {
    let mut left: Vec<usize> = bits(set).collect();
    random.shuffle(&mut left);
    for batch in left.chunks(1 + random.below(9)) {
        let entries = batch
            .iter()
            .map(|&i| history.oracle.entries[i].clone())
            .collect();
        for admission in ledger.admit_batch(entries, Source::Peer(common::wallet("peer")), 0) {
            assert!(
                !matches!(admission, Admission::Refused(_) | Admission::Later),
                "{admission:?}"
            );
        }
        assert_eq!(ledger.sum(), Balance::ZERO);
    }
    assert_eq!(ledger.pending_count(), 0);
}

fn compare(history: &History, ledger: &Ledger, set: Set, fold: &Fold) {
    let oracle = &history.oracle;
    for i in bits(set) {
        let view = ledger.view(&id_of(&oracle.entries[i])).unwrap();
        let expected = fold.outcomes[&i];
        assert_eq!(
            view.outcome, expected,
            "entry {i}: {:?}",
            oracle.payloads[i]
        );
        assert_eq!(view.is_confirmed, oracle.confirmed(i, set), "entry {i}");
    }
    for wallet in wallets(fold) {
        let account = ledger.account(wallet);
        let of = |map: &BTreeMap<Wallet, i128>| Balance(map.get(&wallet).copied().unwrap_or(0));
        assert_eq!(account.balance, of(&fold.balances));
        assert_eq!(account.line, of(&fold.lines));
        assert_eq!(account.held, of(&fold.held));
    }
    assert_eq!(ledger.commons(), Balance(fold.commons));
    assert_eq!(ledger.tip(), oracle.tip(set, fold));
}

/// The laws of money while fewer than a third of the founders' lines cheat.
fn check_laws(history: &History, set: Set, fold: &Fold, before: &mut BTreeMap<usize, Outcome>) {
    let oracle = &history.oracle;
    assert_eq!(fold.balances.values().sum::<i128>() + fold.commons, 0);
    assert_eq!(
        fold.lines.values().sum::<i128>().unsigned_abs(),
        oracle.genesis.lines_ugft()
    );
    let worth = |wallet: &Wallet| {
        fold.lines.get(wallet).unwrap_or(&0) + fold.balances.get(wallet).unwrap_or(&0)
    };
    for wallet in wallets(fold) {
        assert!(
            worth(&wallet) >= fold.held.get(&wallet).copied().unwrap_or(0),
            "{wallet:?} is insolvent"
        );
    }
    assert!(
        history.cheaters.iter().map(worth).sum::<i128>() >= 0,
        "the cartel has gained"
    );
    for (&(job, worker), &(burned, earned)) in &fold.stages {
        assert!(0 <= earned && earned <= burned && burned <= oracle.hold(job, worker));
    }
    for i in bits(set).filter(|&i| oracle.confirmed(i, set)) {
        let outcome = fold.outcomes[&i];
        assert_eq!(
            *before.entry(i).or_insert(outcome),
            outcome,
            "entry {i} was confirmed and flipped"
        );
    }
}

fn run(seed: u64, stats: &mut [u64; 7]) {
    let mut random = Rng(seed);
    let history = history::write(&mut random, 1, 90);
    let oracle = &history.oracle;
    let mut ledger = Ledger::new(history.kit.genesis.clone());
    let mut before = BTreeMap::new();
    let mut set: Set = 0;
    for step in 0..8 {
        let old = set;
        for _ in 0..random.between(1, 12) {
            set |= oracle.closure(random.below(oracle.entries.len()));
        }
        if step == 7 {
            set = oracle.all();
        }
        feed(&history, &mut ledger, set & !old, &mut random);
        assert_eq!(ledger.length(), u64::from(set.count_ones()));
        let fold = oracle.fold(set);
        compare(&history, &ledger, set, &fold);
        check_laws(&history, set, &fold, &mut before);
        if step == 7 {
            stats[0] += ledger.forks().len() as u64;
            stats[1] += before.len() as u64;
            let outcomes = || fold.outcomes.values();
            stats[2] += outcomes()
                .filter(|o| matches!(o, Outcome::Reserved { .. }))
                .count() as u64;
            stats[3] += outcomes()
                .filter(|o| matches!(o, Outcome::Paid { .. }))
                .count() as u64;
            stats[5] += outcomes()
                .filter(|o| matches!(o, Outcome::Released { .. }))
                .count() as u64;
            stats[6] += outcomes()
                .filter(|o| o.reason() == Some(Reason::Released))
                .count() as u64;
            stats[4] += outcomes().filter(|o| o.reason().is_some()).count() as u64;
        }
    }
    let mut other = Ledger::new(history.kit.genesis.clone());
    feed(&history, &mut other, oracle.all(), &mut random);
    assert_eq!(other.tip(), ledger.tip(), "same set, other bytes");
}

#[test]
fn random_histories_with_cheaters() {
    let mut stats = [0; 7];
    let count = seeds(200);
    for seed in 0..count {
        let failed =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &mut stats)));
        assert!(failed.is_ok(), "SEED={seed}");
    }
    println!(
        "forks, confirmed, reserved, paid, inert, released, shut out: {stats:?} in {count} histories"
    );
    let enough = stats[..5].iter().all(|&stat| stat > count) && stats[5..].iter().all(|&s| s > 0);
    assert!(enough, "the histories exercise too little: {stats:?}");
}
