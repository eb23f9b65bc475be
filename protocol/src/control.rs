//! Control messages: what submitter and stage say to each other about a job.
//!
//! One stream per stage, opened by the submitter. Messages are not signed (the
//! link knows both ends); what must convince others later (offer, `Reserve`,
//! attestation, ack) is a signed object inside.

use crate::announce::check_addresses;
use crate::codec::{self, DecodeError, bound};
use crate::envelope::{Signable, Signed, Verified};
use crate::frontier::{Ack, Attestation, JobId};
use crate::hash::{Hash, HashContext};
use crate::identity::{SignContext, Wallet};
use crate::limits;
use crate::model::{DType, LayerRange, ModelId};
use crate::offer::Offer;
use bincode::{Decode, Encode};

pub use crate::sampling::{Grammar, SamplingParams};

/// The order of a job whose stages are all the submitter's own wallet, or of
/// any job in a network without accounting. It costs nothing and leaves no
/// ledger entry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct FreeJob {
    /// Who asks, and signs.
    pub submitter: Wallet,
    /// Makes the id unique.
    pub nonce: u64,
    /// Which model.
    pub model: ModelId,
    /// Its layers.
    pub layers: u32,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// When it was ordered, milliseconds since 1970.
    pub issued_ms: u64,
}

impl Signable for FreeJob {
    const CONTEXT: SignContext = SignContext::FreeJob;
    const BYTES_MAX: usize = limits::FREE_JOB_BYTES_MAX;

    fn signer(&self) -> Wallet {
        self.submitter
    }

    fn check(&self) -> Result<(), DecodeError> {
        bound(
            (1..=limits::LAYERS_MAX).contains(&self.layers),
            "free job layers",
        )
    }
}

impl Verified<FreeJob> {
    /// The job's id, over its canonical bytes.
    #[must_use]
    pub fn id(&self) -> JobId {
        JobId(Hash::of(HashContext::FreeJob, &self.body()))
    }
}

/// What entitles a job to be worked on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum JobOrder {
    /// The bytes of the submitter's signed `Reserve` entry.
    Reserved(Vec<u8>),
    /// Nothing is paid: all stages are the submitter's own wallet, or the genesis
    /// turns accounting off.
    Free(Signed<FreeJob>),
}

/// One stage of a route and where it answers.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StageAddress {
    /// Who computes it.
    pub wallet: Wallet,
    /// Which layers.
    pub range: LayerRange,
    /// Data-plane addresses, `ip:port`.
    pub addresses: Vec<String>,
}

/// Everything a stage needs to start.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Open {
    /// The order.
    pub order: JobOrder,
    /// Which model.
    pub model: ModelId,
    /// 0 for the first attempt; rises when stages are replaced.
    pub epoch: u32,
    /// The whole route, in order.
    pub stages: Vec<StageAddress>,
    /// Which of them the receiver is.
    pub index: u16,
    /// Data-plane addresses of the submitter, where the last stage sends tokens.
    pub submitter_addresses: Vec<String>,
    /// Number format of hidden states between stages.
    pub hidden_dtype: DType,
    /// How tokens are picked.
    pub sampling: SamplingParams,
    /// Prompt ids for the last stage's penalties; empty for other stages.
    pub prompt_ids: Vec<u32>,
    /// Token ids that end the completion.
    pub stop_ids: Vec<u32>,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// What the submitter calls its request, for the logs of all stages: 1 to 64
    /// of `A-Za-z0-9._-`, or empty.
    pub request_id: String,
}

/// What a submitter wants to know before it reserves.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct OfferRequest {
    /// Which model.
    pub model: ModelId,
    /// Which layers.
    pub range: LayerRange,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// Number format of hidden states.
    pub hidden_dtype: DType,
}

/// Why a stage refuses or fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum FailCode {
    /// It does not serve this model or these layers.
    NotServed,
    /// No free session or memory.
    Busy,
    /// The context or another limit of the stage is too small.
    TooLong,
    /// The order does not entitle to this work.
    Order,
    /// The submitter's credit does not suffice in this stage's view.
    Credit,
    /// The message does not fit the state of the job.
    Protocol,
    /// A neighbour on the ring is gone or silent.
    Neighbour,
    /// The submitter acknowledges too slowly.
    Unacknowledged,
    /// The computation failed.
    Compute,
    /// A deadline passed.
    Timeout,
    /// The node is shutting down.
    Shutdown,
}

