//! Law: a late entry changes no outcome but those of an unconfirmed fork, and
//! of an unconfirmed frontier that a release of its job lacks.

use crate::common::is_enough;
use crate::common::oracle::{Oracle, bits};
use crate::walk::{Step, walk};
use talkoot_ledger::Payload;

/// The job that an ok frontier names.
fn job(oracle: &Oracle, i: usize) -> Option<usize> {
    match &oracle.payloads[i] {
        Some(Payload::Frontier(frontier)) => oracle.ids.get(&frontier.job.0).copied(),
        _ => None,
    }
}

/// Whether the log of an entry's author is forked at or below it now, and the
/// entry was not confirmed before.
fn is_unconfirmed_fork(step: &Step<'_>, i: usize) -> bool {
    let oracle = &step.history.oracle;
    let entry = &oracle.entries[i];
    let is_forked = oracle
        .fork_seq(entry.author, step.set)
        .is_some_and(|fork| fork <= entry.seq);
    is_forked && !oracle.confirmed(i, step.set_before)
}

/// Whether somebody released the job without this frontier in the release's
/// past, and the frontier was not confirmed before.
fn is_outside_a_release(step: &Step<'_>, i: usize) -> bool {
    let oracle = &step.history.oracle;
    let is_release = |r: usize| match &oracle.payloads[r] {
        Some(Payload::Release(release)) => {
            oracle.ids.get(&release.job.0).copied() == job(oracle, i)
        }
        _ => false,
    };
    let mut releases = bits(step.set).filter(|&r| is_release(r));
    releases.any(|r| oracle.past[r] >> i & 1 == 0) && !oracle.confirmed(i, step.set_before)
}

#[test]
fn a_late_entry_changes_no_outcome_but_those_of_an_unconfirmed_fork() {
    let (mut changed, mut late) = (0_u64, 0_u64);
    walk(60, 80, |step| {
        let oracle = &step.history.oracle;
        late += u64::from(step.newest + 1 < step.set.ilog2() as usize);
        for (&i, (was, _)) in &step.before.entries {
            let (is, _) = &step.after.entries[&i];
            if was == is {
                continue;
            }
            changed += 1;
            let is_allowed = is_unconfirmed_fork(step, i)
                || job(oracle, i).is_some_and(|job| is_unconfirmed_fork(step, job))
                || job(oracle, i).is_some() && is_outside_a_release(step, i);
            assert!(is_allowed, "entry {i} went from {was:?} to {is:?}");
        }
    });
    assert!(is_enough([changed, late], 25), "{changed} {late}");
}
