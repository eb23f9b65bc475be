//! What a node writes by itself: proofs of forks, releases, witnesses.
//!
//! Pure: books and a time in, drafts out; the driver writes them, in order,
//! after something changed in the books and at [`Duties::wake_ms`]. A founder
//! proves the forks that it holds and witnesses what moves money, at most once
//! in [`WITNESS_PAUSE_MS`]; everybody releases own jobs that are over. What is
//! due is the ledger's to say.

use crate::compose::Draft;
use crate::kinds::{Payload, Release};
use crate::ledger::Ledger;
use talkoot_protocol::Wallet;

/// Between two witnesses of a founder.
pub const WITNESS_PAUSE_MS: u64 = 2_000;

/// The duties of one node.
#[derive(Debug, Clone)]
pub struct Duties {
    me: Wallet,
    witness_from_ms: u64,
}

impl Duties {
    /// The duties of this wallet.
    #[must_use]
    pub const fn new(me: Wallet) -> Self {
        Self {
            me,
            witness_from_ms: 0,
        }
    }

    /// What is to be written now. A witness that is given out counts as
    /// written.
    pub fn due(&mut self, ledger: &Ledger, now_ms: u64) -> Vec<Draft> {
        let mut payloads = Vec::new();
        if ledger.genesis().line_ugft(self.me) > 0 {
            payloads.extend(ledger.equivocations_due());
        }
        let releases = ledger.releases_due(self.me, now_ms).into_iter();
        payloads.extend(releases.map(|job| Payload::Release(Release { job })));
        if now_ms >= self.witness_from_ms && ledger.is_witness_due(self.me, now_ms) {
            self.witness_from_ms = now_ms.saturating_add(WITNESS_PAUSE_MS);
            payloads.push(Payload::Witness);
        }
        payloads
            .iter()
            .map(|payload| Draft::new(payload, now_ms))
            .collect()
    }

    /// When to look again if nothing changes in the books.
    #[must_use]
    pub fn wake_ms(&self, ledger: &Ledger, now_ms: u64) -> Option<u64> {
        let pause = (self.witness_from_ms > now_ms).then_some(self.witness_from_ms);
        pause
            .into_iter()
            .chain(ledger.next_deadline_ms(now_ms))
            .min()
    }
}
