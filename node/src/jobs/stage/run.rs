//! One job on one stage: reads, writes, computes and posts for `core::stage`.
//!
//! Everything runs in one task on the data plane's thread, so a frame costs no
//! thread hop but the one to the worker and back. Nothing is read while a
//! result still waits to be written, so queues stay as short as the window.

use super::Refusal;
use super::order::{Accepted, accept};
use super::streams::{Incoming, Streams};
use crate::clock;
use crate::context::ServedModel;
use crate::core::job::JobShape;
use crate::core::runs::{Phase, Role, RunStart};
use crate::core::stage::{Settlement, Source, StageAction, StageCore, StageEvent, StageSetup};
use crate::data::plane::Host;
use crate::data::wire::{ControlReader, Outbox, WireError, control_bytes};
use crate::jobs::engine::{Picking, SessionSpec};
use crate::jobs::worker::{Done, Reply, WorkerSession};
use std::sync::Arc;
use std::time::Duration;
use talkoot_ledger::kinds::Frontier;
use talkoot_protocol::control::{ControlMessage, FailCode, Open};
use talkoot_protocol::frame::{Frame, FrameKind};
use talkoot_protocol::{Ack, Attestation, JobId, ModelCard, Signed, Wallet};
use tokio::task::JoinHandle;

/// How long the last words may take.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the final `Frontier` may take.
const POST_WAIT: Duration = Duration::from_secs(10);
/// The longest time until a deadline that is waited for: 30 days.
const EXPIRY_MS_MAX: u64 = 30 * 86_400_000;

/// An opened job.
#[derive(Debug)]
pub(super) struct StageRun {
    host: Arc<Host>,
    core: StageCore,
    job: JobId,
    /// What the submitter calls its request; for the log.
    request_id: String,
    submitter: Wallet,
    prompt_tokens: u32,
    previous_wallet: Option<Wallet>,
    /// Who gets what this stage computes.
    next_wallet: Wallet,
    session: WorkerSession,
    reply: Option<Reply>,
    previous: Incoming,
    prompt: Incoming,
    next: Option<Outbox>,
    tokens: Option<Outbox>,
    posting: Option<JoinHandle<()>>,
    is_stopping: bool,
    /// When the job's `Reserve` is over.
    expires_at: Option<tokio::time::Instant>,
}

impl StageRun {
    /// Checks the order, opens the session and connects to the next stage.
    pub(super) async fn open(
        host: &Arc<Host>,
        submitter: Wallet,
        open: Open,
    ) -> Result<Self, Refusal> {
        let Accepted {
            shape,
            index,
            served,
            slot,
            deadline_ms,
        } = accept(host, submitter, &open).await?;
        let spec = session_spec(&shape, index, &served, &open).await?;
        let session = slot.open(spec).await?;
        let streams = Streams {
            host,
            open: &open,
            job: shape.job,
            index,
        };
        let previous_wallet = streams.previous().map(|stage| stage.1);
        let next_wallet = streams.next().map_or(submitter, |stage| stage.1.wallet);
        let previous = streams.await_previous();
        let prompt = streams.await_prompt(submitter);
        let next = streams.dial_next().await?;
        let tokens = streams.dial_submitter(submitter).await?;
        let (job, prompt_tokens) = (shape.job, shape.prompt_tokens);
        let noted = noted(host, &shape, &served.card, &open.request_id);
        let setup = StageSetup {
            shape,
            index,
            deadlines: host.deadlines,
            key: host.key.clone(),
            network: host.network,
            arithmetic: served.arithmetic,
            prompt_ids: open.prompt_ids,
            stop_ids: open.stop_ids,
            is_reserved: deadline_ms.is_some(),
        };
        let expires_at = deadline_ms.map(expiry_of);
        if submitter != host.wallet() {
            host.runs.begin(noted);
        }
        Ok(Self {
            core: StageCore::new(setup, host.now_us()),
            host: Arc::clone(host),
            job,
            request_id: open.request_id,
            submitter,
            prompt_tokens,
            previous_wallet,
            next_wallet,
            session,
            reply: None,
            previous,
            prompt,
            next,
            tokens,
            posting: None,
            is_stopping: false,
            expires_at,
        })
    }

