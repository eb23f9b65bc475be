//! What each key does now: its answers, its requests of this minute, what it
//! burned today.
//!
//! The numbers are decided in `core::rates`; this file keeps one account for each
//! key that was used, and writes what was burned beside the node. A cap on
//! spending counts answers when they end, so those that run when it is reached
//! may go beyond it.

use super::refusal::Refusal;
use crate::api::ErrorCode;
use crate::clock;
use crate::core::rates::{Bucket, Spending, day_ends_in_ms};
use crate::keys::{Key, usage};
use crate::units;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks at whether something must be written.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// When a key that has too many answers at once may try again.
const CONCURRENT_RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
struct Account {
    running: u32,
    bucket: Option<Bucket>,
    spending: Spending,
}

/// The accounts of all keys, by their hash.
#[derive(Debug, Default)]
pub(crate) struct Accounts {
    by_hash: Mutex<BTreeMap<String, Account>>,
    changed: AtomicBool,
    path: Option<PathBuf>,
    /// Held while the file is written, so that the last write wins whole.
    writing: Mutex<()>,
}

/// What a key that may ask so often in a minute has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLeft {
    /// Requests of a minute.
    pub(crate) limit: u32,
    /// Requests left now.
    pub(crate) remaining: u64,
    /// Milliseconds until all are there again.
    pub(crate) reset_ms: u64,
}

/// One answer on a key's account; ends when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    accounts: Arc<Accounts>,
    hash: String,
}

impl Share {
    pub(super) fn burned(&self, ugft: u64) {
        if ugft > 0 {
            let now_ms = clock::now_ms();
            self.accounts
                .with(&self.hash, |account| account.spending.add(ugft, now_ms));
            self.accounts.changed.store(true, Ordering::Release);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.accounts.with(&self.hash, |account| {
            account.running = account.running.saturating_sub(1);
        });
    }
}

impl Accounts {
    /// Accounts that go on where the file ended.
    pub(crate) fn open(path: Option<PathBuf>) -> Self {
        let spending = path.as_deref().map(usage::read).unwrap_or_default();
        let account = |spending| Account {
            spending,
            ..Account::default()
        };
        let held = spending
            .into_iter()
            .map(|(hash, spending)| (hash, account(spending)));
        Self {
            by_hash: Mutex::new(held.collect()),
            changed: AtomicBool::new(false),
            path,
            writing: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.by_hash.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, hash: &str, change: impl FnOnce(&mut Account) -> T) -> T {
        change(self.lock().entry(hash.to_owned()).or_default())
    }

    /// Takes one request of this minute. What is left is none where the key has
    /// no such cap.
    ///
    /// # Errors
    /// How long until the next may be made; what is left is said then too.
    pub(crate) fn request(&self, key: &Key) -> (Option<RateLeft>, Result<(), Refusal>) {
        let Some(per_minute) = key.caps.requests_per_minute else {
            return (None, Ok(()));
        };
        let now_ms = clock::now_ms();
        self.with(&key.hash, |account| {
            let bucket = account
                .bucket
                .get_or_insert_with(|| Bucket::full(per_minute, now_ms));
            if bucket.per_minute() != per_minute.max(1) {
                *bucket = Bucket::full(per_minute, now_ms);
            }
            let taken = bucket.take(now_ms);
            let left = RateLeft {
                limit: bucket.per_minute(),
                remaining: bucket.left(),
                reset_ms: bucket.full_in_ms(),
            };
            let refuse = |wait_ms| {
                let message = format!(
                    "the key {} may make {per_minute} requests a minute; the next in {wait_ms} ms",
                    key.name
                );
                let wait = Duration::from_millis(wait_ms);
                Refusal::later(ErrorCode::RateLimitExceeded, message, wait)
            };
            (Some(left), taken.map_err(refuse))
        })
    }

    /// Begins an answer on a key's account.
    ///
    /// # Errors
    /// When it has too many at once, or has burned what it may today.
    pub(crate) fn begin(self: &Arc<Self>, key: &Key) -> Result<Share, Refusal> {
        let now_ms = clock::now_ms();
        self.with(&key.hash, |account| {
            check_spending(key, account.spending.today_ugft(now_ms), now_ms)?;
            if key
                .caps
                .max_concurrent
                .is_some_and(|max| account.running >= max)
            {
                let message = format!(
                    "the key {} may have {} answers at a time, waiting ones included; \
                     each of `n` and each prompt of a list is one",
                    key.name, account.running
                );
                return Err(Refusal::later(
                    ErrorCode::RateLimitExceeded,
                    message,
                    CONCURRENT_RETRY,
                ));
            }
            account.running = account.running.saturating_add(1);
            Ok(())
        })?;
        Ok(Share {
            accounts: Arc::clone(self),
            hash: key.hash.clone(),
        })
    }

    /// Writes what was burned, if it has changed and has a file.
    pub(crate) fn write(&self) {
        let Some(path) = &self.path else { return };
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.changed.swap(false, Ordering::AcqRel) {
            return;
        }
        let spending = |(hash, account): (&String, &Account)| (hash.clone(), account.spending);
        let spending = self.lock().iter().map(spending).collect();
        if let Err(failure) = usage::write(path, &spending, clock::now_ms()) {
            self.changed.store(true, Ordering::Release);
            tracing::warn!("what keys have burned is not written: {failure}");
        }
    }

    /// Writes now and then, until dropped.
    pub(crate) async fn keep_written(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WRITE_EVERY).await;
            let accounts = Arc::clone(&self);
            // Syncing a file may take long; no request waits for it.
            if tokio::task::spawn_blocking(move || accounts.write())
                .await
                .is_err()
            {
                return;
            }
        }
    }
}

