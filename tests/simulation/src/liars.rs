//! Liars: each kind of lie a file. They hold real books, to know what to lie
//! about, see everything that other liars have written, and write by hand.

mod backdater;
mod colluder;
mod crowd;
mod doubler;
mod finalizer;
mod flooder;
mod forger;
mod forker;
mod founder;
mod noise;
mod releaser;
mod replayer;
mod server;
mod summer;
mod withholder;

pub(crate) use backdater::Backdater;
pub(crate) use colluder::Colluder;
pub(crate) use crowd::Crowd;
pub(crate) use doubler::Doubler;
pub(crate) use finalizer::Finalizer;
pub(crate) use flooder::Flooder;
pub(crate) use forger::Forger;
pub(crate) use forker::Forker;
pub(crate) use founder::CheatingFounder;
pub(crate) use noise::Noise;
pub(crate) use releaser::Releaser;
pub(crate) use replayer::Replayer;
pub(crate) use server::Server;
pub(crate) use summer::Summer;
pub(crate) use withholder::Withholder;

use crate::craft::{self, E, Words};
use crate::invariants::Lawful;
use crate::links::at;
use crate::node::Node;
use crate::world::World;
use std::collections::BTreeSet;
use talkoot_ledger::kinds::Reserve;
use talkoot_ledger::{Payload, Source, id_of};
use talkoot_protocol::Hash;

/// One kind of lie.
pub(crate) trait Liar: std::fmt::Debug {
    /// The name it is counted by.
    fn name(&self) -> &'static str;

    /// Sets habits before the world begins.
    fn settle_in(&mut self, _node: &mut Node) {}

    /// Lies once.
    ///
    /// # Errors
    /// Only a broken law: lies are no errors.
    fn act(&mut self, world: &mut World, me: u32) -> Lawful;
}

/// Any kind but founders', by number.
pub(crate) fn any(number: usize) -> Box<dyn Liar> {
    match number % 16 {
        0 => Box::new(Forker),
        1 => Box::new(Doubler),
        2 => Box::new(Withholder::ACKS),
        3 => Box::new(Withholder::FINALS),
        4 => Box::new(Withholder::LATE),
        5 => Box::new(Replayer),
        6 => Box::new(Forger),
        7 => Box::new(Summer),
        8 => Box::new(Backdater),
        9 => Box::new(Flooder::default()),
        10 => Box::new(Crowd::small()),
        11 => Box::new(Noise),
        12 => Box::new(Colluder),
        13 => Box::new(Finalizer),
        14 => Box::new(Releaser),
        _ => Box::new(Server::RUBBISH),
    }
}

/// What all liars can do.
impl World {
    /// Everything that this liar has ever written.
    pub(crate) fn own(&self, me: u32) -> Vec<E> {
        let wallet = self.nodes[at(me)].wallet;
        self.lies
            .values()
            .filter(|entry| entry.author == wallet)
            .cloned()
            .collect()
    }

    /// The newest entry of its log, of the longest branch.
    pub(crate) fn own_newest(&self, me: u32) -> Option<E> {
        self.own(me)
            .into_iter()
            .max_by_key(|entry| (entry.seq, id_of(entry)))
    }

    /// Newest entries of others, up to a number, in any order.
    pub(crate) fn foreign(&mut self, me: u32, count: usize) -> Vec<E> {
        let wallet = self.nodes[at(me)].wallet;
        let Some(ledger) = self.ledger(me) else {
            return Vec::new();
        };
        let tips = ledger
            .log_tips()
            .into_iter()
            .filter(|tip| tip.author != wallet);
        let entries: Vec<E> = tips
            .filter_map(|tip| ledger.entry(&tip.id).cloned())
            .collect();
        self.random.sample(&entries, count)
    }

    /// Any entry that this liar holds.
    pub(crate) fn any_entry(&mut self, me: u32) -> Option<E> {
        let length = self
            .ledger(me)
            .map_or(0, |ledger| usize::try_from(ledger.length()).unwrap_or(0));
        let position = self.random.below(length);
        let ledger = self.ledger(me)?;
        let id = ledger.link_at(position)?.id;
        ledger.entry(&id).cloned()
    }

    /// An entry of this liar after any of its own, cited as it likes.
    pub(crate) fn write(&mut self, me: u32, prev: Option<&E>, refs: &[E], payload: &Payload) -> E {
        let time_ms = self.clock_ms(me);
        self.write_words(me, prev, refs, Words::new(payload, time_ms))
    }

