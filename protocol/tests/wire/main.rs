//! The wire contract, held from outside the crate: golden bytes, round trips,
//! hostile input, signatures and bounds.
//!
//! Golden files are compared byte for byte. `TALKOOT_GOLDEN=write cargo test -p
//! talkoot-protocol` rewrites them; a changed file is a changed protocol.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod bounds;
mod fixtures;
mod flops;
mod golden;
mod hostile;
mod roundtrip;
mod samples;
mod signatures;
mod strategies;
