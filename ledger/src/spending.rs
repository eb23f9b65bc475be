//! What an author may spend: the money side of one log.
//!
//! available = line + lines received + own earnings − own burned and held −
//! lines passed on, as of one entry. Earnings and received lines count only
//! when the `Reserve` or `Admit` behind them, and a freed hold only when the
//! final `Frontier` that frees it, is confirmed in the past of the spending
//! entry. Along one log the past only grows, so what once counted stays counted
//! and is kept as a sum; the rest is looked at again.

use crate::amount::{Balance, Ugft};
use crate::core::Core;
use crate::facts::Facts;
use crate::graph::Ix;
use crate::past::{Cut, Past};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::Wallet;

/// What a log says of one job in which its author is a stage.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OwnStage {
    /// The most among its ok frontiers.
    pub(crate) gross: Ugft,
    earned: Ugft,
    /// Whether it has said its last word.
    pub(crate) is_final: bool,
    /// Whether the earnings count.
    is_counted: bool,
}

/// The money side of a log up to and including its entry `tip`.
#[derive(Debug, Clone)]
pub(crate) struct LogMoney {
    owner: Wallet,
    tip: Option<Ix>,
    line: Balance,
    received: Balance,
    admits_counted: BTreeSet<Ix>,
    earned: Balance,
    stages: BTreeMap<Ix, OwnStage>,
    earnings_open: BTreeSet<Ix>,
    held: Balance,
    /// For each foreign stage of an own job: its hold, or what was paid once a
    /// final frontier has freed the rest.
    holds: BTreeMap<(Ix, usize), Ugft>,
    holds_open: BTreeSet<(Ix, usize)>,
    passed_on: Balance,
    offers: BTreeSet<(Wallet, u64)>,
    reserves: BTreeSet<Ix>,
}

impl LogMoney {
    pub(crate) fn new(owner: Wallet, line_ugft: u64) -> Self {
        Self {
            owner,
            tip: None,
            line: Balance::from(Ugft(line_ugft)),
            received: Balance::ZERO,
            admits_counted: BTreeSet::new(),
            earned: Balance::ZERO,
            stages: BTreeMap::new(),
            earnings_open: BTreeSet::new(),
            held: Balance::ZERO,
            holds: BTreeMap::new(),
            holds_open: BTreeSet::new(),
            passed_on: Balance::ZERO,
            offers: BTreeSet::new(),
            reserves: BTreeSet::new(),
        }
    }

    /// What may be spent by an entry with the past that was last settled.
    pub(crate) fn available(&self) -> Balance {
        self.line
            .join(self.received)
            .join(self.earned)
            .without(self.held)
            .without(self.passed_on)
    }

    /// What is left of the own line and the lines received.
    pub(crate) fn line_left(&self) -> Balance {
        self.line.join(self.received).without(self.passed_on)
    }

    /// Whether an earlier `Reserve` of this log carried an offer.
    pub(crate) fn has_offer(&self, offer: &(Wallet, u64)) -> bool {
        self.offers.contains(offer)
    }

    /// Whether an entry is an earlier `Reserve` of this log, inert or not.
    pub(crate) fn has_reserve(&self, ix: Ix) -> bool {
        self.reserves.contains(&ix)
    }

    /// What this log says of a job as a stage of it.
    pub(crate) fn stage(&self, job: Ix) -> OwnStage {
        self.stages.get(&job).copied().unwrap_or_default()
    }

