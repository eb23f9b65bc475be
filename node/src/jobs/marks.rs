//! Marks against peers that broke a rule on the data plane.
//!
//! Only remembered and shown here; what follows from marks is decided by who
//! reads them. Bounded: when it is full, the peer with the fewest marks goes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
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

/// All marks; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Marks(Arc<Mutex<BTreeMap<Wallet, Mark>>>);

impl Marks {
    /// Adds a mark.
    pub fn add(&self, peer: Wallet, reason: &str) {
        tracing::warn!(peer = %peer.short(), reason, "a peer broke a rule");
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// What is held against a peer.
    #[must_use]
    pub fn of(&self, peer: Wallet) -> Mark {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.get(&peer).cloned().unwrap_or_default()
    }
}
