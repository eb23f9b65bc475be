//! A deterministic simulator of whole ledger nodes.
//!
//! Many machines in one thread: each holds the real books, sync core and duties
//! over a disk that tears and loses writes, in a network that delays, loses,
//! doubles, reorders and parts. Some lie. `invariants.rs` says what must hold
//! whatever happens; a run is a function of its seed. Real time, threads and
//! hidden chance do not occur. docs/SIMULATION.md tells how to use it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test program fails by panicking"
)]

mod counts;
mod craft;
mod disk;
mod invariants;
mod liars;
mod links;
mod naive;
mod node;
mod queue;
mod random;
mod recount;
mod scenario;
mod thousand;
mod world;

pub use counts::Counts;
pub use invariants::Violation;
pub use scenario::{Scenario, run};
pub use thousand::thousand;
