//! The chain's order as sync sees it: marks on it, and parts of it with their
//! counts and digests.
//!
//! Equal links at one length mean equal entries up to there, so two chains find
//! where they begin to differ without reading anything. Digests are hashes over
//! ids in order: nobody can grind entries whose sums cancel. Every answer reads
//! a bounded number of ids.

use crate::graph::Ix;
use crate::ledger::Ledger;
use talkoot_protocol::sync::{ChainKey, Heads, KeyRange, Listing, Span};
use talkoot_protocol::{Hash, HashContext, limits};

/// Entries that one digest covers at most.
pub(super) const DIGEST_COUNT_MAX: u64 = 1024;

/// A part of our own chain, by position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    start: usize,
    end: usize,
}

impl Part {
    pub(super) const fn count(self) -> u64 {
        self.end.saturating_sub(self.start) as u64
    }
}

/// Where an entry of the graph stands.
pub(super) fn key_of(ledger: &Ledger, ix: Ix) -> ChainKey {
    let (lamport, author, seq, id) = ledger.core.graph().chain_key(ix);
    ChainKey {
        lamport,
        author,
        seq,
        id,
    }
}

/// What of our chain lies in a range.
pub(super) fn part(ledger: &Ledger, range: &KeyRange) -> Part {
    let links = ledger.core.chain.links();
    let behind = |bound: &ChainKey| links.partition_point(|link| key_of(ledger, link.ix) <= *bound);
    Part {
        start: range.after.as_ref().map_or(0, behind),
        end: range.until.as_ref().map_or(links.len(), behind),
    }
}

/// The entries of a part, in order.
pub(super) fn entries(ledger: &Ledger, part: Part) -> impl Iterator<Item = Ix> + '_ {
    let links = ledger.core.chain.links().get(part.start..part.end);
    links.unwrap_or_default().iter().map(|link| link.ix)
}

/// The digest of a part; none when it is too long.
pub(super) fn digest(ledger: &Ledger, part: Part) -> Option<Hash> {
    if part.count() > DIGEST_COUNT_MAX {
        return None;
    }
    let ids: Vec<Hash> = ids(ledger, part);
    let bytes: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    Some(Hash::of_parts(HashContext::SyncSpan, &bytes))
}

fn ids(ledger: &Ledger, part: Part) -> Vec<Hash> {
    entries(ledger, part)
        .map(|ix| ledger.core.graph().node(ix).id)
        .collect()
}

/// All ids of a part, or its spans when it is long.
pub(super) fn listing(ledger: &Ledger, part: Part) -> Listing {
    let count = part.end.saturating_sub(part.start);
    if count <= limits::SYNC_ITEMS_MAX {
        return Listing::Ids(ids(ledger, part));
    }
    let size = count.div_ceil(limits::SYNC_SPANS_MAX);
    let starts = (part.start..part.end).step_by(size);
    let spans = starts.filter_map(|start| {
        let span = Part {
            start,
            end: start.saturating_add(size).min(part.end),
        };
        let last = span.end.checked_sub(1)?;
        let link = ledger.core.chain.links().get(last)?;
        Some(Span {
            last: key_of(ledger, link.ix),
            count: span.count(),
            digest: digest(ledger, span),
        })
    });
    Listing::Spans(spans.collect())
}

/// Our chain at the lengths n, n − 1, n − 2, n − 4, … and where it stands
/// there: near its end most is new.
pub(super) fn marks(ledger: &Ledger) -> Vec<(Heads, ChainKey)> {
    let links = ledger.core.chain.links();
    let backs = std::iter::once(0).chain((0..usize::BITS).map(|shift| 1_usize << shift));
    backs
        .map_while(|back| links.len().checked_sub(back))
        .map_while(|length| {
            let link = links.get(length.checked_sub(1)?)?;
            let heads = Heads {
                length: length as u64,
                tip: link.link,
            };
            Some((heads, key_of(ledger, link.ix)))
        })
        .collect()
}

/// The longest of these that our chain begins with; 0 if none.
pub(super) fn shared(ledger: &Ledger, marks: &[Heads]) -> usize {
    let links = ledger.core.chain.links();
    let is_ours = |mark: &&Heads| {
        usize::try_from(mark.length)
            .ok()
            .and_then(|length| links.get(length.checked_sub(1)?))
            .is_some_and(|link| link.link == mark.tip)
    };
    let mark = marks.iter().find(is_ours);
    mark.and_then(|mark| usize::try_from(mark.length).ok())
        .unwrap_or(0)
}

/// What our chain holds after so many entries.
pub(super) fn after(ledger: &Ledger, length: usize) -> Part {
    Part {
        start: length,
        end: ledger.core.chain.links().len(),
    }
}
