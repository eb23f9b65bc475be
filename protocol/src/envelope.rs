//! How bytes become trusted: bytes -> [`Signed`] -> [`Verified`].
//!
//! `Signed<T>` is decoded and within bounds, but anybody may have written it.
//! `Verified<T>` can only be made by [`Signed::verify`] or by signing with our
//! own key; pure cores take nothing else. A value has one encoding and nothing
//! else decodes, so the bytes that were signed are not kept beside the value:
//! they are made of it again, byte for byte, when they are needed. A clone is
//! another hold on the same object.

use crate::codec::{self, DecodeError};
use crate::hash::{Hash, HashContext};
use crate::identity::{Keypair, NetworkId, SignContext, Signature, Wallet};
use bincode::{Decode, Encode};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Bytes of a signature in the signed form.
const SIGNATURE_BYTES: usize = 64;
/// Bytes of the body's length in the signed form.
const LENGTH_BYTES: usize = 8;

/// A kind of object that is signed.
pub trait Signable: Encode + Decode<()> + Clone {
    /// Which signatures count.
    const CONTEXT: SignContext;
    /// Bytes of the signed form at most.
    const BYTES_MAX: usize;

    /// Who must have signed.
    fn signer(&self) -> Wallet;

    /// Bounds that the type itself cannot express (list lengths, text lengths,
    /// sorted lists).
    ///
    /// # Errors
    /// [`DecodeError::OutOfBounds`] naming the field.
    fn check(&self) -> Result<(), DecodeError>;
}

/// A kind of signed object that others name by a hash of its body.
pub trait Identified: Signable {
    /// What that hash is made for.
    const ID: HashContext;
}

#[derive(Debug)]
struct Shared<T> {
    value: T,
    signature: Signature,
    /// The hash that names it, once somebody asked.
    id: OnceLock<Hash>,
}

/// Decoded, bounded, not yet verified.
#[derive(Debug)]
pub struct Signed<T>(Arc<Shared<T>>);

impl<T> Clone for Signed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T: PartialEq> PartialEq for Signed<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
            || self.0.signature == other.0.signature && self.0.value == other.0.value
    }
}

impl<T: Eq> Eq for Signed<T> {}

/// Why a signed object was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// The bytes are not such an object.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The signature is not its signer's over these bytes for this network and
    /// this kind of object.
    #[error("the signature of {signer} does not verify")]
    Signature {
        /// Who should have signed.
        signer: Wallet,
    },
}

impl<T: Signable> Signed<T> {
    fn new(value: T, signature: Signature) -> Self {
        Self(Arc::new(Shared {
            value,
            signature,
            id: OnceLock::new(),
        }))
    }

    fn of_body(body: &[u8], signature: Signature) -> Result<Self, DecodeError> {
        let value: T = codec::decode(body, T::BYTES_MAX)?;
        value.check()?;
        Ok(Self::new(value, signature))
    }

    /// Decodes the signed form.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not the canonical form of a `T`
    /// within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > T::BYTES_MAX {
            return Err(DecodeError::TooLong {
                length: bytes.len(),
                limit: T::BYTES_MAX,
            });
        }
        let cut_short = || DecodeError::Malformed("the signed form is cut short".to_owned());
        let (length, rest) = bytes
            .split_first_chunk::<LENGTH_BYTES>()
            .ok_or_else(cut_short)?;
        let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| cut_short())?;
        let (body, rest) = rest.split_at_checked(length).ok_or_else(cut_short)?;
        let (signature, rest) = rest
            .split_first_chunk::<SIGNATURE_BYTES>()
            .ok_or_else(cut_short)?;
        if !rest.is_empty() {
            return Err(DecodeError::Trailing(rest.len()));
        }
        Self::of_body(body, Signature::from_bytes(*signature))
    }

    /// What the signer claims, unverified: good for routing and for cheap
    /// checks that come before the signature.
    #[must_use]
    pub fn claimed(&self) -> &T {
        &self.0.value
    }

    /// The signed form, byte for byte as received.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![0; LENGTH_BYTES];
        codec::encode_onto(&self.0.value, &mut bytes);
        let length = bytes.len().saturating_sub(LENGTH_BYTES) as u64;
        if let Some(first) = bytes.first_chunk_mut::<LENGTH_BYTES>() {
            *first = length.to_le_bytes();
        }
        bytes.extend_from_slice(self.0.signature.as_bytes());
        bytes
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`VerifyError::Signature`].
    pub fn verify(self, network: NetworkId) -> Result<Verified<T>, VerifyError> {
        if self.is_right(network) {
            Ok(Verified(self))
        } else {
            Err(VerifyError::Signature {
                signer: self.0.value.signer(),
            })
        }
    }

    /// Whether the signature is its signer's.
    #[must_use]
    pub fn is_right(&self, network: NetworkId) -> bool {
        let body = codec::encode(&self.0.value);
        let signer = self.0.value.signer();
        signer.verify(T::CONTEXT, network, &body, &self.0.signature)
    }
}

