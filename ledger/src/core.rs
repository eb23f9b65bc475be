//! The state of the books: a pure function of the set of entries.
//!
//! [`Core::insert`] takes entries whose structure was checked and whose parents
//! are held, judges each once, and keeps outcomes, accounts and the chain in
//! step. Admission (who may write, what is pending) is not its business.

use crate::accounts::Accounts;
use crate::amount::{Balance, Ugft};
use crate::chain::Chain;
use crate::entry::Entry;
use crate::facts::{self, Embedded, Facts, Recent};
use crate::graph::{AuthorIx, Graph, Ix, Parents};
use crate::jobs::Job;
use crate::judge::{self, Verdict};
use crate::outcome::{Outcome, Reason};
use crate::past::Past;
use crate::spending::{LogCache, LogMoney};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::{Genesis, Hash, ModelId, NetworkId, Verified, Wallet};

/// What a right `Frontier` claims, cumulative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pay {
    pub(crate) job: Ix,
    pub(crate) stage: usize,
    pub(crate) gross: Ugft,
    pub(crate) earned: Ugft,
}

/// What is known of one held entry.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) facts: Facts,
    pub(crate) verdict: Result<(), Reason>,
    pub(crate) available: Option<Box<Balance>>,
    pub(crate) pay: Option<Pay>,
    /// For a right `Release`: the job, and what it frees.
    pub(crate) release: Option<Box<(Ix, Ugft)>>,
    /// The highest time among the `Witness` entries of its log up to here.
    pub(crate) claimed_ms: u64,
    /// For a right `Frontier`: the most its log claims up to here.
    pub(crate) paid_in_log: Ugft,
    /// The first entry of each founder's branch that confirms this one.
    pub(crate) attesters: Vec<(AuthorIx, Ix)>,
    pub(crate) outcome: Outcome,
}

/// All held entries and what follows from them.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) genesis: Genesis,
    pub(crate) network: NetworkId,
    pub(crate) lines_total: u128,
    /// Founders that have written, with their lines, if they have any.
    pub(crate) founders: Vec<(AuthorIx, u64)>,
    graph: Graph,
    records: Vec<Record>,
    admits: BTreeMap<Wallet, Vec<Ix>>,
    pub(crate) jobs: BTreeMap<Ix, Job>,
    /// Jobs of which something is held, by the time that ends it.
    pub(crate) open_jobs: BTreeSet<(u64, Ix)>,
    /// Stages whose logs hold more than one final frontier, by submitter.
    contested: BTreeMap<Wallet, BTreeSet<(Ix, usize)>>,
    logs: LogCache,
    pub(crate) accounts: Accounts,
    pub(crate) chain: Chain,
    /// Authors proven by an `Equivocation` entry.
    pub(crate) proven: BTreeSet<Wallet>,
    /// Which `Reserve` first carried an offer, right or wrong.
    pub(crate) offers_used: BTreeMap<(Wallet, u64), Ix>,
    /// Entries with embedded signatures that are wrong.
    faulty: BTreeMap<Ix, Embedded>,
    recent: Recent,
    /// Jobs that a right `Release` names.
    pub(crate) jobs_released: BTreeSet<Ix>,
    /// Stages that have earned more than is confirmed.
    pub(crate) earnings_open: BTreeSet<(Ix, usize)>,
    /// Which entry first carried a model's card.
    pub(crate) cards: BTreeMap<ModelId, Ix>,
}

impl Core {
    pub(crate) fn new(genesis: Genesis) -> Self {
        let network = genesis.id();
        Self {
            lines_total: genesis.lines_ugft(),
            founders: Vec::new(),
            accounts: Accounts::new(&genesis),
            chain: Chain::new(network),
            genesis,
            network,
            graph: Graph::default(),
            records: Vec::new(),
            admits: BTreeMap::new(),
            jobs: BTreeMap::new(),
            open_jobs: BTreeSet::new(),
            contested: BTreeMap::new(),
            logs: LogCache::default(),
            proven: BTreeSet::new(),
            offers_used: BTreeMap::new(),
            faulty: BTreeMap::new(),
            recent: Recent::default(),
            jobs_released: BTreeSet::new(),
            earnings_open: BTreeSet::new(),
            cards: BTreeMap::new(),
        }
    }

    pub(crate) const fn graph(&self) -> &Graph {
        &self.graph
    }