fn check_spending(key: &Key, burned_ugft: u64, now_ms: u64) -> Result<(), Refusal> {
    let Some(cap_ugft) = key.caps.ugft_per_day else {
        return Ok(());
    };
    if burned_ugft < cap_ugft {
        return Ok(());
    }
    let reset_ms = day_ends_in_ms(now_ms);
    let message = format!(
        "the key {} has burned {} GFT of the {} GFT it may burn a day, 0 are left; \
         the next day begins at {} UTC",
        key.name,
        units::gft(burned_ugft.into()),
        units::gft(cap_ugft.into()),
        units::utc(now_ms.saturating_add(reset_ms))
    );
    Err(Refusal::later(
        ErrorCode::SpendingCapReached,
        message,
        Duration::from_millis(reset_ms),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::KeyCaps;

    fn key(caps: KeyCaps) -> Key {
        Key {
            name: "alice".to_owned(),
            hash: "h".to_owned(),
            created_ms: 0,
            caps,
        }
    }

    #[test]
    fn answers_at_once_are_counted_until_they_end() {
        let accounts = Arc::new(Accounts::default());
        let key = key(KeyCaps {
            max_concurrent: Some(2),
            ..KeyCaps::default()
        });
        let first = accounts.begin(&key).unwrap();
        let _second = accounts.begin(&key).unwrap();
        let refused = accounts.begin(&key).unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::RateLimitExceeded);
        drop(first);
        assert!(accounts.begin(&key).is_ok());
    }

    #[test]
    fn requests_of_a_minute_run_out_and_a_changed_cap_counts_anew() {
        let accounts = Accounts::default();
        let key_of = |per_minute| {
            key(KeyCaps {
                requests_per_minute: Some(per_minute),
                ..KeyCaps::default()
            })
        };
        let (left, taken) = accounts.request(&key_of(2));
        assert!(taken.is_ok());
        assert_eq!(left.map(|left| (left.limit, left.remaining)), Some((2, 1)));
        assert!(accounts.request(&key_of(2)).1.is_ok());
        let (left, taken) = accounts.request(&key_of(2));
        let refused = taken.unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::RateLimitExceeded);
        assert!(
            refused
                .retry_after
                .is_some_and(|wait| wait <= Duration::from_secs(30))
        );
        assert_eq!(left.map(|left| left.remaining), Some(0));
        assert!(accounts.request(&key_of(3)).1.is_ok());
        assert_eq!(accounts.request(&key(KeyCaps::default())), (None, Ok(())));
    }

    #[test]
    fn a_spending_cap_holds_and_survives_a_restart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key-usage.json");
        let accounts = Arc::new(Accounts::open(Some(path.clone())));
        let key = key(KeyCaps {
            ugft_per_day: Some(100),
            ..KeyCaps::default()
        });
        accounts.begin(&key).unwrap().burned(99);
        // Below the cap: begun, and may go beyond.
        accounts.begin(&key).unwrap().burned(7);
        accounts.write();
        let restarted = Arc::new(Accounts::open(Some(path)));
        // A test that runs into midnight has a new day, and nothing to refuse.
        if restarted.with("h", |account| account.spending.today_ugft(clock::now_ms())) == 106 {
            let refused = restarted.begin(&key).unwrap_err();
            assert_eq!(refused.error.code, ErrorCode::SpendingCapReached);
            assert!(refused.error.message.contains("UTC"), "{}", refused.error);
        }
    }
}
