//! The laws of the ledger, one property each, on random histories with cheaters
//! and on random numbers.
//!
//! `TALKOOT_SEEDS` scales how many (percent), `TALKOOT_SEED` replays one; what
//! proptest once found stands in `proptest-regressions` and runs first.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod canonical;
#[path = "../common/mod.rs"]
mod common;
mod confirmed;
mod extremes;
mod inert;
mod late;
mod lines;
mod membership;
mod order;
mod replay;
mod solvency;
mod split;
mod storm;
mod walk;
mod zero_sum;
