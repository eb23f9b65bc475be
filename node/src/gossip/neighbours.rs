//! Other networks on this local network: asks who was found there for the
//! genesis of theirs, and remembers the answers.
//!
//! One question at a time, and none is repeated soon: `swarm` tells of each
//! stranger once in a while. What the owner makes of it is not decided here.

use super::Shared;
use crate::swarm::identity;
use crate::swarm::scout;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use talkoot_protocol::{Genesis, NetworkId, Wallet};
use tokio::sync::mpsc;

/// Networks remembered.
const NETWORKS_MAX: usize = 16;
/// How long a neighbour may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Another network on this local network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NeighbourNetwork {
    /// Its founding document.
    pub genesis: Genesis,
    /// A node of it.
    pub peer: Wallet,
    /// Where that node is, without its peer id.
    pub address: String,
}

impl NeighbourNetwork {
    /// The libp2p peer id of its node.
    #[must_use]
    pub fn peer_id(&self) -> String {
        identity::peer_id_of(&self.peer).map_or_else(String::new, |peer| peer.to_string())
    }
}

/// The networks found so far.
#[derive(Debug, Clone, Default)]
pub(super) struct NeighbourNetworks(Arc<RwLock<BTreeMap<NetworkId, NeighbourNetwork>>>);

impl NeighbourNetworks {
    pub(super) fn list(&self) -> Vec<NeighbourNetwork> {
        let found = self.0.read().unwrap_or_else(PoisonError::into_inner);
        found.values().cloned().collect()
    }

    /// True when the network is new.
    fn insert(&self, found: NeighbourNetwork) -> bool {
        let mut networks = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let id = found.genesis.id();
        if networks.len() >= NETWORKS_MAX && !networks.contains_key(&id) {
            return false;
        }
        networks.insert(id, found).is_none()
    }
}

/// A peer of the local network that speaks for another network.
pub(super) struct Stranger {
    pub(super) peer: Wallet,
    pub(super) address: String,
}

/// Asks strangers, one after another, until the swarm ends.
pub(super) async fn ask(shared: Shared, mut strangers: mpsc::Receiver<Stranger>) {
    while let Some(Stranger { peer, address }) = strangers.recv().await {
        let found = scout::genesis_at(&shared.ctx.key, &address, ANSWER_TIMEOUT).await;
        match found {
            Ok(found) if found.peer == peer && found.genesis.id() != shared.ctx.network => {
                let name = found.genesis.name.clone();
                let network = NeighbourNetwork {
                    genesis: found.genesis,
                    peer,
                    address: address.clone(),
                };
                if shared.neighbours.insert(network) {
                    tracing::info!(
                        network = name,
                        peer = %peer.short(),
                        address,
                        "another network is on this local network; to join it, \
                         `talkoot join --lan {name}` or a ticket from there (`talkoot invite`)"
                    );
                }
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, address, "a neighbour tells no genesis"),
        }
    }
}
