//! Attacks that a general adversary does not find: each was found by hand while
//! the rules were made, and each rule has one that breaks without it.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::agreed::{books, is_confirmed, outcome};
use common::oracle::Oracle;
use common::{E, Kit, Rng, seeds, wallet};
use std::collections::BTreeMap;
use talkoot_ledger::{Balance, Ledger, Outcome, Reason, Source, Ugft};
use talkoot_protocol::Wallet;

fn four() -> Kit {
    Kit::new(
        &[("f0", 100), ("f1", 100), ("f2", 100), ("f3", 100)],
        &["w", "h", "q", "q2"],
    )
}

fn f(i: usize) -> Wallet {
    wallet(["f0", "f1", "f2", "f3"][i])
}

/// A submitter must not spend a hold that a final frontier frees while that
/// frontier stands on an unconfirmed branch: the other branch may be paid.
#[test]
fn a_hold_freed_by_one_branch_of_a_fork_is_not_spent_again() {
    let kit = four();
    let (w, h) = (wallet("w"), wallet("h"));
    let names = kit.naming(f(3), &[w, h]);
    let r1 = kit.reserve(f(0), None, &[], &[(w, 1)], 100);
    let x: Vec<E> = [1, 2]
        .iter()
        .map(|&i| kit.witness(f(i), None, &[&r1], 0))
        .collect();
    let x3 = kit.witness(f(3), Some(&names), &[&r1], 0);
    // w ends the job twice at one number: once with nothing, once with all.
    let nothing = kit.frontier(w, None, &[&names, &r1], &r1, 0, true);
    let everything = kit.frontier(w, None, &[&names, &r1], &r1, 100, true);
    // The honest submitter saw the first only.
    let r2 = kit.reserve(
        f(0),
        Some(&r1),
        &[&nothing, &x[0], &x[1], &x3],
        &[(h, 2)],
        100,
    );
    let y: Vec<E> = [1, 2]
        .iter()
        .map(|&i| kit.witness(f(i), Some(&x[i - 1]), &[&everything], 1))
        .collect();
    let y3 = kit.witness(f(3), Some(&x3), &[&everything], 1);
    let ledger = books(
        &kit,
        &[
            &names,
            &r1,
            &x[0],
            &x[1],
            &x3,
            &nothing,
            &everything,
            &r2,
            &y[0],
            &y[1],
            &y3,
        ],
    );
    assert_eq!(outcome(&ledger, &r2), Outcome::Inert(Reason::TooLittle));
    assert!(is_confirmed(&ledger, &everything));
    assert_eq!(outcome(&ledger, &nothing), Outcome::Inert(Reason::Fork));
    let paid = Outcome::Paid {
        burned: Ugft(100),
        earned: Ugft(100),
        is_final: true,
    };
    assert_eq!(outcome(&ledger, &everything), paid);
    let account = ledger.account(f(0));
    assert_eq!(
        (account.balance, account.line, account.held),
        (Balance(-100), Balance(100), Balance::ZERO)
    );
}

/// The same, when the final frontier was confirmed: then the rest may be spent.
#[test]
fn a_hold_freed_by_a_confirmed_final_frontier_is_spent_again() {
    let kit = four();
    let (w, h) = (wallet("w"), wallet("h"));
    let names = kit.naming(f(3), &[w, h]);
    let r1 = kit.reserve(f(0), None, &[], &[(w, 1)], 100);
    let last = kit.frontier(w, None, &[&names, &r1], &r1, 30, true);
    let x: Vec<E> = [1, 2]
        .iter()
        .map(|&i| kit.witness(f(i), None, &[&last], 0))
        .collect();
    let x3 = kit.witness(f(3), Some(&names), &[&last], 0);
    let early = kit.reserve(f(0), Some(&r1), &[&last, &x[0]], &[(h, 2)], 70);
    let ledger = books(&kit, &[&names, &r1, &last, &x[0], &early]);
    assert_eq!(
        outcome(&ledger, &early),
        Outcome::Inert(Reason::TooLittle),
        "two of four do not confirm"
    );
    let late = kit.reserve(f(0), Some(&r1), &[&last, &x[0], &x[1], &x3], &[(h, 2)], 70);
    let ledger = books(&kit, &[&names, &r1, &last, &x[0], &x[1], &x3, &late]);
    assert_eq!(
        outcome(&ledger, &late),
        Outcome::Reserved { held: Ugft(70) }
    );
    let above = kit.reserve(f(0), Some(&r1), &[&last, &x[0], &x[1], &x3], &[(h, 2)], 71);
    let ledger = books(&kit, &[&names, &r1, &last, &x[0], &x[1], &x3, &above]);
    assert_eq!(outcome(&ledger, &above), Outcome::Inert(Reason::TooLittle));
}

