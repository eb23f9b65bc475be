//! Causal pasts as version vectors, and the sets money is judged in.
//!
//! A past is closed: with an entry it holds all its ancestors. So of a log that
//! is a line it holds a prefix, and one tip says all; of a forked log it holds
//! one tip for each branch. A membership test is a look-up by author and, for
//! forked logs only, a walk over jump pointers. How the tips are stored is the
//! business of `tips.rs`.

use crate::graph::{AuthorIx, Graph, Ix};
use crate::tips::Tips;

/// A closed set of entries.
#[derive(Debug, Clone, Default)]
pub(crate) struct Past(Tips);

impl Past {
    /// The union of the given entries and all their ancestors.
    pub(crate) fn union(graph: &Graph, parents: &[Ix]) -> Self {
        let mut newest_first = parents.to_vec();
        newest_first.sort_unstable_by(|a, b| b.cmp(a));
        let mut past = Self::default();
        // The newest holds most of the others: what it lacks is little.
        for &parent in &newest_first {
            if !past.contains(graph, parent) {
                past.add(graph, parent);
            }
        }
        past
    }

    /// Adds an entry and all its ancestors.
    pub(crate) fn add(&mut self, graph: &Graph, parent: Ix) {
        let node = graph.node(parent);
        self.0.join(graph, &node.past.0);
        self.0.insert(graph, node.author, parent);
    }

    /// The newest entries of one author in this past, sorted.
    pub(crate) fn tips(&self, author: AuthorIx) -> &[Ix] {
        self.0.get(author)
    }

    /// Visits the newest entries of the authors that `before` holds less of.
    pub(crate) fn since(&self, before: &Self, visit: &mut dyn FnMut(AuthorIx, &[Ix])) {
        self.0.since(&before.0, visit);
    }

    /// Whether an entry lies in this past.
    pub(crate) fn contains(&self, graph: &Graph, ix: Ix) -> bool {
        let author = graph.node(ix).author;
        let is_line = graph.is_line(author);
        // In a line a later index is a higher number.
        self.tips(author)
            .iter()
            .any(|&tip| tip == ix || tip > ix && (is_line || graph.in_log_of(ix, tip)))
    }
}

/// A set that money is judged in.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut<'a> {
    /// All held entries.
    All,
    /// The past of an entry.
    Past(&'a Past),
    /// The past of an entry, and the entry.
    Closure(Ix),
}

impl Cut<'_> {
    pub(crate) fn contains(self, graph: &Graph, ix: Ix) -> bool {
        match self {
            Self::All => true,
            Self::Past(past) => past.contains(graph, ix),
            Self::Closure(top) => ix == top || graph.node(top).past.contains(graph, ix),
        }
    }

    /// The lowest number at which the set holds two entries of an author.
    pub(crate) fn fork_seq(self, graph: &Graph, author: AuthorIx) -> Option<u64> {
        let known = graph.author(author).fork_seq()?;
        let (past, top) = match self {
            Self::All => return Some(known),
            Self::Past(past) => (past, None),
            Self::Closure(top) => {
                let node = graph.node(top);
                (&node.past, (node.author == author).then_some(top))
            }
        };
        // The lowest difference from any one tip is the lowest of all pairs.
        let mut tips = past.tips(author).iter().copied().chain(top);
        let base = tips.next()?;
        tips.filter_map(|tip| graph.divergence(base, tip)).min()
    }

    /// Whether the set holds no two entries of `ix`'s author at one number not
    /// above that of `ix`.
    pub(crate) fn is_clean(self, graph: &Graph, ix: Ix) -> bool {
        let node = graph.node(ix);
        self.fork_seq(graph, node.author)
            .is_none_or(|fork| fork > node.entry.seq)
    }
}

#[cfg(test)]
mod tests;
