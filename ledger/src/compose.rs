//! The next entry of one's own log: what it cites, and whether it is due.
//!
//! An honest author extends its own newest entry and cites the newest entries
//! of others, not those that a cited one covers. It does not cite an author
//! proven to fork, except a stage the `Reserve` of its own job.

use crate::amount::{Balance, Ugft};
use crate::entry::Entry;
use crate::facts::Facts;
use crate::graph::Ix;
use crate::kinds::{Equivocation, Payload, Release, WITNESS};
use crate::ledger::Ledger;
use crate::outcome::Reason;
use crate::past::{Cut, Past};
use crate::views::ForkView;
use std::collections::BTreeSet;
use talkoot_protocol::{Hash, JobId, Wallet, limits};

/// What an author wants to say.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The kind.
    pub kind: u16,
    /// The payload, canonical.
    pub payload: Vec<u8>,
    /// Wallets to introduce.
    pub names: Vec<Wallet>,
    /// The author's clock.
    pub time_ms: u64,
    /// Entries that must be in the past: a `Frontier`'s `Reserve`.
    pub cites: Vec<Hash>,
}

impl Draft {
    /// A draft with nothing but a payload.
    #[must_use]
    pub fn new(payload: &Payload, time_ms: u64) -> Self {
        Self {
            kind: payload.kind(),
            payload: payload.to_bytes(),
            names: Vec::new(),
            time_ms,
            cites: Vec::new(),
        }
    }

    /// Adds an entry that must be in the past.
    #[must_use]
    pub fn citing(mut self, id: Hash) -> Self {
        self.cites.push(id);
        self
    }

    /// Adds wallets to introduce.
    #[must_use]
    pub fn naming(mut self, names: impl IntoIterator<Item = Wallet>) -> Self {
        self.names.extend(names);
        self
    }
}

/// Why no entry can be composed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ComposeError {
    /// An entry to cite is not held.
    #[error("the entry {0} to cite is not held")]
    NotHeld(Hash),
    /// Nobody has named this wallet yet.
    #[error("no held entry names this wallet, so it cannot write yet")]
    NotNamed,
    /// More entries to cite than an entry may.
    #[error("more than {} entries to cite", limits::ENTRY_REFS_MAX)]
    TooManyCites,
    /// The own log has two tips: it must not grow.
    #[error("the own log is forked")]
    Forked,
}

/// What an entry would come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preview {
    /// The reason, when it would be inert.
    pub reason: Option<Reason>,
    /// For an entry that spends: what is available.
    pub available: Option<Balance>,
    /// For an entry that spends: what it asks for.
    pub asked: Option<Ugft>,
}

impl Ledger {
    /// Composes the next entry of `me`'s log.
    ///
    /// # Errors
    /// [`ComposeError`].
    pub fn compose(&self, me: Wallet, mut draft: Draft) -> Result<Entry, ComposeError> {
        let graph = self.core.graph();
        let prev = self.own_tip(me)?;
        if draft.kind == WITNESS {
            self.see_before_claiming(me, prev, &mut draft);
        }
        let refs = self.choose_refs(me, prev, &draft.cites)?;
        let parents: Vec<Ix> = prev.into_iter().chain(refs.iter().copied()).collect();
        let is_founder = self
            .core
            .genesis
            .founders
            .iter()
            .any(|founder| founder.wallet == me);
        let names_me = |&ix: &Ix| graph.node(ix).entry.names.contains(&me);
        if prev.is_none() && !is_founder && !refs.iter().any(names_me) {
            return Err(ComposeError::NotNamed);
        }
        let lamport = parents
            .iter()
            .map(|&ix| graph.node(ix).entry.lamport)
            .max()
            .unwrap_or(0);
        let mut refs: Vec<Hash> = refs.into_iter().map(|ix| graph.node(ix).id).collect();
        refs.sort_unstable();
        let mut names = draft.names;
        names.sort_unstable();
        names.dedup();
        Ok(Entry {
            network: self.core.network,
            author: me,
            seq: prev.map_or(0, |prev| graph.seq(prev).saturating_add(1)),
            prev: prev.map_or(Hash::ZERO, |prev| graph.node(prev).id),
            refs,
            lamport: lamport.saturating_add(1),
            time_ms: draft.time_ms,
            names,
            kind: draft.kind,
            payload: draft.payload,
        })
    }