    /// Under which all lines of the log about this job stand, on every stage.
    pub(super) fn span(&self) -> tracing::Span {
        let job = self.job.short();
        tracing::info_span!("stage", %job, request = self.request_id)
    }

    /// Runs the job to its end.
    pub(super) async fn drive(mut self, reader: &mut ControlReader, mut control: Outbox) {
        let mut last_words = None;
        let mut failure = None;
        tracing::debug!("a job begins");
        loop {
            while let Some(action) = self.core.poll_action() {
                match action {
                    StageAction::Close => {
                        let phase = failure.map_or(Phase::Done, Phase::Failed);
                        self.host.runs.end(self.job, Role::Worker, phase);
                        return self.farewell(control, last_words).await;
                    }
                    StageAction::Control(message) => {
                        failure = is_failure(&message).or(failure);
                        control.push(control_bytes(&message));
                    }
                    StageAction::Post(settlement) if settlement.is_final => {
                        last_words = Some(settlement);
                    }
                    action => self.perform(action),
                }
            }
            if let Some(event) = self.next_event(reader, &mut control).await {
                self.core.handle(event, self.host.now_us());
            }
        }
    }

    fn perform(&mut self, action: StageAction) {
        match action {
            StageAction::Compute(work) => match self.session.step(work) {
                Ok(reply) => self.reply = Some(reply),
                Err(error) => {
                    let event = StageEvent::ComputeFailed(error.to_string());
                    self.core.handle(event, self.host.now_us());
                }
            },
            StageAction::ToNext(frame) => {
                self.note_times(&frame, FrameKind::Hidden);
                push(&mut self.next, &frame);
            }
            StageAction::ToSubmitter(frame) => {
                self.note_times(&frame, FrameKind::Token);
                push(&mut self.tokens, &frame);
            }
            StageAction::Hold(pair) => {
                self.note(&pair.0, &pair.1);
                self.host.ledger.hold_ack(pair.0, pair.1);
            }
            StageAction::Post(settlement) => self.post_interim(*settlement),
            StageAction::Mark(source, reason) => self.mark(source, &reason),
            StageAction::Control(_) | StageAction::Close => {}
        }
    }

    /// Notes for the owner where a token's time went up to here: it leaves a stage
    /// to the next as hidden states, and the last one to the submitter as a token.
    fn note_times(&self, frame: &Frame, leaves_as: FrameKind) {
        let header = &frame.header;
        if header.kind == leaves_as && header.position >= self.prompt_tokens {
            let now_us = self.host.now_us();
            self.host.runs.passed(self.job, &frame.times, now_us);
        }
    }

    /// Notes how far the job is for the owner; jobs of our own are noted where
    /// they are asked.
    fn note(&self, attestation: &Signed<Attestation>, ack: &Signed<Ack>) {
        let (made, acked) = (attestation.claimed(), ack.claimed());
        let now_us = self.host.now_us();
        let runs = &self.host.runs;
        runs.made(self.job, made.completion_done, now_us);
        let (prompt_done, completion) = (acked.prompt_done, acked.completion_done);
        runs.acked(self.job, Role::Worker, prompt_done, completion);
    }

    /// Posts on the way; one that is still under way makes another needless.
    fn post_interim(&mut self, settlement: Settlement) {
        if self.posting.as_ref().is_none_or(JoinHandle::is_finished) {
            let host = Arc::clone(&self.host);
            let job = self.job;
            self.posting = Some(tokio::spawn(
                async move { post(&host, job, settlement).await },
            ));
        }
    }

