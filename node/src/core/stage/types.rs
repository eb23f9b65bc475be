//! What goes into a stage's state machine and what comes out.

use super::{FrameError, Source};
use crate::core::job::{Deadlines, JobShape};
use talkoot_protocol::control::ControlMessage;
use talkoot_protocol::frame::{Frame, TokenLogprob, TokenScore};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, Hash, Keypair, NetworkId, Signed, Verified,
};

/// Everything a stage needs to begin.
#[derive(Debug)]
pub struct StageSetup {
    /// The job.
    pub shape: JobShape,
    /// Which stage this is.
    pub index: usize,
    /// The waits.
    pub deadlines: Deadlines,
    /// Our key: the last stage signs attestations.
    pub key: Keypair,
    /// The network.
    pub network: NetworkId,
    /// How this stage computes.
    pub arithmetic: ArithmeticId,
    /// Prompt ids; only the last stage has them.
    pub prompt_ids: Vec<u32>,
    /// Token ids that end the completion.
    pub stop_ids: Vec<u32>,
    /// Whether the job is paid, so that frontiers are posted.
    pub is_reserved: bool,
}

/// What a stage computes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkInput {
    /// Token ids, at the first stage.
    Tokens(Vec<u32>),
    /// Hidden states, as raw little-endian elements.
    Hidden(Vec<u8>),
}

/// One computation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// Position of the first row.
    pub position: u32,
    /// Rows.
    pub rows: u32,
    /// What to compute on.
    pub input: WorkInput,
    /// Whether a token is picked after the last row.
    pub is_sampled: bool,
}

/// What a computation gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Computed {
    /// Hidden states for the next stage.
    Hidden(Vec<u8>),
    /// The last stage read a part of the prompt.
    Read {
        /// Scores of the prompt's tokens after each of the rows, where asked for.
        scores: Vec<TokenScore>,
    },
    /// A picked token.
    Token {
        /// Scores of the prompt's tokens after each row but the last, likewise.
        scores: Vec<TokenScore>,
        /// The token.
        token: u32,
        /// Its ln p, where asked for.
        logprob: Option<f32>,
        /// Alternatives, where asked for.
        top: Vec<TokenLogprob>,
    },
}

/// What happens to a stage.
#[derive(Debug)]
pub enum StageEvent {
    /// A frame arrived whose header had passed [`super::StageCore::check`].
    Frame(Source, Frame),
    /// A frame was refused.
    BadFrame(Source, FrameError),
    /// The worker is done.
    Computed {
        /// With this result.
        output: Computed,
        /// In this time.
        compute_us: u32,
        /// What the link takes on which the result goes on, one way; 0 when that
        /// is unknown or there is none.
        link_us: u32,
    },
    /// The worker could not.
    ComputeFailed(String),
    /// The submitter acknowledged.
    Ack(Box<(Verified<Attestation>, Verified<Ack>)>),
    /// The submitter wants no more.
    Cancel,
    /// The control message does not belong here.
    BadControl(String),
    /// The link to the previous stage ended.
    PreviousLost,
    /// The link to the next stage ended.
    NextLost,
    /// The control stream ended.
    SubmitterLost,
    /// The node stops.
    Shutdown,
    /// The deadline of the job's `Reserve` has passed.
    Expired,
    /// Time passed.
    Tick,
}

/// What the shell shall do, in order.
#[derive(Debug)]
pub enum StageAction {
    /// Give this to the worker.
    Compute(Work),
    /// Send to the next stage in the ring.
    ToNext(Frame),
    /// Send to the submitter on the data stream.
    ToSubmitter(Frame),
    /// Send on the control stream.
    Control(Box<ControlMessage>),
    /// Remember the highest acknowledgement durably.
    Hold(Box<(Signed<Attestation>, Signed<Ack>)>),
    /// Post a `Frontier` with the highest acknowledgement.
    Post(Box<Settlement>),
    /// Remember that this sender broke a rule.
    Mark(Source, String),
    /// Free everything; nothing follows.
    Close,
}

/// What a `Frontier` entry says.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The last stage's word.
    pub attestation: Signed<Attestation>,
    /// The submitter's word.
    pub ack: Signed<Ack>,
    /// Whether the stage wants no more of this job.
    pub is_final: bool,
    /// Running hash of the bytes received.
    pub received: Hash,
    /// Running hash of the bytes sent.
    pub sent: Hash,
}
