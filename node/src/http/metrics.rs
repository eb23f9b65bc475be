//! `GET /metrics`: what the node counts, for Prometheus.
//!
//! A scrape asks the node for one report and waits a second at most: computation
//! does not delay it, and a busy ledger thread only makes its gauges old.

use super::{App, NodeApi};
use crate::metrics::CONTENT_TYPE;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use std::time::Duration;

const STATUS_TIMEOUT: Duration = Duration::from_secs(1);

/// All metrics as text.
pub(crate) async fn scrape<N: NodeApi>(State(app): State<App<N>>) -> Response {
    let gate = &app.gate;
    let status = tokio::time::timeout(STATUS_TIMEOUT, app.node.status()).await;
    let status = status.ok().and_then(Result::ok);
    gate.metrics.observe(gate.admission.now(), status.as_ref());
    (
        [(header::CONTENT_TYPE, CONTENT_TYPE)],
        gate.metrics.render(),
    )
        .into_response()
}
