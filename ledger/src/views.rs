//! What the books say: read-only views for the rest of the program.

use crate::amount::{Balance, Ugft};
use crate::entry::{Entry, TipKey, parents};
use crate::facts::{Facts, JobTerms, ReserveFacts};
use crate::graph::Ix;
use crate::ledger::Ledger;
use crate::outcome::Outcome;
use crate::past::Cut;
use std::collections::BTreeSet;
use talkoot_protocol::{Hash, JobId, LayerRange, ModelCard, ModelId, Verified, Wallet};

pub use crate::standing::SERVICE_RATE_JOBS;

/// An entry and what it came to.
#[derive(Debug, Clone)]
pub struct EntryView<'a> {
    /// Its id.
    pub id: Hash,
    /// The entry.
    pub entry: &'a Verified<Entry>,
    /// What it came to.
    pub outcome: Outcome,
    /// Whether founders with more than two thirds of the lines confirm it.
    pub is_confirmed: bool,
    /// The founders that do.
    pub confirmed_by: Vec<Wallet>,
    /// For an entry that spends: what was available to it.
    pub available: Option<Balance>,
}

/// One position of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainLink {
    /// Which entry.
    pub id: Hash,
    /// The digest of its outcome.
    pub effect: Hash,
    /// The link that covers it and all before.
    pub link: Hash,
}

/// The books of one wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountView {
    /// Whose.
    pub wallet: Wallet,
    /// Earned less burned.
    pub balance: Balance,
    /// How far below zero it may go.
    pub line: Balance,
    /// Held for running jobs.
    pub held: Balance,
    /// Earned, but the frontier is not confirmed: not to be spent yet.
    pub pending: Ugft,
}

/// One stage of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageView {
    /// Who.
    pub worker: Wallet,
    /// Which layers.
    pub range: LayerRange,
    /// Its part of the total weight.
    pub weight: u64,
    /// Whether it is the submitter itself.
    pub is_own: bool,
    /// What the `Reserve` held for it.
    pub hold: Ugft,
    /// What of that is still held.
    pub held: Ugft,
    /// Burned for it.
    pub burned: Ugft,
    /// Earned by it.
    pub earned: Ugft,
    /// Whether its last word has effect.
    pub is_final: bool,
    /// Whether its newest effective frontier is confirmed.
    pub is_confirmed: bool,
    /// (prompt, completion) tokens of its newest effective frontier.
    pub frontier: Option<(u32, u32)>,
    /// What that frontier's attestation says of this stage's compute time.
    pub compute_us: Option<u64>,
}

/// A job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobView {
    /// Its id: that of the `Reserve`.
    pub id: JobId,
    /// Its terms.
    pub terms: JobTerms,
    /// What the `Reserve` came to.
    pub outcome: Outcome,
    /// Whether the `Reserve` is confirmed.
    pub is_confirmed: bool,
    /// (prompt + completion maximum) · price.
    pub cap: Ugft,
    /// The stages; empty when the offers do not form a route.
    pub stages: Vec<StageView>,
    /// Burned in all.
    pub burned: Ugft,
    /// Earned in all.
    pub earned: Ugft,
    /// Burned and not earned.
    pub commons: Ugft,
    /// Still held.
    pub held: Ugft,
    /// The release that ended its holds, if one has effect.
    pub released_by: Option<Hash>,
    /// The time from which on a founder's witness says that it is over,
    /// milliseconds since 1970.
    pub over_from_ms: u64,
}

/// A log with two entries at one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForkView {
    /// Whose.
    pub author: Wallet,
    /// The lowest such number.
    pub seq: u64,
    /// The entries there.
    pub entries: Vec<Hash>,
}

