//! Ledger entries between gossip and the books.
//!
//! What comes is verified, admitted in batches (one wait for the disk for all
//! of them) and judged; what we write ourselves is published once it is
//! durable.

use super::Shared;
use crate::books::{AdmitError, BooksEvent};
use crate::exchange::Topic;
use crate::swarm::GossipReceipt;
use crate::validate::{self, Verdict};
use std::collections::BTreeMap;
use talkoot_ledger::Entry;
use talkoot_ledger::sync::SyncInput;
use talkoot_protocol::{Verified, Wallet};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;

/// Entries admitted at once.
const BATCH_MAX: usize = 256;

/// A gossip message that waits for its verdict.
#[derive(Debug)]
pub(super) struct Gossiped {
    pub(super) bytes: Vec<u8>,
    pub(super) from: Wallet,
    pub(super) receipt: GossipReceipt,
}

/// Gives the verdict on a message, and its sender the mark that follows.
pub(super) async fn judge(
    shared: &Shared,
    from: Wallet,
    receipt: GossipReceipt,
    verdict: &Verdict,
) {
    if let Verdict::Reject(mark) = verdict {
        shared.swarm.mark(from, mark.clone());
    }
    shared.swarm.judge(receipt, verdict.acceptance()).await;
}

/// Admits what peers gossip. Runs until the queue or the books close.
pub(super) async fn admit(shared: Shared, mut queue: mpsc::Receiver<Gossiped>) {
    let mut waiting = Vec::new();
    while queue.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        let mut batches: BTreeMap<Wallet, (Vec<Verified<Entry>>, Vec<GossipReceipt>)> =
            BTreeMap::new();
        for Gossiped {
            bytes,
            from,
            receipt,
        } in waiting.drain(..)
        {
            match validate::entry(&bytes, shared.ctx.network) {
                Ok(entry) => {
                    let (entries, receipts) = batches.entry(from).or_default();
                    entries.push(entry);
                    receipts.push(receipt);
                }
                Err(mark) => judge(&shared, from, receipt, &Verdict::Reject(mark)).await,
            }
        }
        for (from, (entries, receipts)) in batches {
            match shared.ctx.books.admit(entries, Some(from)).await {
                Ok(admissions) => {
                    for (admission, receipt) in admissions.iter().zip(receipts) {
                        judge(&shared, from, receipt, &validate::admission(admission)).await;
                    }
                }
                Err(AdmitError::Gone(_)) => return,
                Err(AdmitError::Journal(error)) => {
                    tracing::error!(%error, "gossiped entries were not kept");
                    for receipt in receipts {
                        judge(&shared, from, receipt, &Verdict::Ignore).await;
                    }
                }
            }
        }
    }
}

/// Publishes own entries and passes missing parents on to sync. Runs until the
/// books close.
pub(super) async fn spread(shared: Shared, sync: mpsc::Sender<SyncInput>) {
    let mut events = shared.ctx.books.subscribe();
    loop {
        match events.recv().await {
            Ok(BooksEvent::Authored { bytes, .. }) => {
                shared.swarm.publish(Topic::Ledger, bytes.to_vec()).await;
            }
            Ok(BooksEvent::MissingParents { ids, from }) => {
                let Some(peer) = source(&shared, from) else {
                    continue;
                };
                let ids = ids.to_vec();
                sync.send(SyncInput::MissingParents { peer, ids })
                    .await
                    .ok();
            }
            Ok(
                BooksEvent::Admitted { .. } | BooksEvent::SigningBegan | BooksEvent::SigningLost(_),
            ) => {}
            // What was missed here is carried by sync.
            Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "slow to publish"),
            Err(RecvError::Closed) => return,
        }
    }
}

/// Whom to ask for what `from` should have: itself, or anybody when it has no
/// connection here (it may have handed its entry in on the data plane).
fn source(shared: &Shared, from: Wallet) -> Option<Wallet> {
    if shared.swarm.is_connected(&from) {
        return Some(from);
    }
    shared.swarm.peers().first().map(|peer| peer.wallet)
}
