//! Gossip: what a node hears, checks, admits and passes on.

use super::{Event, World};
use crate::craft::E;
use crate::invariants::Lawful;
use crate::links::at;
use talkoot_ledger::sync::SyncInput;
use talkoot_ledger::{Admission, Source, id_of};
use talkoot_protocol::Verified;

impl World {
    /// Publishes an own entry to all peers.
    pub(crate) fn publish(&mut self, who: u32, entry: &E) {
        let now_us = self.now_us;
        if let Some(spread) = &mut self.spread {
            spread.born_us.insert(id_of(entry), now_us);
        }
        let message = self.messages.add(Some(entry.clone()));
        self.nodes[at(who)].see(message);
        let peers = self.links.peers(who).to_vec();
        self.send_own(who, message, &peers);
    }

    /// Sends bytes to some peers as if they were gossip.
    pub(crate) fn send_bytes(&mut self, who: u32, bytes: &[u8], to: &[u32]) {
        let entry: Option<E> = Verified::from_bytes(bytes, self.network).ok();
        if entry.is_none() {
            self.counts.one("rubbish_sent");
        }
        let message = self.messages.add(entry);
        self.send_own(who, message, to);
    }

    /// Shows an entry of a liar to some nodes.
    pub(crate) fn send_entry(&mut self, who: u32, entry: &E, to: &[u32]) {
        let message = self.messages.add(Some(entry.clone()));
        self.send_own(who, message, to);
    }

    fn send_own(&mut self, who: u32, message: u32, to: &[u32]) {
        for &peer in to {
            if self.links.is_open_for_own(who, peer) {
                self.send(who, peer, message);
            }
        }
    }

    fn send(&mut self, from: u32, to: u32, message: u32) {
        for delay_us in self.links.gossip_us(&mut self.random).into_iter().flatten() {
            self.after(delay_us, Event::Gossip { to, from, message });
        }
    }

    pub(super) fn hear(&mut self, to: u32, from: u32, message: u32) -> Lawful {
        let now_us = self.now_us;
        let node = &mut self.nodes[at(to)];
        if !node.is_up() {
            return Ok(());
        }
        if node.busy_until_us > now_us {
            let wait_us = node.busy_until_us - now_us;
            self.after(wait_us, Event::Gossip { to, from, message });
            return Ok(());
        }
        if node.see(message) {
            return Ok(());
        }
        node.busy_until_us = now_us + node.slow_us;
        let source = Source::Peer(self.nodes[at(from)].wallet);
        let Some(entry) = self.messages.get(message).cloned() else {
            self.counts.one("rubbish_heard");
            return Ok(());
        };
        let Some(admissions) = self.admit(to, vec![entry], source)? else {
            return Ok(());
        };
        self.compare(to)?;
        match admissions.into_iter().next() {
            Some(Admission::Added { .. }) => self.pass_on(to, from, message),
            Some(Admission::Pending { missing }) => {
                let peer = self.nodes[at(from)].wallet;
                return self.sync(to, SyncInput::MissingParents { peer, ids: missing });
            }
            Some(Admission::Later) => self.nodes[at(to)].unsee(message),
            _ => {}
        }
        Ok(())
    }

    fn pass_on(&mut self, who: u32, from: u32, message: u32) {
        for position in 0..self.links.peers(who).len() {
            let peer = self.links.peers(who)[position];
            if peer != from && self.links.is_open(who, peer) {
                self.send(who, peer, message);
            }
        }
    }
}
