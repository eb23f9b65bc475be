//! The newest jobs of this node, shared between those that run them and those
//! that show them, and kept over a restart where a file is given. What is
//! remembered, and how much, is `core::runs`'.

mod file;
mod line;

use crate::clock;
use crate::core::runs::{Phase, Role, Run, RunBook, RunStart};
use file::RunsFile;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use talkoot_protocol::JobId;
use talkoot_protocol::frame::StageTime;

/// Where the jobs of a network's node are kept, beside its ledger.
#[must_use]
pub fn path(network_dir: &Path) -> PathBuf {
    network_dir.join("jobs.jsonl")
}

/// A handle to the book of jobs; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Runs(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<RunBook>,
    file: OnceLock<RunsFile>,
}

impl Runs {
    fn book(&self) -> MutexGuard<'_, RunBook> {
        self.0.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up the jobs of a file, and writes to it from now on; once. A file that
    /// cannot be used is said in the log, and jobs are remembered without it.
    pub fn keep_in(&self, path: PathBuf) {
        match RunsFile::open(path.clone()) {
            Ok((runs, file)) => {
                self.book().restore(runs);
                // A second file is not taken.
                drop(self.0.file.set(file));
            }
            Err(error) => {
                let path = path.display();
                tracing::warn!(%path, %error, "jobs will be forgotten when the node stops");
            }
        }
    }

    /// Waits until all that ended so far is written, a few seconds at most.
    pub fn flush(&self) {
        if let Some(file) = self.0.file.get() {
            file.flush();
        }
    }

    fn keep(&self, job: JobId, role: Role) {
        if let Some(file) = self.0.file.get() {
            let run = self.book().get(job, role).cloned();
            run.into_iter().for_each(|run| file.write(run));
        }
    }

    /// A job begins.
    pub fn begin(&self, start: RunStart) {
        let (job, role) = (start.job, start.role);
        self.book().begin(start);
        self.keep(job, role);
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
        self.keep(job, role);
    }

    /// All jobs, newest first, at most `count`.
    #[must_use]
    pub fn newest(&self, count: usize) -> Vec<Run> {
        self.book().newest().take(count).cloned().collect()
    }
}
