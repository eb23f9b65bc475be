//! The HTTP port as programs meet it: probes, a foreign `Host`, one token, keys.
//!
//! Speaks plain HTTP over a socket of its own, because it must send what an honest
//! client does not.

use super::running::needs_a_node;
use super::{Finding, Scene};
use crate::exit::Failure;
use crate::keys::{self, Key};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

/// How long a probe may take.
const PROBE: Duration = Duration::from_secs(4);
/// How long one token may take.
const TOKEN: Duration = Duration::from_secs(60);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// A name that no node is given.
const FOREIGN_HOST: &str = "doctor.invalid";

/// Status and body of an answer.
type Answer = Result<(u16, String), String>;

/// What the port said.
#[derive(Debug)]
struct Said {
    live: Answer,
    ready: Answer,
    foreign: Answer,
}

/// `api`.
pub(super) fn port(scene: &Scene<'_>) -> Finding {
    let Some(running) = scene.node.running() else {
        return needs_a_node();
    };
    let url = &running.api.url;
    let get = |path: &str, host: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        exchange(url, &request, PROBE)
    };
    judge_port(&Said {
        live: get("/livez", "localhost"),
        ready: get("/readyz", "localhost"),
        foreign: get("/api/v1/status", FOREIGN_HOST),
    })
}

fn judge_port(said: &Said) -> Finding {
    match &said.live {
        Ok((200, _)) => {}
        other => {
            return Finding::fail(
                format!("/livez: {}", shown(other)),
                "another program may have the port (`ports`); start the node again",
            );
        }
    }
    if !matches!(said.foreign, Ok((403, _))) {
        return Finding::fail(
            format!("a foreign Host is not refused: {}", shown(&said.foreign)),
            "something between answers for the node, or `--http-host` names too much: a web page \
             could reach the node so",
        );
    }
    match &said.ready {
        Ok((200, _)) => Finding::pass("/livez and /readyz answer, a foreign Host is refused"),
        other => Finding::warn(
            format!("not ready: {}", reason(other)),
            "no model has a full route now; see `coverage`",
        ),
    }
}

fn shown(answer: &Answer) -> String {
    match answer {
        Ok((status, body)) => {
            let line = body.lines().next().unwrap_or_default();
            let short: String = line.chars().take(200).collect();
            format!("{status} {short}").trim_end().to_owned()
        }
        Err(error) => error.clone(),
    }
}

/// The message of an error body, or all of it.
fn reason(answer: &Answer) -> String {
    let message = answer.as_ref().ok().and_then(|(_, body)| {
        let body: serde_json::Value = serde_json::from_str(body).ok()?;
        Some(body.get("error")?.get("message")?.as_str()?.to_owned())
    });
    message.unwrap_or_else(|| shown(answer))
}

/// `answer`.
pub(super) fn answer(scene: &Scene<'_>) -> Finding {
    let Some(running) = scene.node.running() else {
        return needs_a_node();
    };
    if !running.status.ready {
        return Finding::skip("no model has a full route now (`coverage`)");
    }
    let body = r#"{"model":"","stream":true,"max_tokens":1,"messages":[{"role":"user","content":"Hello"}]}"#;
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    judge_answer(&exchange(&running.api.url, &request, TOKEN))
}

fn judge_answer(said: &Answer) -> Finding {
    let is_whole = |text: &str| text.contains("[DONE]") && !text.contains("\"error\"");
    match said {
        Ok((200, text)) if is_whole(text) => Finding::pass("one token was streamed"),
        Ok((402, _)) => Finding::warn(
            format!("refused for want of credits: {}", shown(said)),
            "earn by lending layers, or ask a member for a line (`talkoot invite --line`)",
        ),
        Ok((429 | 503, _)) => Finding::warn(
            format!("not now: {}", shown(said)),
            "try again in a moment; `talkoot status` says what is served",
        ),
        Ok((200, text)) => Finding::fail(
            text.lines()
                .find(|line| line.contains("\"error\""))
                .unwrap_or("the stream ended before its end")
                .chars()
                .take(200)
                .collect::<String>(),
            "the log of the node, and of the peer that is named, say why",
        ),
        other => Finding::fail(
            shown(other),
            "the log of the node, and of the peer that is named, say why",
        ),
    }
}