/// A frontier must not be confirmed by founders that see its reserve's author
/// fork: the payment would be confirmed and yet without effect, and flip later.
#[test]
fn a_frontier_is_confirmed_only_with_its_reserve() {
    let founders = [
        ("a", 60),
        ("f0", 100),
        ("f1", 100),
        ("f2", 100),
        ("f3", 100),
    ];
    let kit = Kit::new(&founders, &["w", "q"]);
    let (a, w, q) = (wallet("a"), wallet("w"), wallet("q"));
    let names = kit.naming(f(3), &[w, q]);
    let r = kit.reserve(a, None, &[], &[(w, 1)], 50);
    let rr = kit.reserve(a, None, &[], &[(q, 2)], 1);
    let saw = kit.witness(q, None, &[&names, &rr], 0);
    let paid = kit.frontier(w, None, &[&names, &r], &r, 40, false);
    let y0 = kit.witness(f(0), None, &[&paid], 0);
    let y1 = kit.witness(f(1), None, &[&paid], 0);
    let y2 = kit.witness(f(2), None, &[&paid, &saw], 0);
    let y3 = kit.witness(f(3), Some(&names), &[&paid, &saw], 0);
    let entries = [&names, &r, &rr, &saw, &paid, &y0, &y1, &y2, &y3];
    let ledger = books(&kit, &entries);
    assert!(!is_confirmed(&ledger, &r) && !is_confirmed(&ledger, &paid));
    assert_eq!(outcome(&ledger, &paid), Outcome::Inert(Reason::ReserveFork));
    // One more founder's entry that saw no fork, the author's own, is too few.
    let z = kit.witness(a, Some(&r), &[&paid], 0);
    let ledger = books(&kit, &[entries.as_slice(), &[&z]].concat());
    assert!(!is_confirmed(&ledger, &paid));
    assert_eq!(outcome(&ledger, &paid), Outcome::Inert(Reason::ReserveFork));
}

/// A fork does not freeze what its author did before it.
#[test]
fn a_fork_leaves_the_older_reserve_alone() {
    let kit = four();
    let (w, q, q2, h) = (wallet("w"), wallet("q"), wallet("q2"), wallet("h"));
    let names = kit.naming(f(3), &[w, q, q2, h]);
    let r = kit.reserve(f(0), None, &[], &[(w, 1)], 50);
    let earned = kit.frontier(w, None, &[&names, &r], &r, 50, true);
    let a = kit.reserve(f(0), Some(&r), &[], &[(q, 2)], 1);
    let b = kit.reserve(f(0), Some(&r), &[], &[(q, 3)], 2);
    let qa = kit.witness(q, None, &[&names, &a], 0);
    let qb = kit.witness(q2, None, &[&names, &b], 0);
    let x1 = kit.witness(f(1), None, &[&earned, &qa, &qb], 0);
    let x2 = kit.witness(f(2), None, &[&earned, &qa, &qb], 0);
    let x3 = kit.witness(f(3), Some(&names), &[&earned, &qa, &qb], 0);
    let spent = kit.reserve(w, Some(&earned), &[&x1, &x2, &x3], &[(h, 7)], 40);
    let ledger = books(
        &kit,
        &[&names, &r, &earned, &a, &b, &qa, &qb, &x1, &x2, &x3, &spent],
    );
    assert!(is_confirmed(&ledger, &r));
    assert!(matches!(outcome(&ledger, &earned), Outcome::Paid { .. }));
    assert_eq!(outcome(&ledger, &a), Outcome::Inert(Reason::Fork));
    assert_eq!(
        outcome(&ledger, &spent),
        Outcome::Reserved { held: Ugft(40) }
    );
    assert_eq!(
        ledger.forks().first().map(|fork| (fork.author, fork.seq)),
        Some((f(0), 1))
    );
}

