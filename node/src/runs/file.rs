//! The newest jobs in a file, so that `jobs show` outlives a stop and a crash.
//!
//! A line is added when a job begins and when it ends, by a thread of its own: a
//! slow disk delays no token. The last line of a job counts. What is too much is
//! dropped by writing the file anew. Nothing here is needed for the books, so
//! damage costs lines and never a start.

use super::line;
use crate::core::runs::{RUNS_MAX, Role, Run};
use crate::home;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;
use talkoot_protocol::JobId;

/// Lines beyond which the file is written anew, with the newest jobs alone.
const LINES_MAX: usize = 4 * RUNS_MAX;
/// Lines that wait for the disk.
const QUEUE: usize = 256;
/// How long a stop waits for the disk.
const FLUSH_WAIT: Duration = Duration::from_secs(3);

enum Order {
    Write(Box<Run>),
    Flush(SyncSender<()>),
}

/// The file's writer.
#[derive(Debug)]
pub(super) struct RunsFile(SyncSender<Order>);

impl RunsFile {
    /// Reads the jobs of a file, oldest first, and opens it for more.
    pub(super) fn open(path: PathBuf) -> io::Result<(Vec<Run>, Self)> {
        let runs = tidy(&path)?;
        let lines = runs.len();
        let file = home::append_private(&path)?;
        let (sender, orders) = sync_channel(QUEUE);
        let writer = Writer { path, file, lines };
        std::thread::Builder::new()
            .name("talkoot-jobs".to_owned())
            .spawn(move || writer.run(&orders))?;
        Ok((runs, Self(sender)))
    }

    /// Adds a job as it is now.
    pub(super) fn write(&self, run: Run) {
        match self.0.try_send(Order::Write(Box::new(run))) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => tracing::warn!("the disk is slow: a job is not kept"),
            Err(TrySendError::Disconnected(_)) => tracing::debug!("no job is kept any more"),
        }
    }

    /// Waits until what was added is written.
    pub(super) fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.0.try_send(Order::Flush(done)).is_ok() && wait.recv_timeout(FLUSH_WAIT).is_err() {
            tracing::warn!("the disk is slow: the newest jobs may not be kept");
        }
    }
}

struct Writer {
    path: PathBuf,
    file: File,
    lines: usize,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Write(run) => {
                    if let Err(error) = self.write(&run) {
                        let path = self.path.display();
                        tracing::warn!(%path, %error, "a job is not kept");
                    }
                }
                // Nobody waits any more when the disk was slow.
                Order::Flush(done) => drop(done.send(())),
            }
        }
    }

    fn write(&mut self, run: &Run) -> io::Result<()> {
        let line = line::write(run).map_err(io::Error::other)?;
        self.file.write_all(line.as_bytes())?;
        self.lines = self.lines.saturating_add(1);
        if self.lines > LINES_MAX {
            self.lines = tidy(&self.path)?.len();
            self.file = home::append_private(&self.path)?;
        }
        Ok(())
    }
}

/// The newest jobs of a file, oldest first; the file has one whole line for each
/// afterwards.
fn tidy(path: &Path) -> io::Result<Vec<Run>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let (mut reader, mut text) = (BufReader::new(file), Vec::new());
    let mut newest = BTreeMap::<(JobId, bool), Run>::new();
    let (mut lines, mut damaged, mut is_whole) = (0_usize, 0_usize, true);
    while reader.read_until(b'\n', &mut text)? > 0 {
        lines = lines.saturating_add(1);
        is_whole = text.ends_with(b"\n");
        let run = std::str::from_utf8(&text).ok();
        match run.and_then(|text| line::read(text).ok()) {
            Some(run) => {
                newest.insert((run.start.job, run.start.role == Role::Asker), run);
            }
            None => damaged = damaged.saturating_add(1),
        }
        text.clear();
    }
    let mut runs: Vec<Run> = newest.into_values().collect();
    runs.sort_by_key(|run| run.start.started_ms);
    runs.drain(..runs.len().saturating_sub(RUNS_MAX));
    if damaged > 0 {
        // The last line of a process that was killed is cut.
        tracing::info!(path = %path.display(), damaged, "lines of jobs are left out");
    }
    if lines != runs.len() || !is_whole {
        let text: Result<String, _> = runs.iter().map(line::write).collect();
        let text = text.map_err(io::Error::other)?;
        home::write_atomic(path, text.as_bytes())
            .map_err(|error| io::Error::other(error.message))?;
    }
    Ok(runs)
}

#[cfg(test)]
mod tests;
