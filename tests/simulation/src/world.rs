//! The simulated world: nodes, network, clock, and the events between them.
//!
//! One thread, one queue, one source of chance. Each event is handled by the
//! real cores of the node it reaches; what they put out becomes further events.
//! After every admission the laws look at the node.

mod gossip;
mod jobs;
mod machines;
mod syncing;

pub(crate) use jobs::{DEADLINE_MS, Job, pair_of, stages_are_paid};

use crate::counts::Counts;
use crate::craft::E;
use crate::invariants::{Invariants, Lawful, Violation};
use crate::liars::Liar;
use crate::links::{LinkSettings, Links, at, index};
use crate::node::{Messages, Node};
use crate::queue::Queue;
use crate::random::Random;
use std::collections::BTreeMap;
use talkoot_ledger::{Admission, AuthorError, Draft, Ledger, Reason, Source, id_of};
use talkoot_protocol::sync::{SyncRequest, SyncResponse};
use talkoot_protocol::{Founder, Genesis, Hash, Keypair, NetworkId, Policy, Wallet};

/// The world begins at this time of everybody's clock.
const EPOCH_MS: u64 = 1_000_000;
/// What may go wrong, and how large everything is.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) nodes: usize,
    pub(crate) founders: usize,
    pub(crate) lines: Vec<u64>,
    pub(crate) price: u64,
    pub(crate) links: LinkSettings,
    /// Whether disks are simulated, and crashes survived.
    pub(crate) has_disks: bool,
    /// The members that founders name.
    pub(crate) named: std::ops::Range<usize>,
    /// Whether every admission is looked at, or the outcome only.
    pub(crate) is_watched: bool,
    /// Between two looks of a node at its duties.
    pub(crate) tick_us: u64,
    pub(crate) inspect_every_us: u64,
    pub(crate) job_every_us: u64,
    pub(crate) fault_every_us: u64,
    pub(crate) lie_every_us: u64,
}

/// What happens.
#[derive(Debug)]
pub(crate) enum Event {
    Gossip {
        to: u32,
        from: u32,
        message: u32,
    },
    Ask {
        to: u32,
        from: Asker,
        request: Box<SyncRequest>,
    },
    /// An answer; `None` is one that does not decode.
    Answer {
        to: Asker,
        from: u32,
        response: Option<Box<SyncResponse>>,
    },
    Tick {
        who: u32,
        life: u32,
    },
    Restart {
        who: u32,
    },
    NewJob,
    Job(usize),
    Lie(usize),
    Fault,
    Heal,
    Inspect,
}

/// Who asked, in which life, by which number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker {
    pub(crate) who: u32,
    pub(crate) life: u32,
    pub(crate) request_id: u64,
}

/// Where a published entry has come, for measuring how it spreads.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    pub(crate) born_us: BTreeMap<Hash, u64>,
    pub(crate) delays_us: Vec<u64>,
}

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) now_us: u64,
    pub(crate) settings: Settings,
    pub(crate) genesis: Genesis,
    pub(crate) network: NetworkId,
    pub(crate) nodes: Vec<Node>,
    pub(crate) by_wallet: BTreeMap<Wallet, u32>,
    pub(crate) links: Links,
    pub(crate) messages: Messages,
    pub(crate) jobs: Vec<Job>,
    /// Everything that liars have written, shown or not.
    pub(crate) lies: BTreeMap<Hash, E>,
    pub(crate) liars: Vec<(u32, Option<Box<dyn Liar>>)>,
    pub(crate) laws: Invariants,
    pub(crate) counts: Counts,
    pub(crate) spread: Option<Spread>,
    /// The noise is over: no more faults, lies and jobs.
    pub(crate) is_calm: bool,
    pub(crate) nonce: u64,
    pub(crate) last_change_us: u64,
    queue: Queue<Event>,
}

impl World {
    pub(crate) fn new(seed: u64, settings: Settings) -> Self {
        let mut random = Random::new(seed);
        let keys: Vec<Keypair> = (0..settings.nodes)
            .map(|node| {
                Keypair::from_seed(Hash::of_blob(format!("{seed} {node}").as_bytes()).as_bytes())
            })
            .collect();
        let founders = keys.iter().zip(&settings.lines).take(settings.founders);
        let list = founders.map(|(key, line)| Founder {
            wallet: key.wallet(),
            line_ugft: *line,
        });
        let genesis = Genesis::new("simulated", seed, Policy::default(), list.collect())
            .expect("founders within bounds");
        let links = Links::new(settings.nodes, settings.links, &mut random);
        let count = settings.founders;
        let nodes: Vec<Node> = keys
            .into_iter()
            .enumerate()
            .map(|(node, key)| Node::new(key, node < count))
            .collect();
        let by_wallet = (0..)
            .zip(&nodes)
            .map(|(who, node)| (node.wallet, who))
            .collect();
        Self {
            random,
            now_us: 0,
            network: genesis.id(),
            genesis,
            by_wallet,
            nodes,
            links,
            messages: Messages::default(),
            jobs: Vec::new(),
            lies: BTreeMap::new(),
            liars: Vec::new(),
            laws: Invariants::default(),
            counts: Counts::default(),
            spread: None,
            is_calm: false,
            nonce: 0,
            last_change_us: 0,
            queue: Queue::default(),
            settings,
        }
    }

