//! What the sync core remembers of one peer: bounded, and forgotten when the
//! peer goes.

use crate::ledger::Ledger;
use std::collections::BTreeSet;
use talkoot_protocol::Hash;
use talkoot_protocol::sync::TipKey;

use super::REQUEST_TIMEOUT_MS;

/// Missing parents that are remembered for one peer.
const PARENTS_MAX: usize = 4096;

/// Where a round stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Round {
    /// None is running.
    #[default]
    Idle,
    /// Heads were asked for.
    Heads,
    /// A page of tips was asked for.
    Tips {
        /// The last tip of the page before.
        after: Option<TipKey>,
    },
    /// Entries are fetched.
    Fetching {
        /// Whether the peer's tips were read in this round.
        is_tips: bool,
    },
}

/// One peer.
#[derive(Debug, Default)]
pub(super) struct Peer {
    pub(super) round: Round,
    /// The request that is out, and since when.
    pub(super) in_flight: Option<(u64, u64)>,
    /// Whether entries of this peer are being admitted.
    pub(super) is_admitting: bool,
    /// Tips of this peer that are not held.
    pub(super) tips: Vec<TipKey>,
    /// Parents that entries of this peer wait for.
    pub(super) parents: BTreeSet<Hash>,
    paused_until_ms: u64,
    /// Whether the last round broke off.
    is_unfinished: bool,
}

impl Peer {
    pub(super) const fn may_begin(&self, now_ms: u64) -> bool {
        matches!(self.round, Round::Idle) && now_ms >= self.paused_until_ms
    }

    /// Whether a round that broke off should be tried again.
    pub(super) const fn is_due(&self, now_ms: u64) -> bool {
        self.is_unfinished && now_ms >= self.paused_until_ms
    }

    pub(super) fn is_fetching(&self) -> bool {
        matches!(self.round, Round::Fetching { .. })
            && (self.in_flight.is_some() || self.is_admitting)
    }

    pub(super) fn is_late(&self, now_ms: u64) -> bool {
        self.in_flight
            .is_some_and(|(_, since_ms)| now_ms.saturating_sub(since_ms) > REQUEST_TIMEOUT_MS)
    }

    /// Takes an answer to a request; `false` if that is not the one in flight.
    pub(super) fn answered(&mut self, request_id: u64) -> bool {
        let is_it = self.in_flight.is_some_and(|(id, _)| id == request_id);
        if is_it {
            self.in_flight = None;
        }
        is_it
    }

    pub(super) fn want(&mut self, ids: impl IntoIterator<Item = Hash>) {
        for id in ids {
            if self.parents.len() < PARENTS_MAX {
                self.parents.insert(id);
            }
        }
    }

    pub(super) fn forget_held(&mut self, ledger: &Ledger) {
        self.tips.retain(|tip| !ledger.holds(&tip.id));
        self.parents
            .retain(|id| !ledger.holds(id) && !ledger.is_pending(id));
    }

    /// Ends the round; all is well.
    pub(super) fn rest(&mut self) {
        self.round = Round::Idle;
        self.in_flight = None;
        self.is_unfinished = false;
        self.tips.clear();
    }

    /// Breaks the round off until then.
    pub(super) fn pause(&mut self, until_ms: u64) {
        self.rest();
        self.is_admitting = false;
        self.parents.clear();
        self.is_unfinished = true;
        self.paused_until_ms = until_ms;
    }
}
