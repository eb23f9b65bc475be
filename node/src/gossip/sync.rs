//! Drives the ledger's sync core over request-response.
//!
//! The core decides; this task runs it on the ledger thread (it reads the
//! ledger), sends what it asks for and hands the answers back in. Answers are
//! decoded and their signatures checked elsewhere, several at once: that is
//! what catching up takes its time for.

use super::Shared;
use crate::books::AdmitError;
use crate::clock;
use crate::core::peers::Mark;
use crate::exchange::{ExchangeError, Protocol};
use crate::validate;
use std::time::Duration;
use talkoot_ledger::sync::{
    Answer, REQUEST_TIMEOUT_MS, SyncCore, SyncInput, SyncOutput, SyncProgress,
};
use talkoot_ledger::{Admission, Entry};
use talkoot_protocol::sync::{SyncRequest, SyncResponse};
use talkoot_protocol::{NetworkId, Verified, Wallet};
use tokio::sync::mpsc;
use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(500);
/// Inputs handled in one visit to the ledger thread.
const BATCH_MAX: usize = 64;
/// Between two lines about how far catching up is.
const LOG: Duration = Duration::from_secs(5);
/// With fewer entries to come there is nothing to tell.
const LOG_ENTRIES_MIN: u64 = 512;

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
    let mut teller = Teller::default();
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
                let progress = core.progress(ledger, now_ms);
                (core, outputs, progress)
            })
            .await;
        let Ok((returned, outputs, progress)) = handled else {
            return;
        };
        core = returned;
        teller.tell(&progress);
        shared.progress.send_replace(progress);
        for output in outputs {
            carry_out(&shared, &inputs, output);
        }
    }
}

/// Writes how far catching up is to the log, now and then.
#[derive(Debug, Default)]
struct Teller {
    next: Option<Instant>,
}

impl Teller {
    fn tell(&mut self, progress: &SyncProgress) {
        let SyncProgress {
            held,
            to_fetch,
            fetched,
            peers,
            entries_per_second,
            ..
        } = *progress;
        if progress.is_catching_up && (self.next.is_some() || to_fetch >= LOG_ENTRIES_MIN) {
            let now = clock::timer();
            if self.next.is_none_or(|next| now >= next) {
                self.next = Some(now + LOG);
                tracing::info!(
                    held,
                    to_fetch,
                    fetched,
                    peers,
                    entries_per_second,
                    "catching up"
                );
            }
        } else if self.next.take().is_some() {
            tracing::info!(held, "caught up with what peers listed");
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
                    Ok(answer) => SyncInput::Checked {
                        peer,
                        request_id,
                        answer,
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
async fn ask(shared: &Shared, peer: Wallet, request: &SyncRequest) -> Result<Answer, bool> {
    let timeout = Duration::from_millis(REQUEST_TIMEOUT_MS);
    let answer = shared
        .swarm
        .request(peer, Protocol::Sync, request.to_bytes(), timeout)
        .await;
    match answer {
        Ok(bytes) => {
            let network = shared.ctx.network;
            let read = tokio::task::spawn_blocking(move || read(peer, &bytes, network));
            // It is not cancelled, and does not panic.
            read.await.unwrap_or(Err(false))
        }
        Err(error) => {
            if !matches!(error, ExchangeError::Stopped) {
                tracing::debug!(peer = %peer.short(), %error, "sync request failed");
            }
            // A broken frame has its mark already.
            Err(false)
        }
    }
}

/// Decodes an answer and checks its signatures.
fn read(peer: Wallet, bytes: &[u8], network: NetworkId) -> Result<Answer, bool> {
    let response = SyncResponse::decode(bytes).map_err(|error| {
        // The core marks what does not decode.
        let mark = Mark::from(error);
        tracing::debug!(peer = %peer.short(), %mark, "sync answer");
        true
    })?;
    Ok(Answer::check(response, network))
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
