//! What a failed job says: the stage, its layers, the reason, what to do.

use super::RouteStage;
use crate::api::{AskError, ErrorCode};
use crate::core::submission::Failure;
use crate::jobs::ledger::LedgerError;
use talkoot_protocol::control::FailCode;

pub(super) fn gone() -> AskError {
    AskError::new(ErrorCode::Internal, "the data plane is stopping")
}

pub(super) fn cancelled() -> AskError {
    AskError::new(ErrorCode::Cancelled, "the request was cancelled")
}

pub(super) fn stage_error(code: ErrorCode, stage: &RouteStage, reason: &str) -> AskError {
    let message = format!(
        "stage {} with layers {}: {reason}",
        stage.wallet.short(),
        stage.range
    );
    AskError::new(code, message)
}

/// A stage refused before work began.
pub(super) fn refused(stage: &RouteStage, code: FailCode, reason: &str) -> AskError {
    let (kind, advice) = match code {
        FailCode::NotServed => (ErrorCode::NoRoute, "ask again with another route"),
        FailCode::Busy => (ErrorCode::Busy, "try again in a moment"),
        FailCode::TooLong => (
            ErrorCode::ContextLengthExceeded,
            "shorten the prompt or ask for fewer tokens",
        ),
        FailCode::Credit => (
            ErrorCode::InsufficientCredits,
            "wait for confirmation or earn first",
        ),
        FailCode::Timeout => (ErrorCode::Timeout, "ask again"),
        FailCode::Order
        | FailCode::Protocol
        | FailCode::Neighbour
        | FailCode::Unacknowledged
        | FailCode::Compute
        | FailCode::Shutdown => (ErrorCode::StageFailed, "ask again to route around it"),
    };
    stage_error(kind, stage, &format!("{reason}; {advice}"))
}

/// A job failed after it had begun.
pub(super) fn failed(route: &[RouteStage], failure: &Failure) -> AskError {
    let stage = failure.stage.and_then(|index| route.get(index));
    match stage {
        Some(stage) => stage_error(
            ErrorCode::StageFailed,
            stage,
            &format!("{}; the answer so far stays, ask again", failure.reason),
        ),
        None => {
            let message = format!("the job ended: {}; ask again", failure.reason);
            AskError::new(ErrorCode::Timeout, message)
        }
    }
}

pub(super) fn ledger_failure(error: &LedgerError) -> AskError {
    match error {
        LedgerError::TooLittle {
            available_ugft,
            needed_ugft,
        } => AskError::new(
            ErrorCode::InsufficientCredits,
            format!(
                "the answer could cost {needed_ugft} µGFT, {available_ugft} µGFT are available; ask for fewer tokens, earn by serving layers, or ask a member for a credit line"
            ),
        ),
        LedgerError::NotSigning(_) => AskError::new(ErrorCode::NotSigning, error.to_string()),
        LedgerError::Refused(_) | LedgerError::Missing | LedgerError::Closed => {
            AskError::new(ErrorCode::Internal, error.to_string())
        }
    }
}
