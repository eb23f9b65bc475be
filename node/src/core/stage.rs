//! One stage's part of one job, as a state machine.
//!
//! It takes frames, results of the worker, acknowledgements, lost links and
//! time, and says what to compute, send, post and when to close. Invariants:
//! at most one computation is under way; no work is begun outside the lockstep
//! window; a repeated (epoch, position) has no effect; every path ends in
//! `Close`. It does no I/O and does not know who computes or carries.

mod attest;
mod check;
mod settle;
#[cfg(test)]
mod tests;
mod types;

pub use check::{FrameError, Source, Verdict, check_header, prompt_ids};

pub use types::{Computed, Settlement, StageAction, StageEvent, StageSetup, Work, WorkInput};

use crate::core::lockstep::{Lockstep, Progress, progress_at};
use attest::Attestor;
use std::collections::VecDeque;
use talkoot_protocol::control::FailCode;
use talkoot_protocol::frame::{
    Finish, Frame, FrameHeader, FrameKind, ScoresPayload, StageTime, TokenPayload, TokenScore,
};
use talkoot_protocol::{Ack, Attestation, DType, Hash, HashContext, Verified};

#[derive(Debug)]
struct InFlight {
    end: u32,
    times: Vec<StageTime>,
    arrived_us: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    Ending { until_us: u64 },
    Closed,
}

#[derive(Debug)]
struct Held {
    attestation: Verified<Attestation>,
    ack: Verified<Ack>,
    progress: Progress,
}

/// The state machine; see the head of this file.
#[derive(Debug)]
pub struct StageCore {
    setup: StageSetup,
    phase: Phase,
    lockstep: Lockstep,
    attestor: Option<Attestor>,
    taken: u32,
    in_flight: Option<InFlight>,
    own_token: Option<u32>,
    finish: Option<Finish>,
    held: Option<Held>,
    posted: (Progress, u64),
    received: Hash,
    sent: Hash,
    compute_us: u64,
    last_event_us: u64,
    neighbour_lost: Option<(usize, u64)>,
    actions: VecDeque<StageAction>,
}

