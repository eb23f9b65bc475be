//! The dashboard: the files of `node/dashboard`, embedded, at `/` and `/assets`.
//!
//! Plain files, sent as they are: nothing is generated, and nothing of them needs
//! another address than the node's. The policy that comes with each forbids the
//! browser any. The only place that knows rust-embed.

use super::errors::HttpError;
use super::{App, NodeApi};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::Embed;

#[derive(Debug, Embed)]
#[folder = "dashboard"]
#[exclude = "*.md"]
struct Files;

const PAGE: &str = "index.html";

/// Scripts, styles and connections of the node alone, no frames around the page.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'; \
                      base-uri 'none'; form-action 'none'";

/// The page itself.
pub(crate) async fn page<N: NodeApi>(State(app): State<App<N>>, headers: HeaderMap) -> Response {
    file(app.gate.has_dashboard, PAGE, &headers)
}

/// One of its parts.
pub(crate) async fn asset<N: NodeApi>(
    State(app): State<App<N>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    file(app.gate.has_dashboard, &name, &headers)
}

fn file(has_dashboard: bool, name: &str, headers: &HeaderMap) -> Response {
    let missing = |code: &'static str, message: String| {
        HttpError::other(StatusCode::NOT_FOUND, "not_found_error", code, message).into_response()
    };
    if !has_dashboard {
        let message = "this node was started with --no-dashboard; without it the page is here";
        return missing("no_dashboard", message.to_owned());
    }
    let Some((found, kind)) = Files::get(name).zip(media_type(name)) else {
        return missing("unknown_url", format!("the dashboard has no file {name:?}"));
    };
    let tag = format!("\"{}\"", hex(&found.metadata.sha256_hash()));
    let known = headers.get(header::IF_NONE_MATCH);
    let is_known = known.is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        found.data.into_response()
    };
    let fixed = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ];
    let headers = response.headers_mut();
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    response
}

/// The type of a file by its name; other files are not part of the page.
fn media_type(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    match ending {
        "html" => Some("text/html; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

fn hex(hash: &[u8; 32]) -> String {
    data_encoding::HEXLOWER.encode(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn texts() -> Vec<(String, String)> {
        let text = |name: &str| {
            let data = Files::get(name).unwrap().data;
            String::from_utf8(data.into_owned()).unwrap()
        };
        Files::iter()
            .map(|name| (name.to_string(), text(&name)))
            .collect()
    }

    /// Every quoted text in a file.
    fn quoted(text: &str) -> impl Iterator<Item = &str> {
        text.lines()
            .flat_map(|line| line.split(['"', '\'', '`']).skip(1).step_by(2))
    }

    #[test]
    fn no_file_names_an_address_elsewhere() {
        for (name, text) in texts() {
            for (index, line) in text.lines().enumerate() {
                // Names of namespaces are no addresses: nothing is fetched there.
                let line = line.replace("http://www.w3.org/", "");
                let code = line.split(" //").next().unwrap_or(&line);
                let is_named = ["http://", "https://", "\"//"]
                    .iter()
                    .any(|one| code.contains(one));
                assert!(!is_named, "{name}:{}: {line}", index + 1);
            }
        }
    }

    #[test]
    fn every_file_that_is_referred_to_exists_and_all_are_used() {
        let files = texts();
        let mut used = BTreeSet::from([PAGE.to_owned()]);
        for (name, text) in &files {
            for quoted in quoted(text) {
                let target = quoted
                    .strip_prefix("/assets/")
                    .or_else(|| quoted.strip_prefix("./"))
                    .filter(|target| media_type(target).is_some());
                if let Some(target) = target {
                    assert!(Files::get(target).is_some(), "{name} refers to {target}");
                    used.insert(target.to_owned());
                }
            }
        }
        for (name, _) in &files {
            assert!(
                used.contains(name),
                "{name} is embedded and used by nothing"
            );
            assert!(media_type(name).is_some(), "{name} has no media type");
        }
    }
}
