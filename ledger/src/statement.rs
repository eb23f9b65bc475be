//! What moved one wallet's money: payments, orders, lines, and what is not its
//! to spend yet.
//!
//! Found through its own log and its own jobs, so it costs what the wallet did,
//! not what the network did. It decides nothing: the sums are the account's.

use crate::amount::Ugft;
use crate::facts::Facts;
use crate::graph::{Author, Ix};
use crate::ledger::Ledger;
use crate::outcome::Outcome;
use crate::past::Cut;
use std::collections::BTreeMap;
use talkoot_protocol::{Hash, JobId, Wallet};

/// One payment that a wallet earned or burned: an effective `Frontier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payment {
    /// The entry.
    pub id: Hash,
    /// The job it is about.
    pub job: JobId,
    /// Whether the wallet is the stage that earned; else it is the submitter.
    pub is_worker: bool,
    /// The stage's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Burned by the submitter through this entry.
    pub burned: Ugft,
    /// Earned by the stage through this entry.
    pub earned: Ugft,
    /// Tokens acknowledged up to here: prompt and completion.
    pub tokens: (u32, u32),
}

/// A job that a wallet ordered with effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Which job.
    pub job: JobId,
    /// The submitter's clock, milliseconds since 1970.
    pub time_ms: u64,
}

/// A part of a line that changed hands with effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LinePart {
    /// The entry.
    pub id: Hash,
    /// Who passed it on.
    pub from: Wallet,
    /// Who received it.
    pub to: Wallet,
    /// How much.
    pub line: Ugft,
    /// The giver's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Whether founders confirm it: until then the receiver cannot spend it.
    pub is_confirmed: bool,
}

/// An amount that belongs to one job of a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobAmount {
    /// Which job.
    pub job: JobId,
    /// How much.
    pub amount: Ugft,
}

impl Ledger {
    /// Every payment that a wallet earned or burned, in the chain's order. What
    /// was earned less what was burned is its balance.
    #[must_use]
    pub fn payments(&self, wallet: Wallet) -> Vec<Payment> {
        let graph = self.core.graph();
        let Some(log) = graph.log(&wallet) else {
            return Vec::new();
        };
        let mut found: Vec<Ix> = Vec::new();
        for ix in log.since_seq(0) {
            match &self.core.record(ix).facts {
                Facts::Frontier(_) => found.push(ix),
                Facts::Reserve(_) => {
                    let stages = self.core.jobs.get(&ix).map(|job| &job.stages);
                    let stages = stages.into_iter().flatten();
                    found.extend(stages.flat_map(|stage| stage.frontiers.iter().copied()));
                }
                _ => {}
            }
        }
        found.sort_by_cached_key(|&ix| graph.chain_key(ix));
        found
            .into_iter()
            .filter_map(|ix| self.payment(wallet, ix))
            .collect()
    }

    fn payment(&self, wallet: Wallet, ix: Ix) -> Option<Payment> {
        let (node, record) = (self.core.graph().node(ix), self.core.record(ix));
        let (Outcome::Paid { burned, earned, .. }, Facts::Frontier(facts)) =
            (record.outcome, &record.facts)
        else {
            return None;
        };
        Some(Payment {
            id: node.id,
            job: JobId(facts.job),
            is_worker: node.entry.author == wallet,
            time_ms: node.entry.time_ms,
            burned,
            earned,
            tokens: (facts.prompt_done, facts.completion_done),
        })
    }

    /// The jobs that a wallet ordered with effect, by number in its log.
    pub fn orders(&self, wallet: Wallet) -> impl Iterator<Item = Order> + '_ {
        self.log_of(wallet).filter_map(|ix| {
            let node = self.core.graph().node(ix);
            let is_reserved = matches!(self.core.record(ix).outcome, Outcome::Reserved { .. });
            is_reserved.then_some(Order {
                job: JobId(node.id),
                time_ms: node.entry.time_ms,
            })
        })
    }

    /// The parts of lines that a wallet received, then those it passed on.
    #[must_use]
    pub fn line_parts(&self, wallet: Wallet) -> Vec<LinePart> {
        let received = self.core.admits_to(&wallet).iter().copied();
        let own = self
            .log_of(wallet)
            .filter(|&ix| matches!(self.core.record(ix).facts, Facts::Admit(_)));
        received
            .chain(own)
            .filter_map(|ix| self.line_part(ix))
            .collect()
    }

    fn line_part(&self, ix: Ix) -> Option<LinePart> {
        let node = self.core.graph().node(ix);
        match self.core.record(ix).outcome {
            Outcome::Admitted { wallet, line } => Some(LinePart {
                id: node.id,
                from: node.entry.author,
                to: wallet,
                line,
                time_ms: node.entry.time_ms,
                is_confirmed: self.core.is_confirmed(ix, Cut::All),
            }),
            _ => None,
        }
    }

    /// What a wallet's open jobs hold, oldest deadline first.
    pub fn open_holds(&self, wallet: Wallet) -> impl Iterator<Item = JobAmount> + '_ {
        self.core.open_jobs.iter().filter_map(move |&(_, ix)| {
            let job = self.core.jobs.get(&ix)?;
            let amount = job.held_total();
            (job.submitter == wallet && amount > Ugft::ZERO).then(|| self.amount(ix, amount))
        })
    }

    /// What a wallet has earned in jobs whose newest frontiers founders have not
    /// confirmed.
    #[must_use]
    pub fn earnings_unconfirmed(&self, wallet: Wallet) -> Vec<JobAmount> {
        let mut amounts: BTreeMap<Ix, Ugft> = BTreeMap::new();
        for &(ix, stage) in &self.core.earnings_open {
            let book = self.core.jobs.get(&ix).map(|job| &job.stages);
            let book = book.and_then(|stages| stages.get(stage));
            if book.is_some_and(|book| book.worker == wallet) {
                let amount = self.core.unconfirmed_earning(ix, stage);
                let sum = amounts.entry(ix).or_default();
                *sum = sum.try_add(amount).unwrap_or(*sum);
            }
        }
        let amounts = amounts.into_iter();
        amounts
            .map(|(ix, amount)| self.amount(ix, amount))
            .collect()
    }

    /// What stages have left over of a wallet's holds with a last word that
    /// founders have not confirmed, by number in its log.
    #[must_use]
    pub fn freed_unconfirmed(&self, wallet: Wallet) -> Vec<JobAmount> {
        let jobs = self.log_of(wallet).filter_map(|ix| {
            let job = self.core.jobs.get(&ix)?;
            if !job.is_effective || job.releases_effective > 0 {
                return None;
            }
            let amount = job.stages.iter().fold(0, |sum: u64, stage| {
                let mut finals = stage.finals.iter();
                let is_confirmed = finals.any(|&ix| self.core.is_confirmed(ix, Cut::All));
                if stage.finals_effective == 0 || is_confirmed {
                    return sum;
                }
                sum.saturating_add(stage.hold.less(stage.burned).0)
            });
            (amount > 0).then(|| self.amount(ix, Ugft(amount)))
        });
        jobs.collect()
    }

    fn amount(&self, job: Ix, amount: Ugft) -> JobAmount {
        let job = JobId(self.core.graph().node(job).id);
        JobAmount { job, amount }
    }

    /// The entries of one log, all branches.
    fn log_of(&self, wallet: Wallet) -> impl Iterator<Item = Ix> + '_ {
        let log: Option<&Author> = self.core.graph().log(&wallet);
        log.into_iter().flat_map(|log| log.since_seq(0))
    }
}
