//! The deadline of a hold: when founders let it pass, and who posted in time.
//!
//! A stage that never says its last word must not hold its submitter's money
//! for ever. Nobody's clock may decide that but founders': a founder *claims*
//! that a job's deadline is over with a `Witness` that has the job in its past
//! and a time not before the deadline plus [`HOLD_GRACE_MS`]. A `Release` needs
//! such claims of founders with more than two thirds of the lines in its past;
//! what its past lacks of the job's frontiers it shuts out. A founder confirms
//! no frontier that it saw only after its own claim, so what a release shuts
//! out is never confirmed while founders with less than a third of the lines
//! cheat (docs/LEDGER.md, "Holds that end"). This file answers questions about
//! pasts; effects are the fold's.

use crate::amount::Ugft;
use crate::core::Core;
use crate::facts::Facts;
use crate::graph::Ix;
use crate::outcome::Reason;
use crate::past::{Cut, Past};
use crate::spending::LogMoney;
use talkoot_protocol::Hash;

/// How long after a job's deadline its stages may still post their frontiers.
pub const HOLD_GRACE_MS: u64 = 600_000;

impl Core {
    /// The time from which on a founder's `Witness` claims that a job is over.
    pub(crate) fn claim_from_ms(&self, job: Ix) -> u64 {
        match &self.record(job).facts {
            Facts::Reserve(reserve) => reserve.terms.deadline_ms.saturating_add(HOLD_GRACE_MS),
            _ => u64::MAX,
        }
    }

    /// The highest time among the `Witness` entries of a log up to `ix`.
    pub(crate) fn claimed_ms(&self, prev: Option<Ix>, facts: &Facts, time_ms: u64) -> u64 {
        let before = prev.map_or(0, |prev| self.record(prev).claimed_ms);
        match facts {
            Facts::Witness => before.max(time_ms),
            _ => before,
        }
    }

    /// Whether a log claims, at `tip` or before, that a job's deadline is over.
    pub(crate) fn claims_over(&self, tip: Ix, job: Ix) -> bool {
        let from_ms = self.claim_from_ms(job);
        let log = [tip].into_iter().chain(self.graph().log_before(tip));
        // Claims grow along a log, as a rule: the newest entries tell.
        log.take_while(|&ix| {
            self.record(ix).claimed_ms >= from_ms && Cut::Closure(ix).contains(self.graph(), job)
        })
        .any(|ix| {
            matches!(self.record(ix).facts, Facts::Witness)
                && self.graph().node(ix).entry.time_ms >= from_ms
        })
    }

    /// Whether founders with more than two thirds of the lines claim in a past
    /// that a job's deadline is over.
    pub(crate) fn is_over(&self, past: &Past, job: Ix) -> bool {
        let claims = |founder: &&talkoot_protocol::Founder| {
            self.graph()
                .find_author(&founder.wallet)
                .is_some_and(|author| {
                    let mut tips = past.tips(author).iter();
                    tips.any(|&tip| self.claims_over(tip, job))
                })
        };
        let have: u128 = self
            .genesis
            .founders
            .iter()
            .filter(claims)
            .map(|founder| u128::from(founder.line_ugft))
            .sum();
        have.saturating_mul(3) > self.lines_total.saturating_mul(2)
    }

    /// The most that a stage claims of a job in a past, whatever the branch.
    pub(crate) fn claimed_by_stage(&self, past: &Past, job: Ix, stage: usize) -> Ugft {
        let frontiers = self
            .jobs
            .get(&job)
            .and_then(|job| job.stages.get(stage))
            .map_or(&[][..], |book| book.frontiers.as_slice());
        frontiers
            .iter()
            .filter(|&&ix| past.contains(self.graph(), ix))
            .filter_map(|&ix| self.record(ix).pay.map(|pay| pay.gross))
            .max()
            .unwrap_or(Ugft::ZERO)
    }

    /// Judges a `Release`: gives the job and what it frees.
    pub(crate) fn judge_release(
        &self,
        id: &Hash,
        past: &Past,
        money: &LogMoney,
    ) -> Result<(Ix, Ugft), Reason> {
        let job = self
            .graph()
            .find(id)
            .filter(|&job| money.has_reserve(job))
            .ok_or(Reason::NotOwnJob)?;
        let record = self.record(job);
        let (Ok(()), Facts::Reserve(reserve)) = (record.verdict, &record.facts) else {
            return Err(Reason::NotOwnJob);
        };
        if money.has_released(job) {
            return Err(Reason::ReleasedBefore);
        }
        if !self.is_over(past, job) {
            return Err(Reason::NotDue);
        }
        let stages = reserve
            .split
            .as_ref()
            .map_or(&[][..], |split| &split.stages);
        let open = stages.iter().enumerate().filter(|(stage, share)| {
            let mut finals = self.finals(job, *stage).iter();
            !share.is_own && !finals.any(|&last| past.contains(self.graph(), last))
        });
        let freed = open.fold(0_u64, |sum, (stage, share)| {
            let rest = share.hold.less(self.claimed_by_stage(past, job, stage));
            sum.saturating_add(rest.0)
        });
        Ok((job, Ugft(freed)))
    }

    /// Whether a release that has effect shuts out a frontier of its job.
    pub(crate) fn is_shut_out(&self, ix: Ix, job: Ix) -> bool {
        let releases = self.jobs.get(&job).map_or(&[][..], |job| &job.releases);
        let lacks = |&release: &Ix| {
            !self.graph().node(release).past.contains(self.graph(), ix) && self.is_live(release)
        };
        releases.iter().any(lacks) && !self.is_confirmed(ix, Cut::All)
    }
}
