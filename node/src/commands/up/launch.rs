//! The seam between the command line and the node: everything a start needs.

use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::node::NodeHandle;
use crate::settings::Settings;
use crate::swarm;
use talkoot_protocol::ticket::Ticket;
use talkoot_protocol::{Genesis, Keypair, Verified, Wallet};

/// What a node is started with.
#[derive(Debug)]
pub struct Launch {
    /// Its directories; this process holds their lock.
    pub home: Home,
    /// Who it is.
    pub key: Keypair,
    /// Its network.
    pub genesis: Genesis,
    /// The ticket by which it came here; its addresses are dialled too, and it
    /// is shown to the inviter.
    pub ticket: Option<Verified<Ticket>>,
    /// Whether the identity or the network was made just now: then a missing
    /// journal is a beginning, not a loss (`is_new` of `Books::open`).
    pub is_new: bool,
    /// The owner's decisions.
    pub settings: Settings,
}

/// Starts a node; it listens when this returns.
///
/// # Errors
/// When a port is taken, a model cannot be loaded or the ledger not be opened.
#[expect(clippy::unused_async, reason = "the lead wires the node's start here")]
pub async fn launch(launch: Launch) -> Result<NodeHandle, Failure> {
    let _ = launch;
    Err(Failure::new(Exit::Failure, "the node is not wired yet"))
}

/// Completes when the node has stopped: all tasks ended, the journal closed.
pub async fn stopped(handle: &NodeHandle) {
    let _ = handle;
    std::future::pending::<()>().await;
}

/// The libp2p peer id of a wallet, as text.
#[must_use]
pub fn peer_id_text(wallet: Wallet) -> String {
    swarm::identity::peer_id_of(&wallet).map_or_else(String::new, |peer| peer.to_string())
}
