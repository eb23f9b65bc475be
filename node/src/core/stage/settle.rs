//! How a stage's part is paid and ends: acknowledgements, frontiers, failures
//! and the close.

use super::{Held, Phase, Settlement, StageAction, StageCore};
use crate::core::lockstep::Progress;
use talkoot_protocol::control::{ControlMessage, FailCode, StageReport};
use talkoot_protocol::{Ack, Attestation, LayerRange, Verified, limits};

/// Acknowledged tokens between two frontiers of a running job.
const POST_TOKENS: u64 = 64;
/// Time between two frontiers of a running job, µs.
const POST_EVERY_US: u64 = 5_000_000;

impl StageCore {
    pub(super) fn on_ack(
        &mut self,
        attestation: Verified<Attestation>,
        ack: Verified<Ack>,
        now_us: u64,
    ) {
        if let Err(reason) = self.check_ack(&attestation, &ack) {
            return self.on_bad_control(reason, now_us);
        }
        let progress = Progress {
            prompt: ack.prompt_done,
            completion: ack.completion_done,
        };
        let had_room = self.has_room();
        self.lockstep.ack(progress);
        if !had_room {
            self.last_event_us = now_us;
        }
        let is_final = ack.is_final;
        let is_higher = self
            .held
            .as_ref()
            .is_none_or(|held| held.progress.within(progress) && held.progress != progress);
        if is_higher || (is_final && self.held.as_ref().is_some_and(|h| h.progress == progress)) {
            if is_higher && self.setup.is_reserved {
                let pair = (attestation.clone().into(), ack.clone().into());
                self.actions.push_back(StageAction::Hold(Box::new(pair)));
            }
            self.held = Some(Held {
                attestation,
                ack,
                progress,
            });
        }
        if is_final {
            self.close();
        } else {
            self.post_if_due(progress, now_us);
        }
    }

    fn check_ack(
        &self,
        attestation: &Verified<Attestation>,
        ack: &Ack,
    ) -> Result<(), &'static str> {
        let shape = &self.setup.shape;
        let last = shape.stages.last().map(|stage| stage.0);
        if attestation.job != shape.job || ack.job != shape.job {
            return Err("an acknowledgement of another job");
        }
        if Some(attestation.stage) != last {
            return Err("an attestation that is not the last stage's");
        }
        if ack.submitter != shape.submitter {
            return Err("an acknowledgement that is not the submitter's");
        }
        if ack.attestation != attestation.id() {
            return Err("an acknowledgement of another attestation");
        }
        if ack.prompt_done > attestation.prompt_done
            || ack.completion_done > attestation.completion_done
        {
            return Err("an acknowledgement above its attestation");
        }
        let above = attestation.prompt_done > shape.prompt_tokens
            || attestation.completion_done > shape.completion_tokens_max;
        if above {
            return Err("an attestation above the job's tokens");
        }
        Ok(())
    }

    /// The last stage posts now and then, so that everyone sees credits burn
    /// and grow.
    fn post_if_due(&mut self, progress: Progress, now_us: u64) {
        let (posted, at_us) = self.posted;
        let grown = progress.total().saturating_sub(posted.total());
        let is_due =
            grown >= POST_TOKENS || (grown > 0 && now_us.saturating_sub(at_us) >= POST_EVERY_US);
        if self.attestor.is_some() && is_due {
            self.posted = (progress, now_us);
            self.post(false);
        }
    }

    fn post(&mut self, is_final: bool) {
        if let Some(held) = self.held.as_ref().filter(|_| self.setup.is_reserved) {
            self.actions
                .push_back(StageAction::Post(Box::new(Settlement {
                    attestation: held.attestation.clone().into(),
                    ack: held.ack.clone().into(),
                    is_final,
                    received: self.received,
                    sent: self.sent,
                })));
        }
    }

    pub(super) fn fail(&mut self, stage: usize, code: FailCode, reason: &str, now_us: u64) {
        if self.phase != Phase::Running {
            return;
        }
        let mut reason = reason.to_owned();
        reason.truncate(reason.floor_char_boundary(limits::REASON_BYTES_MAX));
        if let Some(range) = self.range_of(stage) {
            let stage = u16::try_from(stage).unwrap_or(u16::MAX);
            self.actions
                .push_back(StageAction::Control(Box::new(ControlMessage::Fail {
                    stage,
                    range,
                    code,
                    reason,
                })));
        }
        let grace = self.setup.deadlines.end_grace_us;
        self.phase = Phase::Ending {
            until_us: now_us.saturating_add(grace),
        };
    }

    fn range_of(&self, stage: usize) -> Option<LayerRange> {
        self.setup.shape.range(stage)
    }

    pub(super) fn close(&mut self) {
        self.phase = Phase::Closed;
        self.post(true);
        let report = StageReport {
            received: self.received,
            sent: self.sent,
            rows: u64::from(self.taken),
            compute_us: self.compute_us,
        };
        self.actions
            .push_back(StageAction::Control(Box::new(ControlMessage::Closed(
                report,
            ))));
        self.actions.push_back(StageAction::Close);
    }
}
