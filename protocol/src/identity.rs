//! Wallets, key pairs and signatures (ed25519).
//!
//! One 32-byte seed is the whole identity of a node: ledger author, libp2p
//! peer and TLS identity of the data plane. One rule of verification holds
//! everywhere: ed25519-dalek's `verify_strict`. Batch verification gives other
//! verdicts on crafted input and is not used. Reading and writing the seed file
//! is the node's business.

mod keys;
#[cfg(feature = "memo")]
mod memo;

use crate::hash::{Hash, HashContext, ParseHexError, parse_hex_32};
use bincode::{Decode, Encode};
use ed25519_dalek::{Signer, SigningKey};
use std::fmt;
use std::str::FromStr;

/// A 32-byte ed25519 public key: who somebody is. It may be any 32 bytes until
/// a signature of it has been verified.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Wallet([u8; 32]);

impl Wallet {
    /// Wraps 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw public key.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 8 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(8);
        text
    }

    /// Checks one signature over the digest of (context, network, bytes).
    #[must_use]
    pub fn verify(
        &self,
        context: SignContext,
        network: NetworkId,
        bytes: &[u8],
        signature: &Signature,
    ) -> bool {
        let message = signed_message(context, network, bytes);
        #[cfg(feature = "memo")]
        let is_right = memo::verdict(self, &message, signature, || {
            self.verify_message(&message, signature)
        });
        #[cfg(not(feature = "memo"))]
        let is_right = self.verify_message(&message, signature);
        is_right
    }

    fn verify_message(&self, message: &[u8], signature: &Signature) -> bool {
        let Some(key) = keys::point(&self.0) else {
            return false;
        };
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature).is_ok()
    }
}

impl fmt::Display for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Wallet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Wallet({})", self.short())
    }
}

impl FromStr for Wallet {
    type Err = ParseHexError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse_hex_32(text).map(Self)
    }
}

/// The id of a network: the hash of its genesis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct NetworkId(pub Hash);

impl NetworkId {
    /// The first 8 hexadecimal digits: part of every protocol name.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a signature is for. No signature of one kind is valid as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignContext {
    /// A ledger entry.
    Entry,
    /// A presence announcement.
    Announcement,
    /// A worker's offer.
    Offer,
    /// The order of a job between stages of one wallet.
    FreeJob,
    /// The last stage's frontier attestation.
    Attestation,
    /// The submitter's acknowledgement.
    Ack,
    /// An invitation.
    Ticket,
}

impl SignContext {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Entry => "talkoot/1 sign ledger entry",
            Self::Announcement => "talkoot/1 sign announcement",
            Self::Offer => "talkoot/1 sign offer",
            Self::FreeJob => "talkoot/1 sign free job",
            Self::Attestation => "talkoot/1 sign attestation",
            Self::Ack => "talkoot/1 sign acknowledgement",
            Self::Ticket => "talkoot/1 sign ticket",
        }
    }
}

/// The message that is really signed: context, a zero byte, the network id and
/// the blake3 of the bytes. Contexts hold no zero byte, so no two differ only
/// in where the context ends.
fn signed_message(context: SignContext, network: NetworkId, bytes: &[u8]) -> Vec<u8> {
    let digest = Hash::of(HashContext::Signature, bytes);
    let mut message = Vec::with_capacity(128);
    message.extend_from_slice(context.as_str().as_bytes());
    message.push(0);
    message.extend_from_slice(network.0.as_bytes());
    message.extend_from_slice(digest.as_bytes());
    message
}

/// 64 bytes of ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Signature([u8; 64]);

impl Signature {
    /// Wraps 64 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = data_encoding::HEXLOWER.encode(&self.0);
        write!(f, "Signature({})", hex.get(..8).unwrap_or_default())
    }
}

/// The secret half of an identity. It is not shown by `Debug` and cannot be
/// encoded.
#[derive(Clone)]
pub struct Keypair(SigningKey);

impl Keypair {
    /// Makes the key of a 32-byte seed.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The 32-byte seed: the secret itself. For the seed file and for the
    /// transport identity that is made of the same key; nothing else.
    #[must_use]
    pub fn seed(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn wallet(&self) -> Wallet {
        Wallet(self.0.verifying_key().to_bytes())
    }

    /// Signs (context, network, bytes).
    #[must_use]
    pub fn sign(&self, context: SignContext, network: NetworkId, bytes: &[u8]) -> Signature {
        Signature(
            self.0
                .sign(&signed_message(context, network, bytes))
                .to_bytes(),
        )
    }
}

impl fmt::Debug for Keypair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keypair({})", self.wallet().short())
    }
}
