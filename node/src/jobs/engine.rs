//! What computes a shard's layers, as the worker thread sees it.
//!
//! The real one wraps `talkoot_inference::Shard` and its sampler; tests put a
//! small deterministic one in its place. An engine belongs to one thread.

pub mod shard;

pub use shard::ShardEngine;

use crate::core::stage::{Computed, Work};
use talkoot_inference::Constraint;
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::{DType, LayerRange};

/// How a session is opened.
#[derive(Debug, Clone)]
pub struct SessionSpec {
    /// Which of the held layers it runs.
    pub range: LayerRange,
    /// Positions it has room for.
    pub tokens_max: u32,
    /// Number format between stages.
    pub hidden_dtype: DType,
    /// How tokens are picked; only where the last layer is.
    pub picking: Option<Picking>,
}

/// How the last stage picks tokens.
#[derive(Debug, Clone)]
pub struct Picking {
    /// The submitter's wishes.
    pub params: SamplingParams,
    /// The prompt, for penalties and scores.
    pub prompt_ids: Vec<u32>,
    /// The grammar of the wishes, read.
    pub constraint: Option<Constraint>,
}

/// Why an engine refuses or fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No memory for one more session.
    #[error("{0}")]
    NoMemory(String),
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// Computes steps of sessions.
pub trait Engine {
    /// Opens a session and reserves its memory.
    ///
    /// # Errors
    /// [`EngineError`].
    fn open(&mut self, session: u64, spec: SessionSpec) -> Result<(), EngineError>;

    /// Closes a session and frees its memory.
    fn close(&mut self, session: u64);

    /// Computes a batch of works of different sessions; one result for each.
    fn step(&mut self, batch: &[(u64, Work)]) -> Vec<Result<Computed, EngineError>>;
}
