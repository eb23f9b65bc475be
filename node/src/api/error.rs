//! Why a node did not do what it was asked to: a kind for programs, a sentence
//! for people.

use serde::{Deserialize, Serialize};

/// Why a request failed, in a form that maps to exit codes and HTTP statuses.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema, thiserror::Error,
)]
#[error("{message}")]
pub struct AskError {
    /// The kind.
    pub code: ErrorCode,
    /// What happened and what to do, for people.
    pub message: String,
}

/// The kinds of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// The request itself is wrong.
    InvalidRequest,
    /// Understood, but this model or node does not offer it.
    Unsupported,
    /// No such model, entry or job.
    NotFound,
    /// The prompt does not fit the context.
    ContextLengthExceeded,
    /// Too little available.
    InsufficientCredits,
    /// Some layers are served by nobody.
    NoRoute,
    /// Stages are busy, or no place came free in time.
    Busy,
    /// Too many answers wait for a place already.
    QueueFull,
    /// The key asks too often, or for too much at once.
    RateLimitExceeded,
    /// The key has burned what it may burn today.
    SpendingCapReached,
    /// A stage was lost or failed while answering.
    StageFailed,
    /// A deadline passed.
    Timeout,
    /// The asker went away.
    Cancelled,
    /// The node may not sign entries now.
    NotSigning,
    /// The node is still starting; ask again in a moment.
    Starting,
    /// The node is stopping or broken.
    Internal,
}

impl ErrorCode {
    /// Its name, as JSON has it.
    #[must_use]
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        }
    }
}

impl AskError {
    /// Makes an error.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }
}
