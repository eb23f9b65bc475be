//! Which frames a stage takes: judged on the header alone, before anything is
//! allocated for the rest.

use crate::core::job::JobShape;
use talkoot_protocol::codec::DecodeError;
use talkoot_protocol::frame::{FrameHeader, FrameKind};
use talkoot_protocol::{DType, JobId};

/// Where a frame came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The submitter's stream of prompt chunks.
    Submitter,
    /// The stage before in the ring; for the first stage, the last one.
    Previous,
}

/// Why a frame is refused. Each is the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The bytes are no frame.
    #[error("malformed frame: {0}")]
    Malformed(#[from] DecodeError),
    /// It belongs to another job.
    #[error("a frame of job {}", .0.short())]
    OtherJob(JobId),
    /// It belongs to another attempt.
    #[error("a frame of epoch {0}")]
    OtherEpoch(u32),
    /// A kind that this sender does not send to this stage.
    #[error("a {kind:?} frame from {source_name}")]
    Kind {
        /// What it is.
        kind: FrameKind,
        /// Who sent it.
        source_name: &'static str,
    },
    /// Another number format than the job's.
    #[error("hidden states in {got}, the job uses {expected}")]
    DType {
        /// In the frame.
        got: DType,
        /// Of the job.
        expected: DType,
    },
    /// Too many rows, or prompt and completion rows in one frame.
    #[error("{0} rows at position {1}")]
    Rows(u32, u32),
    /// Rows are missing before it, or it overlaps rows already applied.
    #[error("position {got} where {expected} comes next")]
    Position {
        /// In the frame.
        got: u32,
        /// What comes next.
        expected: u32,
    },
    /// Beyond the tokens of the job.
    #[error("position {0} is beyond the job's tokens")]
    Beyond(u32),
    /// Not the bytes that rows of this kind have.
    #[error("{got} payload bytes where {expected} are due")]
    Length {
        /// In the frame.
        got: u32,
        /// What rows of this kind have.
        expected: u64,
    },
    /// Not one time for each stage passed.
    #[error("{0} stage times")]
    Times(u16),
    /// A token id outside the vocabulary.
    #[error("token {0} is not in the vocabulary")]
    Token(u32),
}

/// What to do with a frame that passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Its rows come next.
    Take,
    /// Its rows were applied before; it has no effect.
    Repeat,
}

/// Bytes of a token payload at most; its decoder has the same bound.
const TOKEN_BYTES_MAX: u32 = 1024;

/// Judges a header for the stage at `index`, of which `taken` rows have come.
///
/// # Errors
/// [`FrameError`].
pub fn check_header(
    shape: &JobShape,
    index: usize,
    taken: u32,
    source: Source,
    header: &FrameHeader,
) -> Result<Verdict, FrameError> {
    if header.job != shape.job {
        return Err(FrameError::OtherJob(header.job));
    }
    if header.epoch != shape.epoch {
        return Err(FrameError::OtherEpoch(header.epoch));
    }
    check_kind(index, source, header.kind)?;
    check_rows(shape, index, header)?;
    check_format(shape, index, header)?;
    let end = header.position.saturating_add(header.rows);
    if end <= taken {
        Ok(Verdict::Repeat)
    } else if header.position == taken {
        Ok(Verdict::Take)
    } else {
        Err(FrameError::Position {
            got: header.position,
            expected: taken,
        })
    }
}

fn check_kind(index: usize, source: Source, kind: FrameKind) -> Result<(), FrameError> {
    let is_right = match (source, kind) {
        (Source::Submitter, FrameKind::Prompt) | (Source::Previous, FrameKind::Token) => index == 0,
        (Source::Previous, FrameKind::Hidden) => index > 0,
        _ => false,
    };
    let source_name = match source {
        Source::Submitter => "the submitter",
        Source::Previous => "the previous stage",
    };
    if is_right {
        Ok(())
    } else {
        Err(FrameError::Kind { kind, source_name })
    }
}

fn check_rows(shape: &JobShape, index: usize, header: &FrameHeader) -> Result<(), FrameError> {
    let end = header.position.saturating_add(header.rows);
    if end > shape.rows_max() {
        return Err(FrameError::Beyond(header.position));
    }
    let is_prompt = header.position < shape.prompt_tokens;
    let fits = if is_prompt {
        header.rows <= shape.policy.chunk_tokens && end <= shape.prompt_tokens
    } else {
        header.rows == 1
    };
    // The first stage gets prompt ids and tokens as different kinds.
    let kind_fits = index > 0 || is_prompt == (header.kind == FrameKind::Prompt);
    if fits && kind_fits {
        Ok(())
    } else {
        Err(FrameError::Rows(header.rows, header.position))
    }
}

fn check_format(shape: &JobShape, index: usize, header: &FrameHeader) -> Result<(), FrameError> {
    let expected_dtype = match header.kind {
        FrameKind::Hidden => shape.hidden_dtype,
        _ => DType::F32,
    };
    if header.dtype != expected_dtype {
        return Err(FrameError::DType {
            got: header.dtype,
            expected: expected_dtype,
        });
    }
    if usize::from(header.times) != index {
        return Err(FrameError::Times(header.times));
    }
    let rows = u64::from(header.rows);
    let expected = match header.kind {
        FrameKind::Prompt => rows.saturating_mul(4),
        FrameKind::Hidden => rows.saturating_mul(shape.row_bytes()),
        FrameKind::Token | FrameKind::Attestation | FrameKind::Scores => {
            u64::from(header.length.min(TOKEN_BYTES_MAX))
        }
    };
    if u64::from(header.length) == expected {
        Ok(())
    } else {
        Err(FrameError::Length {
            got: header.length,
            expected,
        })
    }
}

/// Reads token ids out of a prompt payload and checks them.
///
/// # Errors
/// [`FrameError::Token`].
pub fn prompt_ids(payload: &[u8], vocabulary: u32) -> Result<Vec<u32>, FrameError> {
    let (words, _) = payload.as_chunks::<4>();
    words
        .iter()
        .map(|word| {
            let id = u32::from_le_bytes(*word);
            if id < vocabulary {
                Ok(id)
            } else {
                Err(FrameError::Token(id))
            }
        })
        .collect()
}
