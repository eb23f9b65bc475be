//! Law: nothing confirmed is undone while founders with less than a third of
//! the lines cheat. Along every way in which a set can grow, an entry that is
//! confirmed stays confirmed and keeps its outcome, and all ways agree on it.

use crate::common::history;
use crate::common::{Rng, SeedGuard, is_enough, seed_list};
use crate::walk::{LINES, walk_one};
use std::collections::BTreeMap;
use talkoot_ledger::Outcome;

#[test]
fn nothing_confirmed_is_undone() {
    let (mut confirmed, mut forked) = (0_u64, 0_u64);
    for seed in seed_list(10) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let lines = LINES[usize::try_from(seed).unwrap() % LINES.len()];
        let history = history::write_with(&mut random, lines, 1, 80);
        let mut decided: BTreeMap<usize, Outcome> = BTreeMap::new();
        for _ in 0..2 {
            walk_one(&history, &mut random, &mut |step| {
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
        confirmed += decided.len() as u64;
        forked += decided
            .keys()
            .filter(|&&i| {
                let entry = &oracle.entries[i];
                let fork = oracle.fork_seq(entry.author, oracle.all());
                fork.is_some_and(|fork| fork <= entry.seq)
            })
            .count() as u64;
    }
    // Some stood on a fork: else nothing was tried.
    assert!(
        is_enough([confirmed], 100) && is_enough([forked], 1),
        "{confirmed} {forked}"
    );
}
