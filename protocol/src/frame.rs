//! Frames of the data plane: a fixed header, per-stage times, a payload.
//!
//! ```text
//! offset size field
//!      0    2 kind          (1 prompt, 2 hidden, 3 token, 4 attestation, 5 scores)
//!      2    2 dtype         (0 f32, 1 bf16; 0 where no tensor follows)
//!      4   32 job
//!     36    4 epoch
//!     40    4 position      (of the first row)
//!     44    4 rows
//!     48    2 times         (how many stage times follow, at most 64)
//!     50    2 reserved      (zero)
//!     52    4 length        (bytes of the payload)
//!     56      times x {compute_us u32, stay_us u32, link_us u32}, then the payload
//! ```
//!
//! All integers are little-endian; tensors are raw little-endian elements. A
//! reader decodes the 56 bytes, checks them against its session, and only then
//! allocates. Repeating an applied (epoch, position) has no effect; that rule
//! lives with the session, not here.

use crate::codec::{self, DecodeError, bound};
use crate::frontier::JobId;
use crate::hash::Hash;
use crate::limits;
use crate::model::DType;
use bincode::{Decode, Encode};

/// Bytes of an encoded [`FrameHeader`].
pub const HEADER_BYTES: usize = 56;
/// Bytes of one encoded [`StageTime`].
pub const STAGE_TIME_BYTES: usize = 12;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameKind {
    /// Token ids (u32) of a part of the prompt, to the first stage.
    Prompt,
    /// Hidden states, to the next stage.
    Hidden,
    /// One picked token ([`TokenPayload`]), to the first stage and the submitter.
    Token,
    /// A signed attestation, to the submitter.
    Attestation,
    /// Log-probabilities of prompt tokens ([`ScoresPayload`]), to the submitter.
    Scores,
}

impl FrameKind {
    const fn to_u16(self) -> u16 {
        match self {
            Self::Prompt => 1,
            Self::Hidden => 2,
            Self::Token => 3,
            Self::Attestation => 4,
            Self::Scores => 5,
        }
    }

    const fn from_u16(value: u16) -> Option<Self> {
        match value {
            1 => Some(Self::Prompt),
            2 => Some(Self::Hidden),
            3 => Some(Self::Token),
            4 => Some(Self::Attestation),
            5 => Some(Self::Scores),
            _ => None,
        }
    }
}

/// How long one stage worked on the rows of a frame.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StageTime {
    /// Computing, µs.
    pub compute_us: u32,
    /// From the frame's arrival until its result was handed to the network, µs.
    pub stay_us: u32,
    /// What the link to the next stage takes one way, µs: half of the transport's
    /// round trip, by the stage's own estimate. 0 within one node, or unknown. It
    /// tells how the time on the wire, which only the asker can measure and only
    /// in all, lies among the links.
    pub link_us: u32,
}

/// The header of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameHeader {
    /// What follows.
    pub kind: FrameKind,
    /// Number format of a tensor payload.
    pub dtype: DType,
    /// Which job.
    pub job: JobId,
    /// Which attempt of the job.
    pub epoch: u32,
    /// Position of the first row in the session.
    pub position: u32,
    /// Rows (tokens).
    pub rows: u32,
    /// How many stage times follow the header.
    pub times: u16,
    /// Bytes of the payload.
    pub length: u32,
}

