//! Says less than it owes: a submitter that stops acknowledging, a stage that
//! never posts its final frontier, and one that posts it late.

use super::Liar;
use crate::invariants::Lawful;
use crate::node::{Habits, Node};
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Withholder {
    name: &'static str,
    habits: Habits,
}

impl Withholder {
    pub(crate) const ACKS: Self = Self {
        name: "liars_ack_withholder",
        habits: Habits {
            withholds_acks: true,
            withholds_finals: false,
            late_final_ms: 0,
        },
    };
    pub(crate) const FINALS: Self = Self {
        name: "liars_final_withholder",
        habits: Habits {
            withholds_acks: false,
            withholds_finals: true,
            late_final_ms: 0,
        },
    };
    pub(crate) const LATE: Self = Self {
        name: "liars_late_finalizer",
        habits: Habits {
            withholds_acks: false,
            withholds_finals: false,
            late_final_ms: talkoot_ledger::HOLD_GRACE_MS,
        },
    };
}

impl Liar for Withholder {
    fn name(&self) -> &'static str {
        self.name
    }

    fn settle_in(&mut self, node: &mut Node) {
        node.habits = self.habits;
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let stages = world.workers(me, 2);
        let size = (world.random.tokens(0, 10), world.random.tokens(1, 40));
        world.order(me, stages, size)
    }
}
