//! Histories that are little but forks and confirmation: a founder with less
//! than a third of the lines and a worker fork their logs at every turn, while
//! honest founders witness what each of them happens to hold. And duels: one
//! fork, one frontier, and every way in which founders can come to see them.

use crate::common::history::History;
use crate::common::oracle::{Oracle, Set, bits};
use crate::common::{E, Kit, OfferTerms, Rng, wallet};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_ledger::kinds::{Admit, Release};
use talkoot_ledger::{HOLD_GRACE_MS, Payload, Ugft, id_of};
use talkoot_protocol::{JobId, Wallet};

const HONEST: [&str; 3] = ["f1", "f2", "f3"];
/// A founder, a submitter with a line, and a worker.
const CHEATERS: [&str; 3] = ["f0", "x", "y"];

/// Founders, and those whom the first entries name, admit and confirm.
fn begin(lines: [u64; 4]) -> History {
    let founders: Vec<(&str, u64)> = ["f0", "f1", "f2", "f3"].into_iter().zip(lines).collect();
    let kit = Kit::new(&founders, &["x", "y"]);
    let mut oracle = Oracle::new(kit.genesis.clone());
    let naming = kit.naming(wallet("f1"), &[wallet("x"), wallet("y")]);
    let admit = kit.admit(wallet("f1"), Some(&naming), &[], wallet("x"), 60);
    oracle.add(naming);
    oracle.add(admit.clone());
    for name in ["f2", "f3"] {
        oracle.add(kit.witness(wallet(name), None, &[&admit], 0));
    }
    History {
        kit,
        oracle,
        cheaters: CHEATERS.iter().map(|name| wallet(name)).collect(),
        acked: BTreeMap::new(),
    }
}

/// A storm of about `length` entries.
pub(crate) fn write(random: &mut Rng, lines: [u64; 4], length: usize) -> History {
    let mut history = begin(lines);
    let all = history.oracle.all();
    let mut views: BTreeMap<Wallet, Set> = HONEST.iter().map(|name| (wallet(name), all)).collect();
    let mut nonce = 0;
    while history.oracle.entries.len() < length {
        nonce += 1;
        if random.chance(50) {
            let me = wallet(random.pick(&HONEST));
            witness(&mut history, random, me, views.get_mut(&me).unwrap());
        } else {
            cheat(&mut history, random, nonce);
        }
    }
    history
}

/// A duel: two orders at one number and a frontier of one of them; of these each
/// founder sees the order alone, or both, or both one after the other, or none.
pub(crate) fn duel(random: &mut Rng, lines: [u64; 4]) -> History {
    let mut history = begin(lines);
    let x = wallet("x");
    let first = [0, 1, 2, 3];
    let orders = [1, 2].map(|nonce| {
        let payload = order(&history, random, x, nonce);
        add(&mut history, x, None, &first, &payload)
    });
    let job = &history.oracle.entries[orders[0]];
    let frontier = history.kit.frontier_payload(job, 0, 5, random.chance(50));
    let payload = Payload::Frontier(Box::new(frontier));
    let refs = [0, orders[0]];
    let frontier = add(&mut history, wallet("y"), None, &refs, &payload);
    for name in ["f0", "f1", "f2", "f3"] {
        let sights: &[&[usize]] = match random.below(4) {
            0 => &[&[orders[0]], &[orders[1], frontier]],
            1 => &[&[orders[1], frontier]],
            2 => &[&[frontier]],
            _ => &[],
        };
        for seen in sights {
            let me = wallet(name);
            let prev = own(&history, me).last().copied();
            add(&mut history, me, prev, seen, &Payload::Witness);
        }
    }
    history
}

/// A release: founders say that a job is over before, after or without having
/// seen its frontier; the submitter releases it on what suits it, and spends
/// all that it has. The cheating founder does the one and the other.
pub(crate) fn release_duel(random: &mut Rng, lines: [u64; 4]) -> History {
    let mut history = begin(lines);
    let [x, y] = ["x", "y"].map(wallet);
    let payload = order(&history, random, x, 1);
    let job = add(&mut history, x, None, &[0, 1, 2, 3], &payload);
    let entry = &history.oracle.entries[job];
    let paid = history
        .kit
        .frontier_payload(entry, 0, 10, random.chance(50));
    let paid = Payload::Frontier(Box::new(paid));
    let paid = add(&mut history, y, None, &[0, job], &paid);
    let over_ms = HOLD_GRACE_MS + 1000;
    let mut claims = Vec::new();
    for name in ["f0", "f1", "f2", "f3"] {
        let me = wallet(name);
        let prev = own(&history, me).last().copied();
        let seen = if random.chance(75) { job } else { paid };
        if me == wallet("f0") {
            add_at(&mut history, me, prev, &[paid], &Payload::Witness, 0);
        }
        claims.push(add_at(
            &mut history,
            me,
            prev,
            &[seen],
            &Payload::Witness,
            over_ms,
        ));
    }
    let count = random.below(3) + 2;
    let suits = random.sample(&claims, count);
    let payload = release(&history, random, &[job]).unwrap();
    let end = add(&mut history, x, Some(job), &suits, &payload);
    let stages = [(y, 2, OfferTerms::default())];
    for max in [60, 50, 20] {
        let reserve = history.kit.reserve_payload(x, &stages, 0, max);
        let payload = Payload::Reserve(Box::new(reserve));
        let prev = own(&history, x).last().copied().or(Some(end));
        let spent = add(&mut history, x, prev, &[], &payload);
        if history.oracle.ok[spent].is_ok() {
            break;
        }
    }
    for name in ["f0", "f1", "f2", "f3"] {
        let me = wallet(name);
        let prev = own(&history, me).last().copied();
        add(&mut history, me, prev, &[paid], &Payload::Witness);
    }
    history
}

