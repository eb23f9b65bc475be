//! Offers: what a worker promises before work starts.
//!
//! A submitter collects one offer from each stage and puts them all into its
//! `Reserve` entry, so every factor of the split is fixed, signed and public
//! before the first token. The split itself is computed in the ledger.

use crate::codec::{DecodeError, bound};
use crate::envelope::{Identified, Signable, Verified};
use crate::genesis::PPM;
use crate::hash::{Hash, HashContext};
use crate::identity::{SignContext, Wallet};
use crate::limits;
use crate::model::{ArithmeticId, LayerRange, ModelId};
use bincode::{Decode, Encode};

/// The promise of one worker to one submitter for one job.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Offer {
    /// Who offers, and signs.
    pub worker: Wallet,
    /// To whom.
    pub submitter: Wallet,
    /// Chosen by the worker, signed once, usable once.
    pub nonce: u64,
    /// Which model.
    pub model: ModelId,
    /// Which layers.
    pub range: LayerRange,
    /// Bytes of the weights of those layers in this worker's memory.
    pub shard_bytes: u64,
    /// How it computes.
    pub arithmetic: ArithmeticId,
    /// Price of one token through the whole route, µGFT.
    pub price_ugft_per_token: u64,
    /// Prompt tokens it accepts.
    pub prompt_tokens_max: u32,
    /// Completion tokens it accepts.
    pub completion_tokens_max: u32,
    /// Unacknowledged completion tokens after which it stops.
    pub window_tokens: u32,
    /// Its part of the FLOPs of one token, in kFLOP.
    pub share_kflop: u64,
    /// Service rate of its recent attested work, in kFLOP per millisecond; 0
    /// when it has no history, then the median of the route stands in.
    pub service_rate: u32,
    /// Hardware multiplier, parts per million, 0.05 to 8.
    pub hardware_ppm: u32,
    /// Reliability, parts per million, 0.5 to 1.
    pub reliability_ppm: u32,
    /// Memory it lends, bytes.
    pub memory_bytes: u64,
    /// When the offer ends, milliseconds since 1970 by the worker's clock.
    pub expires_ms: u64,
}

impl Signable for Offer {
    const CONTEXT: SignContext = SignContext::Offer;
    const BYTES_MAX: usize = limits::OFFER_BYTES_MAX;

    fn signer(&self) -> Wallet {
        self.worker
    }

    fn check(&self) -> Result<(), DecodeError> {
        self.range.check()?;
        bound(self.share_kflop <= 1 << 36, "offer share")?;
        bound(
            (50_000..=8_000_000).contains(&self.hardware_ppm),
            "offer hardware multiplier",
        )?;
        bound(
            (500_000..=1_000_000).contains(&self.reliability_ppm),
            "offer reliability",
        )?;
        bound(self.price_ugft_per_token <= PPM * PPM, "offer price")?;
        bound(
            self.prompt_tokens_max <= limits::CONTEXT_TOKENS_MAX,
            "offer prompt tokens",
        )?;
        bound(
            self.completion_tokens_max <= limits::CONTEXT_TOKENS_MAX,
            "offer completion tokens",
        )?;
        bound((1..=1024).contains(&self.window_tokens), "offer window")
    }
}

impl Identified for Offer {
    const ID: HashContext = HashContext::Offer;
}

impl Verified<Offer> {
    /// The offer's id, over its canonical bytes.
    #[must_use]
    pub fn id(&self) -> Hash {
        self.named()
    }
}