    /// Makes a node a liar of this kind. Before the world begins.
    pub(crate) fn corrupt(&mut self, who: u32, mut liar: Box<dyn Liar>) {
        self.nodes[at(who)].is_liar = true;
        self.links.make_bridge(who);
        self.counts.one(liar.name());
        liar.settle_in(&mut self.nodes[at(who)]);
        self.liars.push((who, Some(liar)));
    }

    /// Starts all machines; founders name the others.
    pub(crate) fn begin(&mut self) -> Lawful {
        for node in &self.nodes {
            let side = if node.is_liar {
                &mut self.laws.cheaters
            } else {
                &mut self.laws.honest
            };
            side.insert(node.wallet);
        }
        let cheating = self.nodes.iter().filter(|node| node.is_liar);
        let lines = cheating.map(|node| u128::from(self.genesis.line_ugft(node.wallet)));
        self.laws.is_minority = 3 * lines.sum::<u128>() < self.genesis.lines_ugft();
        for who in 0..index(self.nodes.len()) {
            self.nodes[at(who)].skew_ms = self.random.between(0, 500);
            self.start_machine(who, true)?;
        }
        self.name_members()?;
        let settings = self.settings.clone();
        self.after(settings.inspect_every_us, Event::Inspect);
        self.after(settings.job_every_us, Event::NewJob);
        self.after(settings.fault_every_us, Event::Fault);
        for liar in 0..self.liars.len() {
            let delay_us = self.random.between(1, settings.lie_every_us);
            self.after(delay_us, Event::Lie(liar));
        }
        Ok(())
    }

    fn name_members(&mut self) -> Lawful {
        let named = self.nodes.get(self.settings.named.clone());
        let members: Vec<Wallet> = named
            .into_iter()
            .flatten()
            .map(|node| node.wallet)
            .collect();
        let honest: Vec<u32> = self
            .honest()
            .filter(|&who| self.nodes[at(who)].is_founder)
            .collect();
        for (part, names) in members.chunks(16).enumerate() {
            let who = honest[part % honest.len()];
            let draft = Draft::new(&talkoot_ledger::Payload::Witness, self.clock_ms(who))
                .naming(names.iter().copied());
            self.author(who, draft)?;
        }
        Ok(())
    }

