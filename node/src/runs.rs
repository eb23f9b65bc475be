//! The newest jobs of this node, shared between those that run them and those
//! that show them. What is remembered, and how much, is `core::runs`'.

use crate::clock;
use crate::core::runs::{Phase, Role, Run, RunBook, RunStart};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use talkoot_protocol::JobId;
use talkoot_protocol::frame::StageTime;

/// A handle to the book of jobs; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Runs(Arc<Mutex<RunBook>>);

impl Runs {
    fn book(&self) -> MutexGuard<'_, RunBook> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A job begins.
    pub fn begin(&self, start: RunStart) {
        self.book().begin(start);
    }

    /// A token came to the asker at `now_us` of the data plane's clock.
    pub fn token(&self, job: JobId, stages: &[StageTime], now_us: u64) {
        self.book().token(job, stages, now_us);
    }

    /// A token left a stage of ours at `now_us` of the data plane's clock.
    pub fn passed(&self, job: JobId, stages: &[StageTime], now_us: u64) {
        self.book().passed(job, stages, now_us);
    }

    /// The asker accepted this much.
    pub fn acked(&self, job: JobId, role: Role, prompt_done: u32, completion: u32) {
        self.book().acked(job, role, prompt_done, completion);
    }

    /// A stage of ours knows that this much is made.
    pub fn made(&self, job: JobId, completion: u32, now_us: u64) {
        self.book().made(job, completion, now_us);
    }

    /// A job ended.
    pub fn end(&self, job: JobId, role: Role, phase: Phase) {
        self.book().end(job, role, phase, clock::now_ms());
    }

    /// All jobs, newest first, at most `count`.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Run> {
        self.book().newest().take(count).cloned().collect()
    }
}
