//! Who may speak to the port: programs of this machine, others with a key, and
//! the web pages that the owner named.
//!
//! Listening on loopback keeps other machines out, but not a web page in the
//! owner's browser: with DNS rebinding it carries a foreign `Host`, without it a
//! foreign `Origin`. Both are refused, with the option that would allow them.
//! Whoever comes from another machine, or through a proxy that says so, needs a
//! key, and reaches neither `/api/v1` nor `/metrics`. Writes to `/api/v1` also
//! need the cookie of `api.json`, which only the owner can read.

use super::errors::{HttpError, too_large};
use super::gate::Gate;
use super::visit::Visit;
use super::{App, NodeApi, cors};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::net::{IpAddr, SocketAddr};

/// What a path is for, as far as the guard cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Area {
    /// Probes: for everybody who reaches the port.
    Open,
    /// The owner's own: this machine only.
    Owner,
    /// Everything else: others need a key.
    Shared,
}

impl Area {
    fn of(path: &str) -> Self {
        let below = |folder: &str| {
            let rest = path.strip_prefix(folder);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if ["/livez", "/readyz", "/health"].contains(&path) {
            Self::Open
        } else if path == "/" || below("/assets") || below("/api") || below("/metrics") {
            Self::Owner
        } else {
            Self::Shared
        }
    }
}

/// Refuses foreign hosts and origins, bodies beyond the bound, and strangers.
pub(crate) async fn enter<N: NodeApi>(
    State(app): State<App<N>>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let origin = request.headers().get(header::ORIGIN).cloned();
    let checked = check(&app.gate, peer, &request);
    let may_read = matches!(checked, Ok(true));
    let mut response = match checked {
        Ok(_) if may_read && cors::is_preflight(request.method(), request.headers()) => {
            cors::preflight(request.headers())
        }
        Ok(_) => match admit(&app.gate, peer, &request) {
            Ok(()) => next.run(request).await,
            Err(error) => error.into_response(),
        },
        Err(error) => error.into_response(),
    };
    if let (true, Some(origin)) = (may_read, origin) {
        cors::allow(&mut response, origin);
    }
    response
}

/// Body, host and origin. True when the origin is one that the owner named.
fn check(gate: &Gate, peer: SocketAddr, request: &Request) -> Result<bool, HttpError> {
    let headers = request.headers();
    // Said before the body is awaited; a body without a length meets the same
    // bound while it is read.
    let length = text(headers, &header::CONTENT_LENGTH).and_then(|text| text.parse().ok());
    if length.is_some_and(|length: u64| length > super::BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    let area = Area::of(request.uri().path());
    let checked = check_host(gate, headers, area).and_then(|()| check_origin(gate, headers, area));
    checked.map_err(|(code, message)| {
        let path = request.uri().path();
        tracing::warn!(path, %peer, "refused a request: {message}");
        HttpError::other(StatusCode::FORBIDDEN, "permission_error", code, message)
    })
}

type Refused = (&'static str, String);

fn check_host(gate: &Gate, headers: &HeaderMap, area: Area) -> Result<(), Refused> {
    let host = text(headers, &header::HOST).unwrap_or_default();
    let name = without_port(host);
    let named = || {
        let mut hosts = gate.hosts.iter();
        hosts.any(|allowed| allowed.eq_ignore_ascii_case(name))
    };
    // A supervisor asks by address; a page learns nothing from a probe.
    if is_local(host) || area == Area::Open || named() {
        return Ok(());
    }
    let message = format!(
        "Host is {host:?}, but this port answers to localhost, 127.0.0.1, [::1] and the names \
         given to it; to allow this one start the node with: --http-host {name}"
    );
    Err(("foreign_host", message))
}

/// True when the owner named the origin.
fn check_origin(gate: &Gate, headers: &HeaderMap, area: Area) -> Result<bool, Refused> {
    let Some(origin) = text(headers, &header::ORIGIN) else {
        return Ok(false);
    };
    if area != Area::Owner && gate.origins.iter().any(|allowed| allowed == origin) {
        return Ok(true);
    }
    let local = ["http://", "https://"]
        .iter()
        .filter_map(|scheme| origin.strip_prefix(scheme))
        .any(is_local);
    if local {
        return Ok(false);
    }
    let way_out = if area == Area::Owner {
        "no page of elsewhere may use this path"
    } else {
        "to allow it start the node with: --cors-origin "
    };
    let shown = if area == Area::Owner { "" } else { origin };
    let message = format!(
        "requests from the web page {origin:?} are refused: it is not of this machine; \
         {way_out}{shown}"
    );
    Err(("foreign_origin", message))
}

/// Keys: good or bad, needed or not.
fn admit(gate: &Gate, peer: SocketAddr, request: &Request) -> Result<(), HttpError> {
    let area = Area::of(request.uri().path());
    let is_here = is_here(&gate.locals, peer, request.headers());
    if area == Area::Owner && !is_here {
        let path = request.uri().path();
        tracing::warn!(path, %peer, "refused a request from elsewhere");
        let message = format!("{path} answers to programs of the node's own machine only");
        return Err(HttpError::other(
            StatusCode::FORBIDDEN,
            "permission_error",
            "loopback_only",
            message,
        ));
    }
    if area != Area::Shared {
        return Ok(());
    }
    let key = bearer(request.headers()).and_then(|text| gate.keys.find(text));
    match key {
        Some(key) => {
            if let Some(visit) = request.extensions().get::<Visit>() {
                visit.set_key(key);
            }
            Ok(())
        }
        // Official clients always send something; here it need not be a key.
        None if is_here => Ok(()),
        None => Err(HttpError::other(
            StatusCode::UNAUTHORIZED,
            "authentication_error",
            "invalid_api_key",
            "from another machine this needs the header `authorization: Bearer KEY` with a key \
             of this node; its owner makes one with `talkoot key new NAME`",
        )),
    }
}

/// Whether a request comes from a program of this machine: over loopback (or from
/// an address that the owner counts as this machine), for a name of loopback, and
/// not passed on by a proxy.
fn is_here(locals: &[IpAddr], peer: SocketAddr, headers: &HeaderMap) -> bool {
    const PASSED_ON: [&str; 3] = ["forwarded", "x-forwarded-for", "x-real-ip"];
    let ip = peer.ip().to_canonical();
    (ip.is_loopback() || locals.contains(&ip))
        && is_local(text(headers, &header::HOST).unwrap_or_default())
        && !PASSED_ON.iter().any(|name| headers.contains_key(*name))
}

/// Asks for the cookie.
pub(crate) async fn cookie<N: NodeApi>(
    State(app): State<App<N>>,
    request: Request,
    next: Next,
) -> Response {
    let given = bearer(request.headers());
    if given.is_some_and(|given| same(given.as_bytes(), app.gate.token.as_bytes())) {
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

/// Whether `host[:port]` names this machine by loopback.
fn is_local(host: &str) -> bool {
    let name = without_port(host);
    ["localhost", "127.0.0.1", "[::1]"]
        .iter()
        .any(|local| name.eq_ignore_ascii_case(local))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, given) = text(headers, &header::AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| given.trim())
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
    use axum::http::HeaderValue;

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
    fn paths_have_their_area() {
        for path in [
            "/api/v1/status",
            "/api",
            "/metrics",
            "/metrics/x",
            "/",
            "/assets/app.js",
        ] {
            assert_eq!(Area::of(path), Area::Owner, "{path}");
        }
        for path in ["/v1/models", "/tokenize", "/assetsy", "/apiary", "/livez/x"] {
            assert_eq!(Area::of(path), Area::Shared, "{path}");
        }
        assert_eq!(Area::of("/readyz"), Area::Open);
    }

    #[test]
    fn here_is_loopback_without_a_proxy() {
        let headers = |extra: Option<&'static str>, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(name) = extra {
                headers.insert(name, HeaderValue::from_static("192.0.2.1"));
            }
            headers
        };
        let peer = |text: &str| text.parse::<SocketAddr>().unwrap();
        let plain = headers(None, "localhost:7472");
        for here in [
            "127.0.0.1:9",
            "127.8.8.8:9",
            "[::1]:9",
            "[::ffff:127.0.0.1]:9",
        ] {
            assert!(is_here(&[], peer(here), &plain), "{here}");
        }
        for elsewhere in ["192.0.2.1:9", "[2001:db8::1]:9", "0.0.0.0:9"] {
            assert!(!is_here(&[], peer(elsewhere), &plain), "{elsewhere}");
        }
        let here = peer("127.0.0.1:9");
        assert!(!is_here(
            &[],
            here,
            &headers(Some("x-forwarded-for"), "localhost")
        ));
        assert!(!is_here(&[], here, &headers(None, "node.test")));
        // A container's host, where the owner says so, under the same conditions.
        let host = peer("172.28.74.1:9");
        let locals = [host.ip()];
        assert!(is_here(&locals, host, &plain));
        assert!(!is_here(&locals, peer("172.28.74.2:9"), &plain));
        assert!(!is_here(&locals, host, &headers(None, "node.test")));
    }

    #[test]
    fn cookies_are_compared_whole() {
        assert!(same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd"));
        assert!(!same(b"abc", b"ab"));
        assert!(!same(b"", b"a"));
    }
}
