//! How far a long step is: one line on stderr that each further tenth writes
//! over, for people only.

use super::output;
use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

/// The line of one step; may be told from any thread.
#[derive(Debug)]
pub struct Progress {
    what: &'static str,
    shown: AtomicU64,
    is_seen: bool,
}

impl Progress {
    /// A line that begins with `what`; nothing is written where stderr is no
    /// terminal.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self {
            what,
            shown: AtomicU64::new(0),
            is_seen: std::io::stderr().is_terminal(),
        }
    }

    /// So many bytes of so many are done.
    pub fn at(&self, done_bytes: u64, total_bytes: u64) {
        if let Some(line) = self.line(done_bytes, total_bytes).filter(|_| self.is_seen) {
            output::note(&line);
        }
    }

    /// What is written when a further tenth is done.
    fn line(&self, done_bytes: u64, total_bytes: u64) -> Option<String> {
        let tenths = done_bytes.saturating_mul(10) / total_bytes.max(1);
        let is_new = self.shown.fetch_max(tenths, Ordering::Relaxed) < tenths;
        let end = if tenths < 10 { "" } else { "\n" };
        is_new.then(|| format!("\r{} {} %{end}", self.what, tenths * 10))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_is_said_once() {
        let progress = Progress::new("hashing");
        let lines = [0, 9, 10, 10, 55, 54, 100].map(|done| progress.line(done, 100));
        let said: Vec<&str> = lines.iter().flatten().map(String::as_str).collect();
        assert_eq!(
            said,
            ["\rhashing 10 %", "\rhashing 50 %", "\rhashing 100 %\n"]
        );
        assert!(Progress::new("x").line(0, 0).is_none());
    }
}
