//! Saves up a long branch with low lamport numbers and lets it go at once, so
//! that it sorts into the chain far back and everything after is linked again.

use super::Liar;
use crate::craft::E;
use crate::invariants::Lawful;
use crate::world::World;
use talkoot_ledger::Payload;

#[derive(Debug, Default)]
pub(crate) struct Flooder {
    saved: Vec<E>,
}

impl Liar for Flooder {
    fn name(&self) -> &'static str {
        "liars_flooder"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        if self.saved.len() < 24 {
            let mut prev = self.saved.last().cloned();
            if prev.is_none() {
                let own = world.own(me);
                prev = world.random.pick(&own);
            }
            for _ in 0..4 {
                let entry = world.write(me, prev.as_ref(), &[], &Payload::Witness);
                self.saved.push(entry.clone());
                prev = Some(entry);
            }
            return Ok(());
        }
        let mut saved = std::mem::take(&mut self.saved);
        if world.random.chance(50) {
            world.random.shuffle(&mut saved);
        }
        world.counts.add("entries_backfilled", saved.len() as u64);
        for entry in saved {
            world.show(me, &entry)?;
        }
        Ok(())
    }
}