    /// What a composed entry would come to if it were added now.
    #[must_use]
    pub fn preview(&self, entry: &Entry) -> Preview {
        let graph = self.core.graph();
        let parents: Vec<Ix> = crate::entry::parents(entry)
            .filter_map(|id| graph.find(&id))
            .collect();
        let past = graph.closure_of(&parents);
        let prev = if entry.seq == 0 {
            None
        } else {
            graph.find(&entry.prev)
        };
        let (facts, verdict) = self.core.preview(entry, prev, &past);
        let asked = match &facts {
            Facts::Admit(admit) => Some(admit.line),
            Facts::Reserve(reserve) => reserve.split.as_ref().ok().map(|split| split.cap),
            _ => None,
        };
        Preview {
            reason: verdict.result.err(),
            available: verdict.available,
            asked,
        }
    }

    /// What a wallet's next entry could spend now.
    #[must_use]
    pub fn available(&self, wallet: Wallet) -> Balance {
        let Ok(prev) = self.own_tip(wallet) else {
            return Balance::ZERO;
        };
        let refs = self.choose_refs(wallet, prev, &[]).unwrap_or_default();
        let parents: Vec<Ix> = prev.into_iter().chain(refs).collect();
        let past = self.core.graph().closure_of(&parents);
        let mut money = self.core.money_at(wallet, prev);
        money.settle(&self.core, &past);
        money.available()
    }

    /// Whether a founder should post a witness now: it may cite an ok entry that
    /// moves money and that its log lacks, or it has not yet said that the
    /// deadline of a job with holds is over.
    #[must_use]
    pub fn is_witness_due(&self, founder: Wallet, now_ms: u64) -> bool {
        let graph = self.core.graph();
        if self.genesis().line_ugft(founder) == 0 {
            return false;
        }
        let Ok(prev) = self.own_tip(founder) else {
            return false;
        };
        if self.overdue(prev, now_ms).next().is_some() {
            return true;
        }
        let refs = self.choose_refs(founder, prev, &[]).unwrap_or_default();
        let before = prev.map(Cut::Closure);
        let lacks = |ix: Ix| !before.is_some_and(|cut| cut.contains(graph, ix));
        let counts = |ix: Ix| {
            let record = self.core.record(ix);
            let counts = matches!(
                record.facts,
                Facts::Admit(_) | Facts::Reserve(_) | Facts::Frontier(_) | Facts::Release(_)
            );
            counts && record.verdict.is_ok()
        };
        let none = Past::default();
        let past_before = prev.map_or(&none, |prev| &graph.node(prev).past);
        let mut is_due = false;
        graph.closure_of(&refs).since(past_before, &mut |_, newer| {
            is_due = is_due
                || newer.iter().any(|&tip| {
                    let mut log = [tip].into_iter().chain(graph.log_before(tip));
                    log.by_ref().take_while(|&ix| lacks(ix)).any(counts)
                });
        });
        is_due
    }

