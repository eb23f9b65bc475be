//! What travels between Talkoot peers, and how bytes become trusted.
//!
//! This crate is a leaf: types, limits, one canonical encoding, hashes and
//! signatures. It does no I/O, reads no clock, starts no thread. Untrusted
//! bytes walk through types: bytes, then [`Signed`], then [`Verified`]; nothing
//! else makes the last. docs/PROTOCOL.md describes every message to the byte.

#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used
    )
)]

pub mod announce;
pub mod blob;
pub mod codec;
pub mod control;
pub mod envelope;
pub mod frame;
pub mod frontier;
pub mod genesis;
pub mod hash;
pub mod identity;
pub mod join;
pub mod limits;
pub mod model;
pub mod offer;
pub mod sampling;
pub mod sync;
pub mod ticket;
pub mod version;

pub use codec::DecodeError;
pub use envelope::{Identified, Signable, Signed, Verified, VerifyError};
pub use frontier::{Ack, Attestation, JobId, Transcript};
pub use genesis::{Founder, Genesis, Policy, Pricing};
pub use hash::{Hash, HashContext};
pub use identity::{Keypair, NetworkId, SignContext, Signature, Wallet};
pub use model::{ArithmeticId, DType, LayerRange, ModelCard, ModelId, ModelShape};
pub use offer::Offer;
