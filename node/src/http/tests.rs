//! The whole port, over real sockets, with a node made of plain data.

pub(crate) mod fake;
mod live;
mod open_ai;
mod port;

use super::*;
use crate::api::quote::QuoteView;
use crate::api::{
    AskEvent, AskRequest, AuthorQuestion, CreditsQuestion, EarningsQuestion, EarningsView,
    EntryQuestion, JobQuestion, JobView, LendingView, Prompt, StatementQuestion, StatusView,
};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::ApiFile;
use crate::views::LedgerQuestion;
use axum::extract::connect_info::MockConnectInfo;
use fake::FakeNode;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

const TOKEN: &str = "cookie";

/// A running server; the runtime stops it when dropped.
struct Server {
    _runtime: tokio::runtime::Runtime,
    address: SocketAddr,
    node: FakeNode,
}

impl Server {
    fn start(node: FakeNode) -> Self {
        Self::with(node, PortSettings::local(TOKEN))
    }

    fn with(node: FakeNode, settings: PortSettings) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(
            vec![listener],
            node.clone(),
            settings,
            std::future::pending(),
        ));
        Self {
            _runtime: runtime,
            address,
            node,
        }
    }

    /// A server to which every caller seems to be at `peer`.
    fn seen_from(peer: &str, node: FakeNode, settings: PortSettings) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let app = Arc::new(Shared::new(node.clone(), settings));
        let peer = MockConnectInfo(peer.parse::<SocketAddr>().unwrap());
        runtime.spawn(axum::serve(listener, router(&app).layer(peer)).into_future());
        Self {
            _runtime: runtime,
            address,
            node,
        }
    }

    fn client(&self, token: &str) -> Client {
        Client::new(ApiFile {
            schema: 1,
            url: format!("http://{}", self.address),
            token: token.to_owned(),
            pid: 0,
            version: String::new(),
            wallet: String::new(),
            peer_id: String::new(),
            network_id: String::new(),
            addresses: Vec::new(),
            data_addresses: Vec::new(),
        })
    }

    /// One raw exchange: status line and headers, body.
    fn raw(&self, request: &str) -> (String, String) {
        let mut socket = std::net::TcpStream::connect(self.address).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        // A server that refuses a large body may leave the socket open, so the
        // answer ends where its length says.
        let mut reader = BufReader::new(socket);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(
                reader.read_line(&mut head).unwrap() > 0,
                "cut after {head:?}"
            );
        }
        let head = head.to_ascii_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    fn get(&self, path: &str) -> (String, String) {
        self.raw(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        ))
    }

    fn post(&self, path: &str, body: &str) -> (String, String) {
        self.raw(&format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

fn question() -> AskRequest {
    AskRequest::plain(None, Prompt::Text("x".to_owned()))
}

const CHAT: &str = r#"{"model":"demo","messages":[{"role":"user","content":"hi"}]}"#;

#[test]
fn the_client_reads_every_shape() {
    let server = Server::start(FakeNode::default());
    let client = server.client(TOKEN);
    let status: StatusView = client.get("status").unwrap();
    assert!(status.ready);
    // Beyond 64 bits: amounts are not cut on the way.
    assert_eq!(status.balance.balance_ugft, i128::MIN);
    assert_eq!(status.balance.pending_ugft, u128::MAX);
}

/// Asks over HTTP what a ledger in this process is asked too.
fn same<Q: LedgerQuestion>(client: &Client, question: &Q) {
    let over_http: Q::Answer = client
        .get(&format!("ledger/{}", question.path()))
        .unwrap_or_else(|failure| panic!("{}: {failure}", question.path()));
    let here = question.answer(&fake::books()).unwrap();
    let text = |answer: &Q::Answer| serde_json::to_string(answer).unwrap();
    assert_eq!(text(&over_http), text(&here), "{}", question.path());
}

#[test]
fn every_question_about_the_books_has_its_path() {
    let server = Server::start(FakeNode::default());
    let client = server.client(TOKEN);
    let books = fake::books();
    let entry = books.links(0).next().unwrap().id.to_string();
    let wallet = books.genesis().founders[0].wallet.to_string();
    let page = EntriesQuestion {
        from: Some(0),
        before: Some(9),
        count: Some(3),
        author: Some(wallet[..6].to_owned()),
        kind: Some("witness".to_owned()),
        effect: Some("ok".to_owned()),
        bytes: true,
        ..EntriesQuestion::default()
    };
    assert_eq!(page.answer(&books).unwrap().entries.len(), 1);
    same(&client, &page);
    same(&client, &EntriesQuestion::default());
    same(&client, &ArrivalsQuestion { from: Some(0) });
    same(&client, &ArrivalsQuestion::default());
    same(&client, &EntryQuestion { id: entry });
    same(&client, &BalancesQuestion::default());
    let after = Some("00".repeat(32));
    same(&client, &BalancesQuestion { after });
    let mut earnings = EarningsQuestion {
        wallet: Some(wallet.clone()),
        bucket_ms: Some(60_000),
        count: Some(7),
        until_ms: Some(600_000),
    };
    same(&client, &earnings);
    // Up to now, when nothing is said; and the node's own, which is `w` here.
    earnings.until_ms = None;
    let earnings: EarningsView = client.get(&format!("ledger/{}", earnings.path())).unwrap();
    assert!(earnings.buckets[6].from_ms > 1_700_000_000_000);
    let own = client.get::<EarningsView>("ledger/earnings").unwrap_err();
    assert!(own.message.contains('w'), "{own}");
    let whose = Some(wallet.clone());
    same(
        &client,
        &CreditsQuestion {
            wallet: whose.clone(),
        },
    );
    let statement = StatementQuestion {
        wallet: whose,
        before: Some(3),
        count: Some(2),
    };
    same(&client, &statement);
    same(&client, &AuthorQuestion { wallet });
    same(&client, &ForksQuestion);
    same(&client, &GenesisQuestion);
    let id = "ab".to_owned();
    let missing = JobQuestion { id }.path();
    let missing = client
        .get::<JobView>(&format!("ledger/{missing}"))
        .unwrap_err();
    assert_eq!(missing.exit, Exit::NotFound);
}

#[test]
fn an_answer_streams_through_client_and_server() {
    let server = Server::start(FakeNode::default());
    let events: Vec<AskEvent> = server
        .client(TOKEN)
        .ask(&question())
        .unwrap()
        .collect::<Result<_, Failure>>()
        .unwrap();
    assert_eq!(events.len(), 4);
    assert!(matches!(
        &events[0],
        AskEvent::Routed { held_ugft: 900, .. }
    ));
    assert!(matches!(&events[3], AskEvent::Done(done) if done.burned_ugft == 600));
}

#[test]
fn writes_need_the_cookie_and_reads_do_not() {
    let server = Server::start(FakeNode::default());
    let wrong = server.client("guess");
    assert!(wrong.get::<StatusView>("status").is_ok());
    let size = serde_json::json!({"prompt_tokens": 1, "completion_tokens_max": 1});
    let quote = |client: &Client| client.post::<QuoteView>("ledger/quote", &size).unwrap_err();
    assert_eq!(quote(&server.client(TOKEN)).exit, Exit::NotFound);
    // What a job would cost changes nothing, so a page may ask it.
    assert_eq!(quote(&wrong).exit, Exit::NotFound);
    let refused = wrong.ask(&question()).unwrap_err();
    assert!(refused.message.contains("api.json"), "{refused}");
    let writes = [
        "invite", "ask", "ping", "welcome", "contacts", "pause", "resume", "shutdown",
    ];
    for path in writes {
        let (head, _) = server.post(&format!("/api/v1/{path}"), "{}");
        assert!(head.starts_with("http/1.1 401"), "{path}: {head}");
    }
    let pause = serde_json::json!({"for_ms": 5, "reason": "rest"});
    let paused: LendingView = server.client(TOKEN).post("pause", &pause).unwrap();
    assert_eq!(paused.paused.unwrap().until_ms, Some(5));
    let wrong_time = serde_json::json!({"for_ms": "2h"});
    let refused = server
        .client(TOKEN)
        .post::<LendingView>("pause", &wrong_time);
    assert_eq!(refused.unwrap_err().exit, Exit::Usage);
    assert!(!server.node.was_stopped());
    let _: serde_json::Value = server
        .client(TOKEN)
        .post("shutdown", &serde_json::json!({}))
        .unwrap();
    assert!(server.node.was_stopped());
}

#[test]
fn a_client_that_goes_away_cancels_the_answer() {
    let server = Server::start(FakeNode::endless());
    for path in ["/v1/chat/completions", "/api/v1/ask"] {
        let body = if path.starts_with("/v1") {
            CHAT.replacen('{', "{\"stream\":true,", 1)
        } else {
            serde_json::to_string(&question()).unwrap()
        };
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        write!(
            socket,
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut first = [0_u8; 64];
        socket.read_exact(&mut first).unwrap();
        drop(socket);
        assert!(
            server.node.wait_cancelled(Duration::from_secs(10)),
            "{path}: the receiver is dropped"
        );
    }
}

#[test]
fn errors_have_their_status_and_envelope() {
    use crate::api::ErrorCode::{
        Busy, ContextLengthExceeded, InsufficientCredits, Internal, NoRoute, NotFound, StageFailed,
        Timeout,
    };
    for (code, status, name) in [
        (InsufficientCredits, "402", "insufficient_credits"),
        (NoRoute, "503", "no_route"),
        (Busy, "503", "busy"),
        (ContextLengthExceeded, "400", "context_length_exceeded"),
        (NotFound, "404", "model_not_found"),
        (StageFailed, "500", "stage_failed"),
        (Timeout, "504", "hop_timeout"),
        (Internal, "500", "internal"),
    ] {
        for node in [FakeNode::refusing(code), FakeNode::failing_first(code)] {
            let server = Server::start(node);
            for body in [CHAT.to_owned(), CHAT.replacen('{', "{\"stream\":true,", 1)] {
                let (head, body) = server.post("/v1/chat/completions", &body);
                assert!(head.starts_with(&format!("http/1.1 {status}")), "{head}");
                let body: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(body["error"]["code"], name);
                assert_eq!(body["error"]["message"], "because");
                assert_eq!(head.contains("retry-after: 1"), status == "503");
                let final_word = head.contains("x-should-retry: false");
                assert_eq!(final_word, status == "500" || status == "504");
            }
            let failure = server.client(TOKEN).ask(&question()).unwrap_err();
            assert_eq!(failure.exit, Exit::from(code));
        }
    }
}

#[test]
fn paths_methods_and_sizes() {
    let server = Server::start(FakeNode::default());
    let (head, body) = server.get("/v1/nothing");
    assert!(head.starts_with("http/1.1 404") && body.contains("unknown_url"));
    let (head, body) = server.get("/v1/chat/completions");
    assert!(head.starts_with("http/1.1 405") && body.contains("method_not_allowed"));
    assert!(head.contains("allow: post"), "{head}");
    let (head, body) = server.post("/v1/chat/completions", "{");
    assert!(head.starts_with("http/1.1 400") && body.contains("invalid_body"));
    let (head, body) = server.raw(&format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        BODY_BYTES_MAX + 1
    ));
    assert!(head.starts_with("http/1.1 413") && body.contains("request_too_large"));
    let (head, _) = server.get("/api/v1/ledger/entries?count=5000");
    assert!(head.starts_with("http/1.1 400"), "{head}");
    let (head, _) = server.get("/api/v1/ledger/entries?count=many");
    assert!(head.starts_with("http/1.1 400"), "{head}");
}

#[test]
fn web_pages_of_elsewhere_are_refused() {
    let server = Server::start(FakeNode::default());
    for header in [
        "host: evil.test",
        "host: localhost\r\norigin: https://evil.test",
        "host: localhost\r\norigin: null",
    ] {
        let (head, body) = server.raw(&format!(
            "GET /v1/models HTTP/1.1\r\n{header}\r\nconnection: close\r\n\r\n"
        ));
        assert!(head.starts_with("http/1.1 403"), "{header}: {head}");
        assert!(body.contains("permission_error"));
    }
    let (head, _) = server.raw(
        "GET /v1/models HTTP/1.1\r\nhost: 127.0.0.1:7472\r\norigin: http://localhost:3000\r\n\
         connection: close\r\n\r\n",
    );
    assert!(head.starts_with("http/1.1 200"), "{head}");
}

#[test]
fn models_by_name_and_by_id() {
    let server = Server::start(FakeNode::default());
    let (_, body) = server.get("/v1/models");
    let list: serde_json::Value = serde_json::from_str(&body).unwrap();
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    // Two share the name `twin`, so these two go by their ids.
    assert_eq!(ids, ["org/demo", "id-b", "id-c"]);
    assert!(list["data"][0]["created"].as_u64().unwrap() > 1_700_000_000);
    assert_eq!(list["data"][0]["state"], "ready");
    assert_eq!(list["data"][1]["state"], "uncovered");
    for path in ["org/demo", "id-a", "id-b"] {
        let (head, body) = server.get(&format!("/v1/models/{path}"));
        assert!(head.starts_with("http/1.1 200"), "{path}: {head}");
        assert!(body.contains("\"owned_by\":\"talkoot\""));
    }
    let (head, body) = server.get("/v1/models/twin");
    assert!(head.starts_with("http/1.1 404") && body.contains("model_not_found"));
}

#[test]
fn probes_say_why() {
    let server = Server::start(FakeNode::default());
    assert!(server.get("/livez").0.starts_with("http/1.1 200"));
    assert!(server.get("/readyz").0.starts_with("http/1.1 200"));
    let server = Server::start(FakeNode::not_ready());
    let (head, body) = server.get("/health");
    assert!(head.starts_with("http/1.1 503") && body.contains("layers 4..8"));
    assert!(server.get("/livez").0.starts_with("http/1.1 200"));
}

#[test]
fn http_answers_before_the_node_is_there() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let late = LateNode::<FakeNode>::default();
        let refused = late.status().await.unwrap_err();
        assert_eq!(refused.code, crate::api::ErrorCode::Starting);
        late.shutdown();
        late.stop_requested().await;
        late.set(FakeNode::default());
        assert!(late.status().await.is_ok());
    });
}

#[test]
fn a_whole_completion() {
    let server = Server::start(FakeNode::default());
    let (head, body) = server.post("/v1/chat/completions", CHAT);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("x-talkoot-job: j0b") && head.contains("x-request-id: req-"));
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["choices"][0]["message"]["content"], "Hé");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    assert_eq!(body["usage"]["total_tokens"], 6);
    assert_eq!(body["usage"]["credits"]["spent"], 600);
    assert_eq!(body["talkoot"]["route"][0]["layers"][1], 8);
}
