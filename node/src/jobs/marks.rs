//! Marks against peers that broke a rule on the data plane.
//!
//! Only remembered and shown here; what follows from marks is decided by who
//! reads them. Bounded: when it is full, the peer with the fewest marks goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use talkoot_protocol::Wallet;

/// Peers remembered.
const PEERS_MAX: usize = 1024;

/// What is held against one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mark {
    /// How often it broke a rule.
    pub count: u32,
    /// The newest reason.
    pub last: String,
}

/// Who else hears of marks.
pub type Listener = Box<dyn Fn(Wallet, &str) + Send + Sync>;

/// All marks; cheap to clone.
#[derive(Clone, Default)]
pub struct Marks {
    marks: Arc<Mutex<BTreeMap<Wallet, Mark>>>,
    listener: Arc<OnceLock<Listener>>,
}

impl std::fmt::Debug for Marks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Marks").finish_non_exhaustive()
    }
}

impl Marks {
    /// Adds a mark.
    pub fn add(&self, peer: Wallet, reason: &str) {
        tracing::warn!(peer = %peer.short(), reason, "a peer broke a rule");
        if let Some(listener) = self.listener.get() {
            listener(peer, reason);
        }
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        if marks.len() >= PEERS_MAX && !marks.contains_key(&peer) {
            let fewest = marks
                .iter()
                .min_by_key(|(_, mark)| mark.count)
                .map(|(wallet, _)| *wallet);
            if let Some(fewest) = fewest {
                marks.remove(&fewest);
            }
        }
        let mark = marks.entry(peer).or_default();
        mark.count = mark.count.saturating_add(1);
        reason.clone_into(&mut mark.last);
    }

    /// Passes all further marks on, for example to who may ban peers. Only the
    /// first listener counts.
    pub fn forward(&self, listener: Listener) {
        drop(self.listener.set(listener));
    }

    /// What is held against a peer.
    #[must_use]
    pub fn of(&self, peer: Wallet) -> Mark {
        let marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.get(&peer).cloned().unwrap_or_default()
    }
}
