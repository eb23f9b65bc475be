//! Law: Σ balances + commons = 0 after every entry, and each balance is the sum of
//! the wallet's own payments.

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

/// What a wallet can be shown of its own entries and jobs is its whole balance.
#[test]
fn payments_add_up_to_every_balance_after_every_entry() {
    let mut paid = 0;
    walk(30, 80, |step| {
        for (wallet, account) in &step.after.accounts {
            let payments = step.ledger.payments(*wallet);
            let sum: i128 = payments
                .iter()
                .map(|payment| match payment.is_worker {
                    true => i128::from(payment.earned.0),
                    false => -i128::from(payment.burned.0),
                })
                .sum();
            assert_eq!(sum, account.balance.0);
            paid += payments.len() as u64;
            let pending = step.ledger.earnings_unconfirmed(*wallet);
            let pending: u64 = pending.iter().map(|part| part.amount.0).sum();
            assert_eq!(pending, step.ledger.account(*wallet).pending.0);
            let held = step.ledger.open_holds(*wallet);
            let held: i128 = held.map(|part| i128::from(part.amount.0)).sum();
            assert_eq!(held, account.held.0);
        }
    });
    assert!(is_enough([paid], 100), "only {paid} payments");
}
