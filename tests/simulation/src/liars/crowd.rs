//! Names a crowd of wallets and lets each write rubbish: ten thousand authors
//! in the largest runs.

use super::Liar;
use crate::craft::{self, E, Words};
use crate::invariants::Lawful;
use crate::world::World;
use talkoot_ledger::{Payload, Source};
use talkoot_protocol::{Hash, Keypair};

#[derive(Debug)]
pub(crate) struct Crowd {
    /// Wallets named in one lie, 16 for each entry.
    at_once: usize,
    left: usize,
    number: u64,
}

impl Crowd {
    pub(crate) const fn small() -> Self {
        Self {
            at_once: 4,
            left: 24,
            number: 0,
        }
    }

    pub(crate) const fn of(left: usize) -> Self {
        Self {
            at_once: 400,
            left,
            number: 0,
        }
    }
}

impl Liar for Crowd {
    fn name(&self) -> &'static str {
        "liars_crowd"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let count = self.at_once.min(self.left);
        self.left -= count;
        let peers = world.links.peers(me).to_vec();
        for part in 0..count.div_ceil(16) {
            let size = (count - part * 16).min(16);
            let keys: Vec<Keypair> = (0..size)
                .map(|_| {
                    self.number += 1;
                    let seed = format!("crowd {me} {} {}", self.number, world.genesis.created_ms);
                    Keypair::from_seed(Hash::of_blob(seed.as_bytes()).as_bytes())
                })
                .collect();
            let mut words = Words::new(&Payload::Witness, 0);
            words.names = keys.iter().map(Keypair::wallet).collect();
            let prev = world.own_newest(me);
            let naming = world.write_words(me, prev.as_ref(), &[], words);
            world.show(me, &naming)?;
            for key in &keys {
                let payload = world.random.next().to_le_bytes();
                let words = Words {
                    kind: 77,
                    payload: payload.to_vec(),
                    names: Vec::new(),
                    time_ms: 0,
                };
                let refs: [E; 1] = [naming.clone()];
                let entry = craft::entry(world.network, key, None, &refs, words);
                world.counts.one("garbage_authors");
                world.admit(me, vec![entry.clone()], Source::Own)?;
                world.send_entry(me, &entry, &peers);
            }
        }
        Ok(())
    }
}
