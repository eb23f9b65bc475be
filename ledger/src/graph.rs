//! The set of entries as a graph: logs, forks and causal pasts.
//!
//! Entries are kept in the order they became complete, so parents stand before
//! children and an index never changes. A log is a tree (a line, unless its
//! author forks); jump pointers find the ancestor at a number in logarithmic
//! time. This file knows nothing of money and does not check anything.

use crate::entry::{Entry, id_of};
use crate::ids::Ids;
use crate::past::Past;
use std::collections::BTreeMap;
use talkoot_protocol::{Hash, Verified, Wallet};

/// Where an entry stands in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ix(u32);

impl Ix {
    /// The entry at a place in the order of completion.
    pub(crate) const fn from_position(position: u32) -> Self {
        Self(position)
    }

    /// The place in the order of completion.
    pub(crate) const fn position(self) -> usize {
        self.0 as usize
    }
}

/// Where an author stands in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AuthorIx(u32);

impl AuthorIx {
    /// The author with a number.
    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// Authors are numbered in the order they came.
    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

/// An entry in the graph.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) entry: Verified<Entry>,
    pub(crate) id: Hash,
    pub(crate) lamport: u64,
    pub(crate) author: AuthorIx,
    pub(crate) prev: Option<Ix>,
    /// A farther ancestor in the log; itself at seq 0.
    jump: Ix,
    /// All ancestors, without the entry itself.
    pub(crate) past: Past,
}

/// A log.
#[derive(Debug)]
pub(crate) struct Author {
    pub(crate) wallet: Wallet,
    /// The first entry held at each number.
    first: Vec<Ix>,
    /// Further entries at a number: proof of a fork.
    twins: BTreeMap<u64, Vec<Ix>>,
    /// Entries without a held successor in this log.
    pub(crate) tips: Vec<Ix>,
}

impl Author {
    /// Whether no number is held twice.
    pub(crate) fn is_line(&self) -> bool {
        self.twins.is_empty()
    }

    /// The lowest number at which two entries are held.
    pub(crate) fn fork_seq(&self) -> Option<u64> {
        self.twins.keys().next().copied()
    }

    /// The entries at and above a number, all branches.
    pub(crate) fn since_seq(&self, seq: u64) -> impl Iterator<Item = Ix> + '_ {
        let start = usize::try_from(seq).unwrap_or(usize::MAX);
        let firsts = self.first.get(start..).unwrap_or_default().iter().copied();
        firsts.chain(
            self.twins
                .range(seq..)
                .flat_map(|(_, twins)| twins.iter().copied()),
        )
    }

    /// The entries at one number.
    pub(crate) fn at_seq(&self, seq: u64) -> impl Iterator<Item = Ix> + '_ {
        let first = usize::try_from(seq)
            .ok()
            .and_then(|seq| self.first.get(seq))
            .copied();
        first
            .into_iter()
            .chain(self.twins.get(&seq).into_iter().flatten().copied())
    }

    /// How many numbers are held.
    pub(crate) fn length(&self) -> u64 {
        self.first.len() as u64
    }
}

/// The held parents of an entry.
#[derive(Debug, Clone)]
pub(crate) struct Parents {
    pub(crate) prev: Option<Ix>,
    /// In the order of the entry's refs.
    pub(crate) refs: Vec<Ix>,
}

impl Parents {
    /// All of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Ix> + '_ {
        self.prev.into_iter().chain(self.refs.iter().copied())
    }
}

/// The sort key of the chain.
pub(crate) type ChainKey = (u64, Wallet, u64, Hash);

/// All held entries.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    ids: Ids,
    authors: Vec<Author>,
    /// Whether any log is forked.
    has_forks: bool,
    by_wallet: BTreeMap<Wallet, AuthorIx>,
}