    async fn next_event(
        &mut self,
        reader: &mut ControlReader,
        control: &mut Outbox,
    ) -> Option<StageEvent> {
        let now_us = self.host.now_us();
        let tick_us = self.core.next_tick_us().unwrap_or(u64::MAX);
        let wait = Duration::from_micros(tick_us.saturating_sub(now_us).min(3_600_000_000));
        let core = &self.core;
        let has_written = self.next.as_ref().is_none_or(Outbox::is_empty);
        let wants_frame = core.wants_frame() && has_written;
        let mut stopping = self.host.stopping.clone();
        tokio::select! {
            biased;
            result = computed(&mut self.reply) => {
                self.reply = None;
                Some(result.map_or_else(StageEvent::ComputeFailed, |done| StageEvent::Computed {
                    output: done.output,
                    compute_us: done.compute_us,
                    link_us: self.link_us(),
                }))
            }
            result = flush(&mut self.next) => result.err().map(|_| StageEvent::NextLost),
            // The control stream tells whether the submitter is there.
            _ = flush(&mut self.tokens) => None,
            result = control.flush(), if !control.is_empty() => {
                result.err().map(|_| StageEvent::SubmitterLost)
            }
            event = self.previous.next(Source::Previous, core), if wants_frame => Some(event),
            event = self.prompt.next(Source::Submitter, core), if wants_frame => Some(event),
            message = reader.next() => Some(control_event(&self.host, message)),
            _ = stopping.wait_for(|stop| *stop), if !self.is_stopping => {
                self.is_stopping = true;
                Some(StageEvent::Shutdown)
            }
            () = expiry(self.expires_at) => {
                self.expires_at = None;
                Some(StageEvent::Expired)
            }
            () = tokio::time::sleep(wait) => Some(StageEvent::Tick),
        }
    }

    /// What the link takes on which a result goes on, one way, as far as is known.
    fn link_us(&self) -> u32 {
        let round_trip = self.host.link.known_round_trip(self.next_wallet);
        let one_way = round_trip.unwrap_or_default() / 2;
        u32::try_from(one_way.as_micros()).unwrap_or(u32::MAX)
    }

    fn mark(&self, source: Source, reason: &str) {
        let sender = match source {
            Source::Submitter => Some(self.submitter),
            Source::Previous => self.previous_wallet,
        };
        if let Some(sender) = sender {
            self.host.marks.add(sender, reason);
        }
    }

    /// Frees the session, says the last words and posts the final frontier.
    async fn farewell(self, mut control: Outbox, last_words: Option<Box<Settlement>>) {
        let Self {
            host,
            job,
            session,
            next,
            tokens,
            posting,
            ..
        } = self;
        drop(session);
        let say = async {
            control.finish().await;
            for mut outbox in [next, tokens].into_iter().flatten() {
                outbox.finish().await;
            }
        };
        let settle = async {
            if let Some(posting) = posting
                && let Err(error) = posting.await
            {
                tracing::warn!(%error, "posting a frontier");
            }
            if let Some(settlement) = last_words {
                post(&host, job, *settlement).await;
            }
        };
        let (said, settled) = tokio::join!(
            tokio::time::timeout(FAREWELL, say),
            tokio::time::timeout(POST_WAIT, settle),
        );
        if said.is_err() || settled.is_err() {
            tracing::debug!(job = %job.short(), "the end of a job was cut short");
        }
    }
}

/// When a `Reserve` is over, on the runtime's clock.
fn expiry_of(deadline_ms: u64) -> tokio::time::Instant {
    let left_ms = deadline_ms.saturating_sub(clock::now_ms());
    // Days are enough for any job, and no timer overflows.
    clock::timer() + Duration::from_millis(left_ms.min(EXPIRY_MS_MAX))
}

