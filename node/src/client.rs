//! The commands' side of `/api/v1`: a small blocking HTTP client.
//!
//! It finds the node by `api.json`, sends the cookie, and turns error bodies
//! back into [`Failure`]s with their exit codes. It speaks to our own loopback
//! port only: no proxy, no redirects.

use crate::api::{AskEvent, AskRequest, ErrorCode};
use crate::exit::{Exit, Failure};
use crate::home::{ApiFile, Home};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
const BODY_BYTES_MAX: u64 = 64 << 20;

/// Speaks to one running node.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    api: ApiFile,
}

impl Client {
    /// A client for the node that runs in `home`.
    ///
    /// # Errors
    /// [`Exit::NotRunning`] when none does.
    pub fn connect(home: &Home) -> Result<Self, Failure> {
        let api = home.read_api()?.ok_or_else(|| {
            let message = if home.is_locked() {
                "the node is still starting"
            } else {
                "no node runs here"
            };
            not_running(message)
        })?;
        Ok(Self::new(api))
    }

    /// A client for the node that wrote `api`.
    #[must_use]
    pub fn new(api: ApiFile) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .build()
            .new_agent();
        Self { agent, api }
    }

    /// How the node is reached.
    #[must_use]
    pub fn api(&self) -> &ApiFile {
        &self.api
    }

    /// `GET /api/v1/<path>`.
    ///
    /// # Errors
    /// The node's error, or [`Exit::NotRunning`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let response = self
            .agent
            .get(self.url(path))
            .header("authorization", self.bearer())
            .config()
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .call();
        let text = read_text(self.accept(response)?)?;
        parse(&text)
    }

    /// `POST /api/v1/<path>`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let response = self
            .agent
            .post(self.url(path))
            .header("authorization", self.bearer())
            .header("content-type", "application/json")
            .config()
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .send(encode(body)?);
        let text = read_text(self.accept(response)?)?;
        parse(&text)
    }

    /// Asks; the events come one by one as the node makes them. Dropping the
    /// stream cancels the answer.
    ///
    /// # Errors
    /// As [`Client::get`]; an error before the first token ends here.
    pub fn ask(&self, request: &AskRequest) -> Result<AskStream, Failure> {
        self.ask_until(request, Arc::default())
    }

    /// Asks like [`Client::ask`]; the stream ends, which cancels the answer,
    /// soon after `stop` is set: with the node's next line, at most a second
    /// later once the answer has begun.
    ///
    /// # Errors
    /// As [`Client::ask`].
    pub fn ask_until(
        &self,
        request: &AskRequest,
        stop: Arc<AtomicBool>,
    ) -> Result<AskStream, Failure> {
        let response = self
            .agent
            .post(self.url("ask"))
            .header("authorization", self.bearer())
            .header("content-type", "application/json")
            .send(encode(request)?);
        let body = self.accept(response)?;
        Ok(AskStream {
            lines: BufReader::new(Box::new(body.into_reader())),
            stop,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.api.url)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.api.token)
    }

    fn accept(
        &self,
        response: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<ureq::Body, Failure> {
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let text = read_text(response.into_body())?;
        Err(error_of(&text).unwrap_or_else(|| {
            Failure::new(Exit::Failure, format!("the node answered {status}: {text}"))
        }))
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        let api = &self.api;
        match error {
            ureq::Error::Timeout(_) => Failure::new(
                Exit::TimedOut,
                format!("the node (process {}) does not answer in time", api.pid),
            ),
            _ => not_running(&format!(
                "nothing answers at {} (process {} was the last node here): {error}",
                api.url, api.pid
            )),
        }
    }
}

/// The events of one answer.
pub struct AskStream {
    lines: BufReader<Box<dyn Read + Send>>,
    stop: Arc<AtomicBool>,
}

impl std::fmt::Debug for AskStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AskStream")
    }
}

impl Iterator for AskStream {
    type Item = Result<AskEvent, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = String::new();
        loop {
            line.clear();
            match self.lines.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) if self.stop.load(Ordering::Relaxed) => return None,
                Ok(_) => {}
                Err(error) => {
                    let message = format!("the connection to the node broke: {error}");
                    return Some(Err(Failure::new(Exit::NotRunning, message)));
                }
            }
            // Empty lines end events, lines with a colon in front are comments.
            if let Some(data) = line.trim_end().strip_prefix("data: ") {
                return Some(parse(data));
            }
        }
    }
}

/// No node runs; how to start one.
#[must_use]
pub fn not_running(message: &str) -> Failure {
    Failure::new(Exit::NotRunning, message)
        .hint("`talkoot up` starts a node; leave it running and try again in another terminal")
}

/// Reads an error body.
fn error_of(text: &str) -> Option<Failure> {
    let body: serde_json::Value = serde_json::from_str(text).ok()?;
    let error = body.get("error")?;
    let message = error.get("message")?.as_str()?;
    let exit = serde_json::from_value::<ErrorCode>(error.get("code")?.clone())
        .map_or(Exit::Failure, Exit::from);
    Some(Failure::new(exit, message))
}

fn read_text(body: ureq::Body) -> Result<String, Failure> {
    body.into_with_config()
        .limit(BODY_BYTES_MAX)
        .read_to_string()
        .map_err(|error| {
            Failure::new(
                Exit::NotRunning,
                format!("the node's answer broke: {error}"),
            )
        })
}

fn encode(body: &impl Serialize) -> Result<String, Failure> {
    serde_json::to_string(body).map_err(|error| Failure::new(Exit::Failure, error.to_string()))
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::new(
            Exit::Failure,
            format!("the node's answer is not understood ({error}): is it of another version?"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_body_becomes_its_exit_code() {
        let body = r#"{"error":{"message":"2 GFT short","type":"x","param":null,"code":"insufficient_credits"}}"#;
        let failure = error_of(body).unwrap();
        assert_eq!(failure.exit, Exit::InsufficientCredits);
        assert_eq!(failure.message, "2 GFT short");
        assert!(error_of("<html>").is_none());
    }

    #[test]
    fn comments_and_blank_lines_are_skipped() {
        let text = ": keep-alive\n\ndata: {\"event\":\"delta\",\"text\":\"a\",\"tokens\":[]}\n\n";
        let mut stream = AskStream {
            lines: BufReader::new(Box::new(text.as_bytes())),
            stop: Arc::default(),
        };
        assert!(matches!(
            stream.next(),
            Some(Ok(AskEvent::Delta { text, .. })) if text == "a"
        ));
        assert!(stream.next().is_none());
        let mut stopped = AskStream {
            lines: BufReader::new(Box::new(text.as_bytes())),
            stop: Arc::new(AtomicBool::new(true)),
        };
        assert!(stopped.next().is_none());
    }
}