/// Whether a reserve behind a frontier counts is judged in the whole set.
#[test]
fn a_frontier_that_saw_the_fork_is_paid_once_the_reserve_is_confirmed() {
    let kit = four();
    let (w, q) = (wallet("w"), wallet("q"));
    let names = kit.naming(f(3), &[w, q]);
    let r = kit.reserve(f(0), None, &[], &[(w, 1)], 100);
    let rr = kit.reserve(f(0), None, &[], &[(q, 2)], 100);
    let saw = kit.witness(q, None, &[&names, &rr], 0);
    let x1 = kit.witness(f(1), None, &[&r], 0);
    let x2 = kit.witness(f(2), None, &[&r], 0);
    let x3 = kit.witness(f(3), Some(&names), &[&r], 0);
    let last = kit.frontier(w, None, &[&names, &r, &saw], &r, 60, true);
    let ledger = books(&kit, &[&names, &r, &rr, &saw, &x1, &x2, &x3, &last]);
    assert!(is_confirmed(&ledger, &r));
    assert!(matches!(
        outcome(&ledger, &last),
        Outcome::Paid {
            burned: Ugft(60),
            ..
        }
    ));
}

/// A founder's weight counts from its entries as they are, fork or not.
#[test]
fn a_forking_founder_still_confirms_what_it_saw() {
    let kit = four();
    let w = wallet("w");
    let names = kit.naming(f(3), &[w]);
    let r = kit.reserve(f(0), None, &[], &[(w, 1)], 1);
    let x1 = kit.witness(f(1), None, &[&r], 0);
    let x2 = kit.witness(f(2), None, &[&r], 0);
    let ledger = books(&kit, &[&names, &r, &x1, &x2]);
    assert!(is_confirmed(&ledger, &r), "its own author is the third");
    let twin = kit.witness(f(2), None, &[], 99);
    let ledger = books(&kit, &[&names, &r, &x1, &x2, &twin]);
    assert!(is_confirmed(&ledger, &r));
    let more_than_two_thirds = books(&kit, &[&names, &r, &x1]);
    assert!(!is_confirmed(&more_than_two_thirds, &r));
}

/// The targeted hunter: one worker forks its final frontier in many small
/// histories with an honest submitter.
#[test]
fn hunting_the_forked_final_frontier() {
    let mut freed = 0;
    for seed in 0..seeds(150) {
        freed += hunt(seed);
    }
    println!("{freed} reserves spent a freed hold");
    assert!(freed > 0, "no history freed a hold");
}

/// Some entries of others in a view.
fn refs_of(oracle: &Oracle, random: &mut Rng, view: u128, me: Wallet) -> Vec<E> {
    let foreign: Vec<usize> = common::oracle::bits(view)
        .filter(|&i| oracle.entries[i].author != me)
        .collect();
    random
        .sample(&foreign, 8)
        .into_iter()
        .map(|i| oracle.entries[i].clone())
        .collect()
}

