//! Holds that end, plainly: who says that a job is over, and what a release
//! shuts out and leaves.

use super::{Oracle, Set, bits};
use talkoot_ledger::{HOLD_GRACE_MS, Payload, Reason};
use talkoot_protocol::{Hash, Wallet};

impl Oracle {
    /// Whether an entry says that a job's deadline is over.
    pub(super) fn claims_over(&self, c: usize, job: usize) -> bool {
        let over_ms = self
            .reserve(job)
            .unwrap()
            .deadline_ms
            .saturating_add(HOLD_GRACE_MS);
        matches!(self.payloads[c], Some(Payload::Witness))
            && self.entries[c].time_ms >= over_ms
            && self.past[c] >> job & 1 == 1
    }

    /// Whether a founder had said, before it saw a frontier, that its job is
    /// over.
    pub(super) fn is_late(&self, i: usize, frontier: usize, job: usize) -> bool {
        let own = self.own(i).into_iter();
        own.filter(|&c| self.claims_over(c, job))
            .any(|c| self.closure(c) >> frontier & 1 == 0)
    }

    /// The job of an ok release.
    pub(super) fn released_job(&self, i: usize) -> Option<usize> {
        match &self.payloads[i] {
            Some(Payload::Release(release)) if self.ok[i].is_ok() => {
                self.ids.get(&release.job.0).copied()
            }
            _ => None,
        }
    }

    /// Whether an effective release shuts a frontier out.
    pub(super) fn shut_out(&self, i: usize, job: usize, set: Set) -> bool {
        let lacks = |&r: &usize| {
            self.released_job(r) == Some(job) && self.past[r] >> i & 1 == 0 && self.live(r, set)
        };
        bits(set).any(|r| lacks(&r)) && !self.confirmed(i, set)
    }

    /// The most that a stage claims of a job in a set.
    pub(super) fn claimed(&self, job: usize, worker: Wallet, set: Set) -> i128 {
        let own = bits(set).filter(|&f| self.author(f) == worker && self.paid_job(f) == Some(job));
        own.map(|f| self.gross(f)).max().unwrap_or(0)
    }

    /// What a release frees.
    pub(super) fn freed(&self, job: usize, past: Set) -> i128 {
        let is_over = |worker: &Wallet| {
            bits(past).any(|f| {
                self.author(f) == *worker
                    && self.paid_job(f) == Some(job)
                    && self.frontier(f).unwrap().is_final
            })
        };
        let open = self.foreign(job).into_iter().filter(|w| !is_over(w));
        open.map(|w| self.hold(job, w) - self.claimed(job, w, past))
            .sum()
    }

    pub(super) fn judge_release(&self, i: usize, job: &Hash) -> Result<(), Reason> {
        let (past, own) = (self.past[i], self.own(i));
        let job = self.ids.get(job).copied();
        let job = job
            .filter(|job| {
                own.contains(job) && self.reserve(*job).is_some() && self.ok[*job].is_ok()
            })
            .ok_or(Reason::NotOwnJob)?;
        if own.iter().any(|&o| self.released_job(o) == Some(job)) {
            return Err(Reason::ReleasedBefore);
        }
        let says = |founder: &&talkoot_protocol::Founder| {
            bits(past).any(|c| self.author(c) == founder.wallet && self.claims_over(c, job))
        };
        let founders = self.genesis.founders.iter().filter(says);
        let have: u128 = founders.map(|f| u128::from(f.line_ugft)).sum();
        if 3 * have > 2 * self.genesis.lines_ugft() {
            Ok(())
        } else {
            Err(Reason::NotDue)
        }
    }

    /// What a release in the log before an entry leaves of a hold.
    pub(super) fn left(&self, i: usize, job: usize, worker: Wallet) -> i128 {
        let releases = self.own(i).into_iter();
        releases
            .filter(|&r| self.released_job(r) == Some(job))
            .map(|r| self.claimed(job, worker, self.past[r]))
            .min()
            .unwrap_or(i128::MAX)
    }
}
