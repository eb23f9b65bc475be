//! The outermost layer: every request has an id, a span, a count, and where it
//! asked for an answer a line in the log when it is over.
//!
//! The id is the client's `x-request-id` where that is a plain name, else one
//! made here; the response always carries it. A stream is over when its last
//! byte is sent or its reader is gone. Prompts and answers are never logged.

use super::visit::{RequestId, Visit};
use super::{App, NodeApi};
use crate::home;
use crate::keys::is_plain_name;
use crate::metrics::Metrics;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use futures::StreamExt;
use tracing::{Instrument, Span};

/// The label of requests to paths that do not exist.
const NO_ROUTE: &str = "none";

/// Gives a request its id and sees it to its end.
pub(crate) async fn track<N: NodeApi>(
    State(app): State<App<N>>,
    mut request: Request,
    next: Next,
) -> Response {
    let visit = visit(request.headers());
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let span = tracing::info_span!(
        "request",
        id = visit.id().0,
        method = %request.method(),
        path = request.uri().path(),
    );
    let end = End {
        visit: visit.clone(),
        metrics: app.gate.metrics.clone(),
        span: span.clone(),
        route,
        status: None,
    };
    let extensions = request.extensions_mut();
    extensions.insert(visit.id().clone());
    extensions.insert(visit.clone());
    let mut response = next.run(request).instrument(span).await;
    visit.write_headers(response.headers_mut());
    end.after(response)
}

/// A visit with the id that the headers ask for.
pub(crate) fn visit(headers: &HeaderMap) -> Visit {
    let given = headers.get("x-request-id");
    let given = given.and_then(|value| value.to_str().ok());
    let id = given.filter(|text| is_plain_name(text));
    Visit::new(RequestId(id.map_or_else(new_id, str::to_owned)))
}

fn new_id() -> String {
    let mut bytes = [0_u8; 8];
    // Without randomness the ids are all alike, which hurts nobody but readers
    // of logs; keys and identities refuse to be made then.
    if let Err(failure) = home::fill_random(&mut bytes) {
        tracing::warn!("an id of a request is not random: {failure}");
    }
    format!("req-{}", data_encoding::HEXLOWER.encode(&bytes))
}

/// Counts and logs when it is dropped.
struct End {
    visit: Visit,
    metrics: Metrics,
    span: Span,
    route: String,
    /// None where the client went away before there was a response.
    status: Option<StatusCode>,
}

impl End {
    /// Goes along with a stream until its end, and ends here otherwise.
    fn after(mut self, response: Response) -> Response {
        self.status = Some(response.status());
        let kind = response.headers().get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| kind != "text/event-stream") {
            return response;
        }
        response.map(|body| {
            let parts = body.into_data_stream();
            Body::from_stream(parts.inspect(move |_| {
                // Kept for as long as the stream is.
                let _ = &self;
            }))
        })
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // What proxies write for a client that went away.
        let status = self.status.map_or(499, |status| status.as_u16());
        self.metrics.request(&self.route, status);
        let noted = self.visit.noted();
        let ms = u64::try_from(self.visit.began().elapsed().as_millis()).unwrap_or(u64::MAX);
        let key = noted.key.as_ref().map_or("", |key| key.name.as_str());
        let _entered = self.span.enter();
        if self.route.starts_with("/v1") || !noted.jobs.is_empty() {
            tracing::info!(
                status,
                ms,
                prompt_tokens = noted.prompt_tokens,
                completion_tokens = noted.completion_tokens,
                model = noted.model,
                job = noted.jobs,
                key,
                "answered"
            );
        } else {
            tracing::debug!(status, ms, "answered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn a_plain_id_is_kept_and_anything_else_replaced() {
        let id_of = |given: Option<&[u8]>| {
            let mut headers = HeaderMap::new();
            if let Some(given) = given {
                let value = HeaderValue::from_bytes(given).unwrap();
                headers.insert("x-request-id", value);
            }
            visit(&headers).id().0.clone()
        };
        assert_eq!(id_of(Some(b"Trace-1.a_b")), "Trace-1.a_b");
        let long = [b'x'; 65];
        for given in [
            None,
            Some(&b""[..]),
            Some(b"a b"),
            Some(b"\xc3\xa4"),
            Some(&long),
        ] {
            let id = id_of(given);
            assert!(id.starts_with("req-") && id.len() == 20, "{id}");
        }
        assert_ne!(id_of(None), id_of(None));
    }
}
