//! Verdicts on signatures, remembered within a thread.
//!
//! For the simulator, in which a thousand nodes of one thread check the same
//! signatures: each distinct (key, message, signature) is really verified once.
//! No program that is released turns this feature on.

use super::{Signature, Wallet};
use crate::hash::{Hash, HashContext};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Verdicts kept before all are forgotten.
const VERDICTS_MAX: usize = 1 << 20;

thread_local! {
    static VERDICTS: RefCell<BTreeMap<Hash, bool>> = const { RefCell::new(BTreeMap::new()) };
}

/// The verdict that `check` gave before, or gives now.
pub(super) fn verdict(
    wallet: &Wallet,
    message: &[u8],
    signature: &Signature,
    check: impl FnOnce() -> bool,
) -> bool {
    let parts = [wallet.as_bytes().as_slice(), signature.as_bytes(), message];
    let key = Hash::of_parts(HashContext::Signature, &parts);
    VERDICTS.with_borrow_mut(|verdicts| {
        if let Some(&known) = verdicts.get(&key) {
            return known;
        }
        if verdicts.len() >= VERDICTS_MAX {
            verdicts.clear();
        }
        let is_right = check();
        verdicts.insert(key, is_right);
        is_right
    })
}
