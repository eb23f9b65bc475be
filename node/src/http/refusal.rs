//! Why an answer is not begun now, and when it may be asked for again.

use crate::api::{AskError, ErrorCode};
use std::time::Duration;

/// A refusal that is not the request's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// What is answered.
    pub(crate) error: AskError,
    /// When another try is worth while.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    /// Worth another try after `retry_after`.
    pub(crate) fn later(
        code: ErrorCode,
        message: impl Into<String>,
        retry_after: Duration,
    ) -> Self {
        Self {
            error: AskError::new(code, message),
            retry_after: Some(retry_after),
        }
    }
}