/// What a stage did, when it closes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct StageReport {
    /// Running blake3 of the hidden bytes it received.
    pub received: Hash,
    /// Running blake3 of the hidden bytes it sent.
    pub sent: Hash,
    /// Tokens (rows) computed.
    pub rows: u64,
    /// Compute time, µs.
    pub compute_us: u64,
}

/// One message on a control stream.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum ControlMessage {
    /// Submitter: what would you offer?
    OfferRequest(OfferRequest),
    /// Stage: this.
    Offer(Signed<Offer>),
    /// Stage: nothing, because.
    Refused {
        /// The kind of reason.
        code: FailCode,
        /// In words.
        reason: String,
    },
    /// Submitter: start.
    Open(Box<Open>),
    /// Stage: ready, and connected to the next stage.
    Opened,
    /// Submitter: what I received. Goes to every stage.
    Ack {
        /// The attestation it answers.
        attestation: Signed<Attestation>,
        /// The acknowledgement.
        ack: Signed<Ack>,
    },
    /// Submitter: stop; a final ack came before.
    Cancel,
    /// Stage: I cannot go on.
    Fail {
        /// Which stage is at fault, by index.
        stage: u16,
        /// Its layers.
        range: LayerRange,
        /// The kind of reason.
        code: FailCode,
        /// In words.
        reason: String,
    },
    /// Stage: done, memory freed.
    Closed(StageReport),
}

impl ControlMessage {
    /// Encodes the message.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a message and checks its bounds.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message: Self = codec::decode(bytes, limits::CONTROL_BYTES_MAX)?;
        match &message {
            Self::OfferRequest(request) => request.check()?,
            Self::Open(open) => open.check()?,
            Self::Refused { reason, .. } => {
                bound(reason.len() <= limits::REASON_BYTES_MAX, "reason")?
            }
            Self::Fail { range, reason, .. } => {
                range.check()?;
                bound(reason.len() <= limits::REASON_BYTES_MAX, "reason")?;
            }
            Self::Offer(_) | Self::Opened | Self::Ack { .. } | Self::Cancel | Self::Closed(_) => {}
        }
        Ok(message)
    }
}

impl OfferRequest {
    fn check(&self) -> Result<(), DecodeError> {
        self.range.check()?;
        check_hidden_dtype(self.hidden_dtype)?;
        check_tokens(self.prompt_tokens, self.completion_tokens_max)
    }
}

fn check_hidden_dtype(dtype: DType) -> Result<(), DecodeError> {
    bound(matches!(dtype, DType::F32 | DType::Bf16), "hidden dtype")
}

fn check_tokens(prompt: u32, completion_max: u32) -> Result<(), DecodeError> {
    bound(prompt > 0, "prompt tokens")?;
    let tokens = u64::from(prompt).saturating_add(u64::from(completion_max));
    bound(tokens <= u64::from(limits::CONTEXT_TOKENS_MAX), "tokens")
}

/// Whether a text may name a request: at most 64 of `A-Za-z0-9._-`. Stages write
/// it into their logs, so it must not be able to forge a line.
#[must_use]
pub fn is_request_id(text: &str) -> bool {
    text.len() <= limits::REQUEST_ID_BYTES_MAX
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl Open {
    fn check(&self) -> Result<(), DecodeError> {
        if let JobOrder::Reserved(bytes) = &self.order {
            bound(bytes.len() <= limits::ENTRY_BYTES_MAX, "order")?;
        }
        bound(
            (1..=limits::STAGES_MAX).contains(&self.stages.len()),
            "stages",
        )?;
        bound(usize::from(self.index) < self.stages.len(), "index")?;
        let mut next = 0;
        for stage in &self.stages {
            stage.range.check()?;
            bound(stage.range.start() == next, "stages tile the layers")?;
            next = stage.range.end();
            check_addresses(&stage.addresses)?;
        }
        check_addresses(&self.submitter_addresses)?;
        self.sampling.check()?;
        bound(is_request_id(&self.request_id), "request id")?;
        bound(self.stop_ids.len() <= limits::STOP_IDS_MAX, "stop ids")?;
        check_hidden_dtype(self.hidden_dtype)?;
        check_tokens(self.prompt_tokens, self.completion_tokens_max)?;
        bound(
            self.prompt_ids.len() as u64 <= u64::from(self.prompt_tokens),
            "prompt ids",
        )
    }
}
