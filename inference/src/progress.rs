//! What a long load tells its caller while it runs.
//!
//! This crate writes no log and prints nothing: whoever loads decides what a
//! person gets to see. Events change nothing of what is loaded.

use std::path::Path;

/// One piece of news.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadEvent<'a> {
    /// Bytes of the checkpoint that have been hashed for its card.
    Hashed {
        /// So far.
        done_bytes: u64,
        /// In all.
        total_bytes: u64,
    },
    /// A matrix is packed.
    Packed {
        /// The tensor it was made of.
        tensor: &'a str,
        /// Whether it came from the cache.
        is_cached: bool,
        /// Packed bytes so far.
        done_bytes: u64,
        /// In all.
        total_bytes: u64,
    },
    /// A file of the cache did not verify; it is made anew.
    Dropped {
        /// Which file.
        path: &'a Path,
        /// What is wrong with it.
        reason: String,
    },
    /// The cache cannot be written; loading goes on without it.
    CacheRefused {
        /// Which file.
        path: &'a Path,
        /// What the system said.
        error: &'a std::io::Error,
    },
}

/// Who listens; called from any thread of the load.
pub type LoadObserver<'a> = &'a (dyn Fn(LoadEvent<'_>) + Sync);

/// Listens to nothing.
pub(crate) fn unobserved(_: LoadEvent<'_>) {}
