//! The double spend through a forked final frontier: a stage ends one job twice
//! at one number, with nothing for the submitter's eyes and with everything for
//! the founders', so that the submitter spends a hold that is owed.

use super::Liar;
use crate::craft;
use crate::invariants::Lawful;
use crate::node::{Habits, Node};
use crate::world::World;
use std::collections::BTreeSet;
use talkoot_protocol::JobId;

#[derive(Debug)]
pub(crate) struct Finalizer;

impl Liar for Finalizer {
    fn name(&self) -> &'static str {
        "liars_finalizer"
    }

    fn settle_in(&mut self, node: &mut Node) {
        node.habits = Habits {
            withholds_finals: true,
            ..Habits::default()
        };
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let held: BTreeSet<JobId> = world
            .ledger(me)
            .map_or_else(BTreeSet::new, |ledger| ledger.jobs().collect());
        let mine = world
            .jobs
            .iter()
            .filter(|job| job.stages.contains(&me) && job.submitter != me);
        let jobs: Vec<_> = mine
            .filter(|job| job.acks.len() > 1 && held.contains(&job.id))
            .cloned()
            .collect();
        let Some(job) = world.random.pick(&jobs) else {
            return Ok(());
        };
        let order = world
            .ledger(me)
            .and_then(|ledger| ledger.entry(&job.id.0).cloned());
        let (Some(order), [first, .., last]) = (order, job.acks.as_slice()) else {
            return Ok(());
        };
        let own = world.own(me);
        let prev = if world.random.chance(70) {
            world.own_newest(me)
        } else {
            world.random.pick(&own)
        };
        let nothing = world.write(
            me,
            prev.as_ref(),
            std::slice::from_ref(&order),
            &craft::frontier(first, true),
        );
        let everything = world.write(me, prev.as_ref(), &[order], &craft::frontier(last, true));
        let peers = world.links.peers(me).to_vec();
        let (near, far): (Vec<u32>, Vec<u32>) = peers
            .into_iter()
            .partition(|peer| *peer == job.submitter || world.random.chance(20));
        world.show_to(me, &nothing, &near)?;
        if world.random.chance(80) {
            world.show_to(me, &everything, &far)?;
        }
        Ok(())
    }
}
