//! Proofs that prove nothing, old proofs and clocks far off: evidence against
//! honest wallets made of what they did sign, and claims of times that no
//! clock shows.

use super::Liar;
use crate::craft::Words;
use crate::invariants::Lawful;
use crate::world::World;
use talkoot_ledger::Payload;
use talkoot_ledger::kinds::Equivocation;

#[derive(Debug)]
pub(crate) struct Backdater;

impl Liar for Backdater {
    fn name(&self) -> &'static str {
        "liars_backdater"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let pair = world.any_entry(me).zip(world.any_entry(me));
        let Some((first, second)) = pair else {
            return Ok(());
        };
        let payload = match world.random.below(5) {
            0 => Payload::Equivocation(Equivocation::new(&first, &first)),
            1 => Payload::Equivocation(Equivocation {
                first: vec![1, 2, 3],
                second: second.to_bytes(),
            }),
            2 => match real_fork(world, me) {
                Some(proof) => Payload::Equivocation(proof),
                None => Payload::Witness,
            },
            3 => Payload::Equivocation(Equivocation::new(&first, &second)),
            _ => Payload::Witness,
        };
        if payload.to_bytes().len() > talkoot_protocol::limits::ENTRY_PAYLOAD_BYTES_MAX {
            return Ok(());
        }
        let times = [0, 1, u64::MAX, world.clock_ms(me) / 2];
        let mut words = Words::new(&payload, 0);
        words.time_ms = world.random.pick(&times).unwrap_or(0);
        let prev = world.own_newest(me);
        let refs = world.foreign(me, 3);
        let entry = world.write_words(me, prev.as_ref(), &refs, words);
        world.show(me, &entry)
    }
}

fn real_fork(world: &World, me: u32) -> Option<Equivocation> {
    let ledger = world.ledger(me)?;
    let fork = ledger.forks().into_iter().next()?;
    let (first, second) = (fork.entries.first()?, fork.entries.last()?);
    Some(Equivocation::new(
        ledger.entry(first)?,
        ledger.entry(second)?,
    ))
}
