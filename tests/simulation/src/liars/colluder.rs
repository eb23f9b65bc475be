//! Submitter and last stage in one hand: everything is attested and
//! acknowledged, nothing was done, and an honest stage stands between.

use super::Liar;
use crate::craft;
use crate::invariants::Lawful;
use crate::links::at;
use crate::world::World;
use talkoot_ledger::{Payload, id_of};
use talkoot_protocol::JobId;

#[derive(Debug)]
pub(crate) struct Colluder;

impl Liar for Colluder {
    fn name(&self) -> &'static str {
        "liars_colluder"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let partners = world.partners(me);
        let Some(partner) = world.random.pick(&partners) else {
            return Ok(());
        };
        let stages = [world.workers(me, 1), vec![partner]].concat();
        let tokens = world.tokens_for(me, 40);
        let reserve = world.reserve_over(me, &stages, (0, tokens));
        let (prev, refs) = (world.own_newest(me), world.foreign(me, 6));
        let order = world.write(
            me,
            prev.as_ref(),
            &refs,
            &Payload::Reserve(Box::new(reserve)),
        );
        world.show(me, &order)?;
        let job = JobId(id_of(&order));
        for (number, percent) in [(0, 30), (1, 100), (2, 60)] {
            let done = (
                0,
                u32::try_from(u64::from(tokens) * percent / 100).unwrap_or(tokens),
            );
            let progress = craft::Progress {
                number,
                previous: job.0,
                done,
                stages: stages.len(),
            };
            let attestation =
                craft::attest(world.network, &world.nodes[at(partner)].key, job, progress);
            let ack = craft::ack(
                world.network,
                &world.nodes[at(me)].key,
                &attestation,
                done,
                number == 2,
            );
            let is_final = world.random.chance(40);
            let payload = craft::frontier(&(attestation, ack), is_final);
            let prev = world.own_newest(partner);
            let entry = world.write(
                partner,
                prev.as_ref(),
                std::slice::from_ref(&order),
                &payload,
            );
            world.show(partner, &entry)?;
        }
        Ok(())
    }
}