    /// Jobs with holds whose deadline is over by this clock and of which the
    /// log that ends at `prev` has not said so.
    fn overdue(&self, prev: Option<Ix>, now_ms: u64) -> impl Iterator<Item = Ix> + '_ {
        let graph = self.core.graph();
        let is_unclaimed = move |&job: &Ix| match prev {
            Some(prev) if Cut::Closure(prev).contains(graph, job) => {
                !self.core.claims_over(prev, job)
            }
            // A forked log is not cited, so nothing can be said of its jobs.
            _ => !self.is_forked(graph.node(job).entry.author),
        };
        let jobs = self.core.open_jobs.iter();
        jobs.take_while(move |(from_ms, _)| *from_ms <= now_ms)
            .map(|&(_, job)| job)
            .filter(is_unclaimed)
    }

    /// A founder's witness says that jobs are over. What their stages posted in
    /// time must be in its past; if that is more than one entry can cite, it
    /// says less of the time.
    fn see_before_claiming(&self, me: Wallet, prev: Option<Ix>, draft: &mut Draft) {
        if self.genesis().line_ugft(me) == 0 {
            return;
        }
        let graph = self.core.graph();
        let is_new = |ix: Ix| {
            let author = graph.node(ix).entry.author;
            let is_covered = prev.is_some_and(|prev| Cut::Closure(prev).contains(graph, ix));
            author != me && !is_covered && !self.is_forked(author)
        };
        for job in self.overdue(prev, draft.time_ms) {
            let stages = self.core.jobs.get(&job).map_or(&[][..], |job| &job.stages);
            let newest = stages.iter().filter_map(|stage| stage.frontiers.last());
            for ix in newest.copied().chain([job]).filter(|&ix| is_new(ix)) {
                if draft.cites.len() >= limits::ENTRY_REFS_MAX {
                    let before_ms = self.core.claim_from_ms(job).saturating_sub(1);
                    draft.time_ms = draft.time_ms.min(before_ms);
                    return;
                }
                draft.cites.push(graph.node(ix).id);
            }
        }
    }

    /// Own jobs whose holds a release would end now.
    #[must_use]
    pub fn releases_due(&self, me: Wallet, now_ms: u64) -> Vec<JobId> {
        let graph = self.core.graph();
        let jobs = self.core.open_jobs.iter();
        let own = jobs
            .take_while(|(from_ms, _)| *from_ms <= now_ms)
            .map(|&(_, job)| job)
            .filter(|job| {
                self.core
                    .jobs
                    .get(job)
                    .is_some_and(|job| job.submitter == me)
            });
        own.map(|job| JobId(graph.node(job).id))
            .filter(|&job| {
                let draft = Draft::new(&Payload::Release(Release { job }), now_ms);
                self.compose(me, draft)
                    .is_ok_and(|entry| self.preview(&entry).reason.is_none())
            })
            .collect()
    }

    /// When the next job with holds is over: a time to look at what is due.
    #[must_use]
    pub fn next_deadline_ms(&self, after_ms: u64) -> Option<u64> {
        let after = self
            .core
            .open_jobs
            .iter()
            .find(|(from_ms, _)| *from_ms > after_ms);
        after.map(|(from_ms, _)| *from_ms)
    }

    /// Proofs of forks that no held entry carries yet, for an `Equivocation`. A
    /// pair too large for a payload gives none: both entries are held by all.
    #[must_use]
    pub fn equivocations_due(&self) -> Vec<Payload> {
        let forks = self.forks();
        let open = forks
            .iter()
            .filter(|fork| !self.core.proven.contains(&fork.author));
        let pair = |fork: &ForkView| match fork.entries.as_slice() {
            [first, second, ..] => Some(Equivocation::new(self.entry(first)?, self.entry(second)?)),
            _ => None,
        };
        let payloads = open.filter_map(pair).map(Payload::Equivocation);
        payloads
            .filter(|payload| payload.to_bytes().len() <= limits::ENTRY_PAYLOAD_BYTES_MAX)
            .collect()
    }

    /// The tip of a log that must not be forked; `None` for an empty log.
    fn own_tip(&self, me: Wallet) -> Result<Option<Ix>, ComposeError> {
        match self.core.graph().log(&me).map(|log| log.tips.as_slice()) {
            None | Some([]) => Ok(None),
            Some([tip]) => Ok(Some(*tip)),
            Some(_) => Err(ComposeError::Forked),
        }
    }

    fn choose_refs(
        &self,
        me: Wallet,
        prev: Option<Ix>,
        cites: &[Hash],
    ) -> Result<Vec<Ix>, ComposeError> {
        let graph = self.core.graph();
        let covered =
            |parents: &[Ix], past: &Past, ix: Ix| parents.contains(&ix) || past.contains(graph, ix);
        let mut parents: Vec<Ix> = prev.into_iter().collect();
        let mut past = graph.closure_of(&parents);
        let mut refs = Vec::new();
        for id in cites {
            let ix = graph.find(id).ok_or(ComposeError::NotHeld(*id))?;
            if graph.node(ix).entry.author != me && !covered(&parents, &past, ix) {
                parents.push(ix);
                refs.push(ix);
                past = graph.closure_of(&parents);
            }
        }
        if refs.len() > limits::ENTRY_REFS_MAX {
            return Err(ComposeError::TooManyCites);
        }
        if let Some(naming) = self.naming_entry(me, prev).filter(|ix| !refs.contains(ix)) {
            // A first entry must cite the entry that names its author itself.
            refs.truncate(limits::ENTRY_REFS_MAX.saturating_sub(1));
            parents.push(naming);
            refs.push(naming);
            past = graph.closure_of(&parents);
        }
        let proven: BTreeSet<Wallet> = self.forked_authors();
        let mut tips: Vec<Ix> = graph
            .authors()
            .filter(|(_, author)| author.wallet != me && !proven.contains(&author.wallet))
            .flat_map(|(_, author)| author.tips.iter().copied())
            .filter(|&tip| !covered(&parents, &past, tip))
            .collect();
        tips.sort_by_cached_key(|&tip| std::cmp::Reverse(graph.chain_key(tip)));
        for tip in tips {
            if refs.len() >= limits::ENTRY_REFS_MAX {
                break;
            }
            if !covered(&parents, &past, tip) {
                parents.push(tip);
                refs.push(tip);
                past = graph.closure_of(&parents);
            }
        }
        Ok(refs)
    }

    /// For a wallet without entries that is no founder: an entry that names it.
    fn naming_entry(&self, me: Wallet, prev: Option<Ix>) -> Option<Ix> {
        let is_founder = self
            .core
            .genesis
            .founders
            .iter()
            .any(|founder| founder.wallet == me);
        if prev.is_some() || is_founder {
            return None;
        }
        let id = self.named_by.get(&me)?;
        self.core.graph().find(id)
    }
}
