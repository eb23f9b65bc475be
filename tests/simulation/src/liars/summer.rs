//! Counts wrongly: holds more than it has, claims more than was acknowledged,
//! routes that do not fit, extreme numbers.

use super::Liar;
use crate::craft;
use crate::invariants::Lawful;
use crate::links::at;
use crate::world::World;
use talkoot_ledger::kinds::{Admit, Reserve};
use talkoot_ledger::{Payload, Ugft};

#[derive(Debug)]
pub(crate) struct Summer;

impl Liar for Summer {
    fn name(&self) -> &'static str {
        "liars_summer"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let prev = world.own_newest(me);
        let payload = match world.random.below(6) {
            0 => {
                let to = world.random.below(world.nodes.len());
                let amounts = [
                    0,
                    1,
                    u64::MAX,
                    1 << 60,
                    world.genesis.line_ugft(world.nodes[at(me)].wallet),
                ];
                let line_ugft = Ugft(world.random.pick(&amounts).unwrap_or(0));
                Payload::Admit(Admit {
                    wallet: world.nodes[to].wallet,
                    line_ugft,
                })
            }
            1 | 2 => match claim(world, me) {
                Some(payload) => payload,
                None => return Ok(()),
            },
            _ => {
                let stages = [world.workers(me, 2), world.partners(me)].concat();
                let mut reserve = world.reserve_over(me, &stages, (3, 50));
                spoil(world, &mut reserve);
                Payload::Reserve(Box::new(reserve))
            }
        };
        let refs = world.foreign(me, 8);
        let entry = world.write(me, prev.as_ref(), &refs, &payload);
        world.show(me, &entry)
    }
}

/// A frontier that asks for more than the ack says, or than was reserved.
fn claim(world: &mut World, me: u32) -> Option<Payload> {
    let mine: Vec<_> = world
        .jobs
        .iter()
        .filter(|job| job.stages.contains(&me))
        .cloned()
        .collect();
    let job = world.random.pick(&mine)?;
    let mut pair = job.acks.last().cloned()?;
    let key = world.nodes[at(me)].key.clone();
    let more = (job.size.0 + 1, job.size.1 + 7);
    let progress = craft::Progress {
        number: 77,
        previous: pair.0.id(),
        done: more,
        stages: job.stages.len(),
    };
    if world.random.chance(50) {
        // Right attestation, an ack of its own making.
        pair.1 = craft::ack(world.network, &key, &pair.0, more, true);
    } else {
        pair.0 = craft::attest(world.network, &key, job.id, progress);
    }
    Some(craft::frontier(&pair, world.random.chance(50)))
}

fn spoil(world: &mut World, reserve: &mut Reserve) {
    match world.random.below(8) {
        0 => reserve.layers += 1,
        1 => reserve.prompt_tokens = 200_000,
        2 => reserve.completion_tokens_max = 262_144,
        3 => reserve.price_ugft_per_token = u64::MAX,
        4 => {
            let first = reserve.offers.first().cloned();
            reserve.offers.extend(first);
        }
        5 => reserve.offers.reverse(),
        6 => reserve.deadline_ms = u64::MAX,
        _ => reserve.continues = world.jobs.first().map(|job| job.id),
    }
}