impl StageCore {
    /// A stage that is ready; the last one attests the beginning.
    #[must_use]
    pub fn new(mut setup: StageSetup, now_us: u64) -> Self {
        let is_last = setup.index.saturating_add(1) == setup.shape.count();
        let prompt_ids = std::mem::take(&mut setup.prompt_ids);
        let attestor = is_last.then(|| Attestor::new(&setup.shape, prompt_ids));
        let mut core = Self {
            phase: Phase::Running,
            lockstep: Lockstep::from_policy(&setup.shape.policy),
            attestor,
            taken: 0,
            in_flight: None,
            own_token: None,
            finish: None,
            held: None,
            posted: (Progress::default(), now_us),
            received: Hash::ZERO,
            sent: Hash::ZERO,
            compute_us: 0,
            last_event_us: now_us,
            neighbour_lost: None,
            actions: VecDeque::new(),
            setup,
        };
        core.attest(now_us);
        core
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<StageAction> {
        self.actions.pop_front()
    }

    /// Whether the next frame should be read now: nothing is under way and the
    /// window has room for a whole chunk or a token.
    #[must_use]
    pub fn wants_frame(&self) -> bool {
        self.phase == Phase::Running
            && self.in_flight.is_none()
            && self.own_token.is_none()
            && self.has_room()
    }

    fn has_room(&self) -> bool {
        let shape = &self.setup.shape;
        let rows = match shape.prompt_tokens.checked_sub(self.taken) {
            Some(left) if left > 0 => left.min(shape.policy.chunk_tokens),
            _ => 1,
        };
        let after = progress_at(self.taken.saturating_add(rows), shape.prompt_tokens);
        self.lockstep.allows(after)
    }

    /// Judges a frame's header before its rest is read.
    ///
    /// # Errors
    /// [`FrameError`].
    pub fn check(&self, source: Source, header: &FrameHeader) -> Result<Verdict, FrameError> {
        check_header(
            &self.setup.shape,
            self.setup.index,
            self.taken,
            source,
            header,
        )
    }

    /// When [`StageEvent::Tick`] is due.
    #[must_use]
    pub fn next_tick_us(&self) -> Option<u64> {
        let wait = match self.phase {
            Phase::Closed => return None,
            Phase::Ending { until_us } => return Some(until_us),
            Phase::Running => self.last_event_us.saturating_add(self.wait_us().0),
        };
        let lost = self.neighbour_lost.map_or(u64::MAX, |lost| lost.1);
        Some(wait.min(lost))
    }

    /// How long the state may last, and who is to blame when it lasts longer:
    /// a stage, or the submitter.
    fn wait_us(&self) -> (u64, Option<usize>, FailCode) {
        let deadlines = &self.setup.deadlines;
        let index = self.setup.index;
        if self.in_flight.is_some() {
            return (deadlines.compute_us, Some(index), FailCode::Timeout);
        }
        let is_done = self.finish.is_some() || self.taken >= self.setup.shape.rows_max();
        if is_done || !self.has_room() {
            return (deadlines.ack_us, None, FailCode::Unacknowledged);
        }
        let in_prompt = self.taken < self.setup.shape.prompt_tokens;
        match index.checked_sub(1) {
            None if in_prompt => (deadlines.prompt_hop_us, None, FailCode::Timeout),
            None => {
                let last = self.setup.shape.count().saturating_sub(1);
                (deadlines.token_hop_us, Some(last), FailCode::Neighbour)
            }
            Some(previous) if in_prompt => {
                (deadlines.prompt_hop_us, Some(previous), FailCode::Neighbour)
            }
            Some(previous) => (deadlines.token_hop_us, Some(previous), FailCode::Neighbour),
        }
    }

    /// Takes one event.
    pub fn handle(&mut self, event: StageEvent, now_us: u64) {
        if self.phase == Phase::Closed {
            return;
        }
        match event {
            StageEvent::Ack(pair) => self.on_ack(pair.0, pair.1, now_us),
            StageEvent::Cancel | StageEvent::SubmitterLost => self.close(),
            StageEvent::Tick => self.on_tick(now_us),
            _ if self.phase != Phase::Running => {}
            StageEvent::Frame(source, frame) => self.on_frame(source, frame, now_us),
            StageEvent::BadFrame(source, error) => self.on_bad_frame(source, &error, now_us),
            StageEvent::Computed {
                output,
                compute_us,
                link_us,
            } => {
                self.on_computed(output, compute_us, link_us, now_us);
            }
            StageEvent::ComputeFailed(reason) => {
                self.fail(self.setup.index, FailCode::Compute, &reason, now_us);
            }
            StageEvent::BadControl(reason) => self.on_bad_control(&reason, now_us),
            StageEvent::PreviousLost => self.on_neighbour_lost(self.previous_index(), now_us),
            StageEvent::NextLost => {
                let next = self.setup.index.saturating_add(1);
                let next = if next < self.setup.shape.count() {
                    next
                } else {
                    0
                };
                self.on_neighbour_lost(next, now_us);
            }
            StageEvent::Expired => {
                let reason = "the deadline of the job's reserve has passed";
                self.fail(self.setup.index, FailCode::Timeout, reason, now_us);
            }
            StageEvent::Shutdown => {
                let reason = "the node is stopping";
                self.fail(self.setup.index, FailCode::Shutdown, reason, now_us);
            }
        }
        self.advance(now_us);
    }

    fn previous_index(&self) -> usize {
        let last = self.setup.shape.count().saturating_sub(1);
        self.setup.index.checked_sub(1).unwrap_or(last)
    }

    fn on_bad_frame(&mut self, source: Source, error: &FrameError, now_us: u64) {
        let at_fault = match source {
            Source::Previous => self.previous_index(),
            Source::Submitter => self.setup.index,
        };
        let reason = error.to_string();
        self.fail(at_fault, FailCode::Protocol, &reason, now_us);
        self.actions.push_back(StageAction::Mark(source, reason));
    }

    fn on_bad_control(&mut self, reason: &str, now_us: u64) {
        self.fail(self.setup.index, FailCode::Protocol, reason, now_us);
        let mark = StageAction::Mark(Source::Submitter, reason.to_owned());
        self.actions.push_back(mark);
    }

    fn on_frame(&mut self, source: Source, frame: Frame, now_us: u64) {
        match self.check(source, &frame.header) {
            Ok(Verdict::Take) => {}
            Ok(Verdict::Repeat) => return,
            Err(error) => return self.on_bad_frame(source, &error, now_us),
        }
        if self.in_flight.is_some() {
            let error = FrameError::Position {
                got: frame.header.position,
                expected: self.taken,
            };
            return self.on_bad_frame(source, &error, now_us);
        }
        let input = match self.read_input(&frame) {
            Ok(input) => input,
            Err(error) => return self.on_bad_frame(source, &error, now_us),
        };
        self.received = chain(self.received, &frame.payload);
        self.begin(frame.header.rows, input, frame.times, now_us);
    }

    fn read_input(&self, frame: &Frame) -> Result<WorkInput, FrameError> {
        let vocabulary = self.setup.shape.vocabulary;
        match frame.header.kind {
            FrameKind::Prompt => prompt_ids(&frame.payload, vocabulary).map(WorkInput::Tokens),
            FrameKind::Token => {
                let token = TokenPayload::decode(&frame.payload)?.token;
                if token < vocabulary {
                    Ok(WorkInput::Tokens(vec![token]))
                } else {
                    Err(FrameError::Token(token))
                }
            }
            FrameKind::Hidden | FrameKind::Attestation | FrameKind::Scores => {
                Ok(WorkInput::Hidden(frame.payload.clone()))
            }
        }
    }

    fn begin(&mut self, rows: u32, input: WorkInput, times: Vec<StageTime>, now_us: u64) {
        let position = self.taken;
        let end = position.saturating_add(rows);
        let is_sampled = self.attestor.is_some() && end >= self.setup.shape.prompt_tokens;
        self.taken = end;
        self.last_event_us = now_us;
        self.in_flight = Some(InFlight {
            end,
            times,
            arrived_us: now_us,
        });
        self.actions.push_back(StageAction::Compute(Work {
            position,
            rows,
            input,
            is_sampled,
        }));
    }

    fn on_computed(&mut self, output: Computed, compute_us: u32, link_us: u32, now_us: u64) {
        let Some(work) = self.in_flight.take() else {
            return;
        };
        self.last_event_us = now_us;
        self.compute_us = self.compute_us.saturating_add(u64::from(compute_us));
        let stay_us = now_us.saturating_sub(work.arrived_us);
        let mut times = work.times;
        times.push(StageTime {
            compute_us,
            stay_us: u32::try_from(stay_us).unwrap_or(u32::MAX),
            link_us,
        });
        match (output, self.attestor.is_some()) {
            (Computed::Hidden(bytes), false) => self.send_hidden(work.end, times, bytes),
            (Computed::Read { scores }, true) => {
                self.send_scores(scores, work.end.saturating_add(1));
                self.after_prompt(&times, work.end, now_us);
            }
            (
                Computed::Token {
                    scores,
                    token,
                    logprob,
                    top,
                },
                true,
            ) => {
                self.send_scores(scores, work.end);
                let payload = TokenPayload {
                    token,
                    logprob,
                    top,
                    finish: self.finish_of(token),
                };
                self.send_token(&payload, work.end, times, now_us);
            }
            _ => {
                let reason = "the worker gave another kind of result";
                self.fail(self.setup.index, FailCode::Compute, reason, now_us);
            }
        }
    }

    fn send_hidden(&mut self, end: u32, times: Vec<StageTime>, bytes: Vec<u8>) {
        let row_bytes = self.setup.shape.row_bytes().max(1);
        let rows = u32::try_from(bytes.len() as u64 / row_bytes).unwrap_or(u32::MAX);
        self.sent = chain(self.sent, &bytes);
        let dtype = self.setup.shape.hidden_dtype;
        let frame = self.frame(
            (FrameKind::Hidden, dtype),
            (end.saturating_sub(rows), rows),
            times,
            bytes,
        );
        self.actions.push_back(StageAction::ToNext(frame));
    }

    fn after_prompt(&mut self, times: &[StageTime], end: u32, now_us: u64) {
        if let Some(attestor) = &mut self.attestor {
            attestor.add_times(times);
            attestor.prompt_done(end);
        }
        self.attest(now_us);
    }

    /// Sends the scores of the prompt's tokens before `end`.
    fn send_scores(&mut self, scores: Vec<TokenScore>, end: u32) {
        let rows = u32::try_from(scores.len()).unwrap_or(u32::MAX);
        if rows == 0 {
            return;
        }
        let place = (end.saturating_sub(rows), rows);
        let payload = ScoresPayload { scores }.to_bytes();
        let kind = (FrameKind::Scores, DType::F32);
        let frame = self.frame(kind, place, Vec::new(), payload);
        self.actions.push_back(StageAction::ToSubmitter(frame));
    }

    fn finish_of(&self, token: u32) -> Option<Finish> {
        let done = self.attestor.as_ref()?.done().completion.saturating_add(1);
        if self.setup.stop_ids.contains(&token) {
            Some(Finish::Stop)
        } else if done >= self.setup.shape.completion_tokens_max {
            Some(Finish::Length)
        } else {
            None
        }
    }

    fn send_token(&mut self, payload: &TokenPayload, end: u32, times: Vec<StageTime>, now_us: u64) {
        self.finish = payload.finish;
        let bytes = payload.to_bytes();
        self.sent = chain(self.sent, &bytes);
        let prompt_end = end.min(self.setup.shape.prompt_tokens);
        if let Some(attestor) = &mut self.attestor {
            attestor.add_times(&times);
            attestor.prompt_done(prompt_end);
            attestor.token(payload.token);
        }
        let kind = (FrameKind::Token, DType::F32);
        if self.setup.shape.count() == 1 {
            self.own_token = payload.finish.is_none().then_some(payload.token);
        } else if payload.finish.is_none() {
            let frame = self.frame(kind, (end, 1), Vec::new(), bytes.clone());
            self.actions.push_back(StageAction::ToNext(frame));
        }
        let frame = self.frame(kind, (end, 1), times, bytes);
        self.actions.push_back(StageAction::ToSubmitter(frame));
        self.attest(now_us);
    }

    fn frame(
        &self,
        (kind, dtype): (FrameKind, DType),
        (position, rows): (u32, u32),
        times: Vec<StageTime>,
        payload: Vec<u8>,
    ) -> Frame {
        Frame {
            header: FrameHeader {
                kind,
                dtype,
                job: self.setup.shape.job,
                epoch: self.setup.shape.epoch,
                position,
                rows,
                times: u16::try_from(times.len()).unwrap_or(u16::MAX),
                length: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            },
            times,
            payload,
        }
    }

    /// Attests the frontier when it is due; only the last stage does.
    fn attest(&mut self, now_us: u64) {
        let setup = &self.setup;
        let Some(attestor) = &mut self.attestor else {
            return;
        };
        let signer = (&setup.key, setup.network, setup.arithmetic);
        match attestor.attest_if_due(&setup.shape, signer, self.finish.is_some()) {
            Ok(None) => {}
            Ok(Some(signed)) => {
                let kind = (FrameKind::Attestation, DType::F32);
                let frame = self.frame(kind, (0, 1), Vec::new(), signed.to_bytes());
                self.actions.push_back(StageAction::ToSubmitter(frame));
            }
            Err(error) => {
                let reason = error.to_string();
                self.fail(self.setup.index, FailCode::Compute, &reason, now_us);
            }
        }
    }

    /// A stage that holds the whole model feeds its own token.
    fn advance(&mut self, now_us: u64) {
        let is_free = self.phase == Phase::Running && self.in_flight.is_none();
        if is_free
            && self.has_room()
            && let Some(token) = self.own_token.take()
        {
            self.begin(1, WorkInput::Tokens(vec![token]), Vec::new(), now_us);
        }
    }

    fn on_neighbour_lost(&mut self, stage: usize, now_us: u64) {
        let until = now_us.saturating_add(self.setup.deadlines.link_grace_us);
        self.neighbour_lost.get_or_insert((stage, until));
    }

    fn on_tick(&mut self, now_us: u64) {
        match self.phase {
            Phase::Closed => {}
            Phase::Ending { until_us } => {
                if now_us >= until_us {
                    self.close();
                }
            }
            Phase::Running => {
                if let Some((stage, until)) = self.neighbour_lost
                    && now_us >= until
                {
                    let reason = "its link is gone";
                    return self.fail(stage, FailCode::Neighbour, reason, now_us);
                }
                let (wait, stage, code) = self.wait_us();
                if now_us.saturating_sub(self.last_event_us) >= wait {
                    let reason = match (stage, code) {
                        (None, FailCode::Unacknowledged) => "the submitter does not acknowledge",
                        (None, _) => "the submitter sends no prompt",
                        (Some(_), FailCode::Timeout) => "the computation takes too long",
                        (Some(_), _) => "it sends nothing",
                    };
                    self.fail(stage.unwrap_or(self.setup.index), code, reason, now_us);
                }
            }
        }
    }
}

/// Both ends of a link chain the payloads alike.
fn chain(running: Hash, payload: &[u8]) -> Hash {
    Hash::of_parts(HashContext::HiddenStream, &[running.as_bytes(), payload])
}
