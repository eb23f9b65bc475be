//! Structure: whether an entry may be in the set at all.
//!
//! These checks look at the envelope and at the entry's parents, nothing else,
//! so the answer never changes and is the same everywhere. What an entry claims
//! about money is judged later and never refuses it.

use crate::entry::{Entry, parents};
use crate::graph::{Graph, Ix};
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

/// The parents that are not held.
pub(crate) fn missing(graph: &Graph, entry: &Entry) -> Vec<Hash> {
    parents(entry)
        .filter(|id| graph.find(id).is_none())
        .collect()
}

/// Checks an entry whose parents are all held.
pub(crate) fn check(
    graph: &Graph,
    genesis: &Genesis,
    network: NetworkId,
    entry: &Entry,
) -> Result<(), StructureError> {
    if entry.network != network {
        return Err(StructureError::Network);
    }
    let held: Vec<Ix> = parents(entry).filter_map(|id| graph.find(&id)).collect();
    let lamport = held
        .iter()
        .map(|&ix| graph.node(ix).entry.lamport)
        .max()
        .unwrap_or(0);
    if lamport.checked_add(1) != Some(entry.lamport) {
        return Err(StructureError::Lamport);
    }
    let refs = || {
        entry
            .refs
            .iter()
            .filter_map(|id| graph.find(id))
            .map(|ix| &graph.node(ix).entry)
    };
    if refs().any(|parent| parent.author == entry.author) {
        return Err(StructureError::OwnRef);
    }
    if entry.seq > 0 {
        let prev = graph.find(&entry.prev).map(|ix| &graph.node(ix).entry);
        let follows = prev.is_some_and(|prev| {
            prev.author == entry.author && prev.seq.checked_add(1) == Some(entry.seq)
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
    if is_founder || sponsor(graph, entry).is_some() {
        Ok(())
    } else {
        Err(StructureError::NotNamed)
    }
}

/// Who named the author of a first entry: the author of the lowest reference
/// that does.
pub(crate) fn sponsor(graph: &Graph, entry: &Entry) -> Option<Wallet> {
    let refs = entry
        .refs
        .iter()
        .filter_map(|id| graph.find(id))
        .map(|ix| &graph.node(ix).entry);
    refs.filter(|parent| parent.names.binary_search(&entry.author).is_ok())
        .map(|parent| parent.author)
        .next()
}
