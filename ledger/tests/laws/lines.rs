//! Law: Σ lines = Σ founders' lines, whatever is admitted: lines are passed on
//! and never multiplied.

use crate::common::is_enough;
use crate::walk::walk;
use talkoot_ledger::Outcome;

#[test]
fn lines_are_passed_on_and_never_multiplied() {
    let mut passed_on = 0;
    walk(30, 80, |step| {
        let lines = step
            .after
            .accounts
            .values()
            .map(|account| account.line.0)
            .sum::<i128>();
        let founders = step.history.kit.genesis.lines_ugft();
        assert_eq!(lines, i128::try_from(founders).unwrap());
        for account in step.after.accounts.values() {
            assert!(account.line.0 >= 0, "{account:?}");
        }
        let (outcome, _) = step.after.entries[&step.newest];
        passed_on += u64::from(matches!(outcome, Outcome::Admitted { .. }));
    });
    assert!(
        is_enough([passed_on], 10),
        "only {passed_on} lines were passed on"
    );
}
