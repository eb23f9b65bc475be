//! What libp2p says of a dial that failed, in the words of `core::dials`.

use super::bootstrap::{peer_of, without_peer};
use super::identity;
use crate::core::dials::DialFailure;
use libp2p::swarm::DialError;
use libp2p::{Multiaddr, PeerId};
use std::error::Error;
use talkoot_protocol::Wallet;

/// One address that failed.
pub(super) struct Failed {
    /// Without a peer id.
    pub(super) address: String,
    /// Whom it was dialled for.
    pub(super) peer: Option<Wallet>,
    pub(super) failure: DialFailure,
}

/// The addresses of a dial and why each failed. Dials that were not tried (a
/// connection exists, another dial is under way) say nothing of an address.
pub(super) fn failures(dialled: Option<PeerId>, error: &DialError) -> Vec<Failed> {
    let wanted = dialled.as_ref().and_then(identity::wallet_of);
    let failed = |address: &Multiaddr, failure: DialFailure| Failed {
        address: without_peer(address).to_string(),
        peer: wanted.or_else(|| identity::wallet_of(&peer_of(address)?)),
        failure,
    };
    match error {
        DialError::WrongPeerId { obtained, address } => {
            let other = identity::wallet_of(obtained);
            vec![failed(address, DialFailure::OtherPeer(other))]
        }
        DialError::Transport(errors) => errors
            .iter()
            .map(|(address, error)| failed(address, DialFailure::of_text(&chain(error))))
            .collect(),
        DialError::LocalPeerId { .. }
        | DialError::NoAddresses
        | DialError::DialPeerConditionFalse(_)
        | DialError::Aborted
        | DialError::Denied { .. } => Vec::new(),
    }
}

/// The reason of a dial to one address.
pub(super) fn reason(error: &DialError) -> DialFailure {
    failures(None, error)
        .pop()
        .map_or_else(|| DialFailure::Other(chain(error)), |failed| failed.failure)
}

/// An error and what it came from.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
