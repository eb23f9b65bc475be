//! Law: membership never flips. Whether an entry is in the set follows from the
//! entry and its ancestors alone: whatever the order, the batches and the
//! repetitions, the same entries are added and the same refused.

use crate::common::history::{self, History};
use crate::common::{E, Rng, SeedGuard, is_enough, key, seed_list, wallet};
use std::collections::BTreeMap;
use talkoot_ledger::pending::PENDING_MS_MAX;
use talkoot_ledger::{Admission, Entry, Ledger, Source, StructureError, entry, id_of};
use talkoot_protocol::{Genesis, Hash, NetworkId, Verified};

/// The definition, written down plainly. `all` is everything that exists.
fn is_member(genesis: &Genesis, all: &BTreeMap<Hash, &E>, it: &Entry) -> bool {
    let parents: Option<Vec<&E>> = entry::parents(it).map(|id| all.get(&id).copied()).collect();
    let Some(parents) = parents else { return false };
    if it.network != genesis.id() || !parents.iter().all(|p| is_member(genesis, all, p)) {
        return false;
    }
    let (prev, refs) = parents.split_at(usize::from(it.seq > 0));
    let highest = parents.iter().map(|parent| parent.lamport).max();
    let is_named = genesis.founders.iter().any(|f| f.wallet == it.author)
        || refs.iter().any(|parent| parent.names.contains(&it.author));
    it.lamport == highest.unwrap_or(0) + 1
        && refs.iter().all(|parent| parent.author != it.author)
        && match prev {
            [prev] => prev.author == it.author && prev.seq + 1 == it.seq,
            _ => is_named,
        }
}

fn resign(history: &History, entry: &E, change: impl FnOnce(&mut Entry)) -> Option<E> {
    let mut value = entry.clone().into_inner();
    change(&mut value);
    let key = history.kit.key(value.author).clone();
    Verified::sign(value, &key, history.kit.network).ok()
}

/// An entry of the history with something wrong, or a child of such a one.
fn damaged(history: &History, others: &[E], random: &mut Rng) -> Option<E> {
    let entries = &history.oracle.entries;
    let base = &entries[random.below(entries.len())];
    let other = id_of(&entries[random.below(entries.len())]);
    let kit = &history.kit;
    match random.below(8) {
        0 => resign(history, base, |e| e.lamport += 1 + e.lamport % 2),
        1 => resign(history, base, |e| e.lamport = e.lamport.saturating_sub(1)),
        2 => resign(history, base, |e| e.seq += 1),
        3 => resign(history, base, |e| e.prev = other),
        4 => resign(history, base, |e| e.refs = vec![other]),
        5 => resign(history, base, |e| e.network = NetworkId(Hash::ZERO)),
        6 => {
            // Nobody has named this wallet.
            let mut value = base.clone().into_inner();
            (value.author, value.seq, value.prev) = (wallet("stranger"), 0, Hash::ZERO);
            Verified::sign(value, &key("stranger"), kit.network).ok()
        }
        _ => {
            let parent = others.get(random.below(others.len().max(1)))?;
            let author = random.pick(&history.cheaters.iter().copied().collect::<Vec<_>>());
            let refs: Vec<&E> = if parent.author == author {
                Vec::new()
            } else {
                vec![parent]
            };
            let prev = (parent.author == author).then_some(parent);
            Some(kit.witness(author, prev, &refs, random.next()))
        }
    }
}

/// What an order of arrival came to: who is held, and why others are not.
fn arrive(history: &History, all: &[E], random: &mut Rng) -> BTreeMap<Hash, Verdict> {
    let mut ledger = Ledger::new(history.kit.genesis.clone());
    let mut stream: Vec<E> = all.to_vec();
    stream.extend(
        random
            .sample(&(0..all.len()).collect::<Vec<_>>(), 20)
            .into_iter()
            .map(|i| all[i].clone()),
    );
    random.shuffle(&mut stream);
    let mut held: Vec<Hash> = Vec::new();
    for batch in stream.chunks(1 + random.below(9)) {
        let source = Source::Peer(wallet("peer"));
        ledger.admit_batch(batch.to_vec(), source, 0);
        assert!(
            held.iter().all(|id| ledger.holds(id)),
            "an entry left the set"
        );
        held = ledger.links(0).map(|link| link.id).collect();
    }
    // What waits has a parent that is in no set: it waits for ever.
    let waiting = all.iter().filter(|entry| ledger.is_pending(&id_of(entry)));
    for entry in waiting {
        let parents: Vec<Hash> = entry::parents(entry).collect();
        assert!(parents.iter().any(|id| !ledger.holds(id)));
    }
    ledger.expire(PENDING_MS_MAX + 1);
    assert_eq!(ledger.pending_count(), 0);
    let again = all.iter().map(|entry| {
        let verdict = match ledger.admit(entry.clone(), Source::Own, 0) {
            Admission::Known if ledger.holds(&id_of(entry)) => Verdict::Held,
            Admission::Refused(error) => Verdict::Refused(error),
            // Told twice: it waits already.
            Admission::Pending { .. } | Admission::Known => Verdict::Waits,
            other => panic!("{other:?}"),
        };
        (id_of(entry), verdict)
    });
    again.collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Held,
    Refused(StructureError),
    Waits,
}

#[test]
fn membership_never_flips() {
    let (mut refused, mut waiting) = (0, 0);
    for seed in seed_list(40) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let history = history::write(&mut random, 1, 50);
        let mut others: Vec<E> = Vec::new();
        for _ in 0..30 {
            others.extend(damaged(&history, &others, &mut random));
        }
        let mut all = history.oracle.entries.clone();
        all.extend(others);
        all.sort_by_key(id_of);
        all.dedup_by_key(|entry| id_of(entry));
        let by_id: BTreeMap<Hash, &E> = all.iter().map(|entry| (id_of(entry), entry)).collect();
        let first = arrive(&history, &all, &mut random);
        for (id, verdict) in &first {
            let expected = is_member(&history.kit.genesis, &by_id, by_id[id]);
            assert_eq!(*verdict == Verdict::Held, expected, "{:?}", by_id[id]);
        }
        for _ in 0..4 {
            assert_eq!(arrive(&history, &all, &mut random), first);
        }
        let count =
            |wanted: fn(&Verdict) -> bool| first.values().filter(|v| wanted(v)).count() as u64;
        refused += count(|verdict| matches!(verdict, Verdict::Refused(_)));
        waiting += count(|verdict| *verdict == Verdict::Waits);
    }
    assert!(is_enough([refused, waiting], 10), "{refused} {waiting}");
}
