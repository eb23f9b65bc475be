//! What the held entries say of each job: frontiers, payments, holds.

use crate::amount::Ugft;
use crate::graph::Ix;
use crate::split::Split;
use talkoot_protocol::Wallet;

/// A job whose `Reserve` is ok.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) submitter: Wallet,
    /// Whether the `Reserve` is effective in the held set.
    pub(crate) is_effective: bool,
    pub(crate) stages: Vec<StageBook>,
    /// Ok releases of its submitter's log, all branches.
    pub(crate) releases: Vec<Ix>,
    /// Effective ones among them.
    pub(crate) releases_effective: u32,
}

/// One stage of a job.
#[derive(Debug)]
pub(crate) struct StageBook {
    pub(crate) worker: Wallet,
    pub(crate) hold: Ugft,
    /// Ok frontiers of this stage's log, all branches, in the chain's order.
    pub(crate) frontiers: Vec<Ix>,
    /// The final ones among them.
    pub(crate) finals: Vec<Ix>,
    /// Burned for this stage.
    pub(crate) burned: Ugft,
    /// Earned by it.
    pub(crate) earned: Ugft,
    /// Effective final frontiers.
    pub(crate) finals_effective: u32,
}

impl Job {
    pub(crate) fn new(submitter: Wallet, split: &Split) -> Self {
        let stage = |share: &crate::split::StageShare| StageBook {
            worker: share.worker,
            hold: share.hold,
            frontiers: Vec::new(),
            finals: Vec::new(),
            burned: Ugft::ZERO,
            earned: Ugft::ZERO,
            finals_effective: 0,
        };
        Self {
            submitter,
            is_effective: false,
            stages: split.stages.iter().map(stage).collect(),
            releases: Vec::new(),
            releases_effective: 0,
        }
    }

    /// What of a stage's hold still stands.
    pub(crate) fn held(&self, stage: usize) -> Ugft {
        let stands = self.is_effective && self.releases_effective == 0;
        match self.stages.get(stage) {
            Some(book) if stands && book.finals_effective == 0 => book.hold.less(book.burned),
            _ => Ugft::ZERO,
        }
    }

    /// What of all holds still stands.
    pub(crate) fn held_total(&self) -> Ugft {
        let held = (0..self.stages.len()).map(|stage| self.held(stage).0);
        Ugft(held.fold(0, u64::saturating_add))
    }
}
