//! What goes into a submitter's state machine and what comes out.

use super::Summary;
use crate::core::job::{Deadlines, JobShape};
use talkoot_protocol::control::FailCode;
use talkoot_protocol::frame::{Finish, Frame, StageTime, TokenPayload, TokenScore};
use talkoot_protocol::{Ack, Attestation, Keypair, NetworkId, Signed, Verified};

/// Everything the submitter needs to run an opened job.
#[derive(Debug)]
pub struct SubmissionSetup {
    /// The job.
    pub shape: JobShape,
    /// The prompt.
    pub prompt_ids: Vec<u32>,
    /// Whether the last stage shall score its tokens, and with how many
    /// alternatives.
    pub scores: Option<u8>,
    /// Our key, which signs acknowledgements.
    pub key: Keypair,
    /// The network.
    pub network: NetworkId,
    /// The waits.
    pub deadlines: Deadlines,
    /// How long stages may take to open, µs.
    pub open_us: u64,
    /// When the request came, for the time to the first token.
    pub begun_us: u64,
}

/// What happens to a submission.
#[derive(Debug)]
pub enum SubmissionEvent {
    /// A stage is ready.
    Opened(usize),
    /// A stage refuses to open.
    Refused {
        /// Which.
        stage: usize,
        /// The kind of reason.
        code: FailCode,
        /// In words.
        reason: String,
    },
    /// A token frame whose header had passed [`super::SubmissionCore::check`].
    Token(Frame),
    /// A frame of prompt scores, likewise.
    Scores(Frame),
    /// An attestation with a right signature.
    Attestation(Box<Verified<Attestation>>),
    /// A stage says that another one is silent or gone.
    Accused {
        /// Who says so.
        reporter: usize,
        /// Of whom.
        stage: usize,
        /// The kind of reason.
        code: FailCode,
        /// In words.
        reason: String,
    },
    /// A stage is at fault, by its own word or a bad message.
    Failed {
        /// Which.
        stage: usize,
        /// The kind of reason.
        code: FailCode,
        /// In words.
        reason: String,
    },
    /// The link to a stage ended without `Closed`.
    Lost(usize),
    /// A stage is done.
    Closed(usize),
    /// No more tokens are wanted: a stop text, or the client went away.
    Stop,
    /// Time passed.
    Tick,
}

/// What the shell shall do, in order.
#[derive(Debug)]
pub enum SubmissionAction {
    /// All stages are ready; tell the observer.
    Begun,
    /// Send to the first stage.
    Prompt(Frame),
    /// Show to the observer: scores of the prompt's next tokens.
    ObserveScores(Vec<TokenScore>),
    /// Show to the observer; on `Break` answer with [`SubmissionEvent::Stop`]
    /// before anything else.
    Observe(Box<ReceivedToken>),
    /// Send to all stages that live.
    Ack {
        /// What is acknowledged.
        attestation: Box<Signed<Attestation>>,
        /// The acknowledgement.
        ack: Box<Signed<Ack>>,
    },
    /// Send `Cancel` to all stages that live.
    Cancel,
}

/// A token as it arrived.
#[derive(Debug, Clone)]
pub struct ReceivedToken {
    /// 0 for the first.
    pub index: u32,
    /// What was picked.
    pub payload: TokenPayload,
    /// Times of all stages.
    pub times: Vec<StageTime>,
}

/// Why a job failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Which stage is at fault; none when nobody can be named.
    pub stage: Option<usize>,
    /// The kind of reason.
    pub code: FailCode,
    /// In words.
    pub reason: String,
}

/// How a job ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Why the completion ended, when the last stage ended it.
    pub finish: Option<Finish>,
    /// What went wrong, if something did.
    pub failure: Option<Failure>,
    /// Whether a stage refused before work began.
    pub is_refused: bool,
    /// Completion tokens acknowledged.
    pub completion_tokens: u32,
    /// Times.
    pub summary: Summary,
}
