//! The bill of a job, read from our own copy of the ledger.

use crate::context::NodeContext;
use std::collections::BTreeMap;
use std::time::Duration;
use talkoot_protocol::{JobId, Wallet};

/// What a job cost and who earned it.
#[derive(Debug, Default)]
pub(super) struct Bill {
    earned: BTreeMap<Wallet, u64>,
    /// Burned by the asker, µGFT.
    pub(super) burned_ugft: u64,
    /// Withheld, µGFT.
    pub(super) commons_ugft: u64,
    /// Still held, µGFT.
    pub(super) held_ugft: u64,
    /// Whether every foreign stage has posted its final frontier.
    pub(super) settled: bool,
}

impl Bill {
    /// The bill of a job that was ordered free.
    pub(super) fn free() -> Self {
        Self {
            settled: true,
            ..Self::default()
        }
    }

    /// What one stage earned, µGFT.
    pub(super) fn earned_by(&self, wallet: Wallet) -> u64 {
        self.earned.get(&wallet).copied().unwrap_or(0)
    }
}

/// Waits until the stages' final frontiers have arrived, at most `wait`.
pub(super) async fn wait_settled(ctx: &NodeContext, job: JobId, wait: Duration) -> Bill {
    let deadline = crate::clock::timer() + wait;
    let mut events = ctx.books.subscribe();
    loop {
        let bill = read(ctx, job).await.unwrap_or_default();
        if bill.settled {
            return bill;
        }
        match tokio::time::timeout_at(deadline, events.recv()).await {
            Ok(Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_))) => {}
            Ok(Err(tokio::sync::broadcast::error::RecvError::Closed)) | Err(_) => return bill,
        }
    }
}

async fn read(ctx: &NodeContext, job: JobId) -> Option<Bill> {
    let view = ctx
        .books
        .with(move |books| books.ledger().job(job))
        .await
        .ok()??;
    let foreign = || view.stages.iter().filter(|stage| !stage.is_own);
    Some(Bill {
        earned: foreign()
            .map(|stage| (stage.worker, stage.earned.0))
            .collect(),
        burned_ugft: view.burned.0,
        commons_ugft: view.commons.0,
        held_ugft: view.held.0,
        settled: foreign().all(|stage| stage.is_final),
    })
}