    pub(crate) fn write_words(&mut self, me: u32, prev: Option<&E>, refs: &[E], words: Words) -> E {
        let node = &self.nodes[at(me)];
        let mut refs = refs.to_vec();
        if prev.is_none() && !node.is_founder {
            let names_me = |entry: &E| entry.names.contains(&node.wallet);
            let ledger = node.books.as_ref().map(talkoot_ledger::Books::ledger);
            let naming = ledger.and_then(|ledger| {
                ledger
                    .entries(0)
                    .find(|view| names_me(view.entry))
                    .map(|view| view.entry.clone())
            });
            refs.splice(0..0, naming);
        }
        let entry = craft::entry(self.network, &node.key, prev, &refs, words);
        self.lies.insert(id_of(&entry), entry.clone());
        entry
    }

    /// Takes an own lie into the own books and shows it to all peers.
    pub(crate) fn show(&mut self, me: u32, entry: &E) -> Lawful {
        let peers = self.links.peers(me).to_vec();
        self.show_to(me, entry, &peers)
    }

    pub(crate) fn show_to(&mut self, me: u32, entry: &E, peers: &[u32]) -> Lawful {
        self.admit(me, vec![entry.clone()], Source::Own)?;
        self.send_entry(me, entry, peers);
        Ok(())
    }

    /// The peers of a liar in two parts: by side while the network is parted.
    pub(crate) fn halves(&mut self, me: u32) -> (Vec<u32>, Vec<u32>) {
        let peers = self.links.peers(me).to_vec();
        if self.links.is_parted() {
            return peers
                .into_iter()
                .partition(|peer| self.links.side(*peer) == 0);
        }
        let boundary = self.random.below(peers.len() + 1);
        let (left, right) = peers.split_at(boundary);
        (left.to_vec(), right.to_vec())
    }

    /// Other liars, and honest nodes that are up and take orders.
    pub(crate) fn partners(&self, me: u32) -> Vec<u32> {
        self.liars
            .iter()
            .map(|(who, _)| *who)
            .filter(|who| *who != me)
            .collect()
    }

    pub(crate) fn workers(&mut self, me: u32, count: usize) -> Vec<u32> {
        let wallet = self.nodes[at(me)].wallet;
        let trusts = |who: &u32| {
            self.ledger(*who)
                .is_some_and(|ledger| !ledger.forked_authors().contains(&wallet))
        };
        let honest: Vec<u32> = self.honest().filter(trusts).collect();
        self.random.sample(&honest, count)
    }

    /// A `Reserve` over these stages with right offers.
    pub(crate) fn reserve_over(&mut self, me: u32, stages: &[u32], size: (u32, u32)) -> Reserve {
        let offers = self.offers(me, stages);
        let deadline_ms = self.clock_ms(me) + crate::world::DEADLINE_MS;
        craft::reserve(offers, size, deadline_ms)
    }

    /// Tokens that cost about a part of this wallet's genesis line.
    pub(crate) fn tokens_for(&self, me: u32, percent: u64) -> u32 {
        let line = self.genesis.line_ugft(self.nodes[at(me)].wallet);
        let tokens = line / self.settings.price.max(1) * percent / 100;
        u32::try_from(tokens).unwrap_or(u32::MAX).clamp(1, 100_000)
    }

    /// At the end some of what was withheld comes to light.
    pub(crate) fn confess(&mut self) -> Lawful {
        let mut withheld: Vec<E> = self.lies.values().cloned().collect();
        withheld.sort_by_key(|entry| (entry.lamport, id_of(entry)));
        let shown: BTreeSet<Hash> = self
            .liars
            .iter()
            .filter_map(|(who, _)| self.ledger(*who))
            .flat_map(|ledger| ledger.links(0).map(|link| link.id).collect::<Vec<_>>())
            .collect();
        for entry in withheld
            .into_iter()
            .filter(|entry| !shown.contains(&id_of(entry)))
        {
            let author = self.by_wallet.get(&entry.author).copied();
            if let Some(author) = author.filter(|_| self.random.chance(70)) {
                self.counts.one("withheld_entries_shown");
                self.show(author, &entry)?;
            }
        }
        Ok(())
    }
}