impl FrameHeader {
    /// Encodes the header.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&self.kind.to_u16().to_le_bytes());
        let dtype: u16 = if self.dtype == DType::Bf16 { 1 } else { 0 };
        bytes.extend_from_slice(&dtype.to_le_bytes());
        bytes.extend_from_slice(self.job.0.as_bytes());
        bytes.extend_from_slice(&self.epoch.to_le_bytes());
        bytes.extend_from_slice(&self.position.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.times.to_le_bytes());
        bytes.extend_from_slice(&[0, 0]);
        bytes.extend_from_slice(&self.length.to_le_bytes());
        bytes
    }

    /// Decodes a header and checks its own bounds.
    ///
    /// # Errors
    /// [`DecodeError`]: unknown kind or dtype, a reserved byte that is not
    /// zero, too many rows, times or payload bytes.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, DecodeError> {
        let mut reader = Reader(bytes);
        let kind = FrameKind::from_u16(reader.u16()?);
        let dtype = match reader.u16()? {
            0 => DType::F32,
            1 => DType::Bf16,
            _ => {
                return Err(DecodeError::OutOfBounds {
                    field: "frame dtype",
                });
            }
        };
        let job = JobId(Hash::from_bytes(reader.take::<32>()?));
        let [epoch, position, rows] = [reader.u32()?, reader.u32()?, reader.u32()?];
        let [times, reserved] = [reader.u16()?, reader.u16()?];
        let length = reader.u32()?;
        let kind = kind.ok_or(DecodeError::OutOfBounds {
            field: "frame kind",
        })?;
        bound((1..=limits::FRAME_ROWS_MAX).contains(&rows), "frame rows")?;
        bound(
            position
                .checked_add(rows)
                .is_some_and(|end| end <= limits::CONTEXT_TOKENS_MAX),
            "frame position",
        )?;
        bound(usize::from(times) <= limits::STAGES_MAX, "frame times")?;
        bound(reserved == 0, "frame reserved bytes")?;
        bound(length as usize <= limits::FRAME_BYTES_MAX, "frame length")?;
        Ok(Self {
            kind,
            dtype,
            job,
            epoch,
            position,
            rows,
            times,
            length,
        })
    }

    /// Bytes that follow the header: stage times and payload.
    #[must_use]
    pub const fn rest_bytes(&self) -> usize {
        (self.times as usize)
            .saturating_mul(STAGE_TIME_BYTES)
            .saturating_add(self.length as usize)
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| DecodeError::Malformed("truncated".to_owned()))?;
        self.0 = rest;
        Ok(*head)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take().map(u32::from_le_bytes)
    }
}

/// A whole frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The header; its `times` and `length` agree with the rest.
    pub header: FrameHeader,
    /// Times of the stages that the rows have passed, in order.
    pub times: Vec<StageTime>,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Frame {
    /// Encodes header, times and payload as one run of bytes, so that a frame
    /// is one write.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_bytes();
        bytes.reserve(self.header.rest_bytes());
        for time in &self.times {
            bytes.extend_from_slice(&time.compute_us.to_le_bytes());
            bytes.extend_from_slice(&time.stay_us.to_le_bytes());
            bytes.extend_from_slice(&time.link_us.to_le_bytes());
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Puts a frame together from its decoded header and the bytes after it.
    ///
    /// # Errors
    /// [`DecodeError::Malformed`] when `rest` has another length than the
    /// header says.
    pub fn from_parts(header: FrameHeader, rest: &[u8]) -> Result<Self, DecodeError> {
        bound(rest.len() == header.rest_bytes(), "frame length")?;
        let mut reader = Reader(rest);
        let mut times = Vec::with_capacity(usize::from(header.times));
        for _ in 0..header.times {
            times.push(StageTime {
                compute_us: reader.u32()?,
                stay_us: reader.u32()?,
                link_us: reader.u32()?,
            });
        }
        Ok(Self {
            header,
            times,
            payload: reader.0.to_vec(),
        })
    }
}

/// Why a completion ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Finish {
    /// A stop id was picked.
    Stop,
    /// The number of tokens asked for is reached.
    Length,
}

/// One alternative and its natural log-probability.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub struct TokenLogprob {
    /// The token id.
    pub token: u32,
    /// ln p.
    pub logprob: f32,
}

/// The payload of a [`FrameKind::Token`] frame.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct TokenPayload {
    /// The picked token.
    pub token: u32,
    /// Its ln p, where asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens, where asked for.
    pub top: Vec<TokenLogprob>,
    /// Set on the last token.
    pub finish: Option<Finish>,
}

impl TokenPayload {
    /// Encodes the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes the payload.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let payload: Self = codec::decode(bytes, limits::TOKEN_PAYLOAD_BYTES_MAX)?;
        bound(
            payload.top.len() <= limits::TOP_LOGPROBS_MAX,
            "token alternatives",
        )?;
        Ok(payload)
    }
}

/// How likely the model found one token of the prompt.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct TokenScore {
    /// Its ln p, after the tokens before it.
    pub logprob: f32,
    /// The most likely tokens in its place, where asked for.
    pub top: Vec<TokenLogprob>,
}

/// The payload of a [`FrameKind::Scores`] frame: one score for each of its rows,
/// the first of which is the token at the frame's position.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct ScoresPayload {
    /// In the order of the prompt.
    pub scores: Vec<TokenScore>,
}

impl ScoresPayload {
    /// Encodes the payload.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes the payload.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let payload: Self = codec::decode(bytes, limits::SCORES_PAYLOAD_BYTES_MAX)?;
        let fits = |score: &TokenScore| score.top.len() <= limits::TOP_LOGPROBS_MAX;
        bound(payload.scores.iter().all(fits), "token alternatives")?;
        Ok(payload)
    }
}