    pub(crate) fn record(&self, ix: Ix) -> &Record {
        #[expect(
            clippy::indexing_slicing,
            reason = "every entry of the graph has a record"
        )]
        &self.records[ix.position()]
    }

    pub(crate) fn record_mut(&mut self, ix: Ix) -> &mut Record {
        #[expect(
            clippy::indexing_slicing,
            reason = "every entry of the graph has a record"
        )]
        &mut self.records[ix.position()]
    }

    /// Entries that pass a line on to a wallet, ok or not.
    pub(crate) fn admits_to(&self, wallet: &Wallet) -> &[Ix] {
        self.admits.get(wallet).map_or(&[], Vec::as_slice)
    }

    /// The ok final frontiers of one stage of a job, all branches.
    pub(crate) fn finals(&self, job: Ix, stage: usize) -> &[Ix] {
        self.jobs
            .get(&job)
            .and_then(|job| job.stages.get(stage))
            .map_or(&[], |stage| stage.finals.as_slice())
    }

    /// The stages of a submitter's jobs whose logs hold more than one final
    /// frontier.
    pub(crate) fn contested(&self, submitter: &Wallet) -> impl Iterator<Item = &(Ix, usize)> {
        self.contested.get(submitter).into_iter().flatten()
    }

    /// The `Reserve` with this id, if the past holds it.
    pub(crate) fn reserve_in(&self, past: &Past, id: &Hash) -> Option<Ix> {
        let ix = self.graph.find(id)?;
        let is_reserve = matches!(self.record(ix).facts, Facts::Reserve(_));
        (is_reserve && past.contains(&self.graph, ix)).then_some(ix)
    }

    /// What became of the signatures inside a held entry.
    pub(crate) fn embedded(&self, ix: Ix) -> Embedded {
        self.faulty.get(&ix).copied().unwrap_or(Embedded::Right)
    }

    /// The money side of a log that ends at `tip`.
    pub(crate) fn money_at(&self, owner: Wallet, tip: Option<Ix>) -> LogMoney {
        self.logs
            .get(&owner, tip)
            .cloned()
            .unwrap_or_else(|| self.read_log(owner, tip))
    }

    fn read_log(&self, owner: Wallet, tip: Option<Ix>) -> LogMoney {
        let mut log: Vec<Ix> =
            tip.map_or_else(Vec::new, |tip| self.graph.log_before(tip).collect());
        log.reverse();
        log.extend(tip);
        let mut money = LogMoney::new(owner, self.genesis.line_ugft(owner));
        for ix in log {
            money.advance(self, ix);
        }
        money
    }

    /// Judges an entry that is not held, as if it were added now.
    pub(crate) fn preview(&self, entry: &Entry, prev: Option<Ix>, past: &Past) -> (Facts, Verdict) {
        let mut recent = Recent::default();
        let (facts, _) = facts::read(entry, &self.genesis, self.network, None, &mut recent);
        let mut money = self.money_at(entry.author, prev);
        money.settle(self, past);
        let verdict = judge::judge(self, entry.author, &facts, past, &money);
        (facts, verdict)
    }

    /// Adds an entry whose parents are held and whose structure was checked.
    /// What is `known` of its embedded signatures is not checked again. The
    /// chain is linked again by [`Core::relink`].
    pub(crate) fn insert(
        &mut self,
        entry: Verified<Entry>,
        parents: &Parents,
        known: Option<Embedded>,
    ) -> Ix {
        let author = entry.author;
        let author_before = match parents.prev {
            Some(prev) => Some(self.graph.node(prev).author),
            None => self.graph.find_author(&author),
        };
        let fork_before = author_before.and_then(|author| self.graph.author(author).fork_seq());
        let (facts, embedded) =
            facts::read(&entry, &self.genesis, self.network, known, &mut self.recent);
        let time_ms = entry.time_ms;
        let is_first = parents.prev.is_none();
        let ix = self.graph.push(entry, parents);
        if is_first {
            self.note_founder(ix);
        }
        if embedded != Embedded::Right {
            self.faulty.insert(ix, embedded);
        }
        let prev = self.graph.node(ix).prev;
        let mut money = match self.logs.take(&author, prev) {
            Some(money) => money,
            None => self.read_log(author, prev),
        };
        let past = &self.graph.node(ix).past;
        if matches!(facts, Facts::Admit(_) | Facts::Reserve(_)) {
            money.settle(self, past);
        }
        let verdict = judge::judge(self, author, &facts, past, &money);
        let paid_in_log = verdict
            .pay
            .map_or(Ugft::ZERO, |pay| pay.gross.max(money.claimed(pay.job)));
        let claimed_ms = self.claimed_ms(prev, &facts, time_ms);
        self.records.push(Record {
            facts,
            release: verdict.release.map(Box::new),
            claimed_ms,
            verdict: verdict.result,
            available: verdict.available.map(Box::new),
            pay: verdict.pay,
            paid_in_log,
            attesters: Vec::new(),
            // Replaced below; a reason that no judged entry keeps.
            outcome: Outcome::Inert(Reason::Fork),
        });
        money.advance(self, ix);
        self.logs.put(money);
        self.index(ix);
        self.chain.push(ix);
        let mut touched = self.attest(ix);
        touched.insert(ix);
        let log = self.graph.author(self.graph.node(ix).author);
        if let Some(fork) = log.fork_seq().filter(|&fork| Some(fork) != fork_before) {
            touched.extend(log.since_seq(fork));
        }
        self.refresh(&touched, ix);
        ix
    }

    fn note_founder(&mut self, ix: Ix) {
        let author = self.graph.node(ix).author;
        let line_ugft = self.genesis.line_ugft(self.graph.author(author).wallet);
        let is_noted = self.founders.iter().any(|founder| founder.0 == author);
        if line_ugft > 0 && !is_noted {
            self.founders.push((author, line_ugft));
        }
    }

    /// Enters an entry into the lists that others look up.
    fn index(&mut self, ix: Ix) {
        let record = self.record(ix);
        match &record.facts {
            Facts::Admit(admit) => {
                let wallet = admit.wallet;
                if record.verdict.is_ok() {
                    self.admits.entry(wallet).or_default().push(ix);
                }
            }
            Facts::Reserve(reserve) => {
                let job = reserve
                    .split
                    .as_ref()
                    .ok()
                    .map(|split| Job::new(reserve.terms.submitter, split));
                let job = job.filter(|_| record.verdict.is_ok());
                let offers = reserve.offers.clone();
                self.jobs.extend(job.map(|job| (ix, job)));
                for offer in offers {
                    self.offers_used.entry(offer).or_insert(ix);
                }
            }
            Facts::Frontier(frontier) => {
                let is_final = frontier.is_final;
                let Some(pay) = record.pay else { return };
                self.index_frontier(ix, pay, is_final);
            }
            Facts::Release(_) => {
                let job = record.release.as_ref().map(|release| release.0);
                let job = job.and_then(|job| self.jobs.get_mut(&job));
                if let Some(job) = job {
                    job.releases.push(ix);
                }
                let released = self.record(ix).release.as_ref().map(|release| release.0);
                self.jobs_released.extend(released);
            }
            Facts::Model(Some(card)) => {
                let model = card.id();
                self.cards.entry(model).or_insert(ix);
            }
            Facts::Equivocation(Some(proof)) => {
                let author = proof.author;
                self.proven.insert(author);
            }
            _ => {}
        }
    }

    fn index_frontier(&mut self, ix: Ix, pay: Pay, is_final: bool) {
        let Self {
            jobs,
            graph,
            contested,
            ..
        } = self;
        let Some(job) = jobs.get_mut(&pay.job) else {
            return;
        };
        let submitter = job.submitter;
        let Some(stage) = job.stages.get_mut(pay.stage) else {
            return;
        };
        let position = stage
            .frontiers
            .partition_point(|&other| graph.is_before(other, ix));
        stage.frontiers.insert(position, ix);
        if is_final {
            stage.finals.push(ix);
            if stage.finals.len() > 1 {
                let of_submitter = contested.entry(submitter).or_default();
                of_submitter.insert((pay.job, pay.stage));
            }
        }
    }

    /// Links the chain again from the lowest position that changed.
    pub(crate) fn relink(&mut self) -> usize {
        let Self {
            chain,
            graph,
            records,
            ..
        } = self;
        chain.relink(graph, |ix| {
            records
                .get(ix.position())
                .map_or_else(|| Hash::ZERO, |record| record.outcome.digest())
        })
    }
}