impl<T: Signable> Signed<T> {
    /// A hash of everything that decides whether the signature is right: what
    /// is equal here is right or wrong together.
    #[must_use]
    pub fn proof(&self, network: NetworkId) -> Hash {
        let mut bytes = vec![T::CONTEXT as u8];
        bytes.extend_from_slice(network.0.as_bytes());
        bytes.extend_from_slice(self.0.signature.as_bytes());
        codec::encode_onto(&self.0.value, &mut bytes);
        Hash::of(HashContext::Signature, &bytes)
    }
}

/// An object whose signature is right. It derefs to the object.
#[derive(Debug)]
pub struct Verified<T>(Signed<T>);

impl<T> Clone for Verified<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: PartialEq> PartialEq for Verified<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T: Eq> Eq for Verified<T> {}

impl<T: Signable> Verified<T> {
    /// Signs a value of our own. The key must be the value's signer.
    ///
    /// # Errors
    /// [`VerifyError::Signature`] when the key is another wallet's, or
    /// [`VerifyError::Decode`] when the value breaks its own bounds.
    pub fn sign(value: T, key: &Keypair, network: NetworkId) -> Result<Self, VerifyError> {
        value.check()?;
        if value.signer() != key.wallet() {
            return Err(VerifyError::Signature {
                signer: value.signer(),
            });
        }
        let body = codec::encode(&value);
        let length = body
            .len()
            .saturating_add(LENGTH_BYTES)
            .saturating_add(SIGNATURE_BYTES);
        if length > T::BYTES_MAX {
            return Err(DecodeError::TooLong {
                length,
                limit: T::BYTES_MAX,
            }
            .into());
        }
        let signature = key.sign(T::CONTEXT, network, &body);
        Ok(Self(Signed::new(value, signature)))
    }

    /// Decodes and verifies in one step.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub fn from_bytes(bytes: &[u8], network: NetworkId) -> Result<Self, VerifyError> {
        Signed::decode(bytes)?.verify(network)
    }

    /// Takes an object as verified without checking the signature again: for
    /// records of our own journal, which are protected by its hash chain.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not such an object.
    pub fn from_trusted_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        Signed::decode(bytes).map(Self)
    }

    /// The canonical bytes that were signed (without the signature).
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        codec::encode(&self.0.0.value)
    }

    /// The signature.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.0.0.signature
    }

    /// The signed form, byte for byte.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The value alone.
    #[must_use]
    pub fn into_inner(self) -> T {
        Arc::try_unwrap(self.0.0).map_or_else(|shared| shared.value.clone(), |own| own.value)
    }
}

impl<T: Identified> Signed<T> {
    /// The hash that names it, over its canonical bytes without the signature.
    #[must_use]
    pub fn named(&self) -> Hash {
        let hash = || Hash::of(T::ID, &codec::encode(&self.0.value));
        *self.0.id.get_or_init(hash)
    }
}

impl<T: Identified> Verified<T> {
    /// The hash that names it, over its canonical bytes without the signature.
    #[must_use]
    pub fn named(&self) -> Hash {
        self.0.named()
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0.value
    }
}

// A signed object inside another message is its signed form in place: the outer
// decode checks the inner bounds too, and re-encoding gives the same bytes.
impl<T: Encode> Encode for Signed<T> {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        codec::encode(&self.0.value).encode(encoder)?;
        self.0.signature.encode(encoder)
    }
}

impl<C, T: Signable> Decode<C> for Signed<T> {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let body: Vec<u8> = Decode::decode(decoder)?;
        let signature = Signature::decode(decoder)?;
        let inner =
            |error: DecodeError| bincode::error::DecodeError::OtherString(error.to_string());
        Self::of_body(&body, signature).map_err(inner)
    }
}

impl<'de, C, T: Signable> bincode::BorrowDecode<'de, C> for Signed<T> {
    fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        <Self as Decode<C>>::decode(decoder)
    }
}

impl<T> From<Verified<T>> for Signed<T> {
    fn from(verified: Verified<T>) -> Self {
        verified.0
    }
}