impl Graph {
    /// How many entries are held.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Every index, in the order of completion.
    pub(crate) fn all(&self) -> impl Iterator<Item = Ix> + use<> {
        (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX)).map(Ix)
    }

    pub(crate) fn node(&self, ix: Ix) -> &Node {
        #[expect(
            clippy::indexing_slicing,
            reason = "only this graph makes indices, and it forgets nothing"
        )]
        &self.nodes[ix.0 as usize]
    }

    pub(crate) fn author(&self, ix: AuthorIx) -> &Author {
        #[expect(
            clippy::indexing_slicing,
            reason = "only this graph makes indices, and it forgets nothing"
        )]
        &self.authors[ix.0 as usize]
    }

    /// Whether a log holds no number twice.
    pub(crate) fn is_line(&self, author: AuthorIx) -> bool {
        !self.has_forks || self.author(author).is_line()
    }

    pub(crate) fn authors(&self) -> impl Iterator<Item = (AuthorIx, &Author)> {
        self.by_wallet.values().map(|&ix| (ix, self.author(ix)))
    }

    pub(crate) fn find(&self, id: &Hash) -> Option<Ix> {
        self.ids.find(id, |ix| self.node(ix).id == *id)
    }

    pub(crate) fn find_author(&self, wallet: &Wallet) -> Option<AuthorIx> {
        self.by_wallet.get(wallet).copied()
    }

    pub(crate) fn log(&self, wallet: &Wallet) -> Option<&Author> {
        self.find_author(wallet).map(|ix| self.author(ix))
    }

    pub(crate) fn seq(&self, ix: Ix) -> u64 {
        self.node(ix).entry.seq
    }

    pub(crate) fn chain_key(&self, ix: Ix) -> ChainKey {
        let node = self.node(ix);
        (node.lamport, node.entry.author, node.entry.seq, node.id)
    }

    /// Whether one entry stands before another in the chain.
    pub(crate) fn is_before(&self, a: Ix, b: Ix) -> bool {
        let (lamport_a, lamport_b) = (self.node(a).lamport, self.node(b).lamport);
        lamport_a < lamport_b
            || lamport_a == lamport_b && a != b && self.chain_key(a) < self.chain_key(b)
    }

    /// The ancestor of `ix` in its own log at `seq` (itself at its own number).
    pub(crate) fn ancestor_at(&self, ix: Ix, seq: u64) -> Option<Ix> {
        let mut here = ix;
        loop {
            let node = self.node(here);
            if node.entry.seq == seq {
                return Some(here);
            }
            if node.entry.seq < seq {
                return None;
            }
            here = if self.seq(node.jump) >= seq {
                node.jump
            } else {
                node.prev?
            };
        }
    }

    /// Whether `older` is `newer` or one of its ancestors in the same log.
    pub(crate) fn in_log_of(&self, older: Ix, newer: Ix) -> bool {
        self.node(older).author == self.node(newer).author
            && self.ancestor_at(newer, self.seq(older)) == Some(older)
    }

    /// The lowest number at which two entries of one author have different
    /// log ancestors; `None` when one is an ancestor of the other.
    pub(crate) fn divergence(&self, a: Ix, b: Ix) -> Option<u64> {
        let low = self.seq(a).min(self.seq(b));
        let (mut a, mut b) = (self.ancestor_at(a, low)?, self.ancestor_at(b, low)?);
        if a == b {
            return None;
        }
        // Jump pointers depend on the number alone, so both walk in step.
        loop {
            let (node_a, node_b) = (self.node(a), self.node(b));
            (a, b) = match (node_a.prev, node_b.prev) {
                (Some(_), Some(_)) if node_a.jump != node_b.jump => (node_a.jump, node_b.jump),
                (Some(prev_a), Some(prev_b)) if prev_a != prev_b => (prev_a, prev_b),
                _ => return Some(node_a.entry.seq),
            };
        }
    }

    /// The log of `ix` before it, newest first.
    pub(crate) fn log_before(&self, ix: Ix) -> impl Iterator<Item = Ix> + '_ {
        std::iter::successors(self.node(ix).prev, |&older| self.node(older).prev)
    }

    /// The author's index; makes one for a new author.
    fn author_ix(&mut self, wallet: Wallet) -> AuthorIx {
        let next = AuthorIx(u32::try_from(self.authors.len()).unwrap_or(u32::MAX));
        let ix = *self.by_wallet.entry(wallet).or_insert(next);
        if ix == next {
            self.authors.push(Author {
                wallet,
                first: Vec::new(),
                twins: BTreeMap::new(),
                tips: Vec::new(),
            });
        }
        ix
    }

    /// The union of the given entries and their pasts.
    pub(crate) fn closure_of(&self, parents: &[Ix]) -> Past {
        Past::union(self, parents)
    }

    /// Adds an entry whose parents are held and whose structure was checked.
    pub(crate) fn push(&mut self, entry: Verified<Entry>, parents: &Parents) -> Ix {
        let id = id_of(&entry);
        let prev = parents.prev;
        let all: Vec<Ix> = parents.all().collect();
        let past = Past::union(self, &all);
        let author = match prev {
            Some(prev) => self.node(prev).author,
            None => self.author_ix(entry.author),
        };
        let ix = Ix(u32::try_from(self.nodes.len()).unwrap_or(u32::MAX));
        let jump = prev.map_or(ix, |prev| self.jump_from(prev));
        let seq = entry.seq;
        self.ids.insert(&id, ix);
        self.nodes.push(Node {
            lamport: entry.lamport,
            entry,
            id,
            author,
            prev,
            jump,
            past,
        });
        #[expect(
            clippy::indexing_slicing,
            reason = "the author was found or made above"
        )]
        let log = &mut self.authors[author.0 as usize];
        if seq == log.first.len() as u64 {
            log.first.push(ix);
        } else {
            log.twins.entry(seq).or_default().push(ix);
            self.has_forks = true;
        }
        log.tips.retain(|&tip| Some(tip) != prev);
        log.tips.push(ix);
        ix
    }

    /// Skew-binary jump pointers: the entry after `prev` jumps over both of
    /// prev's last jumps when they were equally long.
    fn jump_from(&self, prev: Ix) -> Ix {
        let first = self.node(prev).jump;
        let second = self.node(first).jump;
        let length = |from: Ix, to: Ix| self.seq(from).saturating_sub(self.seq(to));
        if length(prev, first) == length(first, second) && prev != first {
            second
        } else {
            prev
        }
    }
}
