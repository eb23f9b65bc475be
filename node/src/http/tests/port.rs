//! Who may use the port and how much: keys, names, origins, places, ids, probes
//! and metrics, over real sockets.

use super::*;
use crate::home::Home;
use crate::http::AdmissionLimits;
use crate::keys::{self, KeyCaps, KeyRing};

const ELSEWHERE: &str = "192.0.2.7:4000";
const STREAM: &str =
    r#"{"model":"demo","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

/// A home with a key of these caps, and its text.
struct Keyed {
    _directory: tempfile::TempDir,
    home: Home,
    key: String,
}

impl Keyed {
    fn new(caps: KeyCaps) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        let key = keys::create(&home, "alice", caps, 1).unwrap();
        Self {
            _directory: directory,
            home,
            key,
        }
    }

    fn settings(&self) -> PortSettings {
        PortSettings {
            keys: KeyRing::open(&self.home).unwrap(),
            usage_path: Some(self.home.key_usage_path()),
            ..PortSettings::local(TOKEN)
        }
    }
}

impl Server {
    /// A request with more headers; each ends with a line break.
    fn with_headers(&self, line: &str, headers: &str, body: &str) -> (String, String) {
        let length = body.len();
        let host = if headers.contains("host:") {
            ""
        } else {
            "host: localhost\r\n"
        };
        self.raw(&format!(
            "{line} HTTP/1.1\r\n{host}{headers}connection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        ))
    }

    fn chat_with(&self, key: &str) -> (String, String) {
        let headers = format!("authorization: Bearer {key}\r\n");
        self.with_headers("POST /v1/chat/completions", &headers, CHAT)
    }

    /// Opens a stream and reads `count` bytes of its beginning.
    fn open_stream(&self, count: usize) -> std::net::TcpStream {
        let mut socket = std::net::TcpStream::connect(self.address).unwrap();
        write!(
            socket,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n\
             content-length: {}\r\n\r\n{STREAM}",
            STREAM.len()
        )
        .unwrap();
        socket.read_exact(&mut vec![0; count]).unwrap();
        socket
    }

    fn metric(&self, line: &str) -> bool {
        let (_, text) = self.get("/metrics");
        text.lines().any(|found| found == line)
    }

    fn wait_metric(&self, line: &str) {
        let began = clock::monotonic();
        while !self.metric(line) {
            let shown = self.get("/metrics").1;
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{line}:\n{shown}"
            );
        }
    }
}

fn limits(answers_max: usize, queue_max: usize) -> PortSettings {
    PortSettings {
        limits: AdmissionLimits {
            answers_max,
            queue_max,
        },
        ..PortSettings::local(TOKEN)
    }
}

#[test]
fn elsewhere_needs_a_key_and_sees_nothing_of_the_owners() {
    let keyed = Keyed::new(KeyCaps::default());
    let server = Server::seen_from(ELSEWHERE, FakeNode::default(), keyed.settings());
    for key in ["", "tk-guess", TOKEN] {
        let (head, body) = server.chat_with(key);
        assert!(head.starts_with("http/1.1 401"), "{head}");
        assert!(body.contains("invalid_api_key") && body.contains("talkoot key new"));
        assert!(body.contains("authentication_error"));
    }
    let (head, _) = server.get("/v1/models");
    assert!(head.starts_with("http/1.1 401"), "{head}");
    assert!(server.chat_with(&keyed.key).0.starts_with("http/1.1 200"));
    for path in ["/api/v1/status", "/metrics"] {
        let bearer = format!("authorization: Bearer {}\r\n", keyed.key);
        let (head, body) = server.with_headers(&format!("GET {path}"), &bearer, "");
        assert!(head.starts_with("http/1.1 403"), "{path}: {head}");
        assert!(body.contains("loopback_only"), "{body}");
    }
    assert!(server.get("/livez").0.starts_with("http/1.1 200"));
    assert!(server.get("/readyz").0.starts_with("http/1.1 200"));
    // Without a restart.
    keys::remove(&keyed.home, "alice").unwrap();
    assert!(server.chat_with(&keyed.key).0.starts_with("http/1.1 401"));
}

#[test]
fn here_a_key_is_optional_and_a_proxy_is_not_here() {
    let keyed = Keyed::new(KeyCaps::default());
    let server = Server::with(FakeNode::default(), keyed.settings());
    for key in ["sk-whatever", keyed.key.as_str()] {
        assert!(server.chat_with(key).0.starts_with("http/1.1 200"), "{key}");
    }
    let proxied = "x-forwarded-for: 192.0.2.7\r\n";
    let (head, _) = server.with_headers("GET /v1/models", proxied, "");
    assert!(head.starts_with("http/1.1 401"), "{head}");
    let (head, _) = server.with_headers("GET /api/v1/status", proxied, "");
    assert!(head.starts_with("http/1.1 403"), "{head}");
}

#[test]
fn names_and_origins_are_those_the_owner_gave() {
    let keyed = Keyed::new(KeyCaps::default());
    let origin = "https://app.test";
    let settings = PortSettings {
        hosts: vec!["node.test".to_owned()],
        origins: vec![origin.to_owned()],
        ..keyed.settings()
    };
    let server = Server::with(FakeNode::default(), settings);
    let models = |headers: &str| server.with_headers("GET /v1/models", headers, "");
    let bearer = format!("authorization: Bearer {}\r\n", keyed.key);
    let (head, _) = models(&format!("host: Node.test:7472\r\n{bearer}"));
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let (head, body) = models("host: other.test:80\r\n");
    assert!(head.starts_with("http/1.1 403"), "{head}");
    assert!(body.contains("--http-host other.test") && body.contains("foreign_host"));

    let (head, _) = models(&format!("origin: {origin}\r\n"));
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains(&format!("access-control-allow-origin: {origin}")));
    assert!(head.contains("access-control-expose-headers: x-request-id"));
    let ask = "access-control-request-method: POST\r\n\
               access-control-request-headers: authorization,x-stainless-os\r\n";
    let preflight = |origin: &str, path: &str| {
        let headers = format!("origin: {origin}\r\n{ask}");
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        write!(
            socket,
            "OPTIONS {path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        answer.to_ascii_lowercase()
    };
    let answer = preflight(origin, "/v1/chat/completions");
    assert!(answer.starts_with("http/1.1 204"), "{answer}");
    assert!(answer.contains("access-control-allow-headers: authorization,x-stainless-os"));
    assert!(answer.contains("access-control-allow-methods: get, head, post"));
    for (from, path) in [
        ("https://evil.test", "/v1/chat/completions"),
        (origin, "/api/v1/status"),
    ] {
        let answer = preflight(from, path);
        assert!(answer.starts_with("http/1.1 403"), "{answer}");
        assert!(!answer.contains("access-control-allow-origin"), "{answer}");
    }
    let (_, body) = models("origin: https://evil.test\r\n");
    assert!(body.contains("--cors-origin https://evil.test"), "{body}");
}

#[test]
fn a_full_port_makes_wait_and_then_refuses() {
    let server = Server::with(FakeNode::endless(), limits(1, 1));
    let first = server.open_stream(64);
    server.wait_metric("talkoot_answers_running 1");
    std::thread::scope(|scope| {
        let second = scope.spawn(|| server.open_stream(64));
        server.wait_metric("talkoot_answers_waiting 1");
        let (head, body) = server.post("/v1/chat/completions", CHAT);
        assert!(head.starts_with("http/1.1 429"), "{head}");
        assert!(head.contains("retry-after: 5") && head.contains("retry-after-ms: 5000"));
        assert!(body.contains("queue_full") && body.contains("--max-queue"));
        let refused = server.client(TOKEN).ask(&question()).unwrap_err();
        assert_eq!(refused.exit, Exit::from(crate::api::ErrorCode::QueueFull));
        // The place goes to the one who waits, who needs no second try.
        drop(first);
        assert!(server.node.wait_cancelled(Duration::from_secs(10)));
        drop(second.join().unwrap());
    });
    server.wait_metric("talkoot_answers_running 0");
    assert!(server.metric("talkoot_answers_failed_total{code=\"queue_full\"} 2"));
}

#[test]
fn a_client_that_goes_away_while_it_waits_leaves_the_queue() {
    let server = Server::with(FakeNode::endless(), limits(1, 1));
    let first = server.open_stream(64);
    let waiting = server.open_stream(0);
    server.wait_metric("talkoot_answers_waiting 1");
    drop(waiting);
    server.wait_metric("talkoot_answers_waiting 0");
    let line = "talkoot_requests_total{path=\"/v1/chat/completions\",status=\"499\"} 1";
    server.wait_metric(line);
    drop(first);
    server.wait_metric("talkoot_answers_running 0");
}

#[test]
fn fifty_at_once_all_get_their_answer() {
    let server = Server::with(FakeNode::default(), limits(4, 64));
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| server.post("/v1/chat/completions", CHAT).0))
            .collect();
        for one in all {
            let head = one.join().unwrap();
            assert!(head.starts_with("http/1.1 200"), "{head}");
        }
    });
    server.wait_metric("talkoot_answers_finished_total{reason=\"stop\"} 50");
    assert!(server.metric("talkoot_queue_seconds_count 50"));
}

