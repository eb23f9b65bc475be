//! The submitter's part of one job, from the opened route to its end.
//!
//! It sends prompt chunks, takes tokens and attestations, acknowledges to all
//! stages, and ends the job. Invariants: an ack is never above its attestation
//! or above what was received; nothing past a stop is acknowledged; whatever
//! happens, the stages that live get a final ack (or a cancel, when nothing was
//! attested), so that their holds end. It does no I/O.

mod measure;
mod scores;
#[cfg(test)]
mod tests;
mod types;

pub use measure::{Measure, Summary};
pub use types::{
    Ended, Failure, ReceivedToken, SubmissionAction, SubmissionEvent, SubmissionSetup,
};

use crate::core::lockstep::{Lockstep, Progress};
use std::collections::VecDeque;
use talkoot_protocol::control::FailCode;
use talkoot_protocol::frame::{Finish, Frame, FrameHeader, FrameKind, TokenPayload};
use talkoot_protocol::{
    Ack, Attestation, DType, Hash, LayerRange, Signed, Transcript, Verified, limits,
};

/// Prompt tokens of one frame at most. Less than a chunk, so that all stages work
/// at the same time on a prompt that fits the window, and tokens of other jobs
/// wait less; more, because weights are read once for a frame.
const PROMPT_FRAME_TOKENS_MAX: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Opening,
    Running,
    /// Enough was received; waiting for an attestation that covers it.
    Stopping {
        until_us: u64,
    },
    /// The final ack is out; waiting for the stages to close.
    Closing {
        until_us: u64,
    },
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StageState {
    Asked,
    Open,
    Gone,
}

/// The state machine; see the head of this file.
#[derive(Debug)]
pub struct SubmissionCore {
    setup: SubmissionSetup,
    phase: Phase,
    stages: Vec<StageState>,
    lockstep: Lockstep,
    sent_prompt: u32,
    /// Prompt tokens whose scores are here; the first has none.
    scored: u32,
    received: u32,
    transcript: Transcript,
    transcript_prompt: u32,
    /// `token_hashes[n]`: the transcript after the prompt and n tokens.
    token_hashes: Vec<Hash>,
    newest: Option<Verified<Attestation>>,
    finish: Option<Finish>,
    failure: Option<Failure>,
    accusations: Vec<(usize, Failure)>,
    accused_until_us: Option<u64>,
    is_refused: bool,
    last_event_us: u64,
    measure: Measure,
    actions: VecDeque<SubmissionAction>,
}