impl Ledger {
    /// How many entries are held.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.core.graph().len() as u64
    }

    /// The last link of the chain.
    #[must_use]
    pub fn tip(&self) -> Hash {
        self.core.chain.tip()
    }

    /// How many entries wait for parents.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        self.pending.len()
    }

    /// Whether an entry is held.
    #[must_use]
    pub fn holds(&self, id: &Hash) -> bool {
        self.core.graph().find(id).is_some()
    }

    /// Whether an entry waits for its parents.
    #[must_use]
    pub fn is_pending(&self, id: &Hash) -> bool {
        self.pending.contains(id)
    }

    /// What a waiting entry needs and nobody has handed in yet; empty when it
    /// does not wait.
    #[must_use]
    pub fn absent_parents(&self, id: &Hash) -> BTreeSet<Hash> {
        if self.pending.contains(id) {
            self.pending.absent(id)
        } else {
            BTreeSet::new()
        }
    }

    /// An entry that is held.
    #[must_use]
    pub fn entry(&self, id: &Hash) -> Option<&Verified<Entry>> {
        self.core
            .graph()
            .find(id)
            .map(|ix| &self.core.graph().node(ix).entry)
    }

    /// An entry and what it came to.
    #[must_use]
    pub fn view(&self, id: &Hash) -> Option<EntryView<'_>> {
        self.core.graph().find(id).map(|ix| self.view_at(ix))
    }

    fn view_at(&self, ix: Ix) -> EntryView<'_> {
        let graph = self.core.graph();
        let node = graph.node(ix);
        let record = self.core.record(ix);
        let confirming = self.core.confirming(ix, Cut::All);
        EntryView {
            id: node.id,
            entry: &node.entry,
            outcome: record.outcome,
            is_confirmed: self.core.is_confirmed(ix, Cut::All),
            confirmed_by: confirming
                .into_iter()
                .map(|founder| graph.author(founder).wallet)
                .collect(),
            available: record.available.as_deref().copied(),
        }
    }

    /// Whether an entry is held and confirmed.
    #[must_use]
    pub fn is_confirmed(&self, id: &Hash) -> bool {
        self.core
            .graph()
            .find(id)
            .is_some_and(|ix| self.core.is_confirmed(ix, Cut::All))
    }

    /// The entries in the chain's order, from a position on.
    pub fn entries(&self, from: usize) -> impl DoubleEndedIterator<Item = EntryView<'_>> {
        self.core
            .chain
            .links()
            .get(from..)
            .unwrap_or_default()
            .iter()
            .map(|link| self.view_at(link.ix))
    }

    /// The chain from a position on.
    pub fn links(&self, from: usize) -> impl DoubleEndedIterator<Item = ChainLink> + '_ {
        let links = self.core.chain.links().get(from..).unwrap_or_default();
        links.iter().map(|link| ChainLink {
            id: self.core.graph().node(link.ix).id,
            effect: link.effect,
            link: link.link,
        })
    }

    /// One position of the chain.
    #[must_use]
    pub fn link_at(&self, position: usize) -> Option<ChainLink> {
        self.links(position).next()
    }

    /// Every held entry without a held successor in its log, sorted.
    #[must_use]
    pub fn log_tips(&self) -> Vec<TipKey> {
        let graph = self.core.graph();
        let mut tips: Vec<TipKey> = graph
            .authors()
            .flat_map(|(_, author)| author.tips.iter())
            .map(|&ix| {
                let node = graph.node(ix);
                TipKey {
                    author: node.entry.author,
                    seq: node.entry.seq,
                    id: node.id,
                }
            })
            .collect();
        tips.sort_unstable();
        tips
    }

    /// How many numbers of a log are held: 0 for a stranger.
    #[must_use]
    pub fn log_length(&self, author: &Wallet) -> u64 {
        self.core.graph().log(author).map_or(0, |log| log.length())
    }

    /// The newest entry of a log that is not forked.
    #[must_use]
    pub fn log_tip(&self, author: &Wallet) -> Option<TipKey> {
        let graph = self.core.graph();
        match graph.log(author)?.tips.as_slice() {
            [tip] => Some(TipKey {
                author: *author,
                seq: graph.seq(*tip),
                id: graph.node(*tip).id,
            }),
            _ => None,
        }
    }

    /// The parents of a held entry.
    #[must_use]
    pub fn parents(&self, id: &Hash) -> Vec<Hash> {
        self.entry(id)
            .map_or_else(Vec::new, |entry| parents(entry).collect())
    }

    /// Whether a wallet may write: a founder, or named by a held entry.
    #[must_use]
    pub fn is_member(&self, wallet: &Wallet) -> bool {
        self.core
            .genesis
            .founders
            .iter()
            .any(|founder| founder.wallet == *wallet)
            || self.named_by.contains_key(wallet)
    }

    /// Everybody who founded, has an account, a log or a name here.
    #[must_use]
    pub fn wallets(&self) -> BTreeSet<Wallet> {
        let authors = self.core.graph().authors().map(|(_, author)| author.wallet);
        let accounts = self.core.accounts.iter().map(|(wallet, _)| *wallet);
        let founders = self.core.genesis.founders.iter();
        authors
            .chain(accounts)
            .chain(founders.map(|founder| founder.wallet))
            .chain(self.named_by.keys().copied())
            .collect()
    }

    /// What was burned and not earned, in all.
    #[must_use]
    pub const fn commons(&self) -> Balance {
        self.core.accounts.commons()
    }

    /// Σ balances + commons: 0, always.
    #[must_use]
    pub fn sum(&self) -> Balance {
        self.core.accounts.sum()
    }

    /// The ids of all jobs in the chain's order, from the newest back.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> + '_ {
        let links = self.core.chain.links().iter().rev();
        links
            .filter(|link| matches!(self.core.record(link.ix).facts, Facts::Reserve(_)))
            .map(|link| JobId(self.core.graph().node(link.ix).id))
    }

    /// A job, if its `Reserve` is held and decodes.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<JobView> {
        let ix = self.core.graph().find(&id.0)?;
        let record = self.core.record(ix);
        let Facts::Reserve(reserve) = &record.facts else {
            return None;
        };
        let stages = self.stage_views(ix, reserve);
        let total = |amount: fn(&StageView) -> Ugft| {
            Ugft(
                stages
                    .iter()
                    .fold(0, |sum: u64, stage| sum.saturating_add(amount(stage).0)),
            )
        };
        let (burned, earned) = (total(|stage| stage.burned), total(|stage| stage.earned));
        Some(JobView {
            id,
            terms: reserve.terms.clone(),
            outcome: record.outcome,
            is_confirmed: self.core.is_confirmed(ix, Cut::All),
            cap: reserve.split.as_ref().map_or(Ugft::ZERO, |split| split.cap),
            burned,
            earned,
            commons: burned.less(earned),
            held: total(|stage| stage.held),
            released_by: self.released_by(ix),
            over_from_ms: self.core.claim_from_ms(ix),
            stages,
        })
    }

    fn released_by(&self, job: Ix) -> Option<Hash> {
        let releases = self
            .core
            .jobs
            .get(&job)
            .map_or(&[][..], |job| &job.releases);
        let effective = |&&ix: &&Ix| self.core.record(ix).outcome.is_effective();
        let first = releases.iter().find(effective);
        first.map(|&ix| self.core.graph().node(ix).id)
    }

    fn stage_views(&self, job: Ix, reserve: &ReserveFacts) -> Vec<StageView> {
        let Ok(split) = &reserve.split else {
            return Vec::new();
        };
        let books = self.core.jobs.get(&job);
        let view = |(index, share): (usize, &crate::split::StageShare)| {
            let book = books.and_then(|job| job.stages.get(index));
            let effective = |&&ix: &&Ix| self.core.record(ix).outcome.is_effective();
            let newest = book
                .and_then(|book| book.frontiers.iter().rev().find(effective))
                .copied();
            let facts = newest.and_then(|ix| match &self.core.record(ix).facts {
                Facts::Frontier(frontier) => Some(frontier),
                _ => None,
            });
            StageView {
                worker: share.worker,
                range: share.range,
                weight: share.weight,
                is_own: share.is_own,
                hold: share.hold,
                held: books.map_or(Ugft::ZERO, |job| job.held(index)),
                burned: book.map_or(Ugft::ZERO, |book| book.burned),
                earned: book.map_or(Ugft::ZERO, |book| book.earned),
                is_final: book.is_some_and(|book| book.finals_effective > 0),
                is_confirmed: newest.is_some_and(|ix| self.core.is_confirmed(ix, Cut::All)),
                frontier: facts.map(|facts| (facts.prompt_done, facts.completion_done)),
                compute_us: facts.and_then(|facts| facts.stage_compute_us.get(index).copied()),
            }
        };
        split.stages.iter().enumerate().map(view).collect()
    }

    /// The job whose `Reserve` carries an offer, right or wrong.
    #[must_use]
    pub fn offer_used(&self, worker: Wallet, nonce: u64) -> Option<JobId> {
        let ix = self.core.offers_used.get(&(worker, nonce))?;
        Some(JobId(self.core.graph().node(*ix).id))
    }

    /// The highest nonce of a worker's offers that a held `Reserve` carries.
    #[must_use]
    pub fn nonce_highest(&self, worker: Wallet) -> Option<u64> {
        let range = self
            .core
            .offers_used
            .range((worker, 0)..=(worker, u64::MAX));
        range.last().map(|((_, nonce), _)| *nonce)
    }

    /// A model card that an entry carries.
    #[must_use]
    pub fn card(&self, model: ModelId) -> Option<&ModelCard> {
        let ix = *self.core.cards.get(&model)?;
        match &self.core.record(ix).facts {
            Facts::Model(card) => card.as_deref(),
            _ => None,
        }
    }

    /// Logs with two entries at one number.
    #[must_use]
    pub fn forks(&self) -> Vec<ForkView> {
        let graph = self.core.graph();
        let forked = graph
            .authors()
            .filter_map(|(_, author)| author.fork_seq().map(|seq| (author, seq)));
        forked
            .map(|(author, seq)| ForkView {
                author: author.wallet,
                seq,
                entries: author.at_seq(seq).map(|ix| graph.node(ix).id).collect(),
            })
            .collect()
    }

    /// Whether an author is proven to have signed two entries at one number.
    #[must_use]
    pub fn is_forked(&self, author: Wallet) -> bool {
        let log = self.core.graph().log(&author);
        log.is_some_and(|log| log.fork_seq().is_some()) || self.core.proven.contains(&author)
    }

    /// Authors proven to have signed two entries at one number: by both entries
    /// or by an `Equivocation`.
    #[must_use]
    pub fn forked_authors(&self) -> BTreeSet<Wallet> {
        let held = self
            .core
            .graph()
            .authors()
            .filter(|(_, author)| author.fork_seq().is_some());
        held.map(|(_, author)| author.wallet)
            .chain(self.core.proven.iter().copied())
            .collect()
    }
}
