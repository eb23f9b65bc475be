//! Exit codes, and the one error type that every command ends with.
//!
//! Codes are part of the interface: scripts test them, `talkoot --help` lists
//! them, none is ever given another meaning. A [`Failure`] always says what
//! happened; `hint` says what to do next. Nothing is printed here.

use crate::api::{AskError, ErrorCode};
use std::process::ExitCode;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// A failure without its own code.
    Failure = 1,
    /// A wrong command line.
    Usage = 2,
    /// No node runs, or it cannot be reached.
    NotRunning = 3,
    /// No such model, entry or peer.
    NotFound = 4,
    /// Too little is available.
    InsufficientCredits = 5,
    /// Layers are covered by nobody, or those who hold them are busy.
    NoRoute = 6,
    /// A ledger, a signature or a file does not verify.
    VerifyFailed = 7,
    /// A deadline passed.
    TimedOut = 8,
    /// A setting, the home or its files cannot be used.
    BadConfig = 9,
    /// `doctor` found something that does not work.
    Unhealthy = 10,
    /// Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// All codes and their meaning in words, for `--help`.
    pub const TABLE: &[(Self, &'static str)] = &[
        (Self::Done, "done"),
        (Self::Failure, "other failure"),
        (Self::Usage, "wrong command line"),
        (Self::NotRunning, "no node runs here, or it does not answer"),
        (Self::NotFound, "no such model, entry or peer"),
        (Self::InsufficientCredits, "insufficient credits"),
        (Self::NoRoute, "no route: layers uncovered or stages busy"),
        (Self::VerifyFailed, "verification failed"),
        (Self::TimedOut, "timed out"),
        (Self::BadConfig, "a setting or the home cannot be used"),
        (Self::Unhealthy, "`doctor` found a failing check"),
        (Self::Interrupted, "interrupted"),
    ];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<ErrorCode> for Exit {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::InsufficientCredits => Self::InsufficientCredits,
            ErrorCode::NoRoute | ErrorCode::Busy | ErrorCode::QueueFull => Self::NoRoute,
            ErrorCode::Timeout => Self::TimedOut,
            ErrorCode::Cancelled => Self::Interrupted,
            ErrorCode::Starting => Self::NotRunning,
            ErrorCode::InvalidRequest | ErrorCode::Unsupported => Self::Usage,
            ErrorCode::ContextLengthExceeded
            | ErrorCode::StageFailed
            | ErrorCode::NotSigning
            | ErrorCode::RateLimitExceeded
            | ErrorCode::SpendingCapReached
            | ErrorCode::Internal => Self::Failure,
        }
    }
}

/// Why a command did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// How the program ends.
    pub exit: Exit,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Failure {
    /// Makes a failure.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            hint: None,
        }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Nobody reads our output any more (`talkoot … | head`): not an error.
    #[must_use]
    pub fn is_closed_pipe(&self) -> bool {
        self.exit == Exit::Done
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        Self::new(error.code.into(), error.message)
    }
}

/// Failures of reading or writing files and streams without a better message.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let exit = if error.kind() == std::io::ErrorKind::BrokenPipe {
            Exit::Done
        } else {
            Exit::Failure
        };
        Self::new(exit, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_code_once_in_order() {
        let codes: Vec<u8> = Exit::TABLE.iter().map(|(exit, _)| exit.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 130]);
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_other_errors_are() {
        let closed = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert!(closed.is_closed_pipe());
        let other = Failure::from(std::io::Error::from(std::io::ErrorKind::PermissionDenied));
        assert_eq!(other.exit, Exit::Failure);
    }
}
