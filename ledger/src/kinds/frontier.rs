//! `Frontier`: what one stage is owed for a job, in that stage's own log.

use bincode::{Decode, Encode};
use talkoot_protocol::{Ack, Attestation, Hash, JobId, Signed};

/// The frontier a stage has reached, attested by the last stage and
/// acknowledged by the submitter. It pays its author and nobody else.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Frontier {
    /// Which job.
    pub job: JobId,
    /// What the last stage signed.
    pub attestation: Signed<Attestation>,
    /// What the submitter signed about that attestation.
    pub ack: Signed<Ack>,
    /// Whether the author wants no more of this job: frees the rest of the
    /// hold.
    pub is_final: bool,
    /// Running blake3 of the bytes this stage received.
    pub received: Hash,
    /// Running blake3 of the bytes this stage sent.
    pub sent: Hash,
}
