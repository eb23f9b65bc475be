//! Structure: whether an entry may be in the set at all.
//!
//! These checks look at the envelope and at the entry's parents, nothing else,
//! so the answer never changes and is the same everywhere. What an entry claims
//! about money is judged later and never refuses it.

use crate::entry::{Entry, parents};
use crate::graph::{Graph, Ix, Parents};
use talkoot_protocol::{Genesis, Hash, NetworkId, Wallet};

/// Why an entry is in no set. A peer that forwards one did not check it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StructureError {
    /// Another network's entry.
    #[error("an entry of another network")]
    Network,
    /// `prev` is not the author's entry one number before.
    #[error("prev is not the author's entry before")]
    Prev,
    /// A reference to an entry of the same author.
    #[error("a reference to the author's own log")]
    OwnRef,
    /// Not one more than the largest among the parents.
    #[error("the lamport number is not one above the parents'")]
    Lamport,
    /// The first entry of somebody whom nobody named.
    #[error("the author is no founder, and no reference names it")]
    NotNamed,
}

/// Finds the parents of an entry; those that are not held are an error.
pub(crate) fn find_parents(graph: &Graph, entry: &Entry) -> Result<Parents, Vec<Hash>> {
    let prev = (entry.seq != 0).then(|| graph.find(&entry.prev));
    let refs: Vec<Option<Ix>> = entry.refs.iter().map(|id| graph.find(id)).collect();
    if prev == Some(None) || refs.contains(&None) {
        let missing = parents(entry).filter(|id| graph.find(id).is_none());
        return Err(missing.collect());
    }
    Ok(Parents {
        prev: prev.flatten(),
        refs: refs.into_iter().flatten().collect(),
    })
}

/// Checks an entry whose parents are all held.
pub(crate) fn check(
    graph: &Graph,
    genesis: &Genesis,
    network: NetworkId,
    entry: &Entry,
    parents: &Parents,
) -> Result<(), StructureError> {
    if entry.network != network {
        return Err(StructureError::Network);
    }
    let lamport = parents.all().map(|ix| graph.node(ix).lamport).max();
    if lamport.unwrap_or(0).checked_add(1) != Some(entry.lamport) {
        return Err(StructureError::Lamport);
    }
    let author_of = |ix: Ix| graph.author(graph.node(ix).author).wallet;
    if parents.refs.iter().any(|&ix| author_of(ix) == entry.author) {
        return Err(StructureError::OwnRef);
    }
    if entry.seq > 0 {
        let follows = parents.prev.is_some_and(|prev| {
            author_of(prev) == entry.author && graph.seq(prev).checked_add(1) == Some(entry.seq)
        });
        return if follows {
            Ok(())
        } else {
            Err(StructureError::Prev)
        };
    }
    let is_founder = genesis
        .founders
        .iter()
        .any(|founder| founder.wallet == entry.author);
    if is_founder || sponsor(graph, entry, parents).is_some() {
        Ok(())
    } else {
        Err(StructureError::NotNamed)
    }
}

/// Who named the author of a first entry: the author of the lowest reference
/// that does.
pub(crate) fn sponsor(graph: &Graph, entry: &Entry, parents: &Parents) -> Option<Wallet> {
    let mut refs = parents.refs.iter().map(|&ix| &graph.node(ix).entry);
    refs.find(|parent| parent.names.binary_search(&entry.author).is_ok())
        .map(|parent| parent.author)
}
