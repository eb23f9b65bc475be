//! Probes: is the process alive, can it answer a question now.
//!
//! Neither waits for computation: a node in the middle of a long prompt is
//! alive and ready. `ready` does not mean that a session is free.

use super::{App, NodeApi};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::time::Duration;

const STATUS_TIMEOUT: Duration = Duration::from_secs(2);

/// The process answers.
pub(crate) async fn live() -> &'static str {
    "ok\n"
}

/// Some chat model has a full route.
pub(crate) async fn ready<N: NodeApi>(State(app): State<App<N>>) -> Response {
    let reasons = match tokio::time::timeout(STATUS_TIMEOUT, app.node.status()).await {
        Ok(Ok(status)) if status.ready => {
            return Json(json!({"status": "ready", "reasons": status.reasons})).into_response();
        }
        Ok(Ok(status)) => status.reasons,
        Ok(Err(error)) => vec![error.message],
        Err(_) => vec!["the node did not report in time".to_owned()],
    };
    let body = json!({
        "error": {"code": 503, "type": "unavailable_error", "message": reasons.join("; ")},
        "reasons": reasons,
    });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
