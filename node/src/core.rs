//! The decisions of a node, without I/O, clock, threads or hidden randomness.
//!
//! Every part is a function or a state machine of the form
//! `handle(input, now) -> outputs`; timers come in as time, randomness as a
//! seed. Nothing here knows the network, the disk or HTTP.

pub mod dials;
pub mod directory;
pub mod events;
pub mod hop_times;
pub mod job;
pub mod lending;
pub mod lockstep;
pub mod offers;
pub mod peers;
pub mod placement;
pub mod rates;
pub mod route;
pub mod runs;
pub mod stage;
pub mod submission;
