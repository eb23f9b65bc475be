//! One node that catches up, and peers that serve it, in virtual time: links
//! with a delay and a rate, and peers of every honesty.

use super::E;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use talkoot_ledger::sync::{
    REQUEST_TIMEOUT_MS, SyncCore, SyncFault, SyncInput, SyncOutput, SyncProgress, serve,
};
use talkoot_ledger::{Admission, Ledger, Source, id_of};
use talkoot_protocol::sync::{ChainKey, Heads, KeyRange, Listing, Span, SyncRequest, SyncResponse};
use talkoot_protocol::{Hash, Verified, Wallet, limits};

/// Between two ticks of the driver.
const TICK_MS: u64 = 500;

/// How a peer answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Honesty {
    Honest,
    /// Bytes that do not decode.
    Undecodable,
    /// A signature with one bit turned.
    BadSignature,
    /// Entries of another part than asked for.
    Elsewhere,
    /// Lists what is not there, ten times as much.
    ListsMore,
    /// Lists ids of nothing.
    FakeIds,
    /// Lists for ever, and ever deeper.
    Endless,
    /// Serves nothing of what it lists.
    Empty,
    /// One entry at a time, and always more to come.
    Crumbs,
    /// Claims a longer chain than it lists.
    LiesLength,
    /// Never answers when asked for entries.
    Silent,
    /// Goes after so many answers.
    Goes(u32),
}

#[derive(Debug)]
pub struct Server {
    pub ledger: Rc<Ledger>,
    pub honesty: Honesty,
    pub rtt_ms: u64,
    pub bits_per_ms: u64,
    free_at_ms: u64,
    answers: u32,
    /// Requests for entries that it was asked.
    pub asked: u64,
}

#[derive(Debug)]
enum Event {
    Input(SyncInput),
    Tick,
}

/// The node that catches up.
#[derive(Debug)]
pub struct Net {
    pub now_ms: u64,
    pub ledger: Ledger,
    pub core: SyncCore,
    pub servers: BTreeMap<Wallet, Server>,
    events: BTreeMap<(u64, u64), Event>,
    number: u64,
    /// Bytes of requests and of answers.
    pub bytes_up: u64,
    pub bytes_down: u64,
    /// Bytes of entries that came.
    pub entry_bytes: u64,
    /// How often each entry came from an honest peer.
    pub downloads: BTreeMap<Hash, u32>,
    pub marks: Vec<(Wallet, SyncFault)>,
    pub synced: BTreeSet<Wallet>,
    /// Bytes of entries that came and are not admitted, and their most.
    kept_bytes: i64,
    pub kept_bytes_max: i64,
    pub pending_max: usize,
    pub progress: Vec<SyncProgress>,
    pub peers_max: usize,
}

impl Net {
    pub fn new(ledger: Ledger) -> Self {
        let mut net = Self {
            now_ms: 0,
            ledger,
            core: SyncCore::new(7),
            servers: BTreeMap::new(),
            events: BTreeMap::new(),
            number: 0,
            bytes_up: 0,
            bytes_down: 0,
            entry_bytes: 0,
            downloads: BTreeMap::new(),
            marks: Vec::new(),
            synced: BTreeSet::new(),
            kept_bytes: 0,
            kept_bytes_max: 0,
            pending_max: 0,
            progress: Vec::new(),
            peers_max: 0,
        };
        net.at(TICK_MS, Event::Tick);
        net
    }

    /// Connects a peer, at 60 ms and 10 Mbit/s.
    pub fn add(&mut self, peer: Wallet, ledger: &Rc<Ledger>, honesty: Honesty) {
        let server = Server {
            ledger: Rc::clone(ledger),
            honesty,
            rtt_ms: 60,
            bits_per_ms: 10_000,
            free_at_ms: 0,
            answers: 0,
            asked: 0,
        };
        self.servers.insert(peer, server);
        let connected = SyncInput::PeerConnected(peer);
        self.at(self.now_ms, Event::Input(connected));
    }

    fn at(&mut self, when_ms: u64, event: Event) {
        self.number += 1;
        self.events.insert((when_ms, self.number), event);
    }