/// Sends a request to `http://IP:PORT` and reads the answer to its end.
fn exchange(url: &str, request: &str, timeout: Duration) -> Answer {
    let address = url.strip_prefix("http://").unwrap_or(url);
    let address: SocketAddr = address
        .parse()
        .map_err(|_| format!("{url} is no address"))?;
    let talk = || {
        let mut stream = TcpStream::connect_timeout(&address, PROBE)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(PROBE))?;
        stream.write_all(request.as_bytes())?;
        let mut bytes = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = talk().map_err(|error| error.to_string())?;
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| "what answers does not speak HTTP".to_owned())?;
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

/// `keys`.
pub(super) fn keys(scene: &Scene<'_>) -> Finding {
    judge_keys(&keys::read(scene.home), scene.wishes.http_listen)
}

fn judge_keys(keys: &Result<Vec<Key>, Failure>, listen: IpAddr) -> Finding {
    match keys {
        Err(failure) => Finding::of(
            failure,
            "remove the file and make the keys anew: `talkoot key new NAME`",
        ),
        Ok(keys) if keys.is_empty() && !listen.is_loopback() => Finding::fail(
            format!(
                "--http-listen {listen} opens the port to others, and there is no key: `up` refuses"
            ),
            "`talkoot key new NAME` makes one; without --http-listen only this machine asks",
        ),
        Ok(keys) if listen.is_loopback() => {
            Finding::pass(format!("only this machine may ask; {} keys", keys.len()))
        }
        Ok(keys) => Finding::pass(format!("others need one of {} keys", keys.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use std::net::{Ipv4Addr, TcpListener};

    fn said(status: u16, body: &str) -> Answer {
        Ok((status, body.to_owned()))
    }

    #[test]
    fn a_port_is_alive_ready_and_refuses_strangers() {
        let judged = |live, ready, foreign| {
            let (live, ready, foreign) = (said(live, ""), said(ready, ""), said(foreign, ""));
            judge_port(&Said {
                live,
                ready,
                foreign,
            })
            .verdict
        };
        assert_eq!(judged(200, 200, 403), Verdict::Pass);
        assert_eq!(judged(200, 503, 403), Verdict::Warn);
        assert_eq!(judged(200, 200, 200), Verdict::Fail);
        assert_eq!(judged(404, 200, 403), Verdict::Fail);
    }

    #[test]
    fn a_token_comes_or_the_reason_does() {
        let whole = "data: {}\n\ndata: [DONE]\n";
        let judged = |answer: &Answer| judge_answer(answer).verdict;
        assert_eq!(judged(&said(200, whole)), Verdict::Pass);
        assert_eq!(judged(&said(200, "data: {\"error\": {}}\n")), Verdict::Fail);
        assert_eq!(judged(&said(200, "data: {}\n")), Verdict::Fail);
        assert_eq!(judged(&said(402, "{}")), Verdict::Warn);
        assert_eq!(judged(&said(503, "{}")), Verdict::Warn);
        assert_eq!(judged(&Err("x".to_owned())), Verdict::Fail);
    }

    #[test]
    fn whoever_does_not_speak_http_is_told_apart() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = std::thread::spawn(move || {
            for answer in ["HTTP/1.1 403 no\r\n\r\nbody", "ssh"] {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1];
                stream.read_exact(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        assert_eq!(exchange(&url, "x", PROBE), Ok((403, "body".to_owned())));
        assert!(exchange(&url, "x", PROBE).unwrap_err().contains("HTTP"));
        server.join().unwrap();
        assert!(exchange(&url, "x", PROBE).is_err());
        assert!(exchange("nowhere", "x", PROBE).is_err());
    }

    #[test]
    fn an_open_port_needs_keys() {
        let none = Ok(Vec::new());
        let open = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        assert_eq!(
            judge_keys(&none, Ipv4Addr::LOCALHOST.into()).verdict,
            Verdict::Pass
        );
        assert_eq!(judge_keys(&none, open).verdict, Verdict::Fail);
    }
}