    /// Counts what is confirmed in `past`, which holds all pasts before.
    pub(crate) fn settle(&mut self, core: &Core, past: &Past) {
        let cut = Cut::Past(past);
        for &admit in core.admits_to(&self.owner) {
            let counts = !self.admits_counted.contains(&admit)
                && past.contains(core.graph(), admit)
                && core.is_confirmed(admit, cut);
            if let (true, Facts::Admit { line, .. }) = (counts, &core.record(admit).facts) {
                self.admits_counted.insert(admit);
                self.received = self.received.plus(*line);
            }
        }
        let confirmed: Vec<Ix> = self
            .earnings_open
            .iter()
            .copied()
            .filter(|&job| core.is_confirmed(job, cut))
            .collect();
        for job in confirmed {
            self.earnings_open.remove(&job);
            if let Some(stage) = self.stages.get_mut(&job) {
                stage.is_counted = true;
                self.earned = self.earned.plus(stage.earned);
            }
        }
        // A stage whose log holds two final frontiers may free the same hold
        // twice; the least counts, so those are looked at again.
        let contested = core
            .contested()
            .iter()
            .filter(|key| self.holds.contains_key(key));
        let looked_at: Vec<(Ix, usize)> = self
            .holds_open
            .iter()
            .chain(contested)
            .filter(|(job, stage)| !core.finals(*job, *stage).is_empty())
            .copied()
            .collect();
        for key in looked_at {
            self.settle_hold(core, past, key);
        }
    }

    fn settle_hold(&mut self, core: &Core, past: &Past, key: (Ix, usize)) {
        let cut = Cut::Past(past);
        let freed = core
            .finals(key.0, key.1)
            .iter()
            .filter(|&&last| past.contains(core.graph(), last) && core.is_confirmed(last, cut))
            .map(|&last| core.record(last).paid_in_log)
            .min();
        let (Some(freed), Some(hold)) = (freed, self.holds.get_mut(&key)) else {
            return;
        };
        let amount = freed.min(*hold);
        self.held = self.held.without(Balance::from(hold.less(amount)));
        *hold = amount;
        self.holds_open.remove(&key);
    }

    /// Takes the next entry of the log in, once it was judged.
    pub(crate) fn advance(&mut self, core: &Core, ix: Ix) {
        self.tip = Some(ix);
        let record = core.record(ix);
        let is_ok = record.verdict.is_ok();
        match &record.facts {
            Facts::Reserve(reserve) => {
                self.offers.extend(reserve.offers.iter().copied());
                self.reserves.insert(ix);
                if let (true, Ok(split)) = (is_ok, &reserve.split) {
                    for (index, share) in split
                        .stages
                        .iter()
                        .enumerate()
                        .filter(|(_, share)| !share.is_own)
                    {
                        self.held = self.held.plus(share.hold);
                        self.holds.insert((ix, index), share.hold);
                        self.holds_open.insert((ix, index));
                    }
                }
            }
            Facts::Admit { line, .. } if is_ok => self.passed_on = self.passed_on.plus(*line),
            Facts::Frontier(frontier) if is_ok => {
                let Some(pay) = record.pay else { return };
                let stage = self.stages.entry(pay.job).or_insert_with(|| {
                    self.earnings_open.insert(pay.job);
                    OwnStage::default()
                });
                if pay.gross > stage.gross {
                    if stage.is_counted {
                        self.earned = self.earned.plus(pay.earned.less(stage.earned));
                    }
                    (stage.gross, stage.earned) = (pay.gross, pay.earned);
                }
                stage.is_final |= frontier.frontier.is_final;
            }
            _ => {}
        }
    }
}

/// States of logs, kept for the branches written last.
#[derive(Debug, Default)]
pub(crate) struct LogCache(BTreeMap<Wallet, Vec<LogMoney>>);

/// Branches of one log whose states are kept: a fork costs its author's own
/// entries a second reading, and nobody memory.
const BRANCHES_MAX: usize = 4;

impl LogCache {
    /// The state kept for a branch that ends at `tip`.
    pub(crate) fn get(&self, owner: &Wallet, tip: Option<Ix>) -> Option<&LogMoney> {
        self.0.get(owner)?.iter().find(|money| money.tip == tip)
    }

    /// Takes that state out.
    pub(crate) fn take(&mut self, owner: &Wallet, tip: Option<Ix>) -> Option<LogMoney> {
        let branches = self.0.get_mut(owner)?;
        let position = branches.iter().position(|money| money.tip == tip)?;
        Some(branches.remove(position))
    }

    /// Keeps a state.
    pub(crate) fn put(&mut self, money: LogMoney) {
        let branches = self.0.entry(money.owner).or_default();
        if branches.len() >= BRANCHES_MAX {
            branches.remove(0);
        }
        branches.push(money);
    }
}
