//! Law: what is available is never below zero for a wallet that did not fork
//! its log, so no balance of such a wallet falls below its line.

use crate::common::{Rng, SeedGuard, is_enough, seed_list};
use crate::storm;
use crate::walk::{LINES, Step, walk, walk_one};
use talkoot_ledger::Outcome;

/// What the walks met: wallets with little left, and wallets below zero.
#[derive(Default)]
struct Met {
    tight: u64,
    below_zero: u64,
}

fn check(step: &Step<'_>, met: &mut Met) {
    let oracle = &step.history.oracle;
    for account in step.after.accounts.values() {
        if oracle.fork_seq(account.wallet, step.set).is_some() {
            continue;
        }
        let available = step.ledger.available(account.wallet);
        assert!(available.0 >= 0, "{account:?}: {available}");
        let left = account.line.0 + account.balance.0 - account.held.0;
        assert!(left >= 0, "{account:?} is below its line by {left}");
        // What may be spent is backed by what is there.
        assert!(available.0 <= left, "{account:?}: {available} of {left}");
        met.tight += u64::from(available.0 < 20);
        met.below_zero += u64::from(account.balance.0 < 0);
    }
}

#[test]
fn a_wallet_that_did_not_fork_is_never_overdrawn() {
    let mut met = Met::default();
    walk(40, 80, |step| check(step, &mut met));
    assert!(
        is_enough([met.tight, met.below_zero], 100),
        "{} {}",
        met.tight,
        met.below_zero
    );
}

/// A submitter that has released a job spends the freed hold, and no founder
/// confirms the frontier that the release left out.
#[test]
fn a_wallet_that_released_its_jobs_is_never_overdrawn() {
    let (mut met, mut released) = (Met::default(), 0);
    for seed in seed_list(60) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let lines = random.pick(&LINES);
        let history = storm::release_duel(&mut random, lines);
        walk_one(&history, &mut random, &mut |step| {
            check(step, &mut met);
            let (outcome, _) = step.after.entries[&step.newest];
            released += u64::from(matches!(outcome, Outcome::Released { .. }));
        });
    }
    assert!(is_enough([released], 10), "{released}");
}
