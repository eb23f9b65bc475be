//! The dashboard's files, the state and the stream of events, over real sockets.

use super::*;
use crate::api::StateView;

/// An open stream of events.
struct Events(BufReader<std::net::TcpStream>);

/// One event: cursor, name, data.
type Told = (u64, String, String);

impl Events {
    fn open(server: &Server, query: &str, headers: &str) -> Self {
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        let request =
            format!("GET /api/v1/events{query} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
        socket.write_all(request.as_bytes()).unwrap();
        let mut events = Self(BufReader::new(socket));
        let head = events.until_blank();
        assert!(head[0].contains("200"), "{head:?}");
        assert!(
            head.iter()
                .any(|line| line == "content-type: text/event-stream")
        );
        events
    }

    /// The lines up to the next empty one, without the chunks' lengths.
    fn until_blank(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "cut: {lines:?}");
            let line = line.trim_end().to_owned();
            if line.is_empty() && !lines.is_empty() {
                return lines;
            }
            if !line.is_empty() {
                lines.push(line);
            }
        }
    }

    /// The next event that is no comment.
    fn next(&mut self) -> Told {
        loop {
            let lines = self.until_blank();
            let field = |name: &str| {
                let prefix = format!("{name}: ");
                let mut found = lines.iter().filter_map(|line| line.strip_prefix(&prefix));
                found.next().map(str::to_owned)
            };
            if let Some(id) = field("id") {
                let data = field("data").unwrap();
                return (id.parse().unwrap(), field("event").unwrap(), data);
            }
        }
    }
}

#[test]
fn the_dashboard_is_sent_as_it_is_and_needs_no_other_address() {
    let server = Server::start(FakeNode::default());
    let (head, body) = server.get("/");
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(body.contains("/assets/app.js"), "{body}");
    assert!(
        head.contains("content-security-policy: default-src 'self'"),
        "{head}"
    );
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let again = format!(
        "GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nif-none-match: {tag}\r\n\r\n"
    );
    let mut socket = std::net::TcpStream::connect(server.address).unwrap();
    socket.write_all(again.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 304"), "{answer}");
    let (head, _) = server.get("/assets/app.js");
    assert!(head.contains("content-type: text/javascript"), "{head}");
    for missing in [
        "/assets/none.js",
        "/assets/../Cargo.toml",
        "/assets/README.md",
    ] {
        assert!(
            server.get(missing).0.starts_with("http/1.1 404"),
            "{missing}"
        );
    }
    let settings = PortSettings {
        dashboard: false,
        ..PortSettings::local(TOKEN)
    };
    let without = Server::with(FakeNode::default(), settings);
    let (head, body) = without.get("/");
    assert!(head.starts_with("http/1.1 404") && body.contains("--no-dashboard"));
    let away = Server::seen_from(
        "192.0.2.1:9",
        FakeNode::default(),
        PortSettings::local(TOKEN),
    );
    assert!(away.get("/").0.starts_with("http/1.1 403"));
}

#[test]
fn a_page_that_lost_its_connection_goes_on_where_it_was() {
    let server = Server::start(FakeNode::default());
    let state: StateView = server.client("guess").get("state").unwrap();
    assert!(state.status.ready);
    let mut events = Events::open(&server, &format!("?after={}", state.cursor), "");
    let first = events.next();
    let second = events.next();
    assert_eq!((first.1.as_str(), second.1.as_str()), ("status", "peers"));
    assert!(first.0 > state.cursor && second.0 > first.0);
    drop(events);
    // The header that browsers send wins over the address they were given.
    let header = format!("last-event-id: {}\r\n", first.0);
    let mut events = Events::open(&server, &format!("?after={}", state.cursor), &header);
    assert_eq!(events.next(), second);
}

#[test]
fn who_is_of_another_life_is_told_to_begin_anew() {
    let server = Server::start(FakeNode::default());
    let mut events = Events::open(&server, "?after=1", "");
    let (cursor, name, data) = events.next();
    assert_eq!((name.as_str(), data.as_str()), ("reset", "{}"));
    let (next, name, _) = events.next();
    assert!(next > cursor, "it goes on from there");
    assert_eq!(name, "status");
    let (head, _) = server.get("/api/v1/events?after=x");
    assert!(head.starts_with("http/1.1 400"), "{head}");
}

#[test]
fn open_streams_are_bounded_and_a_closed_one_makes_room() {
    let server = Server::start(FakeNode::default());
    let mut open: Vec<Events> = Vec::new();
    loop {
        let (head, _) = match open.len() {
            count if count < 32 => {
                open.push(Events::open(&server, "", ""));
                continue;
            }
            _ => server.get("/api/v1/events"),
        };
        assert!(head.starts_with("http/1.1 503"), "{head}");
        break;
    }
    open.pop();
    let request = "GET /api/v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n";
    // The server notices the closed socket when it writes next.
    let began = clock::monotonic();
    loop {
        let mut socket = std::net::TcpStream::connect(server.address).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).unwrap();
        if line.contains("200") {
            break;
        }
        assert!(began.elapsed().as_secs() < 20, "{line}");
        std::thread::yield_now();
    }
}