/// What the owner is told of a job that begins here.
fn noted(host: &Host, shape: &JobShape, card: &ModelCard, request_id: &str) -> RunStart {
    let price = host.genesis.policy.price_ugft_per_token(card);
    RunStart {
        job: shape.job,
        request_id: request_id.to_owned(),
        role: Role::Worker,
        model: card.id().to_string(),
        model_name: card.name.clone(),
        stages: shape.stages.clone(),
        prompt_tokens: shape.prompt_tokens,
        completion_tokens_max: shape.completion_tokens_max,
        price_ugft_per_token: price.unwrap_or(0),
        started_ms: clock::now_ms(),
        started_us: host.now_us(),
    }
}

/// Why a job fails, where a message says that.
fn is_failure(message: &ControlMessage) -> Option<String> {
    match message {
        ControlMessage::Fail { reason, .. } => Some(reason.clone()),
        _ => None,
    }
}

async fn post(host: &Host, job: JobId, settlement: Settlement) {
    let frontier = Frontier {
        job,
        attestation: settlement.attestation,
        ack: settlement.ack,
        is_final: settlement.is_final,
        received: settlement.received,
        sent: settlement.sent,
    };
    if let Err(error) = host.ledger.frontier(frontier).await {
        tracing::warn!(job = %job.short(), %error, "a frontier was not posted");
    }
}

fn push(outbox: &mut Option<Outbox>, frame: &Frame) {
    if let Some(outbox) = outbox {
        outbox.push(frame.to_bytes());
    }
}

/// Writes what waits; never ends when nothing does.
async fn flush(outbox: &mut Option<Outbox>) -> std::io::Result<()> {
    match outbox {
        Some(outbox) if !outbox.is_empty() => outbox.flush().await,
        _ => std::future::pending().await,
    }
}

/// Ends at that moment; never, without one.
async fn expiry(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

async fn computed(reply: &mut Option<Reply>) -> Result<Done, String> {
    let Some(reply) = reply else {
        return std::future::pending().await;
    };
    match reply.await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("the model was unloaded".to_owned()),
    }
}

fn control_event(host: &Host, message: Result<ControlMessage, WireError>) -> StageEvent {
    match message {
        Ok(ControlMessage::Cancel) => StageEvent::Cancel,
        Ok(ControlMessage::Ack { attestation, ack }) => {
            match (attestation.verify(host.network), ack.verify(host.network)) {
                (Ok(attestation), Ok(ack)) => StageEvent::Ack(Box::new((attestation, ack))),
                (Err(error), _) | (_, Err(error)) => StageEvent::BadControl(error.to_string()),
            }
        }
        Ok(_) => StageEvent::BadControl("a message that does not belong in a job".to_owned()),
        Err(error) if error.is_fault() => StageEvent::BadControl(error.to_string()),
        Err(_) => StageEvent::SubmitterLost,
    }
}

/// What the session of a stage is opened with.
async fn session_spec(
    shape: &JobShape,
    index: usize,
    served: &ServedModel,
    open: &Open,
) -> Result<SessionSpec, Refusal> {
    let is_last = index.saturating_add(1) == shape.count();
    Ok(SessionSpec {
        range: shape.range(index).unwrap_or(served.range),
        tokens_max: shape
            .prompt_tokens
            .saturating_add(shape.completion_tokens_max),
        hidden_dtype: shape.hidden_dtype,
        picking: match is_last {
            true => Some(picking(served, open).await?),
            false => None,
        },
    })
}

/// How this last stage shall pick tokens. A grammar takes some milliseconds to
/// read, so that is done elsewhere.
async fn picking(served: &ServedModel, open: &Open) -> Result<Picking, Refusal> {
    let constraint = match open.sampling.grammar.clone() {
        None => None,
        Some(grammar) => {
            let asker = Arc::clone(&served.asker);
            let read = tokio::task::spawn_blocking(move || asker.read_grammar(&grammar)).await;
            let read = read.map_err(|error| Refusal::new(FailCode::Compute, error.to_string()))?;
            Some(read.map_err(|error| Refusal::new(FailCode::Order, error.to_string()))?)
        }
    };
    Ok(Picking {
        params: open.sampling.clone(),
        prompt_ids: open.prompt_ids.clone(),
        constraint,
    })
}
