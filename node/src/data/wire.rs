//! Messages on byte streams: control messages with a length in front, frames
//! with their fixed header, and what the first bytes of a stream say.
//!
//! Readers and the outbox may be dropped out of a `select!` at any await and
//! polled again: all progress is kept in them. Lengths are checked before room
//! is made for what they announce.

use super::{Reader, Writer};
use bytes::{Buf, BytesMut};
use std::collections::VecDeque;
use std::io;
use talkoot_protocol::codec::DecodeError;
use talkoot_protocol::control::ControlMessage;
use talkoot_protocol::frame::{Frame, FrameHeader, HEADER_BYTES};
use talkoot_protocol::{Hash, JobId, limits};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The index that stands for the submitter in [`StreamKey`].
pub const SUBMITTER: u16 = u16::MAX;

/// Room made at once for an announced message that has not arrived.
const STEP_BYTES: usize = 256 * 1024;

/// Why a stream cannot be read on.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The link failed.
    #[error("the link failed: {0}")]
    Io(#[from] io::Error),
    /// The other side ended the stream.
    #[error("the stream ended")]
    Ended,
    /// The bytes are no message.
    #[error("bad message: {0}")]
    Decode(#[from] DecodeError),
}

impl WireError {
    /// Whether the other side broke a rule, as opposed to went away.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(self, Self::Decode(_))
    }
}

/// Which data stream of which job this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamKey {
    /// The job.
    pub job: JobId,
    /// Which attempt of it.
    pub epoch: u32,
    /// Index of the sending stage, or [`SUBMITTER`].
    pub from: u16,
    /// Index of the receiving stage, or [`SUBMITTER`].
    pub to: u16,
}

/// What the first bytes of a stream say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamHello {
    /// Control messages follow.
    Control,
    /// Frames of one hop of one job follow, in one direction.
    Data(StreamKey),
}

const CONTROL_TAG: u8 = 1;
const DATA_TAG: u8 = 2;
const KEY_BYTES: usize = 40;

impl StreamHello {
    /// The bytes.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Control => vec![CONTROL_TAG],
            Self::Data(key) => {
                let mut bytes = vec![DATA_TAG];
                bytes.extend_from_slice(key.job.0.as_bytes());
                bytes.extend_from_slice(&key.epoch.to_le_bytes());
                bytes.extend_from_slice(&key.from.to_le_bytes());
                bytes.extend_from_slice(&key.to.to_le_bytes());
                bytes
            }
        }
    }

    /// Reads the first bytes of a stream.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn read(reader: &mut Reader) -> Result<Self, WireError> {
        match reader.read_u8().await? {
            CONTROL_TAG => Ok(Self::Control),
            DATA_TAG => {
                let mut bytes = [0; KEY_BYTES];
                reader.read_exact(&mut bytes).await?;
                let mut rest = bytes.as_slice();
                let mut job = [0; 32];
                rest.copy_to_slice(&mut job);
                Ok(Self::Data(StreamKey {
                    job: JobId(Hash::from_bytes(job)),
                    epoch: rest.get_u32_le(),
                    from: rest.get_u16_le(),
                    to: rest.get_u16_le(),
                }))
            }
            _ => Err(DecodeError::OutOfBounds {
                field: "stream kind",
            }
            .into()),
        }
    }
}

/// Reads until `buffer` holds `needed` bytes.
async fn fill(reader: &mut Reader, buffer: &mut BytesMut, needed: usize) -> Result<(), WireError> {
    while buffer.len() < needed {
        buffer.reserve((needed - buffer.len()).min(STEP_BYTES));
        if reader.read_buf(buffer).await? == 0 {
            return Err(WireError::Ended);
        }
    }
    Ok(())
}

/// Reads control messages.
pub struct ControlReader {
    reader: Reader,
    buffer: BytesMut,
}

impl std::fmt::Debug for ControlReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlReader").finish_non_exhaustive()
    }
}

