//! The sync core: brings the sets of our peers and ours together, without I/O.
//!
//! A round with one peer: compare heads (equal chains hold equal sets), else
//! let it list what it holds after the part that we share. What is lacking goes
//! into one plan, in the chain's order, and all peers that are ahead fetch
//! parts of it (`plan.rs`, `catching.rs`). One request is in flight for each
//! peer. The driver sends requests, hands answers in, admits what the core
//! gives out and tells it what came of that. Rounds begin on connect and every
//! few seconds with some peer; parents of gossiped entries are asked for by id.

mod answer;
mod catching;
mod peer;
mod plan;
mod progress;
pub mod serve;
mod span;

pub use answer::Answer;
pub use plan::WINDOW;
pub use progress::SyncProgress;

use crate::entry::{Entry, id_of};
use crate::ledger::{Admission, Ledger};
use peer::{Ask, Flight, Peer};
use plan::Plan;
use progress::Meter;
use std::collections::{BTreeMap, VecDeque};
use talkoot_protocol::sync::{Heads, KeyRange, Listing, SyncRequest, SyncResponse, Want};
use talkoot_protocol::{Hash, Verified, Wallet, limits};

/// Between rounds with some peer.
pub const ROUND_INTERVAL_MS: u64 = 3_000;
/// After which a request counts as failed.
pub const REQUEST_TIMEOUT_MS: u64 = 8_000;
/// Peers that are kept.
pub const PEERS_MAX: usize = 256;
/// How far back a parent of unknown author is asked for.
const PARENT_BACK: u64 = 16;
/// How long a peer that answered rubbish is left alone.
const RUBBISH_PAUSE_MS: u64 = 60_000;
/// How long a busy peer is left alone.
const BUSY_PAUSE_MS: u64 = 1_000;

/// What happens to the core.
#[derive(Debug, Clone)]
pub enum SyncInput {
    /// A peer can be asked.
    PeerConnected(Wallet),
    /// It cannot any more.
    PeerGone(Wallet),
    /// Time passes: at least once a second.
    Tick,
    /// An answer.
    Response {
        /// From whom.
        peer: Wallet,
        /// To which request.
        request_id: u64,
        /// What.
        response: SyncResponse,
    },
    /// An answer that was read already, off the thread that this core runs on.
    Checked {
        /// From whom.
        peer: Wallet,
        /// To which request.
        request_id: u64,
        /// What.
        answer: Answer,
    },
    /// A request came to nothing.
    RequestFailed {
        /// Who was asked.
        peer: Wallet,
        /// Which request.
        request_id: u64,
        /// Whether the answer did not decode.
        is_rubbish: bool,
    },
    /// What came of the entries of the last [`SyncOutput::Admit`].
    Admitted {
        /// Who showed them.
        peer: Wallet,
        /// One for each entry.
        admissions: Vec<Admission>,
    },
    /// An entry that a peer gossiped waits for these.
    MissingParents {
        /// Who sent it.
        peer: Wallet,
        /// What is missing.
        ids: Vec<Hash>,
    },
}

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncOutput {
    /// Ask a peer, and hand the answer in.
    Request {
        /// Whom.
        peer: Wallet,
        /// Names the request.
        request_id: u64,
        /// What.
        request: SyncRequest,
    },
    /// Admit these, and hand [`SyncInput::Admitted`] in.
    Admit {
        /// Who showed them.
        peer: Wallet,
        /// Verified, in the order to admit them.
        entries: Vec<Verified<Entry>>,
    },
    /// The peer sent what an honest one does not.
    Mark {
        /// Who.
        peer: Wallet,
        /// What it did.
        fault: SyncFault,
    },
    /// All that this peer holds is held here.
    Synced {
        /// Who.
        peer: Wallet,
    },
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum SyncFault {
    /// The answer does not decode.
    #[error("an answer that does not decode")]
    Undecodable,
    /// An answer of another kind than asked for.
    #[error("an answer of another kind")]
    WrongKind,
    /// A listing that leaves its part, or holds less or more than there can be.
    #[error("a listing that cannot be true")]
    BadListing,
    /// It listed entries that it does not serve.
    #[error("listed entries that it does not serve")]
    NotServed,
    /// Entries that were not asked for, or out of order.
    #[error("entries that were not asked for")]
    Unasked,
    /// Few entries at a time, and always more to come.
    #[error("an answer in crumbs")]
    Crumbs,
    /// Bytes that are no entry with a right signature.
    #[error("an entry that does not verify")]
    BadEntry,
    /// An entry that is in no set.
    #[error("an entry that no set can hold")]
    BadStructure,
}

/// What is held, and when.
#[derive(Debug, Clone, Copy)]
struct At<'a> {
    ledger: &'a Ledger,
    now_ms: u64,
}

