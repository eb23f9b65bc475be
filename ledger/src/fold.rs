//! From verdicts to outcomes: which entries have effect in the held set.
//!
//! An entry is effective if it is ok and its author's log is not forked at or
//! below it, or it is confirmed; a `Frontier` also needs its `Reserve`, and no
//! release that shuts it out. A stage is paid the most among its effective frontiers: in the chain's order each
//! pays what it adds to those before. Only what a new entry can change is
//! computed again.

use crate::accounts::Direction;
use crate::amount::Ugft;
use crate::core::Core;
use crate::facts::Facts;
use crate::graph::Ix;
use crate::jobs::Job;
use crate::outcome::{Outcome, Reason};
use crate::past::Cut;
use std::collections::BTreeSet;

impl Core {
    /// Whether the fork rule lets an entry count in the held set.
    pub(crate) fn is_live(&self, ix: Ix) -> bool {
        Cut::All.is_clean(self.graph(), ix) || self.is_confirmed(ix, Cut::All)
    }

    /// Computes the outcomes that `touched` entries can have changed; `newest`
    /// is the one that was just added.
    pub(crate) fn refresh(&mut self, touched: &BTreeSet<Ix>, newest: Ix) {
        let mut stages = BTreeSet::new();
        let mut earnings = BTreeSet::new();
        for &ix in touched {
            let pay = self.record(ix).pay.map(|pay| (pay.job, pay.stage));
            earnings.extend(pay.filter(|key| {
                let is_open = ix == newest || self.earnings_open.contains(key);
                is_open && (ix == newest || self.is_confirmed(ix, Cut::All))
            }));
            if ix != newest && self.is_settled(ix) {
                continue;
            }
            let record = self.record(ix);
            if let (Some(pay), Ok(())) = (record.pay, record.verdict) {
                if ix != newest || !self.extends_stage(ix, pay.job) {
                    stages.insert((pay.job, pay.stage));
                }
                continue;
            }
            let outcome = self.outcome_alone(ix);
            self.set_outcome(ix, outcome);
            // A `Reserve` or a release decides on all stages of its job.
            let released = self.record(ix).release.as_ref().map(|release| release.0);
            let job = released.unwrap_or(ix);
            let count = self.jobs.get(&job).map_or(0, |job| job.stages.len());
            stages.extend((0..count).map(|stage| (job, stage)));
        }
        for &(job, stage) in &stages {
            self.refresh_stage(job, stage);
        }
        for (job, stage) in earnings.into_iter().chain(stages) {
            self.note_earning(job, stage);
        }
    }

    /// Whether nothing can change the outcome of a held entry: neither its log
    /// nor that of its job's submitter is forked at or below it, and its job is
    /// not released.
    fn is_settled(&self, ix: Ix) -> bool {
        let job = self.record(ix).pay.map(|pay| pay.job);
        let is_clean = |ix| Cut::All.is_clean(self.graph(), ix);
        let is_open = |job| !self.jobs_released.contains(&job);
        // Entries that a new fork touches are no longer clean.
        is_clean(ix) && job.is_none_or(|job| is_clean(job) && is_open(job))
    }

    /// The common case of a new frontier: it stands after all others of its
    /// stage, and no fork is near. Then only its own outcome is new.
    fn extends_stage(&mut self, ix: Ix, job: Ix) -> bool {
        let Some(pay) = self.record(ix).pay else {
            return false;
        };
        let Some(book) = self
            .jobs
            .get(&job)
            .and_then(|job| job.stages.get(pay.stage))
        else {
            return false;
        };
        if book.frontiers.last() != Some(&ix) || !self.is_settled(ix) {
            return false;
        }
        let outcome = self.paid(ix, book.burned, book.earned);
        self.set_outcome(ix, outcome);
        true
    }

    fn paid(&self, ix: Ix, burned_before: Ugft, earned_before: Ugft) -> Outcome {
        let record = self.record(ix);
        let is_final = matches!(&record.facts, Facts::Frontier(frontier) if frontier.is_final);
        let (gross, earned) = record
            .pay
            .map_or((Ugft::ZERO, Ugft::ZERO), |pay| (pay.gross, pay.earned));
        Outcome::Paid {
            burned: gross.less(burned_before),
            earned: earned.less(earned_before),
            is_final,
        }
    }

    /// The outcome of an entry that depends on no other entry's outcome.
    fn outcome_alone(&self, ix: Ix) -> Outcome {
        let record = self.record(ix);
        if let Err(reason) = record.verdict {
            return Outcome::Inert(reason);
        }
        if !self.is_live(ix) {
            return Outcome::Inert(Reason::Fork);
        }
        match &record.facts {
            Facts::Admit(admit) => Outcome::Admitted {
                wallet: admit.wallet,
                line: admit.line,
            },
            Facts::Reserve(reserve) => Outcome::Reserved {
                held: reserve
                    .split
                    .as_ref()
                    .map_or(Ugft::ZERO, |split| split.held_total()),
            },
            Facts::Release(_) => Outcome::Released {
                freed: record
                    .release
                    .as_ref()
                    .map_or(Ugft::ZERO, |release| release.1),
            },
            _ => Outcome::Noted,
        }
    }

