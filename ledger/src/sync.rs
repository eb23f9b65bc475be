//! The sync core: brings the set of a peer and ours together, without I/O.
//!
//! A round with one peer: compare heads (equal chains hold equal sets), else
//! read its log tips page by page, then fetch what is missing until all it
//! showed is held. One request is in flight for each peer, and few peers are
//! fetched from at once. The driver sends requests, hands answers in, admits
//! what the core gives out and tells it what came of that. Rounds begin on
//! connect, on a missing parent and every few seconds with some peer.

mod peer;
pub mod serve;

use crate::entry::{Entry, id_of};
use crate::ledger::{Admission, Ledger};
use peer::{Peer, Round};
use std::collections::BTreeMap;
use talkoot_protocol::sync::{Heads, SyncRequest, SyncResponse, TipKey, Want};
use talkoot_protocol::{Hash, Signed, Verified, Wallet, limits};

/// Between rounds with some peer.
pub const ROUND_INTERVAL_MS: u64 = 3_000;
/// After which a request counts as failed.
pub const REQUEST_TIMEOUT_MS: u64 = 8_000;
/// Peers that entries are fetched from at once.
pub const FETCHING_MAX: usize = 2;
/// Peers that are kept.
pub const PEERS_MAX: usize = 256;
/// Tips of one peer that a round follows up.
pub const TIPS_MAX: usize = 65_536;
/// How far back a parent of unknown author is asked for.
const PARENT_BACK: u64 = 16;
/// How long a peer that answered rubbish is left alone.
const RUBBISH_PAUSE_MS: u64 = 60_000;
/// How long a busy or failing peer is left alone.
const FAILURE_PAUSE_MS: u64 = 1_000;

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
        /// Who sent them.
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
        /// Who sent them.
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
    /// All that this peer has shown is held.
    Synced {
        /// Who.
        peer: Wallet,
    },
}

/// What a peer did wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SyncFault {
    /// The answer does not decode.
    #[error("an answer that does not decode")]
    Undecodable,
    /// An answer of another kind than asked for.
    #[error("an answer of another kind")]
    WrongKind,
    /// Tips that do not sort after the page before, or an endless list.
    #[error("tips out of order")]
    TipsOrder,
    /// It listed tips that it does not serve.
    #[error("listed entries that it does not serve")]
    NotServed,
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

