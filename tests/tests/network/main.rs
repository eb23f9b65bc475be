//! Networks of real processes on loopback.
//!
//! Few tests, each a whole story. They hold one lock, because several networks
//! at once would only measure the machine.

#![expect(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test"
)]

mod bench;
mod books;
mod chat;
#[cfg(unix)]
mod containers;
mod crash;
mod doctor;
mod first_path;
mod inspect;
mod joining;
mod lending;
mod models;
mod newcomer;
mod packed;
mod quote;
mod switches;

use std::sync::{Mutex, MutexGuard, PoisonError};

const BINARY: &str = env!("CARGO_BIN_EXE_talkoot-under-test");

static ONE_NETWORK_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Taken by every test of this program.
fn alone() -> MutexGuard<'static, ()> {
    ONE_NETWORK_AT_A_TIME
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}
