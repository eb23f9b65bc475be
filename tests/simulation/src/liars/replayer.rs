//! Shows again what was right once: entries, offers, attestations and acks, in
//! other jobs, other logs and other networks.

use super::Liar;
use crate::craft;
use crate::invariants::Lawful;
use crate::links::at;
use crate::world::World;
use crate::world::pair_of;
use talkoot_ledger::{Payload, id_of, kinds};
use talkoot_protocol::{Hash, JobId, NetworkId};

#[derive(Debug)]
pub(crate) struct Replayer;

impl Liar for Replayer {
    fn name(&self) -> &'static str {
        "liars_replayer"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let Some(old) = world.any_entry(me) else {
            return Ok(());
        };
        let peers = world.links.peers(me).to_vec();
        match world.random.below(4) {
            0 => world.send_bytes(me, &old.to_bytes(), &peers),
            1 => {
                // The same words, signed for another network.
                let elsewhere = NetworkId(Hash::of_blob(b"elsewhere"));
                let words = craft::Words::new(&Payload::Witness, world.clock_ms(me));
                let entry = craft::entry(elsewhere, &world.nodes[at(me)].key, None, &[], words);
                world.send_bytes(me, &entry.to_bytes(), &peers);
            }
            _ => return replay_payload(world, me, &old),
        }
        Ok(())
    }
}

/// Another's payload in the own log; offers and acks in other company.
fn replay_payload(world: &mut World, me: u32, old: &craft::E) -> Lawful {
    let prev = world.own_newest(me);
    let refs = [vec![old.clone()], world.foreign(me, 4)].concat();
    let payload = match Payload::decode(old.kind, &old.payload) {
        Ok(Some(Payload::Reserve(reserve))) if world.random.chance(50) => {
            // Old offers with fresh ones, or to another submitter.
            let stages = world.workers(me, 1);
            let mut fresh = world.reserve_over(me, &stages, (0, 5));
            fresh.offers.extend(reserve.offers.iter().take(1).cloned());
            fresh.layers = u32::try_from(fresh.offers.len()).unwrap_or(1);
            Payload::Reserve(Box::new(fresh))
        }
        Ok(Some(Payload::Frontier(frontier))) if world.random.chance(70) => {
            let jobs: Vec<JobId> = world.jobs.iter().map(|job| job.id).collect();
            let job = world.random.pick(&jobs).unwrap_or(frontier.job);
            let pair = pair_of(&frontier, world.network);
            let is_final = world.random.chance(50);
            let mut copy = *frontier;
            (copy.job, copy.is_final) = (job, is_final);
            let other = world.jobs.iter().flat_map(|job| &job.acks).next_back();
            if let Some((_, ack)) = pair.as_ref().zip(other).map(|(_, other)| other) {
                copy.ack = ack.clone().into();
            }
            Payload::Frontier(Box::new(copy))
        }
        Ok(Some(payload)) => payload,
        _ => Payload::Model(kinds::Model {
            card: id_of(old).as_bytes().to_vec(),
        }),
    };
    let entry = world.write(me, prev.as_ref(), &refs, &payload);
    world.show(me, &entry)
}