impl SubmissionCore {
    /// A job whose stages have been asked to open.
    #[must_use]
    pub fn new(setup: SubmissionSetup, now_us: u64) -> Self {
        Self {
            phase: Phase::Opening,
            stages: vec![StageState::Asked; setup.shape.count()],
            lockstep: Lockstep::from_policy(&setup.shape.policy),
            sent_prompt: 0,
            scored: 1,
            received: 0,
            transcript: Transcript::new(setup.shape.job),
            transcript_prompt: 0,
            token_hashes: Vec::new(),
            newest: None,
            finish: None,
            failure: None,
            accusations: Vec::new(),
            accused_until_us: None,
            is_refused: false,
            last_event_us: now_us,
            measure: Measure::new(setup.begun_us),
            actions: VecDeque::new(),
            setup,
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<SubmissionAction> {
        self.actions.pop_front()
    }

    /// Whether the job is over; then [`Self::ended`] tells how.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    /// How the job ended.
    #[must_use]
    pub fn ended(&self) -> Ended {
        Ended {
            finish: self.finish,
            failure: self.failure.clone(),
            is_refused: self.is_refused,
            completion_tokens: self.lockstep.acked().completion,
            summary: self.measure.summary(self.setup.shape.count()),
        }
    }

    /// Judges a frame's header before its rest is read.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, header: &FrameHeader) -> Result<(), String> {
        let shape = &self.setup.shape;
        if header.job != shape.job || header.epoch != shape.epoch {
            return Err("a frame of another job".to_owned());
        }
        let (times, bytes_max) = match header.kind {
            FrameKind::Token => (shape.count(), 1024),
            FrameKind::Attestation => (0, limits::ATTESTATION_BYTES_MAX),
            FrameKind::Scores if self.setup.scores.is_some() => {
                (0, limits::SCORES_PAYLOAD_BYTES_MAX)
            }
            kind => return Err(format!("a {kind:?} frame to the submitter")),
        };
        if usize::from(header.times) != times || header.length as usize > bytes_max {
            return Err("a frame of the wrong size".to_owned());
        }
        Ok(())
    }

    /// When [`SubmissionEvent::Tick`] is due.
    #[must_use]
    pub fn next_tick_us(&self) -> Option<u64> {
        match self.phase {
            Phase::Done => None,
            Phase::Stopping { until_us } | Phase::Closing { until_us } => Some(until_us),
            Phase::Opening | Phase::Running => {
                let silent_us = self.last_event_us.saturating_add(self.silence_us());
                Some(silent_us.min(self.accused_until_us.unwrap_or(u64::MAX)))
            }
        }
    }

    fn silence_us(&self) -> u64 {
        let deadlines = &self.setup.deadlines;
        if self.phase == Phase::Opening {
            return self.setup.open_us;
        }
        // The stages notice first and say who; this is the last resort.
        let hop = if self.received == 0 {
            deadlines.prompt_hop_us
        } else {
            deadlines.token_hop_us
        };
        hop.saturating_add(hop / 4)
            .saturating_add(deadlines.link_grace_us.saturating_mul(2))
    }

    /// Takes one event.
    pub fn handle(&mut self, event: SubmissionEvent, now_us: u64) {
        match event {
            SubmissionEvent::Opened(stage) => self.on_opened(stage, now_us),
            SubmissionEvent::Token(frame) => self.on_token(&frame, now_us),
            SubmissionEvent::Scores(frame) => self.on_scores(&frame, now_us),
            SubmissionEvent::Attestation(attestation) => {
                self.on_attestation(*attestation, now_us);
            }
            SubmissionEvent::Refused {
                stage,
                code,
                reason,
            } => {
                self.mark_gone(stage);
                self.is_refused |= self.phase == Phase::Opening;
                self.fail(stage, code, reason, now_us);
            }
            SubmissionEvent::Accused {
                reporter,
                stage,
                code,
                reason,
            } => {
                let reason = format!("{reason} (says stage {reporter})");
                let failure = Failure {
                    stage: Some(stage),
                    code,
                    reason,
                };
                let until_us = now_us.saturating_add(self.setup.deadlines.link_grace_us);
                self.accused_until_us.get_or_insert(until_us);
                self.accusations.push((reporter, failure));
            }
            SubmissionEvent::Failed {
                stage,
                code,
                reason,
            } => self.fail(stage, code, reason, now_us),
            SubmissionEvent::Lost(stage) => {
                self.mark_gone(stage);
                let reason = "its link is gone".to_owned();
                self.fail(stage, FailCode::Neighbour, reason, now_us);
            }
            SubmissionEvent::Closed(stage) => self.mark_gone(stage),
            SubmissionEvent::Stop => self.stop(now_us),
            SubmissionEvent::Tick => self.on_tick(now_us),
        }
        self.send_prompt();
        if matches!(self.phase, Phase::Closing { .. })
            && self.stages.iter().all(|stage| *stage == StageState::Gone)
        {
            self.phase = Phase::Done;
        }
    }

    fn mark_gone(&mut self, stage: usize) {
        if let Some(state) = self.stages.get_mut(stage) {
            *state = StageState::Gone;
        }
    }

    fn on_opened(&mut self, stage: usize, now_us: u64) {
        if let Some(state) = self.stages.get_mut(stage)
            && *state == StageState::Asked
        {
            *state = StageState::Open;
            self.last_event_us = now_us;
        }
        self.begin_if_ready();
    }

    /// Work begins when all stages are open and the last one has attested the
    /// beginning: from then on every stage can be settled, whatever happens.
    fn begin_if_ready(&mut self) {
        let all_open = self.stages.iter().all(|stage| *stage == StageState::Open);
        if self.phase == Phase::Opening && all_open && self.newest.is_some() {
            self.phase = Phase::Running;
            self.actions.push_back(SubmissionAction::Begun);
        }
    }

    fn send_prompt(&mut self) {
        let shape = &self.setup.shape;
        while self.phase == Phase::Running && self.sent_prompt < shape.prompt_tokens {
            let left = shape.prompt_tokens.saturating_sub(self.sent_prompt);
            let rows = left
                .min(shape.policy.chunk_tokens)
                .min(PROMPT_FRAME_TOKENS_MAX);
            let end = self.sent_prompt.saturating_add(rows);
            let after = Progress {
                prompt: end,
                completion: 0,
            };
            if !self.lockstep.allows(after) {
                return;
            }
            let range = self.sent_prompt as usize..end as usize;
            let ids = self.setup.prompt_ids.get(range).unwrap_or_default();
            let payload: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let header = FrameHeader {
                kind: FrameKind::Prompt,
                dtype: DType::F32,
                job: shape.job,
                epoch: shape.epoch,
                position: self.sent_prompt,
                rows,
                times: 0,
                length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            };
            self.sent_prompt = end;
            self.actions.push_back(SubmissionAction::Prompt(Frame {
                header,
                times: Vec::new(),
                payload,
            }));
        }
    }

    fn on_token(&mut self, frame: &Frame, now_us: u64) {
        if self.phase != Phase::Running {
            return;
        }
        let last = self.setup.shape.count().saturating_sub(1);
        match self.read_token(frame) {
            Ok(None) => {}
            Ok(Some(payload)) => {
                self.last_event_us = now_us;
                self.measure.token(now_us, frame.times.clone());
                self.push_transcript(payload.token);
                let index = self.received;
                self.received = self.received.saturating_add(1);
                self.finish = payload.finish;
                let token = ReceivedToken {
                    index,
                    payload,
                    times: frame.times.clone(),
                };
                self.actions
                    .push_back(SubmissionAction::Observe(Box::new(token)));
                if self.finish.is_some() {
                    self.stop(now_us);
                }
            }
            Err(reason) => self.fail(last, FailCode::Protocol, reason, now_us),
        }
    }

    fn read_token(&self, frame: &Frame) -> Result<Option<TokenPayload>, String> {
        let shape = &self.setup.shape;
        let expected = shape.prompt_tokens.saturating_add(self.received);
        if frame.header.position < expected {
            return Ok(None);
        }
        if frame.header.position > expected
            || self.received >= shape.completion_tokens_max
            || self.sent_prompt < shape.prompt_tokens
        {
            return Err(format!(
                "a token at position {} where {expected} comes next",
                frame.header.position
            ));
        }
        if self.lacks_scores() {
            return Err("a token before the scores of the prompt".to_owned());
        }
        let payload = TokenPayload::decode(&frame.payload).map_err(|error| error.to_string())?;
        if payload.token >= shape.vocabulary {
            return Err(format!("token {} is not in the vocabulary", payload.token));
        }
        Ok(Some(payload))
    }

    fn push_transcript(&mut self, token: u32) {
        self.push_prompt_transcript(self.setup.shape.prompt_tokens);
        if self.token_hashes.is_empty() {
            self.token_hashes.push(self.transcript.hash());
        }
        self.transcript.push(token);
        self.token_hashes.push(self.transcript.hash());
    }

    fn push_prompt_transcript(&mut self, end: u32) {
        let range = self.transcript_prompt as usize..end as usize;
        for &id in self.setup.prompt_ids.get(range).unwrap_or_default() {
            self.transcript.push(id);
        }
        self.transcript_prompt = self.transcript_prompt.max(end);
    }

    fn on_attestation(&mut self, attestation: Verified<Attestation>, now_us: u64) {
        if matches!(self.phase, Phase::Closing { .. } | Phase::Done) {
            return;
        }
        let last = self.setup.shape.count().saturating_sub(1);
        if let Err(reason) = self.check_attestation(&attestation) {
            return self.fail(last, FailCode::Protocol, reason.to_owned(), now_us);
        }
        let is_first = self.newest.is_none();
        let covers_all = attestation.completion_done >= self.received;
        self.newest = Some(attestation);
        self.last_event_us = now_us;
        if matches!(self.phase, Phase::Stopping { .. }) {
            if covers_all {
                self.finish_up(now_us);
            }
        } else if is_first {
            self.begin_if_ready();
        } else {
            self.acknowledge(false);
        }
    }

    fn check_attestation(&mut self, attestation: &Attestation) -> Result<(), &'static str> {
        let shape = &self.setup.shape;
        let before = self.newest.as_ref();
        let number = before.map_or(0, |newest| newest.number.saturating_add(1));
        let previous = before.map_or(Hash::ZERO, |newest| newest.id());
        let done = progress(attestation);
        let grown = before.is_none_or(|newest| progress(newest).within(done));
        if attestation.job != shape.job
            || shape.stages.last().map(|stage| stage.0) != Some(attestation.stage)
        {
            return Err("it attests another job");
        }
        if attestation.number != number || attestation.previous != previous || !grown {
            return Err("its attestations do not follow each other");
        }
        // While stopping, tokens past the stop are attested too; they are
        // neither kept nor acknowledged.
        let is_stopping = matches!(self.phase, Phase::Stopping { .. });
        if done.prompt > self.sent_prompt || (done.completion > self.received && !is_stopping) {
            return Err("it attests more than it sent");
        }
        if done.completion > 0 && done.prompt < shape.prompt_tokens {
            return Err("it attests tokens before the prompt's end");
        }
        if done.completion > self.received {
            return Ok(());
        }
        if self.transcript_at(done) == Some(attestation.transcript) {
            Ok(())
        } else {
            Err("it attests another transcript")
        }
    }

