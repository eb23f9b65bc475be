//! Names that the command line shows and the node computes.

use crate::swarm;
use talkoot_protocol::Wallet;

/// The libp2p peer id of a wallet, as text.
#[must_use]
pub fn peer_id_text(wallet: Wallet) -> String {
    swarm::identity::peer_id_of(&wallet).map_or_else(String::new, |peer| peer.to_string())
}