/// Entries that the driver admits now.
#[derive(Debug)]
enum Admitting {
    /// Of the plan: who gave each, and its id.
    Plan(Vec<(Wallet, Hash)>),
    /// Parents from one peer.
    Parents(Wallet),
}

/// The state of sync with all peers.
#[derive(Debug)]
pub struct SyncCore {
    peers: BTreeMap<Wallet, Peer>,
    plan: Option<Plan>,
    /// One batch is out at a time.
    admitting: Option<Admitting>,
    /// Parents that wait for their turn: at most one answer for each peer.
    came: VecDeque<(Wallet, Vec<Verified<Entry>>)>,
    /// Entries that found no token, until when they are not asked for, and for
    /// how long that was.
    later: BTreeMap<Hash, (u64, u64)>,
    meter: Meter,
    /// Before this nothing long is begun, and how long that was: tokens ran out.
    slowed: (u64, u64),
    next_request_id: u64,
    next_round_ms: u64,
    random: u64,
}

impl SyncCore {
    /// A core without peers. `seed` decides which peer is asked when.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            peers: BTreeMap::new(),
            plan: None,
            admitting: None,
            came: VecDeque::new(),
            later: BTreeMap::new(),
            meter: Meter::begin(0),
            slowed: (0, 0),
            next_request_id: 0,
            next_round_ms: 0,
            random: seed,
        }
    }

    /// How far catching up is.
    #[must_use]
    pub fn progress(&self, ledger: &Ledger, now_ms: u64) -> SyncProgress {
        let Some(plan) = &self.plan else {
            return SyncProgress {
                held: ledger.length(),
                ..SyncProgress::default()
            };
        };
        let is_used = |peer: &&Peer| {
            peer.flight
                .as_ref()
                .is_some_and(|flight| matches!(flight.ask, Ask::Task { .. }))
        };
        SyncProgress {
            is_catching_up: true,
            held: ledger.length(),
            to_fetch: plan.remaining(),
            fetched: self.meter.fetched,
            peers: self.peers.values().filter(is_used).count(),
            entries_per_second: self.meter.per_second(now_ms),
        }
    }

    /// Handles one input. `ledger` is what is held now.
    pub fn handle(&mut self, input: SyncInput, ledger: &Ledger, now_ms: u64) -> Vec<SyncOutput> {
        let at = At { ledger, now_ms };
        let mut out = Vec::new();
        match input {
            SyncInput::PeerConnected(peer) => {
                if self.peers.len() < PEERS_MAX {
                    self.peers.entry(peer).or_default();
                    self.begin(peer, at, &mut out);
                }
            }
            SyncInput::PeerGone(peer) => {
                self.peers.remove(&peer);
                if let Some(plan) = &mut self.plan {
                    plan.release(&peer);
                }
            }
            SyncInput::Tick => self.tick(at, &mut out),
            SyncInput::Response {
                peer,
                request_id,
                response,
            } => {
                if let Some(flight) = self.answered(peer, request_id) {
                    let answer = Answer::check(response, ledger.network());
                    self.respond(peer, flight, answer, at, &mut out);
                }
            }
            SyncInput::Checked {
                peer,
                request_id,
                answer,
            } => {
                if let Some(flight) = self.answered(peer, request_id) {
                    self.respond(peer, flight, answer, at, &mut out);
                }
            }
            SyncInput::RequestFailed {
                peer,
                request_id,
                is_rubbish,
            } => {
                if self.answered(peer, request_id).is_some() {
                    if is_rubbish {
                        self.fault(peer, SyncFault::Undecodable, at, &mut out);
                    } else {
                        self.failed(peer, at);
                    }
                }
            }
            SyncInput::Admitted { admissions, .. } => self.admitted(&admissions, at, &mut out),
            SyncInput::MissingParents { peer, ids } => {
                // What the plan will bring is not crawled for as well.
                let is_coming = self.plan.as_ref().is_some_and(Plan::is_long);
                if let Some(state) = self.peers.get_mut(&peer).filter(|_| !is_coming) {
                    state.want(ids);
                }
            }
        }
        self.advance(at, &mut out);
        out
    }

    fn answered(&mut self, peer: Wallet, request_id: u64) -> Option<Flight> {
        self.peers.get_mut(&peer)?.answered(request_id)
    }

    fn tick(&mut self, at: At<'_>, out: &mut Vec<SyncOutput>) {
        self.later
            .retain(|_, (until_ms, pause_ms)| until_ms.saturating_add(*pause_ms) > at.now_ms);
        let late: Vec<Wallet> = self.those(|state| state.is_late(at.now_ms));
        for peer in late {
            self.failed(peer, at);
        }
        let is_free = |state: &Peer| state.is_idle(at.now_ms) && !state.is_helper;
        for peer in self.those(|state| is_free(state) && state.is_due) {
            self.begin(peer, at, out);
        }
        if at.now_ms < self.next_round_ms {
            return;
        }
        self.next_round_ms = at.now_ms.saturating_add(ROUND_INTERVAL_MS);
        let idle = self.those(is_free);
        let count = u64::try_from(idle.len()).unwrap_or(u64::MAX);
        let pick = self
            .draw()
            .checked_rem(count)
            .and_then(|pick| usize::try_from(pick).ok());
        if let Some(&peer) = pick.and_then(|pick| idle.get(pick)) {
            self.begin(peer, at, out);
        }
    }

    fn those(&self, which: impl Fn(&Peer) -> bool) -> Vec<Wallet> {
        let chosen = self.peers.iter().filter(|(_, state)| which(state));
        chosen.map(|(peer, _)| *peer).collect()
    }

    /// SplitMix64.
    const fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn begin(&mut self, peer: Wallet, at: At<'_>, out: &mut Vec<SyncOutput>) {
        let state = self.peers.get(&peer);
        if state.is_some_and(|state| state.is_idle(at.now_ms)) {
            let request = SyncRequest::Heads(serve::heads(at.ledger));
            self.ask(peer, Ask::Heads, request, at, out);
        }
    }

    fn ask(
        &mut self,
        peer: Wallet,
        ask: Ask,
        request: SyncRequest,
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let request_id = self.next_request_id;
        self.next_request_id = self.next_request_id.wrapping_add(1);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.flight = Some(Flight {
                request_id,
                since_ms: at.now_ms,
                ask,
            });
            out.push(SyncOutput::Request {
                peer,
                request_id,
                request,
            });
        }
    }

    /// A request came to nothing; that may be bad luck.
    fn failed(&mut self, peer: Wallet, at: At<'_>) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.failed(at.now_ms);
        }
        if let Some(plan) = &mut self.plan {
            plan.release(&peer);
        }
    }

    /// The peer is left alone, and nothing it said counts any more.
    fn fault(&mut self, peer: Wallet, fault: SyncFault, at: At<'_>, out: &mut Vec<SyncOutput>) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.pause(at.now_ms.saturating_add(RUBBISH_PAUSE_MS));
            state.is_helper = false;
        }
        if let Some(plan) = &mut self.plan {
            plan.distrust(&peer);
        }
        out.push(SyncOutput::Mark { peer, fault });
    }

    fn respond(
        &mut self,
        peer: Wallet,
        flight: Flight,
        answer: Answer,
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let took_ms = at.now_ms.saturating_sub(flight.since_ms);
        match (flight.ask, answer) {
            (_, Answer::Busy) => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.pause(at.now_ms.saturating_add(BUSY_PAUSE_MS));
                }
                if let Some(plan) = &mut self.plan {
                    plan.release(&peer);
                }
            }
            (_, Answer::Bad(fault)) => self.fault(peer, fault, at, out),
            (Ask::Heads, Answer::Heads(theirs)) => self.compare(peer, theirs, at, out),
            (Ask::Since(marks), Answer::Since { shared, listing }) => {
                self.read(peer, &marks, (shared, listing), at, out);
            }
            (Ask::Parents, Answer::Entries { entries, .. }) => {
                self.receive_parents(peer, entries, at);
            }
            (
                Ask::Task {
                    number,
                    entries_max,
                },
                answer,
            ) => {
                let asked = (number, entries_max);
                if let Err(fault) = self.receive(peer, asked, (answer, took_ms), at) {
                    self.fault(peer, fault, at, out);
                }
            }
            _ => self.fault(peer, SyncFault::WrongKind, at, out),
        }
    }

    fn compare(&mut self, peer: Wallet, theirs: Heads, at: At<'_>, out: &mut Vec<SyncOutput>) {
        if theirs == serve::heads(at.ledger) {
            self.rest(peer);
            out.push(SyncOutput::Synced { peer });
            return;
        }
        if let Some(state) = self.peers.get_mut(&peer) {
            state.claimed = theirs.length;
        }
        let (marks, places) = span::marks(at.ledger)
            .into_iter()
            .map(|(mark, place)| (mark, (mark.length, place)))
            .unzip();
        let request = SyncRequest::Since { marks };
        self.ask(peer, Ask::Since(places), request, at, out);
    }

    /// Reads what a peer holds after the part that we share.
    fn read(
        &mut self,
        peer: Wallet,
        marks: &[(u64, talkoot_protocol::sync::ChainKey)],
        (shared, listing): (u64, Listing),
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let after = marks
            .iter()
            .find(|(length, _)| *length == shared)
            .map(|(_, place)| *place);
        let range = KeyRange { after, until: None };
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        // A set only grows, so a listing cannot hold less than was claimed.
        let is_true = (after.is_some() || shared == 0)
            && shared.saturating_add(listing.count()) >= state.claimed
            && catching::is_listing_of(&range, &listing, None);
        if !is_true {
            self.fault(peer, SyncFault::BadListing, at, out);
            return;
        }
        state.promise = match &listing {
            Listing::Spans(spans) => (after, spans.clone()),
            Listing::Ids(_) => (None, Vec::new()),
        };
        let drafts = self.lacking(peer, range, &listing, at);
        if drafts.is_empty() {
            self.rest(peer);
            // What waits for parents or a token is not held. Spans that need
            // nothing are equal.
            let is_held = match &listing {
                Listing::Ids(ids) => ids.iter().all(|id| at.ledger.holds(id)),
                Listing::Spans(_) => true,
            };
            if is_held {
                out.push(SyncOutput::Synced { peer });
            }
            return;
        }
        self.rest(peer);
        let is_new = self.plan.is_none() && self.start(drafts, at);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.is_helper = self.plan.is_some();
        }
        if is_new {
            self.call_helpers(at, out);
        }
    }

    /// The round is over, all is well.
    fn rest(&mut self, peer: Wallet) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.is_due = false;
            state.is_helper = false;
        }
    }

    /// Asks for parents that gossiped entries wait for.
    fn ask_parents(&mut self, at: At<'_>, out: &mut Vec<SyncOutput>) {
        let is_free = |state: &Peer| {
            state.is_idle(at.now_ms) && !state.is_admitting && !state.parents.is_empty()
        };
        for peer in self.those(is_free) {
            let Some(state) = self.peers.get_mut(&peer) else {
                continue;
            };
            state.forget_held(at.ledger);
            let ids = state.parents.iter().take(limits::SYNC_ITEMS_MAX);
            let wants: Vec<Want> = ids
                .map(|id| Want {
                    id: *id,
                    back: PARENT_BACK,
                })
                .collect();
            if !wants.is_empty() {
                self.ask(peer, Ask::Parents, SyncRequest::Entries { wants }, at, out);
            }
        }
    }

    fn receive_parents(&mut self, peer: Wallet, mut entries: Vec<Verified<Entry>>, at: At<'_>) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        entries.retain(|entry| !is_here(at.ledger, &id_of(entry)));
        if entries.is_empty() {
            // It may have heard of them from somebody else.
            state.parents.clear();
        } else {
            state.is_admitting = true;
            self.came.push_back((peer, entries));
        }
    }

    fn admitted(&mut self, admissions: &[Admission], at: At<'_>, out: &mut Vec<SyncOutput>) {
        match self.admitting.take() {
            Some(Admitting::Plan(given)) => self.plan_admitted(&given, admissions, at, out),
            Some(Admitting::Parents(peer)) => self.parents_admitted(peer, admissions, at, out),
            None => {}
        }
    }

    fn parents_admitted(
        &mut self,
        peer: Wallet,
        admissions: &[Admission],
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.is_admitting = false;
        let mut is_progress = false;
        for admission in admissions {
            match admission {
                Admission::Added { .. } => is_progress = true,
                Admission::Pending { missing } => {
                    is_progress = true;
                    state.want(missing.iter().copied());
                }
                Admission::Known | Admission::Later => {}
                Admission::Refused(_) => {
                    self.fault(peer, SyncFault::BadStructure, at, out);
                    return;
                }
            }
        }
        if !is_progress {
            state.parents.clear();
        }
    }
}

fn is_here(ledger: &Ledger, id: &Hash) -> bool {
    ledger.holds(id) || ledger.is_pending(id)
}