    /// Computes all payments of one stage again, in the chain's order.
    fn refresh_stage(&mut self, job: Ix, stage: usize) {
        let reserve_effective = self.jobs.get(&job).is_some_and(|job| job.is_effective);
        let book = self.jobs.get(&job).and_then(|job| job.stages.get(stage));
        let frontiers = book.map_or_else(Vec::new, |book| book.frontiers.clone());
        let (mut burned, mut earned) = (Ugft::ZERO, Ugft::ZERO);
        for ix in frontiers {
            let outcome = if !self.is_live(ix) {
                Outcome::Inert(Reason::Fork)
            } else if !reserve_effective {
                Outcome::Inert(Reason::ReserveFork)
            } else if self.is_shut_out(ix, job) {
                Outcome::Inert(Reason::Released)
            } else {
                let outcome = self.paid(ix, burned, earned);
                if let Some(pay) = self.record(ix).pay {
                    burned = burned.max(pay.gross);
                    earned = earned.max(pay.earned);
                }
                outcome
            };
            self.set_outcome(ix, outcome);
        }
    }

    fn set_outcome(&mut self, ix: Ix, outcome: Outcome) {
        let before = std::mem::replace(&mut self.record_mut(ix).outcome, outcome);
        if before != outcome {
            self.apply(ix, before, Direction::Undo);
            self.apply(ix, outcome, Direction::Apply);
            self.chain.touch(ix);
        }
    }

    fn apply(&mut self, ix: Ix, outcome: Outcome, direction: Direction) {
        let author = self.graph().node(ix).entry.author;
        match outcome {
            Outcome::Inert(_) | Outcome::Noted => {}
            Outcome::Admitted { wallet, line } => {
                self.accounts.pass_on(author, wallet, line, direction)
            }
            Outcome::Reserved { .. } => {
                let is_effective = direction == Direction::Apply;
                self.change_job(ix, |job| job.is_effective = is_effective);
            }
            Outcome::Released { .. } => {
                let released = self.record(ix).release.as_ref().map(|release| release.0);
                let Some(job) = released else { return };
                self.change_job(job, |job| {
                    job.releases_effective = match direction {
                        Direction::Apply => job.releases_effective.saturating_add(1),
                        Direction::Undo => job.releases_effective.saturating_sub(1),
                    };
                });
            }
            Outcome::Paid {
                burned,
                earned,
                is_final,
            } => self.apply_pay(ix, (burned, earned), is_final, direction),
        }
    }

    /// Changes what stands of a job's holds.
    fn change_job(&mut self, ix: Ix, change: impl FnOnce(&mut Job)) {
        let Self { jobs, accounts, .. } = self;
        let Some(job) = jobs.get_mut(&ix) else { return };
        let before = job.held_total();
        change(job);
        accounts.change_held(job.submitter, before, job.held_total());
        self.note_open(ix);
    }

    /// Keeps the list of jobs of which something is held.
    fn note_open(&mut self, ix: Ix) {
        let is_open = self
            .jobs
            .get(&ix)
            .is_some_and(|job| job.held_total() > Ugft::ZERO);
        let key = (self.claim_from_ms(ix), ix);
        if is_open {
            self.open_jobs.insert(key);
        } else {
            self.open_jobs.remove(&key);
        }
    }

    fn apply_pay(&mut self, ix: Ix, amounts: (Ugft, Ugft), is_final: bool, direction: Direction) {
        let Some(pay) = self.record(ix).pay else {
            return;
        };
        let Self { jobs, accounts, .. } = self;
        let Some(job) = jobs.get_mut(&pay.job) else {
            return;
        };
        let submitter = job.submitter;
        let before = job.held(pay.stage);
        let Some(book) = job.stages.get_mut(pay.stage) else {
            return;
        };
        let finals = u32::from(is_final);
        match direction {
            Direction::Apply => {
                book.burned = Ugft(book.burned.0.saturating_add(amounts.0.0));
                book.earned = Ugft(book.earned.0.saturating_add(amounts.1.0));
                book.finals_effective = book.finals_effective.saturating_add(finals);
            }
            Direction::Undo => {
                book.burned = book.burned.less(amounts.0);
                book.earned = book.earned.less(amounts.1);
                book.finals_effective = book.finals_effective.saturating_sub(finals);
            }
        }
        let worker = book.worker;
        accounts.pay(submitter, worker, amounts, direction);
        accounts.change_held(submitter, before, job.held(pay.stage));
        self.note_open(pay.job);
    }
}