    fn transcript_at(&mut self, done: Progress) -> Option<Hash> {
        if let Some(hash) = self.token_hashes.get(done.completion as usize)
            && done.prompt == self.setup.shape.prompt_tokens
        {
            return Some(*hash);
        }
        if done.completion > 0 || done.prompt < self.transcript_prompt {
            return None;
        }
        self.push_prompt_transcript(done.prompt);
        Some(self.transcript.hash())
    }

    /// Acknowledges the newest attestation to all stages.
    fn acknowledge(&mut self, is_final: bool) {
        let Some(newest) = self.newest.clone() else {
            return;
        };
        let received = Progress {
            prompt: self.sent_prompt,
            completion: self.received,
        };
        let acked = progress(&newest).min(received);
        let ack = Ack {
            submitter: self.setup.shape.submitter,
            job: self.setup.shape.job,
            attestation: newest.id(),
            prompt_done: acked.prompt,
            completion_done: acked.completion,
            is_final,
        };
        if let Ok(signed) = Verified::sign(ack, &self.setup.key, self.setup.network) {
            self.lockstep.ack(acked);
            let attestation: Signed<Attestation> = newest.into();
            self.actions.push_back(SubmissionAction::Ack {
                attestation: Box::new(attestation),
                ack: Box::new(signed.into()),
            });
        }
    }