    /// Runs until `done`, or until the time is over; says which.
    pub fn run(&mut self, until_ms: u64, done: impl Fn(&Self) -> bool) -> bool {
        while !done(self) {
            let Some(((when_ms, _), event)) = self.events.pop_first() else {
                return false;
            };
            if when_ms > until_ms {
                return false;
            }
            self.now_ms = when_ms;
            match event {
                Event::Tick => {
                    self.ledger.expire(self.now_ms);
                    self.input(SyncInput::Tick);
                    self.progress
                        .push(self.core.progress(&self.ledger, self.now_ms));
                    self.at(self.now_ms + TICK_MS, Event::Tick);
                }
                Event::Input(input) => self.input(input),
            }
        }
        true
    }

    fn input(&mut self, input: SyncInput) {
        if let SyncInput::Response { peer, response, .. } = &input {
            self.count(*peer, response);
        }
        let outputs = self.core.handle(input, &self.ledger, self.now_ms);
        for output in outputs {
            match output {
                SyncOutput::Request {
                    peer,
                    request_id,
                    request,
                } => self.request(peer, request_id, &request),
                SyncOutput::Admit { peer, entries } => self.admit(peer, entries),
                SyncOutput::Mark { peer, fault } => self.marks.push((peer, fault)),
                SyncOutput::Synced { peer } => {
                    self.synced.insert(peer);
                }
            }
        }
        let peers = self.core.progress(&self.ledger, self.now_ms).peers;
        self.peers_max = self.peers_max.max(peers);
    }

    fn count(&mut self, peer: Wallet, response: &SyncResponse) {
        let server = self.servers.get(&peer);
        let is_honest = server.is_some_and(|server| server.honesty == Honesty::Honest);
        if let SyncResponse::Slice { entries, .. } | SyncResponse::Entries { entries } = response {
            for bytes in entries {
                self.entry_bytes += bytes.len() as u64;
                self.kept_bytes += i64::try_from(bytes.len()).unwrap();
                if is_honest && let Ok(entry) = Verified::from_trusted_bytes(bytes) {
                    *self.downloads.entry(id_of(&entry)).or_default() += 1;
                }
            }
            self.kept_bytes_max = self.kept_bytes_max.max(self.kept_bytes);
        }
    }

    fn admit(&mut self, peer: Wallet, entries: Vec<E>) {
        let bytes: usize = entries.iter().map(|entry| entry.to_bytes().len()).sum();
        self.kept_bytes -= i64::try_from(bytes).unwrap();
        let source = Source::Peer(peer);
        let admissions: Vec<Admission> = self.ledger.admit_batch(entries, source, self.now_ms);
        self.pending_max = self.pending_max.max(self.ledger.pending_count());
        let input = SyncInput::Admitted { peer, admissions };
        self.at(self.now_ms + 1, Event::Input(input));
    }

    fn request(&mut self, peer: Wallet, request_id: u64, request: &SyncRequest) {
        let bytes = request.to_bytes();
        self.bytes_up += bytes.len() as u64;
        let request = SyncRequest::decode(&bytes).unwrap();
        let failed = |is_rubbish| {
            Event::Input(SyncInput::RequestFailed {
                peer,
                request_id,
                is_rubbish,
            })
        };
        let Some(server) = self.servers.get_mut(&peer) else {
            self.at(self.now_ms + 1, failed(false));
            return;
        };
        let Some(bytes) = server.answer(&request) else {
            let is_leaving = matches!(server.honesty, Honesty::Goes(_));
            self.at(self.now_ms + REQUEST_TIMEOUT_MS, failed(false));
            if is_leaving {
                self.servers.remove(&peer);
                self.at(self.now_ms + 30, Event::Input(SyncInput::PeerGone(peer)));
            }
            return;
        };
        let begin_ms = server.free_at_ms.max(self.now_ms + server.rtt_ms / 2);
        server.free_at_ms = begin_ms + bytes.len() as u64 * 8 / server.bits_per_ms;
        let arrives_ms = server.free_at_ms + server.rtt_ms / 2;
        self.bytes_down += bytes.len() as u64;
        let event = match SyncResponse::decode(&bytes) {
            Ok(response) => Event::Input(SyncInput::Response {
                peer,
                request_id,
                response,
            }),
            Err(_) => failed(true),
        };
        self.at(arrives_ms, event);
    }

    /// Whether the node holds what these hold.
    pub fn equals(&self, ledger: &Ledger) -> bool {
        serve::heads(&self.ledger) == serve::heads(ledger)
    }

