//! What an author may spend: the money side of one log.
//!
//! available = line + lines received + own earnings − own burned and held −
//! lines passed on, as of one entry. Earnings count only when the `Frontier`
//! that pays them, lines received when the `Admit`, and a freed hold when the
//! final `Frontier` that frees it, is confirmed in the past of the spending
//! entry; what the own log has released is free at once. Along one log the past only grows, so what once counted stays counted
//! and is kept as a sum; the rest is looked at again.

use crate::amount::{Balance, Ugft};
use crate::core::Core;
use crate::facts::Facts;
use crate::graph::Ix;
use crate::past::{Cut, Past};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::Wallet;

/// What a log says of one job in which its author is a stage.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnStage {
    /// The most among its ok frontiers.
    gross: Ugft,
    /// Whether it has said its last word.
    is_final: bool,
    /// What counts of the earnings.
    counted: Ugft,
    /// Ok frontiers that do not count yet, oldest first, each with the most
    /// earned up to it.
    open: Vec<(Ix, Ugft)>,
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
    released: BTreeSet<Ix>,
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
            released: BTreeSet::new(),
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

    /// Whether this log has released an own job.
    pub(crate) fn has_released(&self, job: Ix) -> bool {
        self.released.contains(&job)
    }

    /// The most that this log claims of a job as a stage of it.
    pub(crate) fn claimed(&self, job: Ix) -> Ugft {
        self.stages
            .get(&job)
            .map_or(Ugft::ZERO, |stage| stage.gross)
    }

    /// Whether this log has said its last word about a job.
    pub(crate) fn is_final(&self, job: Ix) -> bool {
        self.stages.get(&job).is_some_and(|stage| stage.is_final)
    }

    /// Counts what is confirmed in `past`, which holds all pasts before.
    pub(crate) fn settle(&mut self, core: &Core, past: &Past) {
        let cut = Cut::Past(past);
        for &admit in core.admits_to(&self.owner) {
            let counts = !self.admits_counted.contains(&admit)
                && past.contains(core.graph(), admit)
                && core.is_confirmed(admit, cut);
            if let (true, Facts::Admit(facts)) = (counts, &core.record(admit).facts) {
                self.admits_counted.insert(admit);
                self.received = self.received.plus(facts.line);
            }
        }
        self.settle_earnings(core, cut);
        // A stage whose log holds two final frontiers may free the same hold
        // twice; the least counts, so those are looked at again.
        let contested = core
            .contested(&self.owner)
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

    /// Counts the newest confirmed frontier of each job: who confirms it
    /// confirms those before it in the log.
    fn settle_earnings(&mut self, core: &Core, cut: Cut<'_>) {
        let Self {
            stages,
            earnings_open,
            earned,
            ..
        } = self;
        earnings_open.retain(|job| {
            let Some(stage) = stages.get_mut(job) else {
                return false;
            };
            let newest = stage
                .open
                .iter()
                .rposition(|&(ix, _)| core.is_confirmed(ix, cut));
            if let Some(position) = newest {
                let counted = stage.open.drain(..=position).next_back();
                let counted = counted.map_or(stage.counted, |(_, earned)| earned);
                *earned = earned.plus(counted.less(stage.counted));
                stage.counted = counted;
            }
            !stage.open.is_empty()
        });
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
            Facts::Admit(admit) if is_ok => self.passed_on = self.passed_on.plus(admit.line),
            Facts::Frontier(frontier) if is_ok => {
                let Some(pay) = record.pay else { return };
                let stage = self.stages.entry(pay.job).or_default();
                stage.gross = stage.gross.max(pay.gross);
                stage.is_final |= frontier.is_final;
                // What is earned grows with the gross, so the last has the most.
                let before = stage.open.last().map_or(stage.counted, |last| last.1);
                if pay.earned > before {
                    stage.open.push((ix, pay.earned));
                    self.earnings_open.insert(pay.job);
                }
            }
            Facts::Release(_) => {
                if let Some(release) = &record.release {
                    self.release(core, ix, release.0);
                }
            }
            _ => {}
        }
    }

    /// Frees what no stage can be paid any more: what the release shuts out is
    /// never confirmed.
    fn release(&mut self, core: &Core, ix: Ix, job: Ix) {
        self.released.insert(job);
        let past = &core.graph().node(ix).past;
        for (&(_, stage), hold) in self.holds.range_mut((job, 0)..=(job, usize::MAX)) {
            let left = core.claimed_by_stage(past, job, stage).min(*hold);
            self.held = self.held.without(Balance::from(hold.less(left)));
            *hold = left;
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