fn hunt(seed: u64) -> u64 {
    let mut random = Rng(seed);
    let kit = four();
    let (w, h) = (wallet("w"), wallet("h"));
    let names = kit.naming(f(3), &[w, h]);
    let mut oracle = Oracle::new(kit.genesis.clone());
    let first = oracle.add(names.clone());
    let r1 = oracle.add(kit.reserve(f(0), None, &[], &[(w, 1)], 100));
    let mut tip: BTreeMap<Wallet, usize> = [(f(0), r1), (f(3), first)].into();
    let mut view: BTreeMap<Wallet, u128> = (0..4).map(|i| (f(i), 1)).collect();
    *view.get_mut(&f(0)).unwrap() |= 1 << r1;
    let (mut branches, mut nonce) = (vec![None], 1);
    for _ in 0..400 {
        if oracle.entries.len() >= 40 {
            break;
        }
        let job = oracle.entries[r1].clone();
        match random.between(0, 99) {
            0..25 => {
                let prev: Option<usize> = random.pick(&branches);
                let prev_entry = prev.map(|i| oracle.entries[i].clone());
                let done = random.pick(&[0, 50, 100]);
                let is_final = random.chance(60);
                let entry = kit.frontier(
                    w,
                    prev_entry.as_ref(),
                    &[&names, &job],
                    &job,
                    done,
                    is_final,
                );
                branches.push(Some(oracle.add(entry)));
            }
            25..40 => {
                let me = f(0);
                let refs = refs_of(&oracle, &mut random, view[&me], me);
                nonce += 1;
                let prev = oracle.entries[tip[&me]].clone();
                let max = random.pick(&[50, 100]);
                let refs: Vec<&E> = refs.iter().collect();
                let i = oracle.add(kit.reserve(me, Some(&prev), &refs, &[(h, nonce)], max));
                tip.insert(me, i);
                *view.get_mut(&me).unwrap() |= oracle.closure(i);
            }
            _ => {
                let me = f(random.below(4));
                for _ in 0..2 {
                    let seen = random.below(oracle.entries.len());
                    *view.get_mut(&me).unwrap() |= oracle.closure(seen);
                }
                let refs = refs_of(&oracle, &mut random, view[&me], me);
                if !refs.is_empty() && random.chance(80) {
                    let prev = tip.get(&me).map(|&i| oracle.entries[i].clone());
                    let refs: Vec<&E> = refs.iter().collect();
                    let clock = oracle.entries.len() as u64;
                    let i = oracle.add(kit.witness(me, prev.as_ref(), &refs, clock));
                    tip.insert(me, i);
                    *view.get_mut(&me).unwrap() |= oracle.closure(i);
                }
            }
        }
    }
    check_hunt(&kit, &oracle, &mut random, seed)
}

fn check_hunt(kit: &Kit, oracle: &Oracle, random: &mut Rng, seed: u64) -> u64 {
    let mut ledger = Ledger::new(kit.genesis.clone());
    let mut confirmed = BTreeMap::new();
    let mut set = 0_u128;
    for step in 0..9 {
        for _ in 0..3 {
            set |= oracle.closure(random.below(oracle.entries.len()));
        }
        if step == 8 {
            set = oracle.all();
        }
        let batch = common::oracle::bits(set)
            .map(|i| oracle.entries[i].clone())
            .collect();
        ledger.admit_batch(batch, Source::Own, 0);
        let fold = oracle.fold(set);
        assert_eq!(ledger.tip(), oracle.tip(set, &fold), "SEED={seed}");
        let submitter = ledger.account(f(0));
        let left = submitter
            .line
            .join(submitter.balance)
            .without(submitter.held);
        assert!(
            left >= Balance::ZERO,
            "SEED={seed}: the honest submitter owes {left}"
        );
        for i in common::oracle::bits(set).filter(|&i| oracle.confirmed(i, set)) {
            let outcome = fold.outcomes[&i];
            assert_eq!(
                *confirmed.entry(i).or_insert(outcome),
                outcome,
                "SEED={seed}: entry {i} flipped"
            );
        }
    }
    let reserves = ledger.jobs().filter_map(|id| ledger.job(id));
    let effective = reserves.filter(|job| job.outcome.is_effective()).count() as u64;
    effective.saturating_sub(1)
}
