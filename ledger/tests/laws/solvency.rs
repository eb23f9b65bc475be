//! Law: what is available is never below zero for a wallet that did not fork
//! its log, so no balance of such a wallet falls below its line.

use crate::common::is_enough;
use crate::walk::walk;

#[test]
fn a_wallet_that_did_not_fork_is_never_overdrawn() {
    let (mut tight, mut below_zero) = (0_u64, 0_u64);
    walk(40, 80, |step| {
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
            tight += u64::from(available.0 < 20);
            below_zero += u64::from(account.balance.0 < 0);
        }
    });
    assert!(is_enough([tight, below_zero], 100), "{tight} {below_zero}");
}
