//! An ordered job until its end: reads, writes and observes for
//! `core::submission`.

use super::{AskError, JobObserver, JobReport, JobRequest, Link, TokenEvent, errors, open_message};
use crate::core::job::JobShape;
use crate::core::runs::Role;
use crate::core::submission::{
    Ended, ReceivedToken, SubmissionAction, SubmissionCore, SubmissionEvent, SubmissionSetup,
};
use crate::data::expected::Awaited;
use crate::data::plane::Host;
use crate::data::wire::{
    ControlReader, FrameFault, FrameReader, Outbox, SUBMITTER, StreamHello, StreamKey, WireError,
    control_bytes,
};
use futures::future::join_all;
use futures::stream::{BoxStream, SelectAll, StreamExt, select_all, unfold};
use std::sync::Arc;
use std::time::Duration;
use talkoot_protocol::control::{ControlMessage, FailCode, JobOrder};
use talkoot_protocol::frame::{Finish, Frame, FrameKind};
use talkoot_protocol::{Attestation, Verified};

/// How long stages may take to open, µs.
const OPEN_US: u64 = 15_000_000;
/// How long the last words to the stages may take.
const FAREWELL: Duration = Duration::from_secs(2);

type Heard = (usize, Result<ControlMessage, WireError>);

/// An ordered job and the streams to its stages.
pub(super) struct Opening<'a> {
    pub(super) host: &'a Arc<Host>,
    pub(super) request: &'a JobRequest,
    pub(super) shape: JobShape,
    pub(super) order: JobOrder,
    pub(super) links: Vec<Link>,
    pub(super) begun_us: u64,
}

/// The token stream of the last stage.
enum Tokens {
    Awaited(Awaited),
    Reading(FrameReader),
    Ended,
}

struct Running<'a> {
    host: &'a Host,
    core: SubmissionCore,
    heard: SelectAll<BoxStream<'static, Heard>>,
    controls: Vec<Outbox>,
    prompt: Option<Outbox>,
    tokens: Tokens,
    observer: Box<dyn JobObserver>,
    shape: JobShape,
    held_ugft: u128,
    /// Whether money follows our acknowledgements, so that they are kept.
    is_reserved: bool,
    is_cancelled: bool,
}

impl Opening<'_> {
    /// Opens all stages and runs the job to its end.
    pub(super) async fn run(
        self,
        observer: Box<dyn JobObserver>,
        held_ugft: u128,
        mut cancelled: impl Future<Output = ()> + Send + Unpin,
    ) -> Result<JobReport, AskError> {
        let Self {
            host,
            request,
            shape,
            order,
            links,
            begun_us,
        } = self;
        let last = shape.count().saturating_sub(1);
        let key = StreamKey {
            job: shape.job,
            epoch: shape.epoch,
            from: u16::try_from(last).unwrap_or(SUBMITTER),
            to: SUBMITTER,
        };
        let last_wallet = shape
            .stages
            .get(last)
            .map_or(shape.submitter, |stage| stage.0);
        let tokens = Tokens::Awaited(host.expected.expect(key, last_wallet));
        let mut heard = Vec::new();
        let mut controls = Vec::new();
        for (index, link) in links.into_iter().enumerate() {
            let mut control = link.control;
            control.push(control_bytes(&open_message(host, request, &order, index)));
            controls.push(control);
            heard.push(listen(index, link.reader));
        }
        let setup = SubmissionSetup {
            shape: shape.clone(),
            prompt_ids: request.prompt_ids.clone(),
            scores: request
                .sampling
                .prompt_logprobs
                .then_some(request.sampling.top_logprobs),
            key: host.key.clone(),
            network: host.network,
            deadlines: host.deadlines,
            open_us: OPEN_US,
            begun_us,
        };
        let mut running = Running {
            host,
            core: SubmissionCore::new(setup, host.now_us()),
            heard: select_all(heard),
            controls,
            prompt: None,
            tokens,
            observer,
            shape,
            held_ugft,
            is_reserved: matches!(order, JobOrder::Reserved(_)),
            is_cancelled: false,
        };
        running.open_prompt(request).await;
        running.drive(&mut cancelled).await;
        let is_cancelled = running.is_cancelled;
        let shape = running.shape.clone();
        let ended = running.core.ended();
        running.farewell().await;
        report(request, &shape, ended, is_cancelled)
    }
}

/// All control messages of one stage, until its stream ends.
fn listen(index: usize, reader: ControlReader) -> BoxStream<'static, Heard> {
    unfold(Some(reader), move |state| async move {
        let mut reader = state?;
        let message = reader.next().await;
        let is_over = matches!(message, Err(_) | Ok(ControlMessage::Closed(_)));
        Some(((index, message), (!is_over).then_some(reader)))
    })
    .boxed()
}

