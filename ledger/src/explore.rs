//! Looking through the books: the chain by position, entries by arrival, what
//! belongs to one log or one job.
//!
//! Read-only and cheap for each entry passed over, so that a caller may look
//! through many and show few. It decides nothing and keeps nothing.

use crate::entry::Entry;
use crate::facts::Facts;
use crate::graph::Ix;
use crate::ledger::Ledger;
use crate::outcome::Outcome;
use std::collections::BTreeMap;
use std::ops::Range;
use talkoot_protocol::{Hash, JobId, Verified, Wallet};

/// An entry at its place in the chain.
#[derive(Debug, Clone, Copy)]
pub struct Placed<'a> {
    /// Its position in the chain.
    pub position: usize,
    /// Its id.
    pub id: Hash,
    /// The entry.
    pub entry: &'a Verified<Entry>,
    /// What it came to.
    pub outcome: Outcome,
    /// The digest of that.
    pub effect: Hash,
    /// The link that covers it and all before.
    pub link: Hash,
    /// The job it orders, or is about.
    pub job: Option<JobId>,
}

/// The part of a wallet in a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobPart {
    /// Which job.
    pub job: JobId,
    /// Whether the wallet ordered it.
    pub is_submitter: bool,
    /// Whether it is a stage of it.
    pub is_worker: bool,
}

impl Ledger {
    /// The part of the chain that `positions` covers and that there is.
    pub fn placed(&self, positions: Range<usize>) -> impl DoubleEndedIterator<Item = Placed<'_>> {
        let links = self.core.chain.links();
        let end = positions.end.min(links.len());
        let start = positions.start.min(end);
        let part = links.get(start..end).unwrap_or_default().iter();
        (start..end).zip(part).map(|(position, link)| {
            let node = self.core.graph().node(link.ix);
            Placed {
                position,
                id: node.id,
                entry: &node.entry,
                outcome: self.core.record(link.ix).outcome,
                effect: link.effect,
                link: link.link,
                job: self.job_of(link.ix),
            }
        })
    }

    fn job_of(&self, ix: Ix) -> Option<JobId> {
        match &self.core.record(ix).facts {
            Facts::Reserve(_) => Some(JobId(self.core.graph().node(ix).id)),
            Facts::Frontier(frontier) => Some(JobId(frontier.job)),
            Facts::Release(job) => Some(JobId(**job)),
            _ => None,
        }
    }

    /// The link before a position: the network's id before the first.
    #[must_use]
    pub fn link_before(&self, position: usize) -> Hash {
        position
            .checked_sub(1)
            .and_then(|before| self.link_at(before))
            .map_or_else(|| self.network().0, |link| link.link)
    }

    /// Where a held entry stands in the chain.
    #[must_use]
    pub fn position(&self, id: &Hash) -> Option<usize> {
        let graph = self.core.graph();
        let key = graph.chain_key(graph.find(id)?);
        self.core
            .chain
            .links()
            .binary_search_by_key(&key, |link| graph.chain_key(link.ix))
            .ok()
    }

    /// The held entries in the order in which they came, from a number on. The
    /// numbers are this node's own and, unlike positions, never change while it
    /// runs.
    pub fn arrivals(&self, from: usize) -> impl Iterator<Item = Hash> + '_ {
        let graph = self.core.graph();
        graph.all().skip(from).map(|ix| graph.node(ix).id)
    }

    /// The entries of one log, by number; at a fork all branches.
    #[must_use]
    pub fn log_entries(&self, author: &Wallet) -> Vec<Hash> {
        let graph = self.core.graph();
        let Some(log) = graph.log(author) else {
            return Vec::new();
        };
        let mut entries: Vec<(u64, Hash)> = log
            .since_seq(0)
            .map(|ix| (graph.seq(ix), graph.node(ix).id))
            .collect();
        entries.sort_unstable();
        entries.into_iter().map(|(_, id)| id).collect()
    }

    /// The entry that first names a wallet, in the chain's order. A founder
    /// needs none.
    #[must_use]
    pub fn naming(&self, wallet: &Wallet) -> Option<Hash> {
        self.named_by.get(wallet)?;
        self.placed(0..usize::MAX)
            .find(|placed| placed.entry.names.contains(wallet))
            .map(|placed| placed.id)
    }

    /// The jobs that a wallet ordered or is a stage of, newest first.
    pub fn jobs_with(&self, wallet: Wallet) -> impl Iterator<Item = JobPart> + '_ {
        let links = self.core.chain.links().iter().rev();
        links.filter_map(move |link| {
            let Facts::Reserve(reserve) = &self.core.record(link.ix).facts else {
                return None;
            };
            let is_submitter = reserve.terms.submitter == wallet;
            let is_worker = reserve.offers.iter().any(|(worker, _)| *worker == wallet);
            (is_submitter || is_worker).then(|| JobPart {
                job: JobId(self.core.graph().node(link.ix).id),
                is_submitter,
                is_worker,
            })
        })
    }

    /// The entries about a job after its `Reserve`, effective or not, in the
    /// chain's order.
    pub fn about_job(&self, job: JobId) -> impl Iterator<Item = Placed<'_>> {
        let start = self
            .position(&job.0)
            .map_or(usize::MAX, |position| position.saturating_add(1));
        self.placed(start..usize::MAX)
            .filter(move |placed| placed.job == Some(job))
    }

    /// The `Equivocation` entries that prove something, by whom they accuse, each
    /// list in the chain's order.
    #[must_use]
    pub fn proofs(&self) -> BTreeMap<Wallet, Vec<Hash>> {
        let mut proofs: BTreeMap<Wallet, Vec<Hash>> = BTreeMap::new();
        if self.core.proven.is_empty() {
            return proofs;
        }
        for link in self.core.chain.links() {
            if let Facts::Equivocation(Some(proof)) = &self.core.record(link.ix).facts {
                let id = self.core.graph().node(link.ix).id;
                proofs.entry(proof.author).or_default().push(id);
            }
        }
        proofs
    }
}
