//! How bytes become trusted: bytes -> [`Signed`] -> [`Verified`].
//!
//! `Signed<T>` is decoded and within bounds, but anybody may have written it.
//! `Verified<T>` can only be made by [`Signed::verify`] or by signing with our
//! own key; pure cores take nothing else. The bytes that were signed are kept
//! and travel on unchanged, so ids and signatures never depend on encoding a
//! value a second time.

use crate::codec::{self, DecodeError};
use crate::identity::{Keypair, NetworkId, SignContext, Signature, Wallet};
use bincode::{Decode, Encode};
use std::ops::Deref;

/// A kind of object that is signed.
pub trait Signable: Encode + Decode<()> {
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

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct Raw {
    body: Vec<u8>,
    signature: Signature,
}

/// Decoded, bounded, not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    value: T,
    raw: Raw,
}

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
    /// Decodes the signed form.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not the canonical form of a `T`
    /// within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let raw: Raw = codec::decode(bytes, T::BYTES_MAX)?;
        let value: T = codec::decode(&raw.body, T::BYTES_MAX)?;
        value.check()?;
        Ok(Self { value, raw })
    }

    /// What the signer claims, unverified: good for routing and for cheap
    /// checks that come before the signature.
    #[must_use]
    pub const fn claimed(&self) -> &T {
        &self.value
    }

    /// The signed form, byte for byte as received.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(&self.raw)
    }

    /// Checks the signature.
    ///
    /// # Errors
    /// [`VerifyError::Signature`].
    pub fn verify(self, network: NetworkId) -> Result<Verified<T>, VerifyError> {
        let signer = self.value.signer();
        if signer.verify(T::CONTEXT, network, &self.raw.body, &self.raw.signature) {
            Ok(Verified(self))
        } else {
            Err(VerifyError::Signature { signer })
        }
    }
}

/// An object whose signature is right. It derefs to the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(Signed<T>);

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
        let signature = key.sign(T::CONTEXT, network, &body);
        let signed = Signed {
            value,
            raw: Raw { body, signature },
        };
        let length = signed.to_bytes().len();
        if length > T::BYTES_MAX {
            return Err(DecodeError::TooLong {
                length,
                limit: T::BYTES_MAX,
            }
            .into());
        }
        Ok(Self(signed))
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
    pub fn body(&self) -> &[u8] {
        &self.0.raw.body
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &Signature {
        &self.0.raw.signature
    }

    /// The signed form, byte for byte.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes()
    }

    /// The value alone.
    #[must_use]
    pub fn into_inner(self) -> T {
        self.0.value
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

// A signed object inside another message is its raw form in place: the outer
// decode checks the inner bounds too, and re-encoding gives the same bytes.
impl<T> Encode for Signed<T> {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        self.raw.encode(encoder)
    }
}

impl<C, T: Signable> Decode<C> for Signed<T> {
    fn decode<D: bincode::de::Decoder<Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let raw = Raw::decode(decoder)?;
        let inner =
            |error: DecodeError| bincode::error::DecodeError::OtherString(error.to_string());
        let value: T = codec::decode(&raw.body, T::BYTES_MAX).map_err(inner)?;
        value.check().map_err(inner)?;
        Ok(Self { value, raw })
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