#[test]
fn a_key_that_asks_too_often_is_told_when_it_may() {
    let keyed = Keyed::new(KeyCaps {
        requests_per_minute: Some(2),
        ..KeyCaps::default()
    });
    let server = Server::seen_from(ELSEWHERE, FakeNode::default(), keyed.settings());
    let (head, _) = server.chat_with(&keyed.key);
    assert!(head.contains("x-ratelimit-limit-requests: 2"), "{head}");
    assert!(head.contains("x-ratelimit-remaining-requests: 1"), "{head}");
    server.chat_with(&keyed.key);
    let (head, body) = server.chat_with(&keyed.key);
    assert!(head.starts_with("http/1.1 429"), "{head}");
    assert!(body.contains("rate_limit_exceeded"), "{body}");
    for header in [
        "retry-after: ",
        "retry-after-ms: ",
        "x-ratelimit-remaining-requests: 0",
        "x-ratelimit-reset-requests: ",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    // Here, too, a key that is sent has its caps; without it there are none.
    let server = Server::with(FakeNode::default(), keyed.settings());
    for status in ["200", "200", "429"] {
        let (head, _) = server.chat_with(&keyed.key);
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
    }
    assert!(server.chat_with("none").0.starts_with("http/1.1 200"));
}

#[test]
fn a_key_spends_what_it_may_and_a_cancelled_answer_counts() {
    for (node, spent) in [(FakeNode::default(), 600), (FakeNode::endless(), 900)] {
        let keyed = Keyed::new(KeyCaps {
            ugft_per_day: Some(spent),
            ..KeyCaps::default()
        });
        let server = Server::with(node, keyed.settings());
        let bearer = format!("authorization: Bearer {}\r\n", keyed.key);
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        write!(
            socket,
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n{bearer}\
             content-length: {}\r\n\r\n{STREAM}",
            STREAM.len()
        )
        .unwrap();
        // Up to the first text: a token has been paid for.
        let mut reader = BufReader::new(socket);
        let mut line = String::new();
        while !line.contains("\"content\":\"H") {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0);
        }
        drop(reader);
        server.wait_metric("talkoot_answers_running 0");
        let (head, body) = server.chat_with(&keyed.key);
        assert!(head.starts_with("http/1.1 429"), "{head}");
        assert!(
            body.contains("spending_cap_reached") && body.contains("UTC"),
            "{body}"
        );
        assert!(head.contains("retry-after: "), "{head}");
    }
}

