//! Bytes that are no entries, and entries that are in no set: torn, longer than
//! they say, wrong numbers, references to nothing, kinds of later versions,
//! payloads that do not decode.

use super::Liar;
use crate::craft::{E, Words};
use crate::invariants::Lawful;
use crate::links::at;
use crate::world::World;
use talkoot_ledger::{Entry, Payload};
use talkoot_protocol::{Hash, Verified};

#[derive(Debug)]
pub(crate) struct Noise;

impl Liar for Noise {
    fn name(&self) -> &'static str {
        "liars_noise"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let peers = world.links.peers(me).to_vec();
        let Some(old) = world.any_entry(me) else {
            return Ok(());
        };
        match world.random.below(7) {
            0 => {
                let bytes: Vec<u8> = (0..world.random.below(300))
                    .map(|n| n.to_le_bytes()[0])
                    .collect();
                world.send_bytes(me, &bytes, &peers);
            }
            1 => {
                let mut bytes = old.to_bytes();
                bytes.truncate(world.random.below(bytes.len()));
                world.send_bytes(me, &bytes, &peers);
            }
            2 => {
                let bytes = [old.to_bytes(), vec![0; 1 + world.random.below(9)]].concat();
                world.send_bytes(me, &bytes, &peers);
            }
            3 | 4 => {
                if let Some(entry) = misfit(world, me, &old) {
                    world.send_entry(me, &entry, &peers);
                }
            }
            _ => {
                let kind = u16::try_from(world.random.below(9)).unwrap_or(0);
                let payload = (0..world.random.below(200))
                    .map(|n| n.to_le_bytes()[0])
                    .collect();
                let words = Words {
                    kind,
                    payload,
                    names: Vec::new(),
                    time_ms: 5,
                };
                let prev = world.own_newest(me);
                let entry = world.write_words(me, prev.as_ref(), &[old], words);
                return world.show(me, &entry);
            }
        }
        Ok(())
    }
}

/// A signed entry whose structure is wrong, or whose parents do not exist.
fn misfit(world: &mut World, me: u32, old: &E) -> Option<E> {
    let key = world.nodes[at(me)].key.clone();
    let prev = world.own_newest(me)?;
    let words = Words::new(&Payload::Witness, world.random.next());
    let mut entry: Entry = crate::craft::entry(
        world.network,
        &key,
        Some(&prev),
        std::slice::from_ref(old),
        words,
    )
    .into_inner();
    match world.random.below(5) {
        0 => entry.lamport += 5,
        1 => entry.prev = Hash::of_blob(b"nothing"),
        2 => entry.refs = vec![Hash::of_blob(&world.random.next().to_le_bytes())],
        3 => entry.seq += 1,
        _ => entry.refs = vec![talkoot_ledger::id_of(&prev)],
    }
    if entry.lamport <= entry.seq {
        entry.lamport = entry.seq + 1;
    }
    Verified::sign(entry, &key, world.network).ok()
}
