//! Jobs: the stage side, the submitter side and the thread that computes.
//!
//! Decisions stand in `core`; here are the shells that read, write, wait and
//! compute for them.

pub mod engine;
pub mod ledger;
pub mod marks;
pub mod stage;
pub mod submit;
pub mod worker;
