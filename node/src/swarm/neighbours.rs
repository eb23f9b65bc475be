//! Who was found on the local network, and who of them turned out to be of
//! another network: those are not dialled again for a while, and are no offenders.
//!
//! mDNS names every libp2p node of the local network, whatever it speaks. Pure:
//! time comes in as numbers.

use libp2p::{Multiaddr, PeerId};
use std::collections::BTreeMap;

/// Neighbours remembered; the one found longest ago makes room.
const NEIGHBOURS_MAX: usize = 128;
/// How long a stranger is left alone.
const STRANGER_MS: u64 = 600_000;

#[derive(Debug)]
struct Neighbour {
    address: Multiaddr,
    found_ms: u64,
    stranger_until_ms: u64,
}

/// The neighbours.
#[derive(Debug, Default)]
pub(super) struct Neighbours(BTreeMap<PeerId, Neighbour>);

impl Neighbours {
    /// A peer was found. True when it should be dialled.
    pub(super) fn found(&mut self, peer: PeerId, address: Multiaddr, now_ms: u64) -> bool {
        if !self.0.contains_key(&peer) && self.0.len() >= NEIGHBOURS_MAX {
            let oldest = self.0.iter().min_by_key(|(_, known)| known.found_ms);
            if let Some(oldest) = oldest.map(|(peer, _)| *peer) {
                self.0.remove(&oldest);
            }
        }
        let known = self.0.entry(peer).or_insert_with(|| Neighbour {
            address: address.clone(),
            found_ms: now_ms,
            stranger_until_ms: 0,
        });
        known.found_ms = now_ms;
        known.address = address;
        known.stranger_until_ms <= now_ms
    }

    /// A peer speaks for another network. Gives its address if it was found here.
    pub(super) fn is_strange(&mut self, peer: &PeerId, now_ms: u64) -> Option<Multiaddr> {
        let known = self.0.get_mut(peer)?;
        known.stranger_until_ms = now_ms.saturating_add(STRANGER_MS);
        Some(known.address.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_left_alone_for_a_while() {
        let (peer, other) = (PeerId::random(), PeerId::random());
        let address: Multiaddr = "/ip4/10.0.0.1/udp/1/quic-v1".parse().unwrap();
        let mut neighbours = Neighbours::default();
        assert!(neighbours.found(peer, address.clone(), 0));
        assert!(neighbours.found(peer, address.clone(), 1));
        assert_eq!(neighbours.is_strange(&peer, 2), Some(address.clone()));
        assert!(!neighbours.found(peer, address.clone(), 3));
        assert!(neighbours.found(peer, address, 2 + STRANGER_MS));
        assert_eq!(neighbours.is_strange(&other, 2), None, "it dialled us");
    }

    #[test]
    fn the_memory_is_bounded() {
        let address: Multiaddr = "/ip4/10.0.0.1/udp/1".parse().unwrap();
        let mut neighbours = Neighbours::default();
        for now_ms in 0..1000 {
            neighbours.found(PeerId::random(), address.clone(), now_ms);
        }
        assert_eq!(neighbours.0.len(), NEIGHBOURS_MAX);
    }
}