impl ControlReader {
    /// Reads from a stream after its hello.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
        }
    }

    /// The next message.
    ///
    /// # Errors
    /// [`WireError`]; after it the stream is of no more use.
    pub async fn next(&mut self) -> Result<ControlMessage, WireError> {
        fill(&mut self.reader, &mut self.buffer, 4).await?;
        let (prefix, _) = self.buffer.as_chunks::<4>();
        let prefix = prefix.first().copied().unwrap_or_default();
        let length = u32::from_le_bytes(prefix) as usize;
        if length > limits::CONTROL_BYTES_MAX {
            return Err(DecodeError::TooLong {
                length,
                limit: limits::CONTROL_BYTES_MAX,
            }
            .into());
        }
        fill(&mut self.reader, &mut self.buffer, length + 4).await?;
        self.buffer.advance(4);
        let bytes = self.buffer.split_to(length);
        Ok(ControlMessage::decode(&bytes)?)
    }
}

/// A control message with its length in front.
#[must_use]
pub fn control_bytes(message: &ControlMessage) -> Vec<u8> {
    let body = message.to_bytes();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(body.len() + 4);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&body);
    bytes
}

/// Why no frame came.
#[derive(Debug)]
pub enum FrameFault<E> {
    /// The link ended or failed.
    Lost(WireError),
    /// The header does not decode.
    Malformed(DecodeError),
    /// The check refused the header.
    Refused(E),
}

/// Reads frames.
pub struct FrameReader {
    reader: Reader,
    buffer: BytesMut,
    header: Option<FrameHeader>,
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameReader").finish_non_exhaustive()
    }
}

impl FrameReader {
    /// Reads from a stream after its hello.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self {
            reader,
            buffer: BytesMut::new(),
            header: None,
        }
    }

    /// The next frame, if `check` lets its header pass. Room for the rest is
    /// made only then.
    ///
    /// # Errors
    /// [`FrameFault`]; after it the stream is of no more use.
    pub async fn next<T, E>(
        &mut self,
        check: impl Fn(&FrameHeader) -> Result<T, E>,
    ) -> Result<Frame, FrameFault<E>> {
        let header = match self.header.clone() {
            Some(header) => header,
            None => self.read_header(check).await?,
        };
        let needed = header.rest_bytes();
        fill(&mut self.reader, &mut self.buffer, needed)
            .await
            .map_err(FrameFault::Lost)?;
        self.header = None;
        let rest = self.buffer.split_to(needed);
        Frame::from_parts(header, &rest).map_err(FrameFault::Malformed)
    }

    async fn read_header<T, E>(
        &mut self,
        check: impl Fn(&FrameHeader) -> Result<T, E>,
    ) -> Result<FrameHeader, FrameFault<E>> {
        fill(&mut self.reader, &mut self.buffer, HEADER_BYTES)
            .await
            .map_err(FrameFault::Lost)?;
        let mut bytes = [0; HEADER_BYTES];
        self.buffer.copy_to_slice(&mut bytes);
        let header = FrameHeader::decode(&bytes).map_err(FrameFault::Malformed)?;
        check(&header).map_err(FrameFault::Refused)?;
        self.header = Some(header.clone());
        Ok(header)
    }
}

/// What is still to be written to one stream. Its owner bounds it by not
/// producing more while something waits here.
pub struct Outbox {
    writer: Writer,
    queue: VecDeque<Vec<u8>>,
    offset: usize,
    is_broken: bool,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outbox")
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}

impl Outbox {
    /// Writes to a stream.
    #[must_use]
    pub fn new(writer: Writer) -> Self {
        Self {
            writer,
            queue: VecDeque::new(),
            offset: 0,
            is_broken: false,
        }
    }

    /// Adds one message; it goes out as one write.
    pub fn push(&mut self, bytes: Vec<u8>) {
        if !self.is_broken {
            self.queue.push_back(bytes);
        }
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many messages wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Writes all that waits. May be dropped and called again.
    ///
    /// # Errors
    /// The link's; what waited is dropped then.
    pub async fn flush(&mut self) -> io::Result<()> {
        let result = self.write_all().await;
        if result.is_err() {
            self.is_broken = true;
            self.queue.clear();
        }
        result
    }

    async fn write_all(&mut self) -> io::Result<()> {
        while let Some(front) = self.queue.front() {
            let rest = front.get(self.offset..).unwrap_or_default();
            if rest.is_empty() {
                self.queue.pop_front();
                self.offset = 0;
                continue;
            }
            match self.writer.write(rest).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => self.offset += written,
            }
        }
        self.writer.flush().await
    }

    /// Tells the other side that nothing follows.
    pub async fn finish(&mut self) {
        if self.flush().await.is_ok() && self.writer.shutdown().await.is_err() {
            self.is_broken = true;
        }
    }
}
