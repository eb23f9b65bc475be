//! Spends the same money twice: two `Reserve`s at one number, one shown to each
//! side of a partition, and lets honest workers start on both.

use super::Liar;
use crate::invariants::Lawful;
use crate::world::World;
use talkoot_ledger::{Payload, id_of};
use talkoot_protocol::JobId;

#[derive(Debug)]
pub(crate) struct Doubler;

impl Liar for Doubler {
    fn name(&self) -> &'static str {
        "liars_doubler"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        // Until a partition comes it builds trust.
        if !world.links.is_parted() && world.random.chance(70) {
            let stages = world.workers(me, 1);
            return world.order(me, stages, (0, 10));
        }
        let prev = world.own_newest(me);
        let (left, right) = world.halves(me);
        let tokens = world.tokens_for(me, 90);
        for peers in [left, right] {
            let near: Vec<u32> = world
                .workers(me, 6)
                .into_iter()
                .filter(|who| peers.contains(who))
                .take(2)
                .collect();
            if near.is_empty() {
                continue;
            }
            let refs = world.foreign(me, 4);
            let reserve = world.reserve_over(me, &near, (0, tokens));
            let entry = world.write(
                me,
                prev.as_ref(),
                &refs,
                &Payload::Reserve(Box::new(reserve)),
            );
            world.show_to(me, &entry, &peers)?;
            world.begin_job(JobId(id_of(&entry)), me, near, (0, tokens.min(60)));
        }
        Ok(())
    }
}