impl Running<'_> {
    async fn open_prompt(&mut self, request: &JobRequest) {
        let Some(first) = request.route.first() else {
            return;
        };
        let key = StreamKey {
            job: self.shape.job,
            epoch: self.shape.epoch,
            from: SUBMITTER,
            to: 0,
        };
        match self
            .host
            .link
            .open(first.wallet, first.addresses.clone())
            .await
        {
            Ok(stream) => {
                let mut prompt = Outbox::new(stream.writer);
                prompt.push(StreamHello::Data(key).to_bytes());
                self.prompt = Some(prompt);
            }
            Err(error) => {
                let event = SubmissionEvent::Failed {
                    stage: 0,
                    code: FailCode::Neighbour,
                    reason: error.to_string(),
                };
                self.core.handle(event, self.host.now_us());
            }
        }
    }

    async fn drive(&mut self, cancelled: &mut (impl Future<Output = ()> + Send + Unpin)) {
        loop {
            while let Some(action) = self.core.poll_action() {
                self.perform(action);
            }
            if self.core.is_done() {
                return;
            }
            if let Some(event) = self.next_event(cancelled).await {
                self.core.handle(event, self.host.now_us());
            }
        }
    }

    fn perform(&mut self, action: SubmissionAction) {
        match action {
            SubmissionAction::Begun => self.observer.opened(self.shape.job, self.held_ugft),
            SubmissionAction::Prompt(frame) => {
                if let Some(prompt) = &mut self.prompt {
                    prompt.push(frame.to_bytes());
                }
            }
            SubmissionAction::ObserveScores(scores) => self.observer.scores(&scores),
            SubmissionAction::Observe(token) => {
                if self.observer.token(&token_event(*token)).is_break() {
                    let now_us = self.host.now_us();
                    self.core.handle(SubmissionEvent::Stop, now_us);
                }
            }
            SubmissionAction::Ack { attestation, ack } => {
                let claimed = ack.claimed();
                let (prompt_done, completion) = (claimed.prompt_done, claimed.completion_done);
                let (job, role) = (self.shape.job, Role::Asker);
                self.host.runs.acked(job, role, prompt_done, completion);
                if self.is_reserved {
                    let ledger = &self.host.ledger;
                    ledger.sent_ack((*attestation).clone(), (*ack).clone());
                }
                self.tell_all(&ControlMessage::Ack {
                    attestation: *attestation,
                    ack: *ack,
                });
            }
            SubmissionAction::Cancel => self.tell_all(&ControlMessage::Cancel),
        }
    }

    fn tell_all(&mut self, message: &ControlMessage) {
        let bytes = control_bytes(message);
        for control in &mut self.controls {
            control.push(bytes.clone());
        }
    }

    async fn next_event(
        &mut self,
        cancelled: &mut (impl Future<Output = ()> + Send + Unpin),
    ) -> Option<SubmissionEvent> {
        let now_us = self.host.now_us();
        let tick_us = self.core.next_tick_us().unwrap_or(u64::MAX);
        let wait = Duration::from_micros(tick_us.saturating_sub(now_us).min(3_600_000_000));
        let last = self.shape.count().saturating_sub(1);
        let has_prompt = self
            .prompt
            .as_ref()
            .is_some_and(|outbox| !outbox.is_empty());
        let has_control = self.controls.iter().any(|control| !control.is_empty());
        let core = &self.core;
        tokio::select! {
            biased;
            fault = self.tokens.next(core) => Some(match fault {
                Ok(frame) => frame_event(self.host, last, frame),
                Err(reason) => SubmissionEvent::Failed {
                    stage: last,
                    code: FailCode::Protocol,
                    reason,
                },
            }),
            // A link that breaks here breaks for reading too.
            () = flush_one(&mut self.prompt), if has_prompt => None,
            () = flush_all(&mut self.controls), if has_control => None,
            heard = self.heard.next(), if !self.heard.is_empty() => {
                heard.and_then(|(stage, message)| heard_event(self.host, &self.shape, stage, message))
            }
            () = cancelled, if !self.is_cancelled => {
                self.is_cancelled = true;
                Some(SubmissionEvent::Stop)
            }
            () = tokio::time::sleep(wait) => Some(SubmissionEvent::Tick),
        }
    }

    async fn farewell(mut self) {
        let outboxes = self.controls.iter_mut().chain(&mut self.prompt);
        let say = join_all(outboxes.map(Outbox::finish));
        if tokio::time::timeout(FAREWELL, say).await.is_err() {
            tracing::debug!("a stage did not take the last words");
        }
    }
}

async fn flush_one(outbox: &mut Option<Outbox>) {
    if let Some(outbox) = outbox
        && let Err(error) = outbox.flush().await
    {
        tracing::debug!(%error, "a stage does not take the prompt");
    }
}

