//! Entries that wait for their parents: bounded for each source, and for a
//! time.
//!
//! An entry is *vouched for* when a founder's entry waits for it, directly or
//! through others. What founders saw went through their own admission, so it
//! needs no tokens here: a node that catches up is not slowed down.

use crate::entry::Entry;
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::{Hash, Verified, Wallet};

/// Entries that one source may have waiting.
pub const PENDING_PER_SOURCE_MAX: usize = 4096;
/// Bytes of payload that one source may have waiting.
pub const PENDING_BYTES_PER_SOURCE_MAX: usize = 8 * 1024 * 1024;
/// Entries that may wait in all.
pub const PENDING_MAX: usize = 4 * PENDING_PER_SOURCE_MAX;
/// How long an entry may wait.
pub const PENDING_MS_MAX: u64 = 60_000;

#[derive(Debug)]
struct Waiting {
    entry: Verified<Entry>,
    missing: BTreeSet<Hash>,
    source: Wallet,
    since_ms: u64,
    is_vouched: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Load {
    entries: usize,
    bytes: usize,
}

/// The entries that wait.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    waiting: BTreeMap<Hash, Waiting>,
    /// Who waits for an id.
    waiters: BTreeMap<Hash, BTreeSet<Hash>>,
    loads: BTreeMap<Wallet, Load>,
}

/// An entry whose last missing parent has come.
#[derive(Debug)]
pub(crate) struct Complete {
    pub(crate) entry: Verified<Entry>,
    pub(crate) source: Wallet,
    pub(crate) is_vouched: bool,
}

impl Pending {
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn contains(&self, id: &Hash) -> bool {
        self.waiting.contains_key(id)
    }

    /// What a waiting entry needs and nobody has handed in yet: its missing
    /// parents, or theirs where they wait themselves.
    pub(crate) fn absent(&self, id: &Hash) -> BTreeSet<Hash> {
        let (mut absent, mut seen) = (BTreeSet::new(), BTreeSet::from([*id]));
        let mut stack = vec![*id];
        while let Some(id) = stack.pop() {
            match self.waiting.get(&id) {
                Some(waiting) => {
                    stack.extend(
                        waiting
                            .missing
                            .iter()
                            .filter(|parent| seen.insert(**parent)),
                    );
                }
                None => {
                    absent.insert(id);
                }
            }
        }
        absent
    }

    /// Whether an entry that is vouched for waits for `id`.
    pub(crate) fn is_vouched(&self, id: &Hash) -> bool {
        let mut waiters = self.waiters.get(id).into_iter().flatten();
        waiters.any(|waiter| {
            self.waiting
                .get(waiter)
                .is_some_and(|waiting| waiting.is_vouched)
        })
    }

    /// Lets an entry wait; `false` when its source has too many waiting.
    pub(crate) fn add(
        &mut self,
        id: Hash,
        complete: Complete,
        missing: &[Hash],
        now_ms: u64,
    ) -> bool {
        let Complete {
            entry,
            source,
            is_vouched,
        } = complete;
        let load = self.loads.entry(source).or_default();
        let bytes = load.bytes.saturating_add(entry.payload.len());
        let fits = load.entries < PENDING_PER_SOURCE_MAX
            && bytes <= PENDING_BYTES_PER_SOURCE_MAX
            && self.waiting.len() < PENDING_MAX;
        if !fits {
            return false;
        }
        *load = Load {
            entries: load.entries.saturating_add(1),
            bytes,
        };
        let is_vouched = is_vouched || self.is_vouched(&id);
        for parent in missing {
            self.waiters.entry(*parent).or_default().insert(id);
        }
        let missing: BTreeSet<Hash> = missing.iter().copied().collect();
        self.waiting.insert(
            id,
            Waiting {
                entry,
                missing,
                source,
                since_ms: now_ms,
                is_vouched: false,
            },
        );
        if is_vouched {
            self.vouch(id);
        }
        true
    }

    fn vouch(&mut self, id: Hash) {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if let Some(waiting) = self
                .waiting
                .get_mut(&id)
                .filter(|waiting| !waiting.is_vouched)
            {
                waiting.is_vouched = true;
                stack.extend(waiting.missing.iter().copied());
            }
        }
    }

    /// Takes out what waited for nothing but `id`, which is held now.
    pub(crate) fn arrived(&mut self, id: &Hash) -> Vec<Complete> {
        let mut complete = Vec::new();
        for waiter in self.waiters.remove(id).unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(&waiter) else {
                continue;
            };
            waiting.missing.remove(id);
            if waiting.missing.is_empty() {
                complete.extend(self.remove(&waiter));
            }
        }
        complete
    }

    /// Forgets everything that waits for `id`, which will never be held, and
    /// what waits for that.
    pub(crate) fn refuse(&mut self, id: &Hash) {
        let mut stack = vec![*id];
        while let Some(id) = stack.pop() {
            for waiter in self.waiters.remove(&id).unwrap_or_default() {
                self.remove(&waiter);
                stack.push(waiter);
            }
        }
    }

    /// Forgets what has waited too long.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        let is_old = |waiting: &Waiting| now_ms.saturating_sub(waiting.since_ms) > PENDING_MS_MAX;
        let old: Vec<Hash> = self
            .waiting
            .iter()
            .filter(|(_, waiting)| is_old(waiting))
            .map(|(id, _)| *id)
            .collect();
        for id in old {
            self.remove(&id);
        }
    }

    fn remove(&mut self, id: &Hash) -> Option<Complete> {
        let waiting = self.waiting.remove(id)?;
        for parent in &waiting.missing {
            if let Some(waiters) = self.waiters.get_mut(parent) {
                waiters.remove(id);
                if waiters.is_empty() {
                    self.waiters.remove(parent);
                }
            }
        }
        if let Some(load) = self.loads.get_mut(&waiting.source) {
            load.entries = load.entries.saturating_sub(1);
            load.bytes = load.bytes.saturating_sub(waiting.entry.payload.len());
            if load.entries == 0 {
                self.loads.remove(&waiting.source);
            }
        }
        Some(Complete {
            entry: waiting.entry,
            source: waiting.source,
            is_vouched: waiting.is_vouched,
        })
    }
}
