//! Law: Σ balances + commons = 0 after every entry.

use crate::common::is_enough;
use crate::walk::walk;
use talkoot_ledger::Balance;

#[test]
fn balances_and_commons_add_up_to_zero_after_every_entry() {
    let mut moved = 0;
    walk(30, 80, |step| {
        let balances = step
            .after
            .accounts
            .values()
            .map(|account| account.balance.0)
            .sum::<i128>();
        assert_eq!(balances + step.after.commons.0, 0);
        assert_eq!(step.ledger.sum(), Balance::ZERO);
        moved += u64::from(step.before.accounts != step.after.accounts);
    });
    assert!(is_enough([moved], 100), "only {moved} entries moved money");
}
