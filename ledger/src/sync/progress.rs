//! How far catching up is, for people: what came, what is still to come by the
//! claims of peers, and how fast. Nothing is decided by it.

/// Over which time the rate is taken.
const RATE_MS: u64 = 5_000;

/// How far catching up is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SyncProgress {
    /// Whether entries are being fetched.
    pub is_catching_up: bool,
    /// Entries held.
    pub held: u64,
    /// Entries still to come, by what peers claim.
    pub to_fetch: u64,
    /// Entries that came while catching up, this time.
    pub fetched: u64,
    /// Peers that are asked for a part.
    pub peers: usize,
    /// Entries that came in a second, lately.
    pub entries_per_second: u64,
}

/// Counts what comes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Meter {
    pub(super) fetched: u64,
    window_ms: u64,
    window_fetched: u64,
    per_second: u64,
}

impl Meter {
    pub(super) const fn begin(now_ms: u64) -> Self {
        Self {
            fetched: 0,
            window_ms: now_ms,
            window_fetched: 0,
            per_second: 0,
        }
    }

    pub(super) fn count(&mut self, entries: u64, now_ms: u64) {
        self.fetched = self.fetched.saturating_add(entries);
        self.window_fetched = self.window_fetched.saturating_add(entries);
        let elapsed_ms = now_ms.saturating_sub(self.window_ms);
        if elapsed_ms >= RATE_MS {
            self.per_second = self.rate(elapsed_ms);
            self.window_ms = now_ms;
            self.window_fetched = 0;
        }
    }

    fn rate(&self, elapsed_ms: u64) -> u64 {
        let milli = self.window_fetched.saturating_mul(1000);
        milli.checked_div(elapsed_ms).unwrap_or(0)
    }

    /// Of the last whole window, or of the first one so far.
    pub(super) fn per_second(&self, now_ms: u64) -> u64 {
        if self.per_second > 0 {
            self.per_second
        } else {
            self.rate(now_ms.saturating_sub(self.window_ms))
        }
    }
}
