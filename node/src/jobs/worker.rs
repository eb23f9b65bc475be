//! The thread that owns a shard, and the handle to it.
//!
//! Everything that is ready is computed in one step (continuous batching):
//! tokens of all sessions together with at most a bounded number of prompt
//! rows, so that long prompts do not starve decoding. The queue is bounded and
//! refuses when it is full. Sampling happens on this thread too, so a frame
//! costs one hop to it and one back. Where the owner lends a share of the
//! processor, the thread rests between steps.

mod gather;

use super::engine::{Engine, EngineError, SessionSpec};
use crate::clock::{elapsed_us, monotonic};
use crate::core::lending::Duty;
use crate::core::stage::{Computed, Work};
use gather::Gather;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Commands that wait.
const QUEUE: usize = 256;
/// Prompt rows in one step.
const PROMPT_ROWS_MAX: u32 = 256;
/// Between two looks at the queue while a batch waits for others.
const GATHER_STEP: Duration = Duration::from_micros(50);
/// Between two looks at the queue while the thread rests.
const REST_STEP: Duration = Duration::from_millis(5);
/// Items in one step.
const ITEMS_MAX: usize = 64;

/// Why the worker does not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WorkerError {
    /// All sessions are taken, or too much waits.
    #[error("all {sessions_max} sessions of this model are taken")]
    Busy {
        /// How many there are.
        sessions_max: usize,
    },
    /// No memory for one more session.
    #[error("{0}")]
    NoMemory(String),
    /// The computation failed.
    #[error("{0}")]
    Compute(String),
    /// The thread has ended.
    #[error("the model is unloaded")]
    Gone,
}

impl From<EngineError> for WorkerError {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::NoMemory(reason) => Self::NoMemory(reason),
            EngineError::Failed(reason) => Self::Compute(reason),
        }
    }
}

/// What a computation gave, and its share of the step's time.
#[derive(Debug)]
pub struct Done {
    /// The result.
    pub output: Computed,
    /// The batch's time, divided by rows.
    pub compute_us: u32,
}

/// Where a result arrives.
pub type Reply = oneshot::Receiver<Result<Done, WorkerError>>;

#[derive(Debug)]
enum Command {
    Open {
        session: u64,
        spec: SessionSpec,
        reply: oneshot::Sender<Result<(), WorkerError>>,
    },
    Step(Item),
    /// Something waits in the list of sessions to close.
    Wake,
}

#[derive(Debug)]
struct Item {
    session: u64,
    work: Work,
    reply: oneshot::Sender<Result<Done, WorkerError>>,
}

/// A handle to the thread; cheap to clone. The thread ends when the last handle
/// and the last session are dropped.
#[derive(Debug, Clone)]
pub struct WorkerHandle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    commands: mpsc::Sender<Command>,
    closing: Arc<Mutex<Vec<u64>>>,
    next_session: AtomicU64,
    sessions: AtomicUsize,
    sessions_max: usize,
}

/// What a worker may take.
#[derive(Debug, Clone, Copy)]
pub struct WorkerLimits {
    /// Sessions open at the same time.
    pub sessions_max: usize,
    /// In which part of the time it computes.
    pub duty: Duty,
}

impl WorkerHandle {
    /// Starts a thread that never rests. `make` runs on it, so an engine need not
    /// be `Send`.
    ///
    /// # Errors
    /// The operating system's, when there is no further thread.
    pub fn start<E: Engine>(
        name: &str,
        sessions_max: usize,
        make: impl FnOnce() -> E + Send + 'static,
    ) -> std::io::Result<Self> {
        let limits = WorkerLimits {
            sessions_max,
            duty: Duty::FULL,
        };
        Self::start_with(name, limits, make)
    }

    /// Starts the thread. `make` runs on it, so an engine need not be `Send`.
    ///
    /// # Errors
    /// The operating system's, when there is no further thread.
    pub fn start_with<E: Engine>(
        name: &str,
        limits: WorkerLimits,
        make: impl FnOnce() -> E + Send + 'static,
    ) -> std::io::Result<Self> {
        let (commands, received) = mpsc::channel(QUEUE);
        let closing = Arc::new(Mutex::new(Vec::new()));
        let to_close = Arc::clone(&closing);
        std::thread::Builder::new()
            .name(format!("talkoot-{name}"))
            .spawn(move || {
                Thread {
                    engine: make(),
                    commands: received,
                    closing: to_close,
                    waiting: VecDeque::new(),
                    gather: Gather::default(),
                    duty: limits.duty,
                    rest_until: None,
                }
                .run();
            })?;
        Ok(Self(Arc::new(Shared {
            commands,
            closing,
            next_session: AtomicU64::new(1),
            sessions: AtomicUsize::new(0),
            sessions_max: limits.sessions_max,
        })))
    }

