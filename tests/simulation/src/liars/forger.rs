//! Forges signatures: of entries, and of the offers, attestations and acks
//! inside them.

use super::Liar;
use crate::craft;
use crate::invariants::Lawful;
use crate::links::at;
use crate::world::World;
use talkoot_ledger::{Payload, id_of};
use talkoot_protocol::{JobId, Offer, Signed};

#[derive(Debug)]
pub(crate) struct Forger;

impl Liar for Forger {
    fn name(&self) -> &'static str {
        "liars_forger"
    }

    fn act(&mut self, world: &mut World, me: u32) -> Lawful {
        let Some(old) = world.any_entry(me) else {
            return Ok(());
        };
        let prev = world.own_newest(me);
        match world.random.below(3) {
            0 => {
                let mut bytes = old.to_bytes();
                let place = world.random.below(bytes.len());
                bytes[place] ^= 1 << world.random.below(8);
                let peers = world.links.peers(me).to_vec();
                world.send_bytes(me, &bytes, &peers);
                Ok(())
            }
            1 => {
                let stages = world.workers(me, 2);
                let mut reserve = world.reserve_over(me, &stages, (1, 9));
                if let Some(offer) = reserve.offers.first_mut() {
                    *offer = forged(offer);
                }
                let entry =
                    world.write(me, prev.as_ref(), &[], &Payload::Reserve(Box::new(reserve)));
                world.show(me, &entry)
            }
            _ => {
                let job = JobId(id_of(&old));
                let key = &world.nodes[at(me)].key;
                let progress = craft::Progress {
                    number: 0,
                    previous: job.0,
                    done: (9, 9),
                    stages: 1,
                };
                let attestation = craft::attest(world.network, key, job, progress);
                let ack = craft::ack(world.network, key, &attestation, (9, 9), true);
                let payload = craft::frontier(&(attestation, ack), true);
                let entry = world.write(me, prev.as_ref(), &[old], &payload);
                world.show(me, &entry)
            }
        }
    }
}

/// The same offer with one bit of its signature changed.
fn forged(offer: &Signed<Offer>) -> Signed<Offer> {
    let mut bytes = offer.to_bytes();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    Signed::decode(&bytes).unwrap_or_else(|_| offer.clone())
}
