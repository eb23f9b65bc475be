//! Whether this node lends now: the handle that jobs, announcements and `status`
//! ask, and the task that looks at the machine where the owner set rules.
//!
//! The decision is `core::lending`. A pause by hand is kept in a file of the
//! home, so that a restart does not end it. Nothing here stops a job: a pause
//! keeps new ones of others away.

use crate::clock;
use crate::core::lending::{ByHand, LendingRules, Observation, Pause, State, verdict};
use crate::exit::{Exit, Failure};
use crate::home::write_atomic;
use crate::machine;
use crate::machine::load::{CpuTimes, is_on_battery};
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks at the machine.
const LOOK: Duration = Duration::from_secs(2);
/// Bytes of an owner's words at most.
pub const REASON_BYTES_MAX: usize = 200;
/// Bytes of the file at most.
const FILE_BYTES_MAX: u64 = 4_096;
const SCHEMA: u32 = 1;

/// What others and the owner allow; cheap to clone, and shared by its clones.
/// The default has no rules and is not paused.
#[derive(Debug, Clone, Default)]
pub struct Lending(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    rules: LendingRules,
    by_hand: Option<ByHand>,
    state: State,
    /// Where a pause by hand is kept; nowhere in tests.
    path: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct PauseFile {
    schema: u32,
    reason: Option<String>,
    since_ms: u64,
    until_ms: Option<u64>,
}

impl Lending {
    /// Takes the owner's rules, and the pause that was kept in `path`, if its
    /// time has not passed. A damaged file counts as none: it is said in the log.
    pub fn begin(&self, rules: LendingRules, path: &Path) {
        let now_ms = clock::now_ms();
        let by_hand = read(path).filter(|by_hand| !by_hand.is_over(now_ms));
        let mut inner = self.inner();
        inner.rules = rules;
        inner.by_hand = by_hand;
        inner.path = Some(path.to_owned());
        drop(inner);
        self.look(&mut None);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why and until when nothing is lent; none while layers are lent.
    #[must_use]
    pub fn paused(&self) -> Option<Pause> {
        let inner = self.inner();
        verdict(inner.by_hand.as_ref(), &inner.state, clock::now_ms())
    }

    /// Pauses by the owner's hand, for so many milliseconds or until
    /// [`Lending::resume`].
    ///
    /// # Errors
    /// When the words are too long, or the pause cannot be kept in its file.
    pub fn pause(&self, reason: Option<String>, for_ms: Option<u64>) -> Result<(), Failure> {
        let is_long = |words: &String| words.len() > REASON_BYTES_MAX;
        if reason.as_ref().is_some_and(is_long) {
            let message = format!("a reason has at most {REASON_BYTES_MAX} bytes");
            return Err(Failure::new(Exit::Usage, message));
        }
        let now_ms = clock::now_ms();
        let by_hand = ByHand {
            reason: reason.map(|words| words.replace(char::is_control, " ")),
            since_ms: now_ms,
            until_ms: for_ms.map(|for_ms| now_ms.saturating_add(for_ms)),
        };
        let mut inner = self.inner();
        if let Some(path) = &inner.path {
            write(path, &by_hand)?;
        }
        inner.by_hand = Some(by_hand);
        Ok(())
    }

    /// Ends a pause by hand; one by the owner's rules stays.
    ///
    /// # Errors
    /// When its file cannot be removed.
    pub fn resume(&self) -> Result<(), Failure> {
        let mut inner = self.inner();
        if let Some(path) = &inner.path {
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    let message = format!("cannot remove {}: {error}", path.display());
                    return Err(Failure::new(Exit::BadConfig, message));
                }
                _ => {}
            }
        }
        inner.by_hand = None;
        Ok(())
    }

    /// Looks at the machine as long as there are rules.
    pub async fn watch(self) {
        if !self.inner().rules.is_any() {
            return;
        }
        let mut before = CpuTimes::read(clock::now_ms());
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The first tick comes at once.
        looks.tick().await;
        loop {
            looks.tick().await;
            let was = self.paused();
            self.look(&mut before);
            let is = self.paused();
            match (&was, &is) {
                (None, Some(pause)) => tracing::info!("lending pauses: {}", pause.reason),
                (Some(_), None) => tracing::info!("lending again"),
                _ => {}
            }
        }
    }

    /// One look; without times before there is no load yet.
    fn look(&self, before: &mut Option<CpuTimes>) {
        let now_ms = clock::now_ms();
        let mut inner = self.inner();
        let times = CpuTimes::read(now_ms).filter(|_| inner.rules.idle_only);
        let load = match (&times, &before) {
            (Some(times), Some(before)) => times.load_since(before, machine::threads()),
            _ => None,
        };
        *before = times;
        let observation = Observation {
            minute_of_day: clock::local_minute(now_ms),
            is_on_battery: inner.rules.idle_only && is_on_battery(),
            load,
        };
        let state = std::mem::take(&mut inner.state);
        inner.state = state.observe(&inner.rules, &observation, now_ms);
    }
}

