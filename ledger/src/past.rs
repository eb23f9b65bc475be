//! Causal pasts as version vectors, and the sets money is judged in.
//!
//! A past is closed: with an entry it holds all its ancestors. So of a log that
//! is a line it holds a prefix, and one tip says all; of a forked log it holds
//! one tip for each branch. A membership test is a search by author and, for
//! forked logs only, a walk over jump pointers.

use crate::graph::{AuthorIx, Graph, Ix};

/// A closed set of entries: sorted pairs of author and newest entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Past(Box<[(AuthorIx, Ix)]>);

impl Past {
    /// The union of the given entries and all their ancestors.
    pub(crate) fn union(graph: &Graph, parents: &[Ix]) -> Self {
        let mut pairs: Vec<(AuthorIx, Ix)> = Vec::new();
        for &parent in parents {
            let node = graph.node(parent);
            pairs.extend_from_slice(&node.past.0);
            pairs.push((node.author, parent));
        }
        pairs.sort_unstable();
        pairs.dedup();
        Self(reduce(graph, &pairs).into_boxed_slice())
    }

    /// The newest entries of one author in this past.
    pub(crate) fn tips(&self, author: AuthorIx) -> &[(AuthorIx, Ix)] {
        let start = self.0.partition_point(|pair| pair.0 < author);
        let end = self.0.partition_point(|pair| pair.0 <= author);
        self.0.get(start..end).unwrap_or_default()
    }

    /// All newest entries, by author.
    pub(crate) fn pairs(&self) -> &[(AuthorIx, Ix)] {
        &self.0
    }

    /// Whether an entry lies in this past.
    pub(crate) fn contains(&self, graph: &Graph, ix: Ix) -> bool {
        let node = graph.node(ix);
        let is_line = graph.author(node.author).fork_seq().is_none();
        self.tips(node.author).iter().any(|&(_, tip)| {
            if is_line {
                graph.seq(tip) >= node.entry.seq
            } else {
                tip == ix || graph.in_log_of(ix, tip)
            }
        })
    }
}

/// Keeps of each author's entries those that are no log ancestors of others.
fn reduce(graph: &Graph, pairs: &[(AuthorIx, Ix)]) -> Vec<(AuthorIx, Ix)> {
    let mut kept: Vec<(AuthorIx, Ix)> = Vec::with_capacity(pairs.len());
    for run in pairs.chunk_by(|a, b| a.0 == b.0) {
        let Some(&(author, _)) = run.first() else {
            continue;
        };
        if graph.author(author).fork_seq().is_none() {
            // In a line a later index is a higher number.
            kept.extend(run.last());
            continue;
        }
        // Ancestors have lower indices, so only later ones can cover.
        for (position, &(_, ix)) in run.iter().enumerate() {
            let later = run.get(position.saturating_add(1)..).unwrap_or_default();
            if !later.iter().any(|&(_, newer)| graph.in_log_of(ix, newer)) {
                kept.push((author, ix));
            }
        }
    }
    kept
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
        let mut tips = past.tips(author).iter().map(|pair| pair.1).chain(top);
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