async fn flush_all(outboxes: &mut [Outbox]) {
    let flush = outboxes.iter_mut().map(|outbox| async {
        if let Err(error) = outbox.flush().await {
            tracing::debug!(%error, "a stage does not take control messages");
        }
    });
    join_all(flush).await;
}

impl Tokens {
    /// The next frame. The stream's end says nothing: the control stream does.
    async fn next(&mut self, core: &SubmissionCore) -> Result<Frame, String> {
        loop {
            match self {
                Self::Awaited(awaited) => {
                    *self = match awaited.ready().await {
                        Some(reader) => Self::Reading(FrameReader::new(reader)),
                        None => Self::Ended,
                    };
                }
                Self::Reading(reader) => {
                    let fault = match reader.next(|header| core.check(header)).await {
                        Ok(frame) => return Ok(frame),
                        Err(fault) => fault,
                    };
                    *self = Self::Ended;
                    match fault {
                        FrameFault::Refused(reason) => return Err(reason),
                        FrameFault::Malformed(error) => return Err(error.to_string()),
                        FrameFault::Lost(_) => {}
                    }
                }
                Self::Ended => return std::future::pending().await,
            }
        }
    }
}

fn frame_event(host: &Host, last: usize, frame: Frame) -> SubmissionEvent {
    match frame.header.kind {
        FrameKind::Token => return SubmissionEvent::Token(frame),
        FrameKind::Scores => return SubmissionEvent::Scores(frame),
        FrameKind::Attestation | FrameKind::Prompt | FrameKind::Hidden => {}
    }
    match Verified::<Attestation>::from_bytes(&frame.payload, host.network) {
        Ok(attestation) => SubmissionEvent::Attestation(Box::new(attestation)),
        Err(error) => SubmissionEvent::Failed {
            stage: last,
            code: FailCode::Protocol,
            reason: error.to_string(),
        },
    }
}

fn heard_event(
    host: &Host,
    shape: &JobShape,
    stage: usize,
    message: Result<ControlMessage, WireError>,
) -> Option<SubmissionEvent> {
    let failed = |reason: String| {
        if let Some((wallet, _)) = shape.stages.get(stage) {
            host.marks.add(*wallet, &reason);
        }
        Some(SubmissionEvent::Failed {
            stage,
            code: FailCode::Protocol,
            reason,
        })
    };
    match message {
        Ok(ControlMessage::Opened) => Some(SubmissionEvent::Opened(stage)),
        Ok(ControlMessage::Refused { code, reason }) => Some(SubmissionEvent::Refused {
            stage,
            code,
            reason,
        }),
        Ok(ControlMessage::Fail {
            stage: at_fault,
            code,
            reason,
            ..
        }) => {
            let at_fault = usize::from(at_fault);
            if at_fault >= shape.count() {
                return failed("it names a stage that does not exist".to_owned());
            }
            Some(if at_fault == stage {
                SubmissionEvent::Failed {
                    stage,
                    code,
                    reason,
                }
            } else {
                SubmissionEvent::Accused {
                    reporter: stage,
                    stage: at_fault,
                    code,
                    reason,
                }
            })
        }
        Ok(ControlMessage::Closed(_)) => Some(SubmissionEvent::Closed(stage)),
        Ok(_) => failed("it sent a message that does not belong in a job".to_owned()),
        Err(error) if error.is_fault() => failed(error.to_string()),
        Err(_) => Some(SubmissionEvent::Lost(stage)),
    }
}

fn token_event(token: ReceivedToken) -> TokenEvent {
    TokenEvent {
        index: token.index,
        token: token.payload.token,
        logprob: token.payload.logprob,
        top: token.payload.top,
        finish: token.payload.finish,
        times: token.times,
    }
}

fn report(
    request: &JobRequest,
    shape: &JobShape,
    ended: Ended,
    is_cancelled: bool,
) -> Result<JobReport, AskError> {
    if let Some(failure) = &ended.failure {
        let refused = ended.is_refused.then_some(failure.stage).flatten();
        return Err(match refused.and_then(|index| request.route.get(index)) {
            Some(stage) => errors::refused(stage, failure.code, &failure.reason),
            None => errors::failed(&request.route, failure),
        });
    }
    if is_cancelled && ended.finish.is_none() {
        return Err(errors::cancelled());
    }
    Ok(JobReport {
        job: shape.job,
        finish: ended.finish.unwrap_or(Finish::Stop),
        completion_tokens: ended.completion_tokens,
        time_to_first_token_us: ended.summary.time_to_first_token_us,
        decode_us: ended.summary.decode_us,
        compute_us_per_token: ended.summary.compute_us_per_token,
        hop_us_per_token: ended.summary.hop_us_per_token,
        overhead_us_per_token_hop: ended.summary.overhead_us_per_token_hop,
        reserved: false,
    })
}
