//! Releases what is not over: own jobs at once, again and on two branches,
//! jobs of others, jobs that are none; with deadlines that lie in the past.

use super::Liar;
use crate::invariants::Lawful;
use crate::world::World;
use talkoot_ledger::kinds::Release;
use talkoot_ledger::{Payload, id_of};
use talkoot_protocol::JobId;

#[derive(Debug)]
pub(crate) struct Releaser;

impl Liar for Releaser {
    fn name(&self) -> &'static str {
        "liars_releaser"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let prev = world.own_newest(me);
        let refs = world.foreign(me, 8);
        let payload = match world.random.below(4) {
            0 => {
                let stages = world.workers(me, 2);
                let tokens = world.tokens_for(me, 30);
                let mut reserve = world.reserve_over(me, &stages, (0, tokens));
                let times = [0, 1, u64::MAX, world.now_ms()];
                reserve.deadline_ms = world.random.pick(&times).unwrap_or(0);
                let payload = Payload::Reserve(Box::new(reserve));
                let order = world.write(me, prev.as_ref(), &refs, &payload);
                world.show(me, &order)?;
                world.begin_job(JobId(id_of(&order)), me, stages, (0, tokens.min(60)));
                return Ok(());
            }
            1 => {
                let Some(entry) = world.any_entry(me) else {
                    return Ok(());
                };
                Release {
                    job: JobId(id_of(&entry)),
                }
            }
            _ => {
                let mine = world.jobs.iter().filter(|job| job.submitter == me);
                let mine: Vec<JobId> = mine.map(|job| job.id).collect();
                let Some(job) = world.random.pick(&mine) else {
                    return Ok(());
                };
                Release { job }
            }
        };
        let own = world.own(me);
        let prev = if world.random.chance(20) {
            world.random.pick(&own)
        } else {
            prev
        };
        let entry = world.write(me, prev.as_ref(), &refs, &Payload::Release(payload));
        world.show(me, &entry)
    }
}
