//! When to dial the addresses we were given to begin with.
//!
//! Whenever there is no connection to one of them it is dialled again, with
//! pauses that double up to half a minute. Pure: time comes in as numbers.

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};

const PAUSE_FIRST_MS: u64 = 250;
const PAUSE_MAX_MS: u64 = 30_000;

#[derive(Debug)]
struct Entry {
    address: Multiaddr,
    /// From the address, or learned by connecting.
    peer: Option<PeerId>,
    pause_ms: u64,
    next_ms: u64,
    is_connected: bool,
}

/// The bootstrap addresses and how they do.
#[derive(Debug, Default)]
pub(super) struct Bootstrap {
    entries: Vec<Entry>,
}

/// The peer id at the end of an address.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// An address without the peer id at its end.
pub(super) fn without_peer(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)))
        .collect()
}

impl Bootstrap {
    /// Adds an address; ourselves and repetitions are left out.
    pub(super) fn add(&mut self, address: Multiaddr, own: PeerId) {
        let peer = peer_of(&address);
        let is_known = self.entries.iter().any(|entry| entry.address == address);
        if peer == Some(own) || is_known {
            return;
        }
        self.entries.push(Entry {
            address,
            peer,
            pause_ms: PAUSE_FIRST_MS,
            next_ms: 0,
            is_connected: false,
        });
    }

    /// When an address is dialled next; none when it is connected or not ours.
    pub(super) fn next_ms(&self, address: &str) -> Option<u64> {
        let mut entries = self.entries.iter();
        entries
            .find(|entry| without_peer(&entry.address).to_string() == address)
            .filter(|entry| !entry.is_connected)
            .map(|entry| entry.next_ms)
    }

    /// The addresses to dial now.
    pub(super) fn due(&mut self, now_ms: u64) -> Vec<Multiaddr> {
        let mut due = Vec::new();
        for entry in &mut self.entries {
            if !entry.is_connected && entry.next_ms <= now_ms {
                due.push(entry.address.clone());
                entry.next_ms = now_ms.saturating_add(entry.pause_ms);
                entry.pause_ms = entry.pause_ms.saturating_mul(2).min(PAUSE_MAX_MS);
            }
        }
        due
    }

    /// A connection exists; `dialled` is its address if we dialled it.
    pub(super) fn connected(&mut self, peer: PeerId, dialled: Option<&Multiaddr>) {
        let dialled = dialled.map(without_peer);
        for entry in &mut self.entries {
            let is_dialled = dialled.as_ref() == Some(&without_peer(&entry.address));
            if entry.peer == Some(peer) || (entry.peer.is_none() && is_dialled) {
                entry.peer = Some(peer);
                entry.is_connected = true;
                entry.pause_ms = PAUSE_FIRST_MS;
            }
        }
    }

    /// The last connection to a peer is gone.
    pub(super) fn disconnected(&mut self, peer: PeerId) {
        for entry in &mut self.entries {
            if entry.peer == Some(peer) {
                entry.is_connected = false;
                // An address without a peer id may answer as somebody else now.
                entry.peer = peer_of(&entry.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dials_with_pauses_until_connected_and_again_after() {
        let own = PeerId::random();
        let other = PeerId::random();
        let address: Multiaddr = "/ip4/127.0.0.1/udp/1/quic-v1".parse().unwrap();
        let mut bootstrap = Bootstrap::default();
        bootstrap.add(address.clone(), own);
        bootstrap.add(address.clone(), own);
        bootstrap.add(address.clone().with(Protocol::P2p(own)), own);
        assert_eq!(bootstrap.due(0), vec![address.clone()]);
        assert_eq!(bootstrap.due(PAUSE_FIRST_MS - 1), vec![]);
        assert_eq!(bootstrap.due(PAUSE_FIRST_MS), vec![address.clone()]);
        assert_eq!(bootstrap.due(2 * PAUSE_FIRST_MS), vec![]);
        bootstrap.connected(other, Some(&address.clone().with(Protocol::P2p(other))));
        assert_eq!(bootstrap.due(1_000_000), vec![]);
        bootstrap.disconnected(other);
        assert_eq!(bootstrap.due(1_000_000), vec![address]);
    }

    #[test]
    fn an_incoming_connection_of_the_named_peer_counts() {
        let peer = PeerId::random();
        let address: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
        let mut bootstrap = Bootstrap::default();
        bootstrap.add(address.with(Protocol::P2p(peer)), PeerId::random());
        bootstrap.connected(peer, None);
        assert_eq!(bootstrap.due(0), vec![]);
    }
}