    /// Entries that came more than once, in part of all.
    pub fn waste_percent(&self) -> f64 {
        let all: u32 = self.downloads.values().sum();
        let distinct = self.downloads.len() as f64;
        (f64::from(all) / distinct - 1.0) * 100.0
    }
}

impl Server {
    fn answer(&mut self, request: &SyncRequest) -> Option<Vec<u8>> {
        let mut response = serve::answer(&self.ledger, request);
        let is_bulk = matches!(
            request,
            SyncRequest::Slice { .. } | SyncRequest::Entries { .. }
        );
        self.asked += u64::from(is_bulk);
        self.answers += 1;
        match self.honesty {
            Honesty::Honest => {}
            Honesty::Undecodable if is_bulk => return Some(vec![0xff; 100]),
            Honesty::Silent if is_bulk => return None,
            Honesty::Goes(after) if self.answers > after => return None,
            Honesty::BadSignature => {
                if let SyncResponse::Slice { entries, .. } | SyncResponse::Entries { entries } =
                    &mut response
                    && let Some(last) = entries.last_mut().and_then(|entry| entry.last_mut())
                {
                    *last ^= 1;
                }
            }
            Honesty::Elsewhere => {
                if let SyncRequest::Slice { entries_max, .. } = request {
                    let whole = SyncRequest::Slice {
                        range: KeyRange::ALL,
                        entries_max: *entries_max,
                    };
                    response = serve::answer(&self.ledger, &whole);
                }
            }
            Honesty::ListsMore => {
                if let SyncResponse::Since {
                    listing: Listing::Spans(spans),
                    ..
                } = &mut response
                {
                    for span in spans {
                        span.count *= 10;
                    }
                }
            }
            Honesty::FakeIds => fake_ids(&mut response),
            Honesty::Endless => endless(request, &mut response),
            Honesty::Empty => match &mut response {
                SyncResponse::Slice { entries, more } => {
                    entries.clear();
                    *more = false;
                }
                SyncResponse::Entries { entries } => entries.clear(),
                _ => {}
            },
            Honesty::Crumbs => {
                if let SyncResponse::Slice { entries, more } = &mut response {
                    *more |= entries.len() > 1;
                    entries.truncate(1);
                }
            }
            Honesty::LiesLength => {
                if let SyncResponse::Heads(heads) = &mut response {
                    heads.length += 1_000_000;
                }
            }
            Honesty::Undecodable | Honesty::Silent | Honesty::Goes(_) => {}
        }
        Some(response.to_bytes())
    }
}

/// Lists what nobody can serve.
fn fake_ids(response: &mut SyncResponse) {
    match response {
        SyncResponse::Heads(heads) => heads.length = 500,
        SyncResponse::Since { listing, shared } => {
            *shared = 0;
            let ids = (0..500_u64).map(|n| Hash::of_blob(&n.to_le_bytes()));
            *listing = Listing::Ids(ids.collect());
        }
        _ => {}
    }
}

/// Divides whatever it is asked about into parts that are said to be huge.
fn endless(request: &SyncRequest, response: &mut SyncResponse) {
    let count = 1 << 60;
    let spans = |after: u64, step: u64| {
        let span = |n: u64| {
            let last = ChainKey {
                lamport: after + n * step,
                author: Wallet::from_bytes([0; 32]),
                seq: n,
                id: Hash::ZERO,
            };
            Span {
                last,
                count,
                digest: None,
            }
        };
        Listing::Spans((1..=limits::SYNC_SPANS_MAX as u64).map(span).collect())
    };
    match (request, response) {
        (_, SyncResponse::Heads(heads)) => {
            *heads = Heads {
                length: 1 << 60,
                tip: Hash::ZERO,
            }
        }
        (_, SyncResponse::Since { shared, listing }) => {
            *shared = 0;
            *listing = spans(0, 1 << 50);
        }
        (SyncRequest::List(range), SyncResponse::List(listing)) => {
            let after = range.after.map_or(0, |after| after.lamport);
            let until = range.until.map_or(after + (1 << 50), |until| until.lamport);
            *listing = spans(after, (until - after) / 65);
        }
        (_, SyncResponse::Slice { entries, more }) => {
            entries.clear();
            *more = true;
        }
        _ => {}
    }
}
