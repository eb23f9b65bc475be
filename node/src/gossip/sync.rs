//! Drives the ledger's sync core over request-response.
//!
//! The core decides; this task runs it on the ledger thread (it reads the
//! ledger), sends what it asks for and hands the answers back in.

use super::Shared;
use crate::books::AdmitError;
use crate::clock;
use crate::core::peers::Mark;
use crate::exchange::{ExchangeError, Protocol};
use crate::validate;
use std::time::Duration;
use talkoot_ledger::sync::{REQUEST_TIMEOUT_MS, SyncCore, SyncInput, SyncOutput};
use talkoot_ledger::{Admission, Entry};
use talkoot_protocol::sync::{SyncRequest, SyncResponse};
use talkoot_protocol::{Verified, Wallet};
use tokio::sync::mpsc;

const TICK: Duration = Duration::from_millis(500);
/// Inputs handled in one visit to the ledger thread.
const BATCH_MAX: usize = 64;

/// Runs until the queue or the books close.
pub(super) async fn run(
    shared: Shared,
    inputs: mpsc::Sender<SyncInput>,
    mut queue: mpsc::Receiver<SyncInput>,
) {
    // Which peer is asked next needs no secret, only to differ between nodes.
    let own = shared.ctx.wallet();
    let seed = own.as_bytes().iter().fold(clock::now_ms(), |seed, byte| {
        seed.rotate_left(8) ^ u64::from(*byte)
    });
    let mut core = SyncCore::new(seed);
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut waiting = Vec::new();
    loop {
        tokio::select! {
            received = queue.recv_many(&mut waiting, BATCH_MAX) => if received == 0 {
                return;
            },
            _ = tick.tick() => waiting.push(SyncInput::Tick),
        }
        let batch = std::mem::take(&mut waiting);
        let handled = shared
            .ctx
            .books
            .with(move |books| {
                let now_ms = clock::now_ms();
                let ledger = books.ledger();
                let outputs: Vec<SyncOutput> = batch
                    .into_iter()
                    .flat_map(|input| core.handle(input, ledger, now_ms))
                    .collect();
                (core, outputs)
            })
            .await;
        let Ok((returned, outputs)) = handled else {
            return;
        };
        core = returned;
        for output in outputs {
            carry_out(&shared, &inputs, output);
        }
    }
}

/// Does what the core asks for; what takes time is done on the side, and the
/// core keeps it to one request for each peer.
fn carry_out(shared: &Shared, inputs: &mpsc::Sender<SyncInput>, output: SyncOutput) {
    let shared = shared.clone();
    let inputs = inputs.clone();
    match output {
        SyncOutput::Request {
            peer,
            request_id,
            request,
        } => {
            tokio::spawn(async move {
                let input = match ask(&shared, peer, &request).await {
                    Ok(response) => SyncInput::Response {
                        peer,
                        request_id,
                        response,
                    },
                    Err(is_rubbish) => SyncInput::RequestFailed {
                        peer,
                        request_id,
                        is_rubbish,
                    },
                };
                inputs.send(input).await.ok();
            });
        }
        SyncOutput::Admit { peer, entries } => {
            tokio::spawn(async move {
                let admissions = admit(&shared, peer, entries).await;
                let input = SyncInput::Admitted { peer, admissions };
                inputs.send(input).await.ok();
            });
        }
        SyncOutput::Mark { peer, fault } => shared.swarm.mark(peer, validate::sync(fault)),
        SyncOutput::Synced { peer } => {
            // A node whose files cannot tell its newest own entry waits for this.
            shared.ctx.books.note(move |books| books.peer_showed(peer));
        }
    }
}

/// One request; the error says whether the answer did not decode.
async fn ask(shared: &Shared, peer: Wallet, request: &SyncRequest) -> Result<SyncResponse, bool> {
    let timeout = Duration::from_millis(REQUEST_TIMEOUT_MS);
    let answer = shared
        .swarm
        .request(peer, Protocol::Sync, request.to_bytes(), timeout)
        .await;
    match answer {
        // The core marks what does not decode.
        Ok(bytes) => SyncResponse::decode(&bytes).map_err(|error| {
            let mark = Mark::from(error);
            tracing::debug!(peer = %peer.short(), %mark, "sync answer");
            true
        }),
        Err(error) => {
            if !matches!(error, ExchangeError::Stopped) {
                tracing::debug!(peer = %peer.short(), %error, "sync request failed");
            }
            // A broken frame has its mark already.
            Err(false)
        }
    }
}

async fn admit(shared: &Shared, peer: Wallet, entries: Vec<Verified<Entry>>) -> Vec<Admission> {
    let count = entries.len();
    match shared.ctx.books.admit(entries, Some(peer)).await {
        Ok(admissions) => admissions,
        Err(error) => {
            if let AdmitError::Journal(error) = error {
                tracing::error!(%error, "fetched entries were not kept");
            }
            vec![Admission::Later; count]
        }
    }
}
