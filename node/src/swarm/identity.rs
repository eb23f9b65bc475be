//! One key, two names: wallet <-> libp2p peer id.
//!
//! A peer id of an ed25519 key holds the key itself, so both directions are
//! pure. A peer id of any other kind of key has no wallet, and such a peer has
//! no place here.

use libp2p::PeerId;
use libp2p::identity::{DecodingError, Keypair as TransportKeypair, PublicKey, ed25519};
use talkoot_protocol::{Keypair, Wallet};

/// Multihash code of "identity": the digest is the encoded public key.
const IDENTITY_MULTIHASH: u64 = 0;

/// Our key in the form that libp2p and the TLS layer of the data plane take.
///
/// # Errors
/// [`DecodingError`] never happens for a 32-byte seed; it is libp2p's type.
pub fn transport_keypair(key: &Keypair) -> Result<TransportKeypair, DecodingError> {
    TransportKeypair::ed25519_from_bytes(key.seed())
}

/// The wallet of a peer id; `None` when its key is not ed25519.
#[must_use]
pub fn wallet_of(peer: &PeerId) -> Option<Wallet> {
    let hash = peer.as_ref();
    if hash.code() != IDENTITY_MULTIHASH {
        return None;
    }
    let key = PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    Some(Wallet::from_bytes(key.try_into_ed25519().ok()?.to_bytes()))
}

/// The peer id of a wallet; `None` when the 32 bytes are no point of the curve.
#[must_use]
pub fn peer_id_of(wallet: &Wallet) -> Option<PeerId> {
    let key = ed25519::PublicKey::try_from_bytes(wallet.as_bytes()).ok()?;
    Some(PublicKey::from(key).to_peer_id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wallet_and_its_peer_id_name_the_same_key() {
        let key = Keypair::from_seed(&[7; 32]);
        let transport = transport_keypair(&key).unwrap();
        let peer = transport.public().to_peer_id();
        assert_eq!(wallet_of(&peer), Some(key.wallet()));
        assert_eq!(peer_id_of(&key.wallet()), Some(peer));
    }

    #[test]
    fn other_kinds_of_keys_have_no_wallet() {
        assert_eq!(wallet_of(&PeerId::random()), None);
        // Any 32 bytes may pose as a wallet; those off the curve name nobody.
        let mut off = 0;
        for byte in 0..32 {
            off += usize::from(peer_id_of(&Wallet::from_bytes([byte; 32])).is_none());
        }
        assert!(off > 0);
    }
}