    /// No more tokens are wanted. What was received is still to be attested.
    fn stop(&mut self, now_us: u64) {
        let is_covered = self
            .newest
            .as_ref()
            .is_none_or(|newest| newest.completion_done >= self.received);
        match self.phase {
            Phase::Opening => self.finish_up(now_us),
            Phase::Running if is_covered => self.finish_up(now_us),
            Phase::Running => {
                let grace = self.setup.deadlines.end_grace_us;
                self.phase = Phase::Stopping {
                    until_us: now_us.saturating_add(grace),
                };
            }
            Phase::Stopping { .. } | Phase::Closing { .. } | Phase::Done => {}
        }
    }

    fn fail(&mut self, stage: usize, code: FailCode, reason: String, now_us: u64) {
        match self.phase {
            Phase::Opening | Phase::Running => {}
            // All tokens are here; a stage that fails now only settles later.
            Phase::Stopping { .. } => return self.finish_up(now_us),
            Phase::Closing { .. } | Phase::Done => return,
        }
        self.failure = Some(Failure {
            stage: Some(stage),
            code,
            reason,
        });
        self.finish_up(now_us);
    }

    fn finish_up(&mut self, now_us: u64) {
        if self.newest.is_some() {
            self.acknowledge(true);
        } else {
            self.actions.push_back(SubmissionAction::Cancel);
        }
        let grace = self.setup.deadlines.end_grace_us;
        self.phase = Phase::Closing {
            until_us: now_us.saturating_add(grace),
        };
    }

    fn on_tick(&mut self, now_us: u64) {
        match self.phase {
            Phase::Done => {}
            Phase::Stopping { until_us } if now_us >= until_us => self.finish_up(now_us),
            Phase::Closing { until_us } if now_us >= until_us => self.phase = Phase::Done,
            Phase::Stopping { .. } | Phase::Closing { .. } => {}
            Phase::Opening | Phase::Running => {
                if self.accused_until_us.is_some_and(|until| now_us >= until) {
                    self.failure = self.culprit();
                    return self.finish_up(now_us);
                }
                if now_us.saturating_sub(self.last_event_us) < self.silence_us() {
                    return;
                }
                let asked = |stage: &StageState| *stage == StageState::Asked;
                let last = self.stages.len().saturating_sub(1);
                let silent = match self.stages.iter().position(asked) {
                    None if self.phase == Phase::Opening => Some(last),
                    found => found,
                };
                self.failure = Some(Failure {
                    stage: silent,
                    code: FailCode::Timeout,
                    reason: "no answer in time".to_owned(),
                });
                self.finish_up(now_us);
            }
        }
    }

    /// A stage that stands still makes all after it wait in vain, so several
    /// accuse the one before them. The culprit is the one that accuses nobody.
    fn culprit(&self) -> Option<Failure> {
        let accuses = |stage: &Option<usize>| {
            let mut reporters = self.accusations.iter().map(|one| one.0);
            reporters.any(|reporter| Some(reporter) == *stage)
        };
        let silent = self
            .accusations
            .iter()
            .find(|(_, failure)| !accuses(&failure.stage));
        silent
            .or_else(|| self.accusations.first())
            .map(|(_, failure)| failure.clone())
    }

    /// The layers of a stage, for messages.
    #[must_use]
    pub fn range(&self, stage: usize) -> Option<LayerRange> {
        self.setup.shape.range(stage)
    }
}

fn progress(attestation: &Attestation) -> Progress {
    Progress {
        prompt: attestation.prompt_done,
        completion: attestation.completion_done,
    }
}
