//! The replicated books of Talkoot.
//!
//! Each wallet writes its own log of signed entries; every node holds all logs
//! and computes the same outcomes, balances and chain from them. [`Ledger`] is
//! pure: a function of the set of entries. [`sync`] brings sets together
//! without I/O. [`books::Books`] joins the ledger to its journal, signer file
//! and index; those are the only parts of this crate that touch a disk.
//! docs/LEDGER.md describes formats and rules.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used
    )
)]

mod accounts;
pub mod amount;
pub mod books;
mod buckets;
mod chain;
pub mod compose;
mod confirm;
mod core;
pub mod divy;
pub mod duties;
pub mod entry;
pub mod explore;
mod facts;
mod fold;
mod graph;
mod ids;
mod jobs;
pub mod journal;
mod judge;
pub mod kinds;
pub mod ledger;
pub mod membership;
pub mod outcome;
mod past;
pub mod pending;
mod release;
pub mod signer;
mod spending;
pub mod split;
mod standing;
pub mod statement;
pub mod store;
pub mod sync;
mod tips;
pub mod views;

pub use amount::{Balance, Ugft};
pub use books::{AuthorError, Books};
pub use chain::next_link;
pub use compose::{ComposeError, Draft, Preview};
pub use entry::{Entry, id_of};
pub use facts::{Embedded, JobTerms};
pub use kinds::Payload;
pub use ledger::{Admission, Ledger, Source};
pub use membership::StructureError;
pub use outcome::{Outcome, Reason};
pub use release::HOLD_GRACE_MS;
