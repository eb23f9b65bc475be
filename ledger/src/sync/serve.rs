//! Answers to sync requests: a function of the ledger and the request.
//!
//! A node serves every entry it holds: whole parts of the chain's order, or by
//! id. Entries go out in the chain's order, so that a receiver which asks for
//! all it lacks can admit each answer as it comes. What an answer costs is
//! bounded, however long the chain is.

use super::span;
use crate::graph::Ix;
use crate::ledger::Ledger;
use std::collections::BTreeMap;
use talkoot_protocol::limits;
use talkoot_protocol::sync::{Heads, KeyRange, SyncRequest, SyncResponse, Want};

/// Length and tip of the chain.
#[must_use]
pub fn heads(ledger: &Ledger) -> Heads {
    Heads {
        length: ledger.length(),
        tip: ledger.tip(),
    }
}

/// Answers one request.
#[must_use]
pub fn answer(ledger: &Ledger, request: &SyncRequest) -> SyncResponse {
    match request {
        SyncRequest::Heads(_) => SyncResponse::Heads(heads(ledger)),
        SyncRequest::Since { marks } => {
            let shared = span::shared(ledger, marks);
            SyncResponse::Since {
                shared: shared as u64,
                listing: span::listing(ledger, span::after(ledger, shared)),
            }
        }
        SyncRequest::List(range) => {
            SyncResponse::List(span::listing(ledger, span::part(ledger, range)))
        }
        SyncRequest::Slice { range, entries_max } => slice(ledger, range, *entries_max),
        SyncRequest::Entries { wants } => SyncResponse::Entries {
            entries: entries(ledger, wants),
        },
    }
}

fn slice(ledger: &Ledger, range: &KeyRange, entries_max: u32) -> SyncResponse {
    let mut entries = Vec::new();
    let mut bytes = 0_usize;
    let mut more = false;
    for ix in span::entries(ledger, span::part(ledger, range)) {
        let entry = ledger.core.graph().node(ix).entry.to_bytes();
        bytes = bytes.saturating_add(entry.len());
        if entries.len() >= entries_max as usize || bytes > limits::SYNC_ENTRIES_BYTES_MAX {
            more = true;
            break;
        }
        entries.push(entry);
    }
    SyncResponse::Slice { entries, more }
}

/// A walk up one log, from an old entry to the wanted one.
#[derive(Debug, Clone, Copy)]
struct Walk {
    top: Ix,
    seq: u64,
}

fn entries(ledger: &Ledger, wants: &[Want]) -> Vec<Vec<u8>> {
    let graph = ledger.core.graph();
    let mut walks: BTreeMap<_, (Ix, Vec<Walk>)> = BTreeMap::new();
    let enter = |walks: &mut BTreeMap<_, (Ix, Vec<Walk>)>, walk: Walk| {
        if let Some(ix) = graph.ancestor_at(walk.top, walk.seq) {
            walks
                .entry(graph.chain_key(ix))
                .or_insert_with(|| (ix, Vec::new()))
                .1
                .push(walk);
        }
    };
    for want in wants {
        if let Some(top) = graph.find(&want.id) {
            enter(
                &mut walks,
                Walk {
                    top,
                    seq: graph.seq(top).saturating_sub(want.back),
                },
            );
        }
    }
    let mut out = Vec::new();
    let mut bytes = 0_usize;
    while let Some((_, (ix, here))) = walks.pop_first() {
        let entry = graph.node(ix).entry.to_bytes();
        bytes = bytes.saturating_add(entry.len());
        if out.len() >= limits::SYNC_ITEMS_MAX || bytes > limits::SYNC_ENTRIES_BYTES_MAX {
            break;
        }
        out.push(entry);
        for walk in here
            .into_iter()
            .filter(|walk| walk.seq < graph.seq(walk.top))
        {
            enter(
                &mut walks,
                Walk {
                    seq: walk.seq.saturating_add(1),
                    ..walk
                },
            );
        }
    }
    out
}