#[test]
fn every_response_has_an_id() {
    let server = Server::start(FakeNode::default());
    for line in [
        "GET /v1/models",
        "GET /nowhere",
        "PUT /v1/models",
        "GET /livez",
    ] {
        let (head, _) = server.with_headers(line, "x-request-id: mine-7\r\n", "");
        assert!(head.contains("x-request-id: mine-7"), "{line}: {head}");
        let (head, _) = server.with_headers(line, "x-request-id: no name\r\n", "");
        assert!(head.contains("x-request-id: req-"), "{line}: {head}");
    }
    let (head, _) = server.with_headers("GET /v1/models", "host: evil.test\r\n", "");
    assert!(head.contains("x-request-id: req-"), "{head}");
    let (head, _) = server.with_headers(
        "POST /v1/chat/completions",
        "x-request-id: mine-8\r\n",
        CHAT,
    );
    assert!(head.contains("x-request-id: mine-8"), "{head}");
    assert_eq!(server.node.last_request_id().as_deref(), Some("mine-8"));
}

#[test]
fn probes_and_metrics_wait_for_nobody() {
    let server = Server::start(FakeNode::hanging());
    std::thread::scope(|scope| {
        let ready = scope.spawn(|| server.get("/readyz"));
        let metrics = scope.spawn(|| server.get("/metrics"));
        assert!(server.get("/livez").0.starts_with("http/1.1 200"));
        let (head, body) = metrics.join().unwrap();
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert!(body.contains("talkoot_scrape_stale 1"));
        let (head, body) = ready.join().unwrap();
        assert!(head.starts_with("http/1.1 503"), "{head}");
        assert!(body.contains("did not report in time"), "{body}");
    });
}

#[test]
fn head_is_answered_without_a_body() {
    let server = Server::start(FakeNode::default());
    for path in ["/metrics", "/livez", "/readyz", "/health", "/v1/models"] {
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        write!(
            socket,
            "HEAD {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
        assert!(answer.ends_with("\r\n\r\n"), "{path}: {answer}");
        if path == "/metrics" {
            assert!(answer.contains("application/openmetrics-text"), "{answer}");
        }
    }
}

#[test]
fn answers_are_counted_once_wherever_they_are_asked() {
    let server = Server::start(FakeNode::default());
    server.post("/v1/chat/completions", CHAT);
    let _: Vec<_> = server.client(TOKEN).ask(&question()).unwrap().collect();
    server.wait_metric("talkoot_answers_finished_total{reason=\"stop\"} 2");
    server.wait_metric("talkoot_answers_running 0");
    assert!(server.metric("talkoot_answers_burned_ugft_total 1200"));
    assert!(server.metric("talkoot_time_to_first_token_seconds_count 2"));
    assert!(server.metric("talkoot_prompt_tokens_total 8"));
    assert!(server.metric("talkoot_completion_tokens_total 4"));
    let line = "talkoot_requests_total{path=\"/v1/chat/completions\",status=\"200\"} 1";
    assert!(server.metric(line));
    server.get("/v1/models/a/b");
    assert!(server.metric("talkoot_requests_total{path=\"/v1/models/{*id}\",status=\"404\"} 1"));
}
