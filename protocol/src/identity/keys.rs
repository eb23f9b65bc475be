//! Public keys as points of the curve, kept within a thread.
//!
//! Making the point of a key costs an eighth of a verification, and the same
//! few wallets sign nearly everything. A point follows from its key alone, so
//! this changes no verdict.

use ed25519_dalek::VerifyingKey;
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Points kept before all are forgotten: 1 MiB.
const KEYS_MAX: usize = 4096;

thread_local! {
    static KEYS: RefCell<BTreeMap<[u8; 32], VerifyingKey>> = const { RefCell::new(BTreeMap::new()) };
}

/// The point of a key, if it is one.
pub(super) fn point(key: &[u8; 32]) -> Option<VerifyingKey> {
    KEYS.with_borrow_mut(|keys| {
        if let Some(point) = keys.get(key) {
            return Some(*point);
        }
        let point = VerifyingKey::from_bytes(key).ok()?;
        if keys.len() >= KEYS_MAX {
            keys.clear();
        }
        keys.insert(*key, point);
        Some(point)
    })
}
