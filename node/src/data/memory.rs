//! Links inside one process: for a node that is its own stage, for tests and
//! for simulation.
//!
//! Nodes join a network by their wallet; opening a stream makes a pair of
//! in-memory pipes and hands one end to the other node. A node that leaves or
//! is cut off is gone for new streams at once.

use super::{CloseFuture, Duplex, HopLink, LinkError, OpenFuture, RoundTripFuture};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use talkoot_protocol::Wallet;
use tokio::sync::mpsc;

/// Bytes that one direction of a pipe holds.
const PIPE_BYTES: usize = 1 << 20;
/// Streams that wait to be accepted by one node.
const BACKLOG: usize = 256;

/// The nodes of one process.
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork(Arc<Mutex<BTreeMap<Wallet, mpsc::Sender<Duplex>>>>);

impl MemoryNetwork {
    /// Adds a node and gives its link and the streams that others open to it.
    #[must_use]
    pub fn join(&self, wallet: Wallet) -> (MemoryLink, mpsc::Receiver<Duplex>) {
        let (accept, accepted) = mpsc::channel(BACKLOG);
        self.nodes().insert(wallet, accept);
        let network = self.clone();
        (MemoryLink { network, wallet }, accepted)
    }

    /// Adds a node whose accepted streams go into an existing queue.
    #[must_use]
    pub fn join_into(&self, wallet: Wallet, accept: mpsc::Sender<Duplex>) -> MemoryLink {
        self.nodes().insert(wallet, accept);
        let network = self.clone();
        MemoryLink { network, wallet }
    }

    /// Takes a node away.
    pub fn leave(&self, wallet: Wallet) {
        self.nodes().remove(&wallet);
    }

    fn nodes(&self) -> std::sync::MutexGuard<'_, BTreeMap<Wallet, mpsc::Sender<Duplex>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One node's door to a [`MemoryNetwork`].
#[derive(Debug, Clone)]
pub struct MemoryLink {
    network: MemoryNetwork,
    wallet: Wallet,
}

impl HopLink for MemoryLink {
    fn open(&self, peer: Wallet, _addresses: Vec<SocketAddr>) -> OpenFuture {
        let accept = self.network.nodes().get(&peer).cloned();
        let from = self.wallet;
        Box::pin(async move {
            let accept = accept.ok_or_else(|| LinkError::Unreachable {
                peer,
                reason: "no such node in this process".to_owned(),
            })?;
            let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
            let gone = |_| LinkError::Unreachable {
                peer,
                reason: "it accepts no streams".to_owned(),
            };
            accept
                .send(Duplex::split(from, theirs))
                .await
                .map_err(gone)?;
            Ok(Duplex::split(peer, ours))
        })
    }

    fn round_trip(&self, _peer: Wallet, _addresses: Vec<SocketAddr>) -> RoundTripFuture {
        Box::pin(std::future::ready(Ok(Duration::ZERO)))
    }

    fn known_round_trip(&self, _peer: Wallet) -> Option<Duration> {
        Some(Duration::ZERO)
    }

    fn forget(&self, _peer: Wallet) {}

    fn close(&self) -> CloseFuture {
        self.network.leave(self.wallet);
        Box::pin(std::future::ready(()))
    }
}
