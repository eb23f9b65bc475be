//! `Release`: the end of what a submitter holds for a job.

use bincode::{Decode, Encode};
use talkoot_protocol::JobId;

/// Ends all holds of one of the author's own jobs, once founders claim that its
/// deadline has passed. What the stages posted before stays theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Release {
    /// Which job.
    pub job: JobId,
}
