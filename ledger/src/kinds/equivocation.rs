//! `Equivocation`: proof that an author signed two entries at one number.
//!
//! It has no effect on money; the fork itself has. Honest nodes refuse offers
//! of the proven author and cite it no more. A pair too large for one payload
//! is proven by the two entries themselves, which every node holds.

use crate::entry::Entry;
use bincode::{Decode, Encode};
use talkoot_protocol::{NetworkId, Signed, Verified, VerifyError, Wallet};

/// Two signed entries of one author at one seq.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Equivocation {
    /// The signed form of one entry.
    pub first: Vec<u8>,
    /// The signed form of the other.
    pub second: Vec<u8>,
}

/// What a right pair proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// Who signed both.
    pub author: Wallet,
    /// At which number.
    pub seq: u64,
}

/// Why a pair proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// One of the two is no signed entry of this network.
    #[error(transparent)]
    Entry(#[from] VerifyError),
    /// They do not contradict each other.
    #[error("the two entries do not stand at one number of one log")]
    NoContradiction,
}

impl Equivocation {
    /// Carries a pair.
    #[must_use]
    pub fn new(first: &Verified<Entry>, second: &Verified<Entry>) -> Self {
        Self {
            first: first.to_bytes(),
            second: second.to_bytes(),
        }
    }

    /// What the pair proves.
    ///
    /// # Errors
    /// [`EquivocationError`] when it proves nothing.
    pub fn proof(&self, network: NetworkId) -> Result<Proof, EquivocationError> {
        self.proof_by(network, &mut |entry| entry.is_right(network))
    }

    /// What the pair proves, if `is_right` says so of both signatures.
    pub(crate) fn proof_by(
        &self,
        network: NetworkId,
        is_right: &mut dyn FnMut(&Signed<Entry>) -> bool,
    ) -> Result<Proof, EquivocationError> {
        let mut read = |bytes: &[u8]| {
            let entry = Signed::<Entry>::decode(bytes).map_err(VerifyError::from)?;
            if is_right(&entry) {
                Ok(entry)
            } else {
                let signer = entry.claimed().author;
                Err(VerifyError::Signature { signer })
            }
        };
        let (first, second) = (read(&self.first)?, read(&self.second)?);
        let is_same_body = first.named() == second.named();
        let (first, second) = (first.claimed(), second.claimed());
        let contradict = first.author == second.author
            && first.seq == second.seq
            && first.network == network
            && second.network == network
            && !is_same_body;
        if contradict {
            Ok(Proof {
                author: first.author,
                seq: first.seq,
            })
        } else {
            Err(EquivocationError::NoContradiction)
        }
    }
}
