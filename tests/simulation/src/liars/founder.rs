//! A founder that cheats: witnesses that contradict each other, see one branch
//! of a fork here and the other there, or claim times that are not.

use super::Liar;
use crate::craft::{E, Words};
use crate::invariants::Lawful;
use crate::world::World;
use talkoot_ledger::{Payload, id_of};

#[derive(Debug)]
pub(crate) struct CheatingFounder;

impl Liar for CheatingFounder {
    fn name(&self) -> &'static str {
        "liars_founder"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let own = world.own(me);
        let prev = if world.random.chance(40) {
            world.random.pick(&own)
        } else {
            world.own_newest(me)
        };
        let (left, right) = world.halves(me);
        for peers in [left, right] {
            let mut refs = world.foreign(me, 5);
            let lies: Vec<E> = world.lies.values().cloned().collect();
            refs.extend(world.random.sample(&lies, 3));
            let times = [0, world.clock_ms(me), world.clock_ms(me) + 60_000, u64::MAX];
            let time_ms = world.random.pick(&times).unwrap_or(0);
            let payload = if world.random.chance(25) {
                let stages = world.workers(me, 1);
                let tokens = world.tokens_for(me, 70);
                Payload::Reserve(Box::new(world.reserve_over(me, &stages, (0, tokens))))
            } else {
                Payload::Witness
            };
            let words = Words::new(&payload, time_ms);
            refs.sort_by_key(|entry| std::cmp::Reverse((entry.lamport, id_of(entry))));
            let entry = world.write_words(me, prev.as_ref(), &refs, words);
            world.show_to(me, &entry, &peers)?;
        }
        Ok(())
    }
}