    /// Sessions that could be opened now, memory permitting.
    #[must_use]
    pub fn free_sessions(&self) -> usize {
        let open = self.0.sessions.load(Ordering::Acquire);
        self.0.sessions_max.saturating_sub(open)
    }

    /// Takes a place for a session; it is given back when the slot is dropped.
    ///
    /// # Errors
    /// [`WorkerError::Busy`].
    pub fn reserve(&self) -> Result<SessionSlot, WorkerError> {
        let max = self.0.sessions_max;
        let take = |open: usize| (open < max).then(|| open.saturating_add(1));
        self.0
            .sessions
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .map_err(|_| WorkerError::Busy { sessions_max: max })?;
        Ok(SessionSlot(self.clone()))
    }

    fn send(&self, command: Command) -> Result<(), WorkerError> {
        self.0
            .commands
            .try_send(command)
            .map_err(|error| match error {
                mpsc::error::TrySendError::Full(_) => WorkerError::Busy {
                    sessions_max: self.0.sessions_max,
                },
                mpsc::error::TrySendError::Closed(_) => WorkerError::Gone,
            })
    }
}

/// A place for one session.
#[derive(Debug)]
pub struct SessionSlot(WorkerHandle);

impl SessionSlot {
    /// Opens a session in this place.
    ///
    /// # Errors
    /// [`WorkerError`]; the place is given back.
    pub async fn open(self, spec: SessionSpec) -> Result<WorkerSession, WorkerError> {
        let number = self.0.0.next_session.fetch_add(1, Ordering::Relaxed);
        let (reply, receive) = oneshot::channel();
        // Made first: if this future is dropped, the session is closed.
        let session = WorkerSession { slot: self, number };
        session.slot.0.send(Command::Open {
            session: number,
            spec,
            reply,
        })?;
        receive.await.map_err(|_| WorkerError::Gone)??;
        Ok(session)
    }
}

impl Drop for SessionSlot {
    fn drop(&mut self) {
        self.0.0.sessions.fetch_sub(1, Ordering::AcqRel);
    }
}

/// An open session; dropping it frees its memory.
#[derive(Debug)]
pub struct WorkerSession {
    slot: SessionSlot,
    number: u64,
}

impl WorkerSession {
    /// Queues one computation. At most one should be under way.
    ///
    /// # Errors
    /// [`WorkerError`].
    pub fn step(&self, work: Work) -> Result<Reply, WorkerError> {
        let (reply, receive) = oneshot::channel();
        self.slot.0.send(Command::Step(Item {
            session: self.number,
            work,
            reply,
        }))?;
        Ok(receive)
    }
}

impl Drop for WorkerSession {
    fn drop(&mut self) {
        let shared = &self.slot.0.0;
        shared
            .closing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(self.number);
        // When the queue is full the thread is awake anyway; when it is gone,
        // so is the memory.
        if self.slot.0.send(Command::Wake).is_err() {
            tracing::trace!("the worker is awake or gone");
        }
    }
}

struct Thread<E> {
    engine: E,
    commands: mpsc::Receiver<Command>,
    closing: Arc<Mutex<Vec<u64>>>,
    waiting: VecDeque<Item>,
    gather: Gather,
    duty: Duty,
    /// The next step may not begin before.
    rest_until: Option<Instant>,
}

impl<E: Engine> Thread<E> {
    fn run(mut self) {
        loop {
            if self.waiting.is_empty() {
                match self.commands.blocking_recv() {
                    Some(command) => self.take(command),
                    None => return,
                }
            }
            self.take_all();
            self.rest();
            self.gather();
            self.compute();
        }
    }

    /// Takes what is in the queue.
    fn take_all(&mut self) {
        while let Ok(command) = self.commands.try_recv() {
            self.take(command);
        }
        self.close_sessions();
    }

