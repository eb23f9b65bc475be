//! The ledger: verified entries in, outcomes, accounts and a chain out.
//!
//! Pure: no I/O, no clock, no randomness. Entries may come in any order and
//! repeatedly; the result is a function of the set. Membership never flips: an
//! entry that was admitted stays, whatever it came to.

use crate::buckets::Buckets;
use crate::core::Core;
use crate::entry::{Entry, id_of, parents};
use crate::facts::Embedded;
use crate::graph::Parents;
use crate::membership::{self, StructureError};
use crate::pending::{Complete, Pending};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::{Genesis, Hash, NetworkId, Verified, Wallet};

/// Where an entry came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Written here, or read from the own journal: takes no tokens.
    Own,
    /// From a peer.
    Peer(Wallet),
}

/// What became of an entry that was handed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It is in the set, and with it those that waited for it.
    Added {
        /// The entry and those that waited for it, in the order they came in.
        newly: Vec<Hash>,
    },
    /// It was there before, or waits already.
    Known,
    /// It waits for its parents.
    Pending {
        /// Those that are not held and do not wait themselves.
        missing: Vec<Hash>,
    },
    /// It found no token, or too many of its source wait. Hand it in later.
    Later,
    /// It will never be in a set: the peer that sent it did not check it.
    Refused(StructureError),
}

/// The replicated books.
#[derive(Debug)]
pub struct Ledger {
    pub(crate) core: Core,
    pub(crate) pending: Pending,
    buckets: Buckets,
    /// The first held entry that names a wallet.
    pub(crate) named_by: BTreeMap<Wallet, Hash>,
    relinked_from: usize,
}

impl Ledger {
    /// The empty books of a network.
    #[must_use]
    pub fn new(genesis: Genesis) -> Self {
        Self {
            core: Core::new(genesis),
            pending: Pending::default(),
            buckets: Buckets::default(),
            named_by: BTreeMap::new(),
            relinked_from: 0,
        }
    }

