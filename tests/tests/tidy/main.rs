//! The rules of the code base, as tests: which crate may know which, where each
//! outside library enters, what pure code may not touch, what a file looks like,
//! and that the documents tell the truth.
//!
//! Each rule is proven able to fail: the tests in `rules.rs` break every one of
//! them in a snippet. Lints that clippy knows are left to clippy.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod documents;
mod files;
mod manifests;
mod rules;
mod source;
mod wire;
