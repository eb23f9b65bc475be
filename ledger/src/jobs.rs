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
        }
    }

    /// What of a stage's hold still stands.
    pub(crate) fn held(&self, stage: usize) -> Ugft {
        match self.stages.get(stage) {
            Some(book) if self.is_effective && book.finals_effective == 0 => {
                book.hold.less(book.burned)
            }
            _ => Ugft::ZERO,
        }
    }
}