    /// The founding document.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.core.genesis
    }

    /// The id of the network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.core.network
    }

    /// Hands one entry in.
    pub fn admit(&mut self, entry: Verified<Entry>, source: Source, now_ms: u64) -> Admission {
        let admission = self.admit_one(entry, source, false, now_ms);
        self.relink();
        admission
    }

    /// Hands many entries in; the chain is linked once.
    pub fn admit_batch(
        &mut self,
        entries: Vec<Verified<Entry>>,
        source: Source,
        now_ms: u64,
    ) -> Vec<Admission> {
        let ids: Vec<Hash> = entries.iter().map(id_of).collect();
        let vouched = match source {
            Source::Own => BTreeSet::new(),
            Source::Peer(_) => self.vouched(ids.iter().copied().zip(&entries)),
        };
        let admissions = entries
            .into_iter()
            .zip(ids)
            .map(|(entry, id)| self.admit_one(entry, source, vouched.contains(&id), now_ms))
            .collect();
        self.relink();
        admissions
    }

    /// Hands in entries of the own journal, with what it has of the signatures
    /// inside them (`None` to check them); the chain is linked once.
    pub(crate) fn admit_recorded(
        &mut self,
        entries: impl IntoIterator<Item = (Verified<Entry>, Option<Embedded>)>,
    ) -> Vec<Admission> {
        let admissions = entries
            .into_iter()
            .map(|(entry, known)| self.admit_known(entry, Source::Own, true, 0, known))
            .collect();
        self.relink();
        admissions
    }

    /// What became of the signatures inside a held entry.
    pub(crate) fn embedded(&self, id: &Hash) -> Option<Embedded> {
        let ix = self.core.graph().find(id)?;
        Some(self.core.embedded(ix))
    }

    /// Those of a batch, in any order that puts parents before children, that
    /// need no token: founders' entries, and what lies in their past, or in that
    /// of a founder's entry that waits here.
    pub(crate) fn vouched<'a>(
        &self,
        batch: impl DoubleEndedIterator<Item = (Hash, &'a Verified<Entry>)>,
    ) -> BTreeSet<Hash> {
        let mut vouched = BTreeSet::new();
        for (id, entry) in batch.rev() {
            if self.is_founder(&entry.author)
                || vouched.contains(&id)
                || self.pending.is_vouched(&id)
            {
                vouched.insert(id);
                vouched.extend(parents(entry));
            }
        }
        vouched
    }

    fn is_founder(&self, wallet: &Wallet) -> bool {
        let mut founders = self.core.genesis.founders.iter();
        founders.any(|founder| founder.wallet == *wallet)
    }

    /// Forgets pending entries that have waited too long.
    pub fn expire(&mut self, now_ms: u64) {
        self.pending.expire(now_ms);
    }

    /// The lowest chain position that changed since this was last asked.
    pub(crate) fn take_relinked_from(&mut self) -> usize {
        let from = self.relinked_from;
        self.relinked_from = self.core.chain.links().len();
        from
    }

    fn relink(&mut self) {
        let from = self.core.relink();
        self.relinked_from = self.relinked_from.min(from);
    }

    fn admit_one(
        &mut self,
        entry: Verified<Entry>,
        source: Source,
        is_vouched: bool,
        now_ms: u64,
    ) -> Admission {
        self.admit_known(entry, source, is_vouched, now_ms, None)
    }

    fn admit_known(
        &mut self,
        entry: Verified<Entry>,
        source: Source,
        is_vouched: bool,
        now_ms: u64,
        known: Option<Embedded>,
    ) -> Admission {
        if entry.network != self.core.network {
            return Admission::Refused(StructureError::Network);
        }
        let id = id_of(&entry);
        if self.core.graph().find(&id).is_some() || self.pending.contains(&id) {
            return Admission::Known;
        }
        let parents = membership::find_parents(self.core.graph(), &entry);
        let is_vouched = is_vouched
            || source == Source::Own
            || self.is_founder(&entry.author)
            || self.pending.is_vouched(&id);
        let from = match source {
            Source::Own => entry.author,
            Source::Peer(peer) => peer,
        };
        let complete = Complete {
            entry,
            source: from,
            is_vouched,
        };
        let parents = match parents {
            Ok(parents) => parents,
            Err(missing) => {
                if !self.pending.add(id, complete, &missing, now_ms) {
                    return Admission::Later;
                }
                let missing = missing
                    .into_iter()
                    .filter(|id| !self.pending.contains(id))
                    .collect();
                return Admission::Pending { missing };
            }
        };
        match self.insert(complete, &parents, now_ms, known) {
            Ok(id) => Admission::Added {
                newly: self.wake(id, now_ms),
            },
            Err(refusal) => refusal,
        }
    }

    /// Adds what waited for `id`, and what waited for that.
    fn wake(&mut self, id: Hash, now_ms: u64) -> Vec<Hash> {
        let mut newly = vec![id];
        let mut position = 0;
        while let Some(&id) = newly.get(position) {
            for complete in self.pending.arrived(&id) {
                let parents = membership::find_parents(self.core.graph(), &complete.entry);
                let inserted = parents.map(|parents| self.insert(complete, &parents, now_ms, None));
                newly.extend(inserted.ok().and_then(Result::ok));
            }
            position = position.saturating_add(1);
        }
        newly
    }

    /// Adds an entry whose parents are held, if its structure is right and a
    /// token is there.
    fn insert(
        &mut self,
        complete: Complete,
        parents: &Parents,
        now_ms: u64,
        known: Option<Embedded>,
    ) -> Result<Hash, Admission> {
        let Complete {
            entry, is_vouched, ..
        } = complete;
        let id = id_of(&entry);
        let graph = self.core.graph();
        let (genesis, network) = (&self.core.genesis, self.core.network);
        if let Err(error) = membership::check(graph, genesis, network, &entry, parents) {
            self.pending.refuse(&id);
            return Err(Admission::Refused(error));
        }
        let sponsor = if entry.seq == 0 && !self.is_founder(&entry.author) {
            membership::sponsor(graph, &entry, parents)
        } else {
            None
        };
        if !is_vouched && !self.buckets.take(entry.author, sponsor, now_ms) {
            return Err(Admission::Later);
        }
        if let Some(sponsor) = sponsor {
            self.buckets.named(entry.author, sponsor);
        }
        for name in &entry.names {
            self.named_by.entry(*name).or_insert(id);
        }
        self.core.insert(entry, parents, known);
        Ok(id)
    }
}