/// The state of sync with all peers.
#[derive(Debug)]
pub struct SyncCore {
    peers: BTreeMap<Wallet, Peer>,
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
            next_request_id: 0,
            next_round_ms: 0,
            random: seed,
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
            }
            SyncInput::Tick => self.tick(at, &mut out),
            SyncInput::Response {
                peer,
                request_id,
                response,
            } => {
                if self
                    .peers
                    .get_mut(&peer)
                    .is_some_and(|state| state.answered(request_id))
                {
                    self.respond(peer, response, at, &mut out);
                }
            }
            SyncInput::RequestFailed {
                peer,
                request_id,
                is_rubbish,
            } => {
                if self
                    .peers
                    .get_mut(&peer)
                    .is_some_and(|state| state.answered(request_id))
                {
                    if is_rubbish {
                        self.fault(peer, SyncFault::Undecodable, at, &mut out);
                    } else {
                        self.pause(peer, now_ms.saturating_add(FAILURE_PAUSE_MS));
                    }
                }
            }
            SyncInput::Admitted { peer, admissions } => {
                self.admitted(peer, &admissions, at, &mut out)
            }
            SyncInput::MissingParents { peer, ids } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.want(ids);
                    if state.may_begin(now_ms) {
                        state.round = Round::Fetching { is_tips: false };
                        self.fetch(peer, at, &mut out);
                    }
                }
            }
        }
        out
    }

    fn tick(&mut self, at: At<'_>, out: &mut Vec<SyncOutput>) {
        for state in self.peers.values_mut() {
            if state.is_late(at.now_ms) {
                state.pause(at.now_ms.saturating_add(FAILURE_PAUSE_MS));
            }
        }
        let ready = |state: &Peer| state.may_begin(at.now_ms);
        let due: Vec<Wallet> = self
            .peers
            .iter()
            .filter(|(_, state)| ready(state) && state.is_due(at.now_ms))
            .map(|(peer, _)| *peer)
            .collect();
        for peer in due {
            self.begin(peer, at, out);
        }
        if at.now_ms < self.next_round_ms {
            return;
        }
        self.next_round_ms = at.now_ms.saturating_add(ROUND_INTERVAL_MS);
        let idle: Vec<Wallet> = self
            .peers
            .iter()
            .filter(|(_, state)| ready(state))
            .map(|(peer, _)| *peer)
            .collect();
        let count = u64::try_from(idle.len()).unwrap_or(u64::MAX);
        let pick = self
            .draw()
            .checked_rem(count)
            .and_then(|pick| usize::try_from(pick).ok());
        if let Some(&peer) = pick.and_then(|pick| idle.get(pick)) {
            self.begin(peer, at, out);
        }
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
        let Some(state) = self
            .peers
            .get_mut(&peer)
            .filter(|state| state.may_begin(at.now_ms))
        else {
            return;
        };
        state.round = Round::Heads;
        state.tips.clear();
        self.ask(peer, SyncRequest::Heads(serve::heads(at.ledger)), at, out);
    }

    fn ask(&mut self, peer: Wallet, request: SyncRequest, at: At<'_>, out: &mut Vec<SyncOutput>) {
        let request_id = self.next_request_id;
        self.next_request_id = self.next_request_id.wrapping_add(1);
        if let Some(state) = self.peers.get_mut(&peer) {
            state.in_flight = Some((request_id, at.now_ms));
            out.push(SyncOutput::Request {
                peer,
                request_id,
                request,
            });
        }
    }

    fn pause(&mut self, peer: Wallet, until_ms: u64) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.pause(until_ms);
        }
    }

    fn fault(&mut self, peer: Wallet, fault: SyncFault, at: At<'_>, out: &mut Vec<SyncOutput>) {
        self.pause(peer, at.now_ms.saturating_add(RUBBISH_PAUSE_MS));
        out.push(SyncOutput::Mark { peer, fault });
    }

    fn respond(
        &mut self,
        peer: Wallet,
        response: SyncResponse,
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let Some(round) = self.peers.get(&peer).map(|state| state.round) else {
            return;
        };
        match (round, response) {
            (_, SyncResponse::Busy) => self.pause(peer, at.now_ms.saturating_add(FAILURE_PAUSE_MS)),
            (Round::Heads, SyncResponse::Heads(theirs)) => self.compare(peer, theirs, at, out),
            (Round::Tips { after }, SyncResponse::Tips { tips, more }) => {
                self.read_tips(peer, after, (&tips, more), at, out);
            }
            (Round::Fetching { is_tips }, SyncResponse::Entries { entries }) => {
                self.receive(peer, is_tips, &entries, at, out);
            }
            _ => self.fault(peer, SyncFault::WrongKind, at, out),
        }
    }

    fn compare(&mut self, peer: Wallet, theirs: Heads, at: At<'_>, out: &mut Vec<SyncOutput>) {
        if theirs == serve::heads(at.ledger) {
            self.finish(peer, true, out);
        } else if let Some(state) = self.peers.get_mut(&peer) {
            state.round = Round::Tips { after: None };
            self.ask(peer, SyncRequest::Tips { after: None }, at, out);
        }
    }

    fn read_tips(
        &mut self,
        peer: Wallet,
        after: Option<TipKey>,
        (tips, more): (&[TipKey], bool),
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let in_order = tips.is_sorted_by(|a, b| a < b)
            && tips
                .first()
                .is_none_or(|first| after.is_none_or(|after| after < *first))
            && !(more && tips.is_empty());
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if !in_order {
            self.fault(peer, SyncFault::TipsOrder, at, out);
            return;
        }
        state
            .tips
            .extend(tips.iter().filter(|tip| !at.ledger.holds(&tip.id)));
        let after = tips.last().copied();
        if more && state.tips.len() < TIPS_MAX {
            state.round = Round::Tips { after };
            self.ask(peer, SyncRequest::Tips { after }, at, out);
        } else {
            state.round = Round::Fetching { is_tips: true };
            self.fetch(peer, at, out);
        }
    }

    /// Asks for what is still missing of what the peer has shown.
    fn fetch(&mut self, peer: Wallet, at: At<'_>, out: &mut Vec<SyncOutput>) {
        let fetching = self
            .peers
            .iter()
            .filter(|(other, state)| **other != peer && state.is_fetching())
            .count();
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        state.forget_held(at.ledger);
        let is_tips = matches!(state.round, Round::Fetching { is_tips: true });
        let mut wants: BTreeMap<Hash, u64> = BTreeMap::new();
        let mut parents = state.parents.clone();
        for tip in &state.tips {
            // A tip that waits here is wanted no more, its parents are. The
            // ledger knows them best: a round that broke off has forgotten.
            if at.ledger.is_pending(&tip.id) {
                parents.extend(at.ledger.absent_parents(&tip.id));
            } else if wants.len() < limits::SYNC_ITEMS_MAX {
                wants.insert(
                    tip.id,
                    tip.seq.saturating_sub(at.ledger.log_length(&tip.author)),
                );
            }
        }
        for id in parents {
            if wants.len() < limits::SYNC_ITEMS_MAX {
                wants.entry(id).or_insert(PARENT_BACK);
            }
        }
        if wants.is_empty() && !state.tips.is_empty() {
            state.pause(at.now_ms.saturating_add(FAILURE_PAUSE_MS));
        } else if wants.is_empty() {
            self.finish(peer, is_tips, out);
        } else if fetching >= FETCHING_MAX {
            state.pause(at.now_ms);
        } else {
            let wants = wants
                .into_iter()
                .map(|(id, back)| Want { id, back })
                .collect();
            self.ask(peer, SyncRequest::Entries { wants }, at, out);
        }
    }

    fn receive(
        &mut self,
        peer: Wallet,
        is_tips: bool,
        entries: &[Vec<u8>],
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let mut fresh = Vec::new();
        for bytes in entries {
            let entry = Signed::<Entry>::decode(bytes)
                .map_err(Into::into)
                .and_then(|entry| entry.verify(at.ledger.network()));
            match entry {
                Ok(entry) if is_here(at.ledger, &id_of(&entry)) => {}
                Ok(entry) => fresh.push(entry),
                Err(_) => {
                    self.fault(peer, SyncFault::BadEntry, at, out);
                    return;
                }
            }
        }
        let Some(state) = self.peers.get_mut(&peer) else {
            return;
        };
        if fresh.is_empty() {
            state.forget_held(at.ledger);
            state.parents.clear();
            let listed = is_tips && state.tips.iter().any(|tip| !at.ledger.is_pending(&tip.id));
            if listed {
                self.fault(peer, SyncFault::NotServed, at, out);
            } else {
                self.finish(peer, is_tips, out);
            }
        } else {
            state.is_admitting = true;
            out.push(SyncOutput::Admit {
                peer,
                entries: fresh,
            });
        }
    }

    fn admitted(
        &mut self,
        peer: Wallet,
        admissions: &[Admission],
        at: At<'_>,
        out: &mut Vec<SyncOutput>,
    ) {
        let Some(state) = self.peers.get_mut(&peer).filter(|state| state.is_admitting) else {
            return;
        };
        state.is_admitting = false;
        if admissions
            .iter()
            .any(|admission| matches!(admission, Admission::Refused(_)))
        {
            self.fault(peer, SyncFault::BadStructure, at, out);
            return;
        }
        let mut is_progress = false;
        for admission in admissions {
            match admission {
                Admission::Added { .. } => is_progress = true,
                Admission::Pending { missing } => {
                    is_progress = true;
                    state.want(missing.iter().copied());
                }
                Admission::Known | Admission::Later | Admission::Refused(_) => {}
            }
        }
        if is_progress {
            self.fetch(peer, at, out);
        } else {
            state.pause(at.now_ms.saturating_add(FAILURE_PAUSE_MS));
        }
    }

    fn finish(&mut self, peer: Wallet, is_whole: bool, out: &mut Vec<SyncOutput>) {
        if let Some(state) = self.peers.get_mut(&peer) {
            state.rest();
        }
        if is_whole {
            out.push(SyncOutput::Synced { peer });
        }
    }
}

fn is_here(ledger: &Ledger, id: &Hash) -> bool {
    ledger.holds(id) || ledger.is_pending(id)
}