fn read(path: &Path) -> Option<ByHand> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    let parsed = read
        .map_err(|error| error.to_string())
        .and_then(|_| serde_json::from_str::<PauseFile>(&text).map_err(|error| error.to_string()));
    match parsed {
        Ok(file) if file.schema == SCHEMA => Some(ByHand {
            reason: file.reason,
            since_ms: file.since_ms,
            until_ms: file.until_ms,
        }),
        Ok(_) => None,
        Err(error) => {
            tracing::warn!(path = %path.display(), "the pause kept there is not read: {error}");
            None
        }
    }
}

fn write(path: &Path, by_hand: &ByHand) -> Result<(), Failure> {
    let file = PauseFile {
        schema: SCHEMA,
        reason: by_hand.reason.clone(),
        since_ms: by_hand.since_ms,
        until_ms: by_hand.until_ms,
    };
    let mut text = serde_json::to_string(&file)
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    text.push('\n');
    write_atomic(path, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::lending::Reason;

    fn begun(path: &Path) -> Lending {
        let lending = Lending::default();
        lending.begin(LendingRules::default(), path);
        lending
    }

    #[test]
    fn a_pause_outlives_the_process_until_it_is_over() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pause.json");
        let lending = begun(&path);
        assert_eq!(lending.paused(), None);
        lending
            .pause(Some("a\nfilm".to_owned()), Some(3_600_000))
            .unwrap();
        let pause = begun(&path).paused().unwrap();
        assert_eq!(pause.reason, Reason::ByHand(Some("a film".to_owned())));
        assert_eq!(pause.until_ms, Some(pause.since_ms + 3_600_000));
        lending.pause(None, Some(0)).unwrap();
        assert_eq!(lending.paused(), None, "its time is over at once");
        assert_eq!(begun(&path).paused(), None);
        lending.pause(None, None).unwrap();
        assert!(begun(&path).paused().is_some());
        lending.resume().unwrap();
        lending.resume().unwrap();
        assert_eq!(begun(&path).paused(), None);
    }

    #[test]
    fn a_damaged_file_and_long_words_pause_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pause.json");
        std::fs::write(&path, "{").unwrap();
        let lending = begun(&path);
        assert_eq!(lending.paused(), None);
        let refused = lending.pause(Some("x".repeat(201)), None).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
        assert_eq!(lending.paused(), None);
    }

    #[test]
    fn hours_that_are_over_pause_from_the_start() {
        let directory = tempfile::tempdir().unwrap();
        let minute = clock::local_minute(clock::now_ms()).unwrap();
        // A window of an hour that begins in two: the test may take a while.
        let from = (minute + 120) % 1_440;
        let to = (from + 60) % 1_440;
        let hours = format!("{}:{:02}-{}:{:02}", from / 60, from % 60, to / 60, to % 60);
        let lending = Lending::default();
        let rules = LendingRules {
            hours: Some(hours.parse().unwrap()),
            idle_only: false,
        };
        lending.begin(rules, &directory.path().join("pause.json"));
        let pause = lending.paused().unwrap();
        assert_eq!(pause.reason, Reason::Hours);
        assert!(pause.until_ms.unwrap() > clock::now_ms());
    }
}
