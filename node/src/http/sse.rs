//! Server-sent events: one byte stream out of one stream of [`AskEvent`]s.
//!
//! What the bytes are is an [`Encoder`]'s business; this file keeps the order,
//! fills silence with comment lines (every client skips them, and proxies keep
//! the connection), and stops after the last event. When the client goes away
//! axum drops the body, and with it the receiver: that cancels the job.

use crate::api::{AskError, AskEvent, ErrorCode};
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;

/// Silence after which a comment is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
const KEEP_ALIVE_LINE: &str = ": keep-alive\n\n";

/// Turns events into the text of a stream.
pub(crate) trait Encoder: Send + 'static {
    /// Appends what `event` means to `out`; after `Done` or `Failed` also the
    /// end of the stream.
    fn encode(&mut self, event: AskEvent, out: &mut String);
}

/// `/api/v1/ask`: the events as they are.
#[derive(Debug)]
pub(crate) struct Native;

impl Encoder for Native {
    fn encode(&mut self, event: AskEvent, out: &mut String) {
        push_data(out, &event);
    }
}

/// Appends one event.
pub(crate) fn push_data(out: &mut String, data: &impl serde::Serialize) {
    match serde_json::to_string(data) {
        Ok(text) => {
            out.push_str("data: ");
            out.push_str(&text);
            out.push_str("\n\n");
        }
        Err(error) => tracing::error!("an event cannot be written: {error}"),
    }
}

struct State<E> {
    first: Option<Bytes>,
    events: mpsc::Receiver<AskEvent>,
    encoder: E,
    keep_alive: Duration,
    ended: bool,
}

impl<E: Encoder> State<E> {
    /// The next bytes; `None` after the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(first) = self.first.take() {
                return Some(first);
            }
            if self.ended {
                return None;
            }
            let event = match tokio::time::timeout(self.keep_alive, self.events.recv()).await {
                Err(_) => return Some(Bytes::from_static(KEEP_ALIVE_LINE.as_bytes())),
                // A cut stream looks like a finished answer to most clients.
                Ok(None) => AskEvent::Failed(AskError::new(
                    ErrorCode::Internal,
                    "the node stopped in the middle of the answer",
                )),
                Ok(Some(event)) => event,
            };
            self.ended = matches!(event, AskEvent::Done(_) | AskEvent::Failed(_));
            let mut out = String::new();
            self.encoder.encode(event, &mut out);
            if !out.is_empty() {
                return Some(Bytes::from(out));
            }
        }
    }
}

/// A streaming response that begins with an event already received.
pub(crate) fn stream(
    first: AskEvent,
    events: mpsc::Receiver<AskEvent>,
    mut encoder: impl Encoder,
) -> Response {
    let ended = matches!(first, AskEvent::Done(_) | AskEvent::Failed(_));
    let mut out = String::new();
    encoder.encode(first, &mut out);
    respond(State {
        first: Some(Bytes::from(out)),
        events,
        encoder,
        keep_alive: KEEP_ALIVE,
        ended,
    })
}

fn respond<E: Encoder>(state: State<E>) -> Response {
    let bytes = futures::stream::unfold(state, |mut state| async {
        let bytes = state.next().await?;
        Some((Ok::<_, Infallible>(bytes), state))
    });
    let mut response = Response::new(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_is_filled_and_a_lost_node_is_an_error_not_an_end() {
        let (sender, events) = mpsc::channel(4);
        let mut state = State {
            first: None,
            events,
            encoder: Native,
            keep_alive: Duration::from_millis(5),
            ended: false,
        };
        assert_eq!(state.next().await.unwrap(), KEEP_ALIVE_LINE);
        drop(sender);
        let last = state.next().await.unwrap();
        assert!(last.starts_with(b"data: {\"event\":\"failed\",\"code\":\"internal\""));
        assert!(state.next().await.is_none());
    }
}
