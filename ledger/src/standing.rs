//! How a wallet stands: its account, what of its earnings is not confirmed, what
//! its reservations still hold, how fast it worked.
//!
//! Nodes ask this for every job, so none of it walks all entries or all jobs.

use crate::amount::Ugft;
use crate::core::Core;
use crate::facts::Facts;
use crate::graph::Ix;
use crate::ledger::Ledger;
use crate::past::Cut;
use crate::views::AccountView;
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::Wallet;

/// Attested jobs that a service rate is the median of.
pub const SERVICE_RATE_JOBS: usize = 20;

impl Core {
    /// What a stage has earned beyond the most among its confirmed frontiers.
    pub(crate) fn unconfirmed_earning(&self, job: Ix, stage: usize) -> Ugft {
        let book = self.jobs.get(&job).and_then(|job| job.stages.get(stage));
        let Some(book) = book else {
            return Ugft::ZERO;
        };
        let frontiers = book.frontiers.iter();
        let confirmed = frontiers.filter(|&&ix| self.is_confirmed(ix, Cut::All));
        let earned = confirmed.filter_map(|&ix| self.record(ix).pay.map(|pay| pay.earned));
        book.earned.less(earned.max().unwrap_or(Ugft::ZERO))
    }

    /// Keeps the list of stages that have earned more than is confirmed.
    pub(crate) fn note_earning(&mut self, job: Ix, stage: usize) {
        if self.unconfirmed_earning(job, stage) > Ugft::ZERO {
            self.earnings_open.insert((job, stage));
        } else {
            self.earnings_open.remove(&(job, stage));
        }
    }
}

impl Ledger {
    /// Earnings whose frontier is not confirmed yet, by wallet.
    fn unconfirmed_earnings(&self) -> BTreeMap<Wallet, u64> {
        let mut earnings: BTreeMap<Wallet, u64> = BTreeMap::new();
        for &(job, stage) in &self.core.earnings_open {
            let book = self.core.jobs.get(&job);
            if let Some(book) = book.and_then(|book| book.stages.get(stage)) {
                let pending = self.core.unconfirmed_earning(job, stage);
                let sum = earnings.entry(book.worker).or_default();
                *sum = sum.saturating_add(pending.0);
            }
        }
        earnings
    }

    fn account_with(&self, wallet: Wallet, pending: &BTreeMap<Wallet, u64>) -> AccountView {
        let account = self.core.accounts.get(&wallet);
        AccountView {
            wallet,
            balance: account.balance,
            line: account.line,
            held: account.held,
            pending: Ugft(pending.get(&wallet).copied().unwrap_or(0)),
        }
    }

    /// The books of one wallet.
    #[must_use]
    pub fn account(&self, wallet: Wallet) -> AccountView {
        self.account_with(wallet, &self.unconfirmed_earnings())
    }

    /// The books of everybody, sorted by wallet.
    #[must_use]
    pub fn accounts(&self) -> Vec<AccountView> {
        let pending = self.unconfirmed_earnings();
        self.wallets()
            .into_iter()
            .map(|wallet| self.account_with(wallet, &pending))
            .collect()
    }

    /// What a submitter's unconfirmed reservations still hold: what its workers
    /// stand to lose if it turns out to have forked its log.
    #[must_use]
    pub fn unconfirmed_holds(&self, submitter: Wallet) -> Ugft {
        let open = self.core.open_jobs.iter().filter_map(|&(_, job)| {
            let book = self.core.jobs.get(&job)?;
            let counts = book.submitter == submitter && !self.core.is_confirmed(job, Cut::All);
            counts.then(|| book.held_total().0)
        });
        Ugft(open.fold(0, u64::saturating_add))
    }

    /// The entries of a log as they stand in the chain, from the newest back.
    fn log_in_chain(&self, author: Wallet) -> Vec<Ix> {
        let graph = self.core.graph();
        let Some(log) = graph.log(&author) else {
            return Vec::new();
        };
        let mut entries: Vec<Ix> = log.since_seq(0).collect();
        if log.is_line() {
            entries.reverse();
        } else {
            entries.sort_by_cached_key(|&ix| std::cmp::Reverse(graph.chain_key(ix)));
        }
        entries
    }

    /// The median service rate of a worker's last attested jobs on the chain,
    /// in kFLOP per millisecond; 0 without any.
    #[must_use]
    pub fn service_rate(&self, worker: Wallet) -> u32 {
        let mut rates: Vec<u32> = Vec::new();
        let mut jobs = BTreeSet::new();
        for ix in self.log_in_chain(worker) {
            let record = self.core.record(ix);
            let (Facts::Frontier(facts), Some(pay)) = (&record.facts, record.pay) else {
                continue;
            };
            if !record.outcome.is_effective() || !jobs.insert(pay.job) {
                continue;
            }
            let Facts::Reserve(reserve) = &self.core.record(pay.job).facts else {
                continue;
            };
            let share = reserve
                .split
                .as_ref()
                .ok()
                .and_then(|split| split.stages.get(pay.stage));
            let rate = share.zip(facts.stage_compute_us.get(pay.stage)).and_then(
                |(share, &compute_us)| {
                    let tokens = u128::from(facts.attested_tokens);
                    let kiloflops = u128::from(share.share_kflop).saturating_mul(tokens);
                    kiloflops
                        .saturating_mul(1000)
                        .checked_div(u128::from(compute_us))
                },
            );
            rates.extend(rate.map(|rate| u32::try_from(rate).unwrap_or(u32::MAX)));
            if rates.len() >= SERVICE_RATE_JOBS {
                break;
            }
        }
        rates.sort_unstable();
        let middle = rates.len().saturating_sub(1).checked_div(2).unwrap_or(0);
        rates.get(middle).copied().unwrap_or(0)
    }
}