    pub(crate) fn honest(&self) -> impl Iterator<Item = u32> + '_ {
        (0..)
            .zip(&self.nodes)
            .filter(|(_, node)| !node.is_liar)
            .map(|(who, _)| who)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        EPOCH_MS + self.now_us / 1000
    }

    /// The clock of a node, which need not be right.
    pub(crate) fn clock_ms(&self, who: u32) -> u64 {
        self.now_ms() + self.nodes[at(who)].skew_ms
    }

    pub(crate) fn after(&mut self, delay_us: u64, event: Event) {
        self.queue.push(self.now_us + delay_us, event);
    }

    /// Runs until a moment.
    pub(crate) fn run_until(&mut self, until_us: u64) -> Lawful {
        while let Some((at_us, event)) = self.queue.pop(until_us) {
            self.now_us = at_us;
            self.handle(event)?;
        }
        self.now_us = until_us;
        Ok(())
    }

    fn handle(&mut self, event: Event) -> Lawful {
        match event {
            Event::Gossip { to, from, message } => self.hear(to, from, message),
            Event::Ask { to, from, request } => {
                self.answer(to, from, &request);
                Ok(())
            }
            Event::Answer { to, from, response } => self.answered(to, from, response),
            Event::Tick { who, life } => self.tick(who, life),
            Event::Restart { who } => self.start_machine(who, false),
            Event::NewJob => self.new_job(),
            Event::Job(job) => self.step_job(job),
            Event::Lie(liar) => self.lie(liar),
            Event::Fault => self.fault(),
            Event::Heal => {
                self.heal();
                Ok(())
            }
            Event::Inspect => self.inspect(),
        }
    }

    fn lie(&mut self, liar: usize) -> Lawful {
        if self.is_calm {
            return Ok(());
        }
        let (who, mut mind) = (self.liars[liar].0, self.liars[liar].1.take());
        if let Some(mind) = mind.as_mut().filter(|_| self.nodes[at(who)].is_up()) {
            self.counts.one("lies");
            mind.act(self, who)?;
        }
        self.liars[liar].1 = mind;
        let delay_us = self.random.between(
            self.settings.lie_every_us / 2,
            self.settings.lie_every_us * 3 / 2,
        );
        self.after(delay_us, Event::Lie(liar));
        Ok(())
    }

    fn inspect(&mut self) -> Lawful {
        let Self { laws, nodes, .. } = self;
        for node in nodes.iter().filter(|node| !node.is_liar) {
            if let Some(books) = &node.books {
                laws.inspect(books.ledger())?;
            }
        }
        self.counts.one("inspections");
        if !self.is_calm {
            self.after(self.settings.inspect_every_us, Event::Inspect);
        }
        Ok(())
    }

    pub(crate) fn ledger(&self, who: u32) -> Option<&Ledger> {
        self.nodes[at(who)]
            .books
            .as_ref()
            .map(talkoot_ledger::Books::ledger)
    }

    /// Hands entries to a node's books. `None` when its disk failed.
    pub(crate) fn admit(
        &mut self,
        who: u32,
        entries: Vec<E>,
        source: Source,
    ) -> Result<Option<Vec<Admission>>, Violation> {
        let now_ms = self.clock_ms(who);
        let node = &mut self.nodes[at(who)];
        let Some(books) = node.books.as_mut() else {
            return Ok(None);
        };
        let ids: Vec<Hash> = entries.iter().map(id_of).collect();
        let Ok(admissions) = books.admit_batch(entries, source, now_ms) else {
            self.disk_failed(who);
            return Ok(None);
        };
        let is_honest = !node.is_liar;
        for (admission, id) in admissions.iter().zip(ids) {
            match admission {
                Admission::Added { newly } => self.added(who, newly)?,
                Admission::Refused(_) if is_honest => {
                    self.counts.one("entries_refused");
                    self.laws.refused(id)?;
                }
                _ => {}
            }
        }
        Ok(Some(admissions))
    }

    /// What became durable in a node's books.
    fn added(&mut self, who: u32, newly: &[Hash]) -> Lawful {
        self.last_change_us = self.now_us;
        let (keep, now_us) = (self.settings.has_disks, self.now_us);
        let node = &mut self.nodes[at(who)];
        node.note(newly, keep);
        if let Some(spread) = &mut self.spread {
            let born = newly.iter().filter_map(|id| spread.born_us.get(id));
            let delays: Vec<u64> = born.map(|born_us| now_us - born_us).collect();
            spread.delays_us.extend(delays);
        }
        let is_watched = self.settings.is_watched && !node.is_liar;
        let Some(books) = node.books.as_ref().filter(|_| is_watched) else {
            return Ok(());
        };
        self.counts.add("admissions", newly.len() as u64);
        for id in newly {
            if let Some(entry) = books.ledger().entry(id) {
                self.laws.entry(entry)?;
            }
        }
        Ok(())
    }

    /// After a batch: equal sets must have equal chains.
    pub(crate) fn compare(&mut self, who: u32) -> Lawful {
        let node = &self.nodes[at(who)];
        let is_watched = self.settings.is_watched && !node.is_liar;
        match node.books.as_ref().filter(|_| is_watched) {
            Some(books) => self.laws.equal_sets(node.print, books.ledger()),
            None => Ok(()),
        }
    }

    /// Lets a node write an entry and publish it.
    pub(crate) fn author(&mut self, who: u32, draft: Draft) -> Result<Option<E>, Violation> {
        self.author_or_reason(who, draft).map(Result::ok)
    }

    /// The same; says why not, when the entry would be inert.
    pub(crate) fn author_or_reason(
        &mut self,
        who: u32,
        draft: Draft,
    ) -> Result<Result<E, Option<Reason>>, Violation> {
        let node = &mut self.nodes[at(who)];
        let Some(books) = node.books.as_mut() else {
            return Ok(Err(None));
        };
        match books.author(&node.key, draft) {
            Ok(entry) => {
                self.counts.one("entries_authored");
                let id = id_of(&entry);
                self.added(who, &[id])?;
                self.compare(who)?;
                if self.nodes[at(who)].is_liar {
                    self.lies.insert(id, entry.clone());
                }
                self.publish(who, &entry);
                Ok(Ok(entry))
            }
            Err(AuthorError::Journal(_) | AuthorError::Signer(_)) => {
                self.disk_failed(who);
                Ok(Err(None))
            }
            Err(AuthorError::Refused) => Err(Violation("the books refused their own entry".into())),
            Err(AuthorError::Inert { reason, .. }) => Ok(Err(Some(reason))),
            Err(_) => Ok(Err(None)),
        }
    }
}
