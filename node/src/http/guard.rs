//! Who may speak to the port: programs of this machine, and web pages of none.
//!
//! Listening on loopback keeps other machines out, but not a web page in the
//! owner's browser: with DNS rebinding it carries a foreign `Host`, without it
//! a foreign `Origin`. Both are refused. Writes to `/api/v1` also need the
//! cookie of `api.json`, which only the owner can read.

use super::errors::{HttpError, too_large};
use super::{App, NodeApi};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Refuses foreign hosts and origins, and bodies beyond the bound.
pub(crate) async fn local_only(request: Request, next: Next) -> Response {
    // Said before the body is awaited; a body without a length meets the same
    // bound while it is read.
    let length =
        text(request.headers(), &header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if length.is_some_and(|length: u64| length > super::BODY_BYTES_MAX as u64) {
        return too_large().into_response();
    }
    match check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => {
            tracing::warn!(
                path = request.uri().path(),
                "refused a request: {}",
                error.1
            );
            HttpError::other(StatusCode::FORBIDDEN, "permission_error", error.0, error.1)
                .into_response()
        }
    }
}

/// Asks for the cookie.
pub(crate) async fn cookie<N: NodeApi>(
    State(app): State<App<N>>,
    request: Request,
    next: Next,
) -> Response {
    let given = text(request.headers(), &header::AUTHORIZATION)
        .and_then(|value| value.strip_prefix("Bearer "));
    if given.is_some_and(|given| same(given.as_bytes(), app.token.as_bytes())) {
        return next.run(request).await;
    }
    HttpError::other(
        StatusCode::UNAUTHORIZED,
        "authentication_error",
        "cookie_required",
        "this request needs the header `authorization: Bearer TOKEN` with the token of api.json \
         in the node's state directory",
    )
    .into_response()
}

fn check(headers: &HeaderMap) -> Result<(), (&'static str, String)> {
    let host = text(headers, &header::HOST).unwrap_or_default();
    if !is_local(host) {
        return Err((
            "foreign_host",
            format!(
                "Host is {host:?}, but this port answers to localhost, 127.0.0.1 and [::1] only; \
                 use one of them in the address"
            ),
        ));
    }
    let Some(origin) = text(headers, &header::ORIGIN) else {
        return Ok(());
    };
    let local = ["http://", "https://"]
        .iter()
        .filter_map(|scheme| origin.strip_prefix(scheme))
        .any(is_local);
    if local {
        return Ok(());
    }
    Err((
        "foreign_origin",
        format!("requests from the web page {origin:?} are refused: it is not of this machine"),
    ))
}

/// Whether `host[:port]` names this machine by loopback.
fn is_local(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|local| name.eq_ignore_ascii_case(local))
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|value| value.to_str().unwrap_or("?"))
}

/// Compares in the same time wherever the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |seen, (a, b)| seen | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_pass() {
        for host in [
            "localhost",
            "LOCALHOST:7472",
            "127.0.0.1:1",
            "[::1]:7472",
            "[::1]",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "",
            "evil.test",
            "localhost.evil.test:80",
            "127.0.0.1.evil.test",
            "::2",
            "localhost:x",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn cookies_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"ab"));
        assert!(!same(b"", b"a"));
    }
}
