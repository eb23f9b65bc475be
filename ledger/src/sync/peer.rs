//! What the sync core remembers of one peer: bounded, and forgotten when the
//! peer goes.

use super::REQUEST_TIMEOUT_MS;
use crate::ledger::Ledger;
use std::collections::BTreeSet;
use talkoot_protocol::sync::{ChainKey, KeyRange, Span};
use talkoot_protocol::{Hash, limits};

/// Missing parents that are remembered for one peer.
const PARENTS_MAX: usize = 4096;
/// How long a busy or failing peer is left alone; twice as long each time.
const FAILURE_PAUSE_MS: u64 = 1_000;
const FAILURE_PAUSE_MS_MAX: u64 = 60_000;
/// Entries of a first slice. A peer that gives them soon is asked for more.
const SLICE_FIRST: u32 = 256;
const SLICE_MIN: u32 = 32;
/// What is soon.
const SOON_MS: u64 = 1_500;

/// What a peer was asked for.
#[derive(Debug, Clone)]
pub(super) enum Ask {
    Heads,
    /// What it holds after one of these.
    Since(Vec<(u64, ChainKey)>),
    /// A part of the plan, in answers of at most so many entries.
    Task {
        number: u64,
        entries_max: u32,
    },
    /// Parents that gossiped entries wait for.
    Parents,
}

/// A request that is out.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) request_id: u64,
    pub(super) since_ms: u64,
    pub(super) ask: Ask,
}

/// One peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) flight: Option<Flight>,
    /// Whether it has entries that we lack, and said which.
    pub(super) is_helper: bool,
    /// Whether a round broke off, or is to be repeated.
    pub(super) is_due: bool,
    /// The length of its chain: a claim.
    pub(super) claimed: u64,
    /// What it says it holds, from where our chains differ.
    pub(super) promise: (Option<ChainKey>, Vec<Span>),
    /// Parents that entries of this peer wait for.
    pub(super) parents: BTreeSet<Hash>,
    /// Whether parents from this peer are being admitted.
    pub(super) is_admitting: bool,
    slice: u32,
    paused_until_ms: u64,
    failures: u32,
}

impl Default for Peer {
    fn default() -> Self {
        Self {
            flight: None,
            is_helper: false,
            is_due: false,
            claimed: 0,
            promise: (None, Vec::new()),
            parents: BTreeSet::new(),
            is_admitting: false,
            slice: SLICE_FIRST,
            paused_until_ms: 0,
            failures: 0,
        }
    }
}

impl Peer {
    /// Whether it is to be left alone.
    pub(super) const fn is_paused(&self, now_ms: u64) -> bool {
        now_ms < self.paused_until_ms
    }

    /// Whether it can be asked now.
    pub(super) const fn is_idle(&self, now_ms: u64) -> bool {
        self.flight.is_none() && !self.is_paused(now_ms)
    }

    pub(super) fn is_late(&self, now_ms: u64) -> bool {
        let since_ms = self.flight.as_ref().map(|flight| flight.since_ms);
        since_ms.is_some_and(|since_ms| now_ms.saturating_sub(since_ms) > REQUEST_TIMEOUT_MS)
    }

    /// Takes an answer to a request; none if that is not the one in flight.
    pub(super) fn answered(&mut self, request_id: u64) -> Option<Flight> {
        self.flight
            .take_if(|flight| flight.request_id == request_id)
    }

    /// Notes that it answered with entries, and how fast.
    pub(super) const fn gave(&mut self, took_ms: u64) {
        self.failures = 0;
        if took_ms < SOON_MS {
            let twice = self.slice.saturating_mul(2);
            self.slice = if twice < limits::SYNC_SLICE_MAX {
                twice
            } else {
                limits::SYNC_SLICE_MAX
            };
        } else if took_ms > 2 * SOON_MS {
            self.halve();
        }
    }

    const fn halve(&mut self) {
        let half = self.slice / 2;
        self.slice = if half > SLICE_MIN { half } else { SLICE_MIN };
    }

    /// How many entries to ask it for at once.
    pub(super) const fn slice(&self) -> u32 {
        self.slice
    }

    pub(super) fn want(&mut self, ids: impl IntoIterator<Item = Hash>) {
        for id in ids {
            if self.parents.len() < PARENTS_MAX {
                self.parents.insert(id);
            }
        }
    }

    pub(super) fn forget_held(&mut self, ledger: &Ledger) {
        self.parents
            .retain(|id| !ledger.holds(id) && !ledger.is_pending(id));
    }

    /// How many entries it must give for a range, by its own word.
    pub(super) fn promised(&self, range: &KeyRange) -> u64 {
        let (mut after, spans) = (self.promise.0, &self.promise.1);
        let mut sum = 0_u64;
        for span in spans {
            let begins_inside = range
                .after
                .is_none_or(|bound| after.is_some_and(|after| bound <= after));
            if begins_inside && range.contains(&span.last) {
                sum = sum.saturating_add(span.count);
            }
            after = Some(span.last);
        }
        sum
    }

    /// Leaves it alone until then.
    pub(super) fn pause(&mut self, until_ms: u64) {
        self.flight = None;
        self.is_due = true;
        self.parents.clear();
        self.paused_until_ms = self.paused_until_ms.max(until_ms);
    }

    /// Leaves it alone for a while that grows.
    pub(super) fn failed(&mut self, now_ms: u64) {
        let pause_ms = FAILURE_PAUSE_MS
            .checked_shl(self.failures)
            .map_or(FAILURE_PAUSE_MS_MAX, |ms| ms.min(FAILURE_PAUSE_MS_MAX));
        self.failures = self.failures.saturating_add(1).min(16);
        self.halve();
        self.pause(now_ms.saturating_add(pause_ms));
    }
}
