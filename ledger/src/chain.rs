//! The chain: all held entries in one order, each link covering all before.
//!
//! `link_0` is the network id; `link_i = blake3(link_{i-1} ‖ id_i ‖ effect_i)`
//! over the entries sorted by (lamport, author, seq, id). The bytes are a pure
//! function of the set. A late entry links again what sorts after it; changes
//! are gathered and linked in one pass.

use crate::graph::{Graph, Ix};
use std::collections::BTreeSet;
use talkoot_protocol::{Hash, HashContext, NetworkId};

/// One position of the chain.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) ix: Ix,
    pub(crate) effect: Hash,
    pub(crate) link: Hash,
}

/// The sorted entries with their links.
#[derive(Debug)]
pub(crate) struct Chain {
    start: Hash,
    links: Vec<Link>,
    added: Vec<Ix>,
    touched: BTreeSet<Ix>,
}

/// The link after `before` for an entry and its effect.
#[must_use]
pub fn next_link(before: Hash, id: Hash, effect: Hash) -> Hash {
    Hash::of_parts(
        HashContext::Link,
        &[before.as_bytes(), id.as_bytes(), effect.as_bytes()],
    )
}

impl Chain {
    pub(crate) const fn new(network: NetworkId) -> Self {
        Self {
            start: network.0,
            links: Vec::new(),
            added: Vec::new(),
            touched: BTreeSet::new(),
        }
    }

    /// Notes a new entry.
    pub(crate) fn push(&mut self, ix: Ix) {
        self.added.push(ix);
    }

    /// Notes that the outcome of a held entry has changed.
    pub(crate) fn touch(&mut self, ix: Ix) {
        // What was only noted is not linked yet. Entries come in their order.
        let is_linked = self.added.first().is_none_or(|&first| ix < first);
        if is_linked {
            self.touched.insert(ix);
        }
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.links
    }

    /// The last link, or the network id before the first entry.
    pub(crate) fn tip(&self) -> Hash {
        self.links.last().map_or(self.start, |link| link.link)
    }

    fn position(&self, graph: &Graph, ix: Ix) -> usize {
        // Most entries stand near the end: the search begins there.
        let (mut low, mut step) = (self.links.len(), 1_usize);
        loop {
            let probe = self.links.len().checked_sub(step);
            let link = probe.and_then(|probe| self.links.get(probe));
            match (probe, link) {
                (Some(probe), Some(link)) if !graph.is_before(link.ix, ix) => low = probe,
                (probe, _) => {
                    let start = probe.unwrap_or(0);
                    let part = self.links.get(start..low).unwrap_or_default();
                    let inside = part.partition_point(|link| graph.is_before(link.ix, ix));
                    return start.saturating_add(inside);
                }
            }
            step = step.saturating_mul(2);
        }
    }

    /// Takes what was noted in; gives the lowest position that changed (the
    /// length, if none did).
    pub(crate) fn relink(&mut self, graph: &Graph, effect_of: impl Fn(Ix) -> Hash) -> usize {
        let mut added = std::mem::take(&mut self.added);
        if !added.is_sorted_by(|&a, &b| graph.is_before(a, b)) {
            added.sort_by_cached_key(|&ix| graph.chain_key(ix));
        }
        let mut lowest = self.links.len();
        if let Some(&first) = added.first() {
            lowest = self.position(graph, first);
            self.merge(graph, lowest, &added);
        }
        for ix in std::mem::take(&mut self.touched) {
            let position = self.position(graph, ix);
            lowest = lowest.min(position);
            if let Some(link) = self.links.get_mut(position) {
                link.effect = effect_of(ix);
            }
        }
        let mut before = lowest
            .checked_sub(1)
            .and_then(|last| self.links.get(last))
            .map_or(self.start, |link| link.link);
        for link in self.links.iter_mut().skip(lowest) {
            if link.link == Hash::ZERO {
                link.effect = effect_of(link.ix);
            }
            link.link = next_link(before, graph.node(link.ix).id, link.effect);
            before = link.link;
        }
        lowest
    }

    /// Merges sorted new entries into the part from `lowest` on. A new link is
    /// zero until it is computed.
    fn merge(&mut self, graph: &Graph, lowest: usize, added: &[Ix]) {
        let rest = self.links.split_off(lowest);
        let mut rest = rest.into_iter().peekable();
        for &ix in added {
            while let Some(link) = rest.next_if(|link| graph.is_before(link.ix, ix)) {
                self.links.push(link);
            }
            self.links.push(Link {
                ix,
                effect: Hash::ZERO,
                link: Hash::ZERO,
            });
        }
        self.links.extend(rest);
    }
}
