//! Cross-origin requests of the web pages that the owner named, and of no others.
//!
//! Without `--cors-origin` no header is ever sent, and a page of elsewhere is
//! refused before anything is done (see the guard). A named origin may use
//! everything but `/api/v1` and `/metrics`; it gets no cookies, there are none.

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Headers that a page may read.
const EXPOSED: &str = "x-request-id, x-talkoot-job, retry-after, retry-after-ms, \
                       x-should-retry, x-ratelimit-limit-requests, \
                       x-ratelimit-remaining-requests, x-ratelimit-reset-requests";
/// Seconds for which a browser remembers a preflight.
const MAX_AGE_S: &str = "600";

/// Whether this asks what a page may do, before it does it.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    method == Method::OPTIONS && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of an allowed origin. Official clients send headers
/// of their own, so those that are asked for are allowed.
pub(super) fn preflight(headers: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let answer = response.headers_mut();
    let methods = HeaderValue::from_static("GET, HEAD, POST");
    answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(asked) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    let max_age = HeaderValue::from_static(MAX_AGE_S);
    answer.insert(header::ACCESS_CONTROL_MAX_AGE, max_age);
    response
}

/// Lets the page of `origin` read a response.
pub(super) fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    let exposed = HeaderValue::from_static(EXPOSED);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
}
