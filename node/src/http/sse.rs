//! Server-sent events: one byte stream out of the events of [`Several`] answers.
//!
//! What the bytes are is an [`Encoder`]'s business; this file keeps the order,
//! fills silence with comment lines (every client skips them, and proxies keep
//! the connection), and stops after the last event. When the client goes away
//! axum drops the body, and with it the answers: that cancels their jobs.

use super::several::{Part, Several};
use crate::api::AskEvent;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use bytes::Bytes;
use std::convert::Infallible;
use std::time::Duration;

/// Silence after which a comment is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// The same for the node's own path: the command line looks whether its user has
/// cancelled whenever a line comes.
const NATIVE_KEEP_ALIVE: Duration = Duration::from_secs(1);
const KEEP_ALIVE_LINE: &str = ": keep-alive\n\n";
/// How OpenAI's streams end.
pub(crate) const DONE_LINE: &str = "data: [DONE]\n\n";

/// Turns events into the text of a stream.
pub(crate) trait Encoder: Send + 'static {
    /// Appends what `part` means to `out`. A failure is the last part.
    fn encode(&mut self, part: Part, out: &mut String);

    /// Appends the end of the stream, when all answers are complete.
    fn end(&mut self, _out: &mut String) {}

    /// Silence after which a comment is sent.
    fn keep_alive(&self) -> Duration {
        KEEP_ALIVE
    }
}

/// `/api/v1/ask`: the events as they are.
#[derive(Debug)]
pub(crate) struct Native;

impl Encoder for Native {
    fn encode(&mut self, part: Part, out: &mut String) {
        push_data(out, &part.event);
    }

    fn keep_alive(&self) -> Duration {
        NATIVE_KEEP_ALIVE
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
    first: Option<Part>,
    answers: Several,
    encoder: E,
    keep_alive: Duration,
    is_failed: bool,
    is_over: bool,
}

impl<E: Encoder> State<E> {
    /// The next bytes; `None` after the end.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            let part = match self.first.take() {
                Some(first) => Some(first),
                None => match tokio::time::timeout(self.keep_alive, self.answers.next()).await {
                    Ok(part) => part,
                    Err(_) => return Some(Bytes::from_static(KEEP_ALIVE_LINE.as_bytes())),
                },
            };
            let mut out = String::new();
            match part {
                Some(part) => {
                    self.is_failed |= matches!(part.event, AskEvent::Failed(_));
                    self.encoder.encode(part, &mut out);
                }
                None => {
                    self.is_over = true;
                    if !self.is_failed {
                        self.encoder.end(&mut out);
                    }
                }
            }
            if !out.is_empty() {
                return Some(Bytes::from(out));
            }
        }
        None
    }
}

/// A streaming response that begins with a part already received.
pub(crate) fn stream(first: Part, answers: Several, encoder: impl Encoder) -> Response {
    respond(State {
        first: Some(first),
        answers,
        keep_alive: encoder.keep_alive(),
        encoder,
        is_failed: false,
        is_over: false,
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
    use crate::api::{AskRequest, Prompt};
    use crate::http::tests::fake::FakeNode;

    #[tokio::test]
    async fn silence_is_filled_and_a_lost_node_is_an_error_not_an_end() {
        let request = AskRequest::plain(None, Prompt::Text("x".to_owned()));
        let node = FakeNode::endless();
        let mut state = State {
            first: None,
            answers: Several::ask(&node, vec![request.clone()]),
            encoder: Native,
            keep_alive: Duration::from_millis(5),
            is_failed: false,
            is_over: false,
        };
        while state.next().await.unwrap() != KEEP_ALIVE_LINE {}
        state.answers = Several::ask(&FakeNode::lost(), vec![request]);
        let mut last = Bytes::new();
        while let Some(bytes) = state.next().await {
            last = bytes;
        }
        assert!(last.starts_with(b"data: {\"event\":\"failed\",\"code\":\"internal\""));
    }
}
