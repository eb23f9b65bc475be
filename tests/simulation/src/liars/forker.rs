//! Forks its own log anywhere, with low and with high lamport numbers, and
//! shows the branches to different peers; some only at the end.

use super::Liar;
use crate::invariants::Lawful;
use crate::world::World;
use talkoot_ledger::kinds::Admit;
use talkoot_ledger::{Payload, Ugft};

#[derive(Debug)]
pub(crate) struct Forker;

impl Liar for Forker {
    fn name(&self) -> &'static str {
        "liars_forker"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let own = world.own(me);
        let prev = if world.random.chance(50) {
            world.own_newest(me)
        } else {
            world.random.pick(&own)
        };
        // Few references make a low number, the newest a high one.
        let refs = if world.random.chance(50) {
            Vec::new()
        } else {
            world.foreign(me, 8)
        };
        let payload = match world.random.below(3) {
            0 => {
                let stages = [world.workers(me, 2), world.partners(me)].concat();
                let stages = world.random.sample(&stages, 2);
                let tokens = world.tokens_for(me, 60);
                Payload::Reserve(Box::new(world.reserve_over(me, &stages, (0, tokens))))
            }
            1 => {
                let to = world.random.below(world.nodes.len());
                let line = world
                    .genesis
                    .line_ugft(world.nodes[crate::links::at(me)].wallet);
                Payload::Admit(Admit {
                    wallet: world.nodes[to].wallet,
                    line_ugft: Ugft(line / 2 + 1),
                })
            }
            _ => Payload::Witness,
        };
        let entry = world.write(me, prev.as_ref(), &refs, &payload);
        let (some, others) = world.halves(me);
        match world.random.below(4) {
            0 => Ok(()),
            1 => world.show_to(me, &entry, &some),
            2 => world.show_to(me, &entry, &others),
            _ => world.show(me, &entry),
        }
    }
}
