//! The frontier of a job: what the last stage attests and the submitter
//! acknowledges while tokens flow.
//!
//! Both are small signed objects between the parties. They reach the ledger
//! inside a `Frontier` entry, where only what was acknowledged burns.

use crate::codec::{DecodeError, bound};
use crate::envelope::{Identified, Signable, Verified};
use crate::hash::{Hash, HashContext};
use crate::identity::{SignContext, Wallet};
use crate::limits;
use crate::model::ArithmeticId;
use bincode::{Decode, Encode};

/// The id of a job: of its `Reserve` entry, or of its free-job order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct JobId(pub Hash);

impl JobId {
    /// The first 8 hexadecimal digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        self.0.short()
    }
}

impl std::fmt::Display for JobId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// What the last stage signs about the frontier.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Attestation {
    /// The last stage, which signs.
    pub stage: Wallet,
    /// Which job.
    pub job: JobId,
    /// 0, 1, 2, … within the job and epoch.
    pub number: u32,
    /// The id of the attestation before; zero for number 0.
    pub previous: Hash,
    /// Prompt tokens done.
    pub prompt_done: u32,
    /// Completion tokens produced.
    pub completion_done: u32,
    /// Running blake3 over all token ids so far (prompt, then completion).
    pub transcript: Hash,
    /// Compute time of each stage since the job began, in order, µs.
    pub stage_compute_us: Vec<u64>,
    /// How the last stage computes.
    pub arithmetic: ArithmeticId,
}

impl Signable for Attestation {
    const CONTEXT: SignContext = SignContext::Attestation;
    const BYTES_MAX: usize = limits::ATTESTATION_BYTES_MAX;

    fn signer(&self) -> Wallet {
        self.stage
    }

    fn check(&self) -> Result<(), DecodeError> {
        bound(
            self.stage_compute_us.len() <= limits::STAGES_MAX,
            "attested stages",
        )?;
        bound(
            self.prompt_done <= limits::CONTEXT_TOKENS_MAX,
            "attested prompt",
        )?;
        bound(
            self.completion_done <= limits::CONTEXT_TOKENS_MAX,
            "attested completion",
        )
    }
}

impl Identified for Attestation {
    const ID: HashContext = HashContext::Attestation;
}

impl Verified<Attestation> {
    /// The attestation's id, over its canonical bytes.
    #[must_use]
    pub fn id(&self) -> Hash {
        self.named()
    }
}

/// What the submitter signs about the frontier it received.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Ack {
    /// The submitter, which signs.
    pub submitter: Wallet,
    /// Which job.
    pub job: JobId,
    /// The attestation it answers.
    pub attestation: Hash,
    /// Prompt tokens it accepts as done, at most the attestation's.
    pub prompt_done: u32,
    /// Completion tokens it accepts as received, at most the attestation's.
    pub completion_done: u32,
    /// Whether this is the last one.
    pub is_final: bool,
}

impl Signable for Ack {
    const CONTEXT: SignContext = SignContext::Ack;
    const BYTES_MAX: usize = limits::ACK_BYTES_MAX;

    fn signer(&self) -> Wallet {
        self.submitter
    }

    fn check(&self) -> Result<(), DecodeError> {
        Ok(())
    }
}

/// The running hash of a job's tokens: both ends compute it alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transcript(Hash);

impl Transcript {
    /// The transcript of a job before its first token.
    #[must_use]
    pub fn new(job: JobId) -> Self {
        Self(Hash::of(HashContext::Transcript, job.0.as_bytes()))
    }

    /// Adds one token.
    pub fn push(&mut self, token: u32) {
        self.0 = Hash::of_parts(
            HashContext::Transcript,
            &[self.0.as_bytes(), &token.to_le_bytes()],
        );
    }

    /// The hash so far.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.0
    }
}
