//! The stage side of jobs: answers control streams.
//!
//! A submitter asks for an offer, then opens a job; each refusal is typed and
//! says what is missing. The job itself runs in `run`, driven by
//! `core::stage`.

mod offers;
mod order;
mod run;
mod streams;

pub use offers::Nonces;

use crate::context::ServedModel;
use crate::data::Writer;
use crate::data::plane::Host;
use crate::data::wire::{ControlReader, Outbox, WireError, control_bytes};
use crate::jobs::worker::WorkerError;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use talkoot_protocol::control::{ControlMessage, FailCode};
use talkoot_protocol::{LayerRange, ModelId, Wallet, limits};
use tracing::Instrument;

/// How long a submitter may keep a control stream without a job.
const IDLE: Duration = Duration::from_secs(60);

/// Why a stage does not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    code: FailCode,
    reason: String,
}

impl Refusal {
    fn new(code: FailCode, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        reason.truncate(reason.floor_char_boundary(limits::REASON_BYTES_MAX));
        Self { code, reason }
    }

    fn into_message(self) -> ControlMessage {
        ControlMessage::Refused {
            code: self.code,
            reason: self.reason,
        }
    }
}

impl From<WorkerError> for Refusal {
    fn from(error: WorkerError) -> Self {
        let code = match error {
            WorkerError::Busy { .. } | WorkerError::NoMemory(_) => FailCode::Busy,
            WorkerError::Compute(_) => FailCode::Compute,
            WorkerError::Gone => FailCode::NotServed,
        };
        Self::new(code, error.to_string())
    }
}

/// Whether a new job of `submitter` may begin: while lending is paused only our
/// own. It reads as busy, so that the submitter looks for another route.
fn check_lending(host: &Host, submitter: Wallet) -> Result<(), Refusal> {
    if submitter == host.wallet() {
        return Ok(());
    }
    match host.served.lending().paused() {
        None => Ok(()),
        Some(pause) => {
            // The owner's words are nobody else's business.
            let reason = format!("lending is paused here ({})", pause.reason.name());
            Err(Refusal::new(FailCode::Busy, reason))
        }
    }
}

/// The served model that covers a range.
fn served(host: &Host, model: ModelId, range: LayerRange) -> Result<Arc<ServedModel>, Refusal> {
    let served = host.served.get(model).ok_or_else(|| {
        let reason = format!("model {} is not served here", model.short());
        Refusal::new(FailCode::NotServed, reason)
    })?;
    if served.range.covers(range) {
        Ok(served)
    } else {
        let reason = format!("layers {range} are asked, {} are served", served.range);
        Err(Refusal::new(FailCode::NotServed, reason))
    }
}

/// Serves one control stream to its end; offers made on it end with it.
///
/// # Errors
/// [`WireError`] when the link ends or the submitter sends what is no message.
pub(crate) async fn serve_control(
    host: &Arc<Host>,
    submitter: Wallet,
    reader: ControlReader,
    writer: Writer,
) -> Result<(), WireError> {
    let mut offered = Vec::new();
    let result = converse(host, submitter, (reader, writer), &mut offered).await;
    host.nonces.forget(&offered);
    result
}

async fn converse(
    host: &Arc<Host>,
    submitter: Wallet,
    (mut reader, writer): (ControlReader, Writer),
    offered: &mut Vec<u64>,
) -> Result<(), WireError> {
    let mut control = Outbox::new(writer);
    loop {
        let message = tokio::time::timeout(IDLE, reader.next())
            .await
            .map_err(|_| WireError::Ended)??;
        let answer = match message {
            ControlMessage::OfferRequest(request) => {
                match offers::make_offer(host, submitter, &request).await {
                    Ok(offer) => {
                        offered.retain(|&nonce| host.nonces.stands(nonce));
                        offered.push(offer.nonce);
                        ControlMessage::Offer(offer.into())
                    }
                    Err(refusal) => refusal.into_message(),
                }
            }
            ControlMessage::Open(open) => match run::StageRun::open(host, submitter, *open).await {
                Ok(run) => {
                    control.push(control_bytes(&ControlMessage::Opened));
                    host.running.fetch_add(1, Ordering::AcqRel);
                    let span = run.span();
                    run.drive(&mut reader, control).instrument(span).await;
                    host.running.fetch_sub(1, Ordering::AcqRel);
                    return Ok(());
                }
                Err(refusal) => refusal.into_message(),
            },
            _ => {
                host.marks.add(submitter, "a control message before a job");
                Refusal::new(FailCode::Protocol, "no job is open on this stream").into_message()
            }
        };
        control.push(control_bytes(&answer));
        control.flush().await?;
    }
}