    /// Waits until the next step may begin. Time without work counts as rest.
    fn rest(&mut self) {
        while let Some(until) = self.rest_until {
            let left = until.saturating_duration_since(monotonic());
            if left.is_zero() {
                self.rest_until = None;
            } else {
                // Nobody unparks this thread, so it is a sleep; sessions may open
                // and close meanwhile.
                std::thread::park_timeout(left.min(REST_STEP));
                self.take_all();
            }
        }
    }

    /// Waits a little for sessions that are about to come; see [`gather`].
    fn gather(&mut self) {
        let patience_us = self.gather.patience_us();
        let (began, had) = (monotonic(), self.waiting.len());
        while patience_us > 0 && had > 0 && self.lacks_any() {
            if u64::from(elapsed_us(began)) >= patience_us {
                if self.waiting.len() <= had {
                    self.gather.waited_in_vain();
                }
                return;
            }
            // Nobody unparks this thread, so it is a short sleep.
            std::thread::park_timeout(GATHER_STEP);
            self.take_all();
        }
    }

    fn lacks_any(&self) -> bool {
        let waiting = self.waiting.iter().map(|item| item.session);
        self.gather.lacks_any(waiting)
    }

    fn take(&mut self, command: Command) {
        match command {
            Command::Wake => {}
            Command::Open {
                session,
                spec,
                reply,
            } => {
                // Memory that was just given back counts.
                self.close_sessions();
                if spec.range.is_first() && spec.picking.is_some() {
                    self.gather.expect(session);
                }
                let opened = self.engine.open(session, spec).map_err(Into::into);
                if reply.send(opened).is_err() {
                    self.engine.close(session);
                }
            }
            Command::Step(item) => self.waiting.push_back(item),
        }
    }

    fn close_sessions(&mut self) {
        let closing =
            std::mem::take(&mut *self.closing.lock().unwrap_or_else(PoisonError::into_inner));
        for session in closing {
            self.engine.close(session);
            self.gather.forget(session);
            self.waiting.retain(|item| item.session != session);
        }
    }

    /// The next batch: every token that waits, and the prompt chunks that fit
    /// the bound, in order of arrival; always at least one item.
    fn next_batch(&mut self) -> Vec<Item> {
        let mut batch: Vec<Item> = Vec::new();
        let mut later = VecDeque::new();
        let mut prompt_rows: u32 = 0;
        while let Some(item) = self.waiting.pop_front() {
            let rows = item.work.rows;
            let is_prompt = rows > 1;
            let sum = prompt_rows.saturating_add(if is_prompt { rows } else { 0 });
            let fits = !is_prompt || prompt_rows == 0 || sum <= PROMPT_ROWS_MAX;
            let is_new = batch.iter().all(|other| other.session != item.session);
            if fits && is_new && batch.len() < ITEMS_MAX {
                prompt_rows = sum;
                batch.push(item);
            } else {
                later.push_back(item);
            }
        }
        self.waiting = later;
        batch
    }

    fn compute(&mut self) {
        let items = self.next_batch();
        if items.is_empty() {
            return;
        }
        let total: u64 = items.iter().map(|item| u64::from(item.work.rows)).sum();
        let (batch, replies): (Vec<_>, Vec<_>) = items
            .into_iter()
            .map(|item| ((item.session, item.work), item.reply))
            .unzip();
        let began = monotonic();
        let outputs = self.engine.step(&batch);
        let took = u64::from(elapsed_us(began));
        let rest = Duration::from_micros(self.duty.rest_us(took));
        self.rest_until = (!rest.is_zero()).then(|| monotonic() + rest);
        let tokens = batch.iter().filter(|(_, work)| work.rows == 1);
        self.gather
            .stepped(tokens.map(|(session, _)| *session), took);
        for (((_, work), reply), output) in batch.iter().zip(replies).zip(outputs) {
            let share = took.saturating_mul(u64::from(work.rows)) / total.max(1);
            let compute_us = u32::try_from(share).unwrap_or(u32::MAX);
            let done = output.map(|output| Done { output, compute_us });
            // Nobody waits any more when the job has just ended.
            drop(reply.send(done.map_err(Into::into)));
        }
    }
}

#[cfg(test)]
mod tests;