fn own(history: &History, author: Wallet) -> Vec<usize> {
    let entries = history.oracle.entries.iter().enumerate();
    entries
        .filter(|(_, entry)| entry.author == author)
        .map(|(i, _)| i)
        .collect()
}

fn add(
    history: &mut History,
    author: Wallet,
    prev: Option<usize>,
    refs: &[usize],
    payload: &Payload,
) -> usize {
    let time_ms = HOLD_GRACE_MS + history.oracle.entries.len() as u64;
    add_at(history, author, prev, refs, payload, time_ms)
}

fn add_at(
    history: &mut History,
    author: Wallet,
    prev: Option<usize>,
    refs: &[usize],
    payload: &Payload,
    time_ms: u64,
) -> usize {
    let entries = &history.oracle.entries;
    let prev = prev.map(|i| &entries[i]);
    let refs: BTreeSet<usize> = refs.iter().copied().collect();
    let refs: Vec<&E> = refs
        .iter()
        .map(|&i| &entries[i])
        .filter(|entry| entry.author != author)
        .take(8)
        .collect();
    let mut entry = history.kit.entry(author, prev, &refs, payload).into_inner();
    entry.time_ms = time_ms;
    let entry = E::sign(entry, history.kit.key(author), history.kit.network).unwrap();
    history.oracle.add(entry)
}

/// An honest founder hears of a few entries and says so, on top of its log.
fn witness(history: &mut History, random: &mut Rng, me: Wallet, view: &mut Set) {
    let recent = history.oracle.entries.len().saturating_sub(10);
    let heard: Vec<usize> = (0..random.between(1, 2))
        .map(|_| recent + random.below(history.oracle.entries.len() - recent))
        .collect();
    for &i in &heard {
        *view |= history.oracle.closure(i);
    }
    let prev = own(history, me).last().copied();
    let i = add(history, me, prev, &heard, &Payload::Witness);
    *view |= history.oracle.closure(i);
}

/// A cheater writes on top of any of its entries: orders, lines, last words.
fn cheat(history: &mut History, random: &mut Rng, nonce: u64) {
    let me = wallet(random.pick(&CHEATERS));
    let mine = own(history, me);
    let forks = if me == wallet("y") { 15 } else { 50 };
    let prev = if random.chance(forks) && !mine.is_empty() {
        let any: Vec<Option<usize>> = mine.iter().map(|&i| Some(i)).chain([None]).collect();
        random.pick(&any)
    } else {
        mine.last().copied()
    };
    // The founders' first entries, which name, admit and confirm.
    let mut refs: Vec<usize> = if prev.is_none() {
        vec![0, 1, 2, 3]
    } else {
        Vec::new()
    };
    if random.chance(30) {
        refs.push(random.below(history.oracle.entries.len()));
    }
    let payload = if me == wallet("y") {
        let Some((job, payload)) = last_words(history, random) else {
            return;
        };
        refs.push(job);
        payload
    } else if me == wallet("f0") && random.chance(30) {
        Payload::Witness
    } else if random.chance(65) {
        order(history, random, me, nonce)
    } else if random.chance(60) {
        let Some(payload) = release(history, random, &mine) else {
            return;
        };
        payload
    } else {
        let to = random.pick(&["y", "f3"]);
        let line_ugft = Ugft(random.pick(&[5, 30]));
        Payload::Admit(Admit {
            wallet: wallet(to),
            line_ugft,
        })
    };
    add(history, me, prev, &refs, &payload);
}

/// A small job of the worker's, which is soon over.
fn order(history: &History, random: &mut Rng, me: Wallet, nonce: u64) -> Payload {
    let stages = [(wallet("y"), nonce, OfferTerms::default())];
    let max = random.pick(&[10, 40]);
    let mut reserve = history.kit.reserve_payload(me, &stages, 0, max);
    reserve.deadline_ms = history.oracle.entries.len() as u64 + u64::from(random.between(3, 25));
    Payload::Reserve(Box::new(reserve))
}

/// A release of one of the own jobs, whether due or not.
fn release(history: &History, random: &mut Rng, mine: &[usize]) -> Option<Payload> {
    let is_job = |i: &usize| matches!(history.oracle.payloads[*i], Some(Payload::Reserve(_)));
    let jobs: Vec<usize> = mine.iter().copied().filter(is_job).collect();
    let job = *jobs.get(random.below(jobs.len().max(1)))?;
    let job = JobId(id_of(&history.oracle.entries[job]));
    Some(Payload::Release(Release { job }))
}

/// A frontier of one of the newest jobs.
fn last_words(history: &History, random: &mut Rng) -> Option<(usize, Payload)> {
    let jobs: Vec<usize> = bits(history.oracle.all())
        .filter(|&i| matches!(history.oracle.payloads[i], Some(Payload::Reserve(_))))
        .collect();
    let newest = &jobs[jobs.len().saturating_sub(4)..];
    let job = *newest.get(random.below(newest.len().max(1)))?;
    let done = random.pick(&[0, 5, 10]);
    let entry = &history.oracle.entries[job];
    let frontier = history
        .kit
        .frontier_payload(entry, 0, done, random.chance(60));
    Some((job, Payload::Frontier(Box::new(frontier))))
}
