//! Law: nothing confirmed is undone while founders with less than a third of
//! the lines cheat. Along every way in which a set can grow, an entry that is
//! confirmed stays confirmed and keeps its outcome, and all ways agree on it. Of
//! two entries of one author at one number at most one is ever confirmed.

use crate::common::history::{self, History};
use crate::common::{Rng, SeedGuard, is_enough, seed_list};
use crate::storm;
use crate::walk::{LINES, walk_one};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_ledger::Outcome;

/// Walks a history in two orders; gives how many entries were confirmed, and
/// how many of these stand at or above a fork.
fn check(history: &History, random: &mut Rng) -> [u64; 2] {
    let mut decided: BTreeMap<usize, Outcome> = BTreeMap::new();
    for _ in 0..2 {
        walk_one(history, random, &mut |step| {
            for (&i, &(outcome, is_confirmed)) in &step.after.entries {
                let was_confirmed = step.before.entries.get(&i).is_some_and(|was| was.1);
                assert!(
                    !was_confirmed || is_confirmed,
                    "entry {i} is confirmed no more"
                );
                if is_confirmed {
                    let first = *decided.entry(i).or_insert(outcome);
                    assert_eq!(first, outcome, "entry {i} was confirmed and flipped");
                }
            }
        });
    }
    let oracle = &history.oracle;
    let mut places = BTreeSet::new();
    for &i in decided.keys() {
        let entry = &oracle.entries[i];
        assert!(
            places.insert((entry.author, entry.seq)),
            "both sides of a fork are confirmed"
        );
    }
    let is_forked = |i: &&usize| {
        let entry = &oracle.entries[**i];
        let fork = oracle.fork_seq(entry.author, oracle.all());
        fork.is_some_and(|fork| fork <= entry.seq)
    };
    let forked = decided.keys().filter(is_forked).count();
    [decided.len() as u64, forked as u64]
}

#[test]
fn nothing_confirmed_is_undone() {
    let (mut confirmed, mut forked) = (0, 0);
    for seed in seed_list(100) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let lines = random.pick(&LINES);
        let history = if seed % 5 == 0 {
            history::write_with(&mut random, lines, 1, 80)
        } else {
            storm::write(&mut random, lines, 50)
        };
        let duels = (0..5).map(|_| storm::duel(&mut random, lines));
        let mut duels: Vec<History> = duels.collect();
        duels.push(storm::release_duel(&mut random, lines));
        for history in duels.iter().chain([&history]) {
            let counts = check(history, &mut random);
            (confirmed, forked) = (confirmed + counts[0], forked + counts[1]);
        }
    }
    // Some stood on a fork: else nothing was tried.
    let is_tried = is_enough([confirmed], 400) && is_enough([forked], 20);
    assert!(is_tried, "{confirmed} {forked}");
}
