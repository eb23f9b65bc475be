//! Sync between nodes: requests and answers on streams, with their time.

use super::{Asker, Event, World};
use crate::invariants::{Lawful, Violation};
use crate::links::at;
use crate::node::Serving;
use std::collections::VecDeque;
use talkoot_ledger::Source;
use talkoot_ledger::sync::{SyncInput, SyncOutput, serve};
use talkoot_protocol::sync::{ChainKey, Heads, Listing, Span, SyncRequest, SyncResponse};
use talkoot_protocol::{Hash, Wallet};

impl World {
    /// Hands an input to a node's sync core and carries out what it says.
    pub(crate) fn sync(&mut self, who: u32, input: SyncInput) -> Lawful {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let now_ms = self.clock_ms(who);
            let node = &mut self.nodes[at(who)];
            let Some(books) = &node.books else {
                return Ok(());
            };
            for output in node.sync.handle(input, books.ledger(), now_ms) {
                inputs.extend(self.carry_out(who, output)?);
                if !self.nodes[at(who)].is_up() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, who: u32, output: SyncOutput) -> Result<Option<SyncInput>, Violation> {
        match output {
            SyncOutput::Request {
                peer,
                request_id,
                request,
            } => {
                self.ask(who, peer, request_id, request);
                Ok(None)
            }
            SyncOutput::Admit { peer, entries } => {
                let admissions = self.admit(who, entries, Source::Peer(peer))?;
                self.compare(who)?;
                Ok(admissions.map(|admissions| SyncInput::Admitted { peer, admissions }))
            }
            SyncOutput::Mark { peer, fault } => {
                self.counts.one("peers_marked");
                let other = &self.nodes[at(self.by_wallet[&peer])];
                if !other.is_liar && !self.nodes[at(who)].is_liar {
                    return Err(Violation(format!(
                        "honest {} is marked: {fault}",
                        peer.short()
                    )));
                }
                Ok(None)
            }
            SyncOutput::Synced { peer } => {
                if let Some(books) = &mut self.nodes[at(who)].books {
                    books.peer_showed(peer);
                }
                Ok(None)
            }
        }
    }

    fn ask(&mut self, who: u32, peer: Wallet, request_id: u64, request: SyncRequest) {
        self.counts.one("sync_requests");
        let to = self.by_wallet[&peer];
        if !self.links.is_open(who, to) {
            return;
        }
        let delay_us = self
            .links
            .stream_us(request.to_bytes().len(), &mut self.random);
        let from = Asker {
            who,
            life: self.nodes[at(who)].life,
            request_id,
        };
        self.after(
            delay_us,
            Event::Ask {
                to,
                from,
                request: Box::new(request),
            },
        );
    }

    pub(super) fn answer(&mut self, to: u32, from: Asker, request: &SyncRequest) {
        let node = &self.nodes[at(to)];
        let Some(books) = &node.books else {
            return;
        };
        let response = match node.serving {
            Serving::Right => Some(serve::answer(books.ledger(), request)),
            Serving::Nothing => Some(nothing(request)),
            Serving::Rubbish => rubbish(request, self.random.below(4)),
        };
        let bytes = response.as_ref().map_or(100, size);
        if !self.links.is_open(to, from.who) {
            return;
        }
        let delay_us = self.links.stream_us(bytes, &mut self.random);
        let response = response.map(Box::new);
        self.after(
            delay_us,
            Event::Answer {
                to: from,
                from: to,
                response,
            },
        );
    }

    pub(super) fn answered(
        &mut self,
        to: Asker,
        from: u32,
        response: Option<Box<SyncResponse>>,
    ) -> Lawful {
        let (node, peer) = (&self.nodes[at(to.who)], self.nodes[at(from)].wallet);
        if node.life != to.life || !self.links.is_open(to.who, from) {
            return Ok(());
        }
        let request_id = to.request_id;
        let input = match response {
            Some(response) => SyncInput::Response {
                peer,
                request_id,
                response: *response,
            },
            None => SyncInput::RequestFailed {
                peer,
                request_id,
                is_rubbish: true,
            },
        };
        self.sync(to.who, input)
    }
}

fn size(response: &SyncResponse) -> usize {
    match response {
        SyncResponse::Slice { entries, .. } | SyncResponse::Entries { entries } => {
            entries.iter().map(Vec::len).sum::<usize>() + 16
        }
        SyncResponse::Since { listing, .. } | SyncResponse::List(listing) => match listing {
            Listing::Ids(ids) => ids.len() * 32 + 24,
            Listing::Spans(spans) => spans.len() * 121 + 24,
        },
        SyncResponse::Heads(_) | SyncResponse::Busy => 48,
    }
}

/// The answers of somebody who hides everything.
fn nothing(request: &SyncRequest) -> SyncResponse {
    let listing = Listing::Ids(Vec::new());
    let entries = Vec::new();
    match request {
        SyncRequest::Heads(heads) => SyncResponse::Heads(*heads),
        SyncRequest::Since { .. } => SyncResponse::Since { shared: 0, listing },
        SyncRequest::List(_) => SyncResponse::List(listing),
        SyncRequest::Slice { .. } => SyncResponse::Slice {
            entries,
            more: false,
        },
        SyncRequest::Entries { .. } => SyncResponse::Entries { entries },
    }
}

fn rubbish(request: &SyncRequest, how: usize) -> Option<SyncResponse> {
    let ids = Listing::Ids(vec![Hash::of_blob(&[1])]);
    let key = |lamport| ChainKey {
        lamport,
        author: Wallet::from_bytes([9; 32]),
        seq: 1,
        id: Hash::of_blob(&[1]),
    };
    let span = |lamport| Span {
        last: key(lamport),
        count: 1 << 40,
        digest: None,
    };
    let spans = Listing::Spans(vec![span(3), span(1 << 40)]);
    let listing = if how == 0 { ids } else { spans };
    let entries = if how == 0 {
        vec![vec![7; 100]]
    } else {
        Vec::new()
    };
    match (request, how) {
        (_, 3) => None,
        (SyncRequest::Heads(_), _) => Some(SyncResponse::Heads(Heads {
            length: 1 << 40,
            tip: Hash::ZERO,
        })),
        (SyncRequest::Since { .. }, _) => Some(SyncResponse::Since { shared: 0, listing }),
        (SyncRequest::List(_), _) => Some(SyncResponse::List(listing)),
        (SyncRequest::Slice { .. }, 0 | 1) => Some(SyncResponse::Slice {
            entries,
            more: true,
        }),
        (SyncRequest::Entries { .. }, 0 | 1) => Some(SyncResponse::Entries { entries }),
        _ => Some(SyncResponse::Busy),
    }
}
