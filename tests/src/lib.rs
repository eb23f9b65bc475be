//! Harness for tests that need several nodes: real processes on loopback, each
//! with a home of its own, founders of one network with equal lines.
//!
//! Tests wait for conditions with a deadline and never for a time. Dropping a
//! [`Cluster`] kills every process and removes every file.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a harness that cannot go on fails its test"
)]

mod cluster;

pub use cluster::{Answer, Cluster, Failed, Member, Node, QUIET, WAIT, chat};

use std::time::{Duration, Instant};

/// Runs `probe` until it gives a value; panics with the last reason after
/// `limit`.
///
/// # Panics
/// When the deadline passes.
#[expect(clippy::disallowed_methods, reason = "a test waits by its own clock")]
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<T, String>) -> T {
    let began = Instant::now();
    loop {
        match probe() {
            Ok(value) => return value,
            Err(reason) => {
                assert!(
                    began.elapsed() < limit,
                    "waited {limit:?} for {what}: {reason}"
                );
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }
}
