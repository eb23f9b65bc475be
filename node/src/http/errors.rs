//! Errors over HTTP: one envelope, statuses that official clients understand.
//!
//! SDKs choose their exception by status and retry 408, 409, 429 and 5xx by
//! themselves; a failure after tokens were billed must not be retried silently,
//! so it says `x-should-retry: false`.

use crate::api::{AskError, ErrorCode};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// Which names error codes go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `/api/v1`: the names of [`ErrorCode`].
    Native,
    /// `/v1`: the names that OpenAI's clients know.
    OpenAi,
}

/// An error with everything its envelope shows.
#[derive(Debug, Clone)]
pub(crate) struct HttpError {
    status: StatusCode,
    kind: &'static str,
    code: String,
    param: Option<&'static str>,
    message: String,
    is_final: bool,
}

impl HttpError {
    /// A request that cannot be understood or is not supported.
    pub(crate) fn bad_request(
        code: &str,
        param: Option<&'static str>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "invalid_request_error",
            code: code.to_owned(),
            param,
            message: message.into(),
            is_final: false,
        }
    }

    /// Any other status.
    pub(crate) fn other(
        status: StatusCode,
        kind: &'static str,
        code: &str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            kind,
            code: code.to_owned(),
            param: None,
            message: message.into(),
            is_final: false,
        }
    }

    /// An error of the node.
    pub(crate) fn of_node(error: &AskError, dialect: Dialect) -> Self {
        let (status, kind) = status_of(error.code);
        let open_ai = dialect == Dialect::OpenAi;
        let code = match error.code {
            ErrorCode::NotFound if open_ai => "model_not_found".to_owned(),
            ErrorCode::Timeout if open_ai => "hop_timeout".to_owned(),
            ErrorCode::Starting if open_ai => "loading".to_owned(),
            ErrorCode::Unsupported if open_ai => "unsupported_parameter".to_owned(),
            code => code.name(),
        };
        let param = match error.code {
            ErrorCode::NotFound if open_ai => Some("model"),
            ErrorCode::ContextLengthExceeded if open_ai => Some("messages"),
            _ => None,
        };
        Self {
            status,
            kind,
            code,
            param,
            message: error.message.clone(),
            is_final: false,
        }
    }

    /// Something was billed: clients that try again by themselves must not.
    pub(crate) fn final_word(self) -> Self {
        Self {
            is_final: true,
            ..self
        }
    }

    /// Its name for programs.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The JSON body, also used inside a stream.
    pub(crate) fn body(&self) -> serde_json::Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }
}

impl IntoResponse for HttpError {
    fn into_response(self) -> Response {
        let mut response = (
            self.status,
            [(header::CONTENT_TYPE, "application/json")],
            self.body().to_string(),
        )
            .into_response();
        let headers = response.headers_mut();
        let is_pause = self.status == StatusCode::SERVICE_UNAVAILABLE;
        if self.is_final || self.status.is_server_error() && !is_pause {
            headers.insert(
                HeaderName::from_static("x-should-retry"),
                HeaderValue::from_static("false"),
            );
        } else if is_pause {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

fn status_of(code: ErrorCode) -> (StatusCode, &'static str) {
    match code {
        ErrorCode::InvalidRequest | ErrorCode::Unsupported | ErrorCode::ContextLengthExceeded => {
            (StatusCode::BAD_REQUEST, "invalid_request_error")
        }
        ErrorCode::NotFound => (StatusCode::NOT_FOUND, "invalid_request_error"),
        ErrorCode::InsufficientCredits => (StatusCode::PAYMENT_REQUIRED, "insufficient_credits"),
        ErrorCode::NoRoute | ErrorCode::Busy | ErrorCode::Starting | ErrorCode::NotSigning => {
            (StatusCode::SERVICE_UNAVAILABLE, "unavailable_error")
        }
        ErrorCode::QueueFull | ErrorCode::RateLimitExceeded | ErrorCode::SpendingCapReached => {
            (StatusCode::TOO_MANY_REQUESTS, "rate_limit_error")
        }
        ErrorCode::Timeout => (StatusCode::GATEWAY_TIMEOUT, "server_error"),
        ErrorCode::StageFailed | ErrorCode::Cancelled | ErrorCode::Internal => {
            (StatusCode::INTERNAL_SERVER_ERROR, "server_error")
        }
    }
}

/// A body that could not be read: too large, or broken on the way.
pub(crate) fn body_error(rejection: &axum::extract::rejection::BytesRejection) -> HttpError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return too_large();
    }
    HttpError::bad_request("invalid_body", None, rejection.body_text())
}

/// A body beyond the bound.
pub(crate) fn too_large() -> HttpError {
    HttpError::other(
        StatusCode::PAYLOAD_TOO_LARGE,
        "invalid_request_error",
        "request_too_large",
        format!("the request is larger than {} bytes", super::BODY_BYTES_MAX),
    )
}

/// The answer to a path that does not exist.
pub(crate) async fn no_such_path(uri: axum::http::Uri) -> HttpError {
    HttpError::other(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        "unknown_url",
        format!("there is nothing at {}", uri.path()),
    )
}

/// Gives a bare 405 the envelope and keeps its `Allow`.
pub(crate) async fn no_such_method(response: Response) -> Response {
    if response.status() != StatusCode::METHOD_NOT_ALLOWED {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let mut response = HttpError::other(
        StatusCode::METHOD_NOT_ALLOWED,
        "invalid_request_error",
        "method_not_allowed",
        "this path exists, but not for this method",
    )
    .into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}
