//! `Reserve`: a submitter orders a job and holds the money for it.
//!
//! The offers inside fix the split before work starts. The id of the entry is
//! the id of the job.

use bincode::{Decode, Encode};
use talkoot_protocol::codec::{DecodeError, bound};
use talkoot_protocol::{JobId, ModelId, Offer, Signed, limits};

/// The order of a job.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Reserve {
    /// Which model.
    pub model: ModelId,
    /// Layers of the model, which the offers must tile.
    pub layers: u32,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// Price of one token through the whole route, µGFT.
    pub price_ugft_per_token: u64,
    /// When the submitter gives up, milliseconds since 1970. Shown; the rule
    /// that ends holds by it comes later.
    pub deadline_ms: u64,
    /// The job that this one carries on with replacement stages.
    pub continues: Option<JobId>,
    /// One offer from each stage, in the order of the layers.
    pub offers: Vec<Signed<Offer>>,
}

impl Reserve {
    /// Bounds on every field that is not judged with a reason of its own.
    pub(crate) fn check(&self) -> Result<(), DecodeError> {
        bound(
            (1..=limits::LAYERS_MAX).contains(&self.layers),
            "reserve layers",
        )?;
        bound(
            self.prompt_tokens <= limits::CONTEXT_TOKENS_MAX,
            "reserve prompt tokens",
        )?;
        bound(
            self.completion_tokens_max <= limits::CONTEXT_TOKENS_MAX,
            "reserve completion tokens",
        )?;
        bound(!self.offers.is_empty(), "reserve offers")
    }
}
