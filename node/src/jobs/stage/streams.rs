//! The streams of one stage of a job: those it dials, to the next stage and to the
//! submitter, and those it awaits, from the one before and for the prompt. What
//! their frames mean is decided elsewhere.

use super::Refusal;
use crate::core::stage::{FrameError, Source, StageCore, StageEvent};
use crate::data::expected::Awaited;
use crate::data::plane::Host;
use crate::data::wire::{
    FrameFault, FrameReader, Outbox, SUBMITTER, StreamHello, StreamKey, WireError,
};
use std::net::SocketAddr;
use talkoot_protocol::control::{FailCode, Open, StageAddress};
use talkoot_protocol::{JobId, Wallet};

/// A data stream that comes in.
#[derive(Debug)]
pub(super) enum Incoming {
    Awaited(Awaited),
    Reading(FrameReader),
    Ended,
}

impl Incoming {
    /// The next frame from here as an event. May be dropped at any await.
    pub(super) async fn next(&mut self, source: Source, core: &StageCore) -> StageEvent {
        loop {
            match self {
                Self::Awaited(awaited) => {
                    *self = match awaited.ready().await {
                        Some(reader) => Self::Reading(FrameReader::new(reader)),
                        None => Self::Ended,
                    };
                }
                Self::Reading(reader) => {
                    let fault = match reader.next(|header| core.check(source, header)).await {
                        Ok(frame) => return StageEvent::Frame(source, frame),
                        Err(fault) => fault,
                    };
                    *self = Self::Ended;
                    return fault_event(source, fault);
                }
                Self::Ended => return std::future::pending().await,
            }
        }
    }
}

fn fault_event(source: Source, fault: FrameFault<FrameError>) -> StageEvent {
    match fault {
        FrameFault::Refused(error) => StageEvent::BadFrame(source, error),
        FrameFault::Malformed(error) => StageEvent::BadFrame(source, error.into()),
        FrameFault::Lost(WireError::Decode(error)) => StageEvent::BadFrame(source, error.into()),
        FrameFault::Lost(_) => match source {
            Source::Previous => StageEvent::PreviousLost,
            // The control stream tells whether the submitter is there.
            Source::Submitter => StageEvent::Tick,
        },
    }
}

/// The streams of one stage.
pub(super) struct Streams<'a> {
    pub(super) host: &'a Host,
    pub(super) open: &'a Open,
    pub(super) job: JobId,
    pub(super) index: usize,
}

fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(SUBMITTER)
}

impl Streams<'_> {
    fn key(&self, from: u16, to: u16) -> StreamKey {
        StreamKey {
            job: self.job,
            epoch: self.open.epoch,
            from,
            to,
        }
    }

    /// The stage before in the ring; none when this is the only one.
    pub(super) fn previous(&self) -> Option<(usize, Wallet)> {
        let count = self.open.stages.len();
        let last = count.saturating_sub(1);
        let index = self.index.checked_sub(1).unwrap_or(last);
        let stage = self.open.stages.get(index)?;
        (count > 1).then_some((index, stage.wallet))
    }

    pub(super) fn await_previous(&self) -> Incoming {
        match self.previous() {
            Some((previous, wallet)) => {
                let key = self.key(number(previous), number(self.index));
                Incoming::Awaited(self.host.expected.expect(key, wallet))
            }
            None => Incoming::Ended,
        }
    }

    pub(super) fn await_prompt(&self, submitter: Wallet) -> Incoming {
        if self.index == 0 {
            let key = self.key(SUBMITTER, 0);
            Incoming::Awaited(self.host.expected.expect(key, submitter))
        } else {
            Incoming::Ended
        }
    }

    /// The stage after in the ring; none when this is the only one.
    pub(super) fn next(&self) -> Option<(usize, &StageAddress)> {
        let count = self.open.stages.len();
        let after = self.index.saturating_add(1);
        let index = if after < count { after } else { 0 };
        let stage = self.open.stages.get(index)?;
        (count > 1).then_some((index, stage))
    }

    pub(super) async fn dial_next(&self) -> Result<Option<Outbox>, Refusal> {
        let Some((next, stage)) = self.next() else {
            return Ok(None);
        };
        let key = self.key(number(self.index), number(next));
        let what = format!("stage {next} with layers {}", stage.range);
        self.dial(stage.wallet, &stage.addresses, key, &what)
            .await
            .map(Some)
    }

    pub(super) async fn dial_submitter(
        &self,
        submitter: Wallet,
    ) -> Result<Option<Outbox>, Refusal> {
        if self.index.saturating_add(1) < self.open.stages.len() {
            return Ok(None);
        }
        let key = self.key(number(self.index), SUBMITTER);
        let addresses = &self.open.submitter_addresses;
        self.dial(submitter, addresses, key, "the submitter")
            .await
            .map(Some)
    }

    async fn dial(
        &self,
        wallet: Wallet,
        addresses: &[String],
        key: StreamKey,
        what: &str,
    ) -> Result<Outbox, Refusal> {
        let addresses: Vec<SocketAddr> = addresses.iter().filter_map(|a| a.parse().ok()).collect();
        let stream = self
            .host
            .link
            .open(wallet, addresses)
            .await
            .map_err(|error| Refusal::new(FailCode::Neighbour, format!("{what}: {error}")))?;
        let mut outbox = Outbox::new(stream.writer);
        outbox.push(StreamHello::Data(key).to_bytes());
        Ok(outbox)
    }
}
