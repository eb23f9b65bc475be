//! The journal: the truth on disk.
//!
//! An append-only file of admitted entries (parents before children), acks
//! sent and highest acks held. Each record has its length, its kind and a
//! blake3 that covers the record before, so a cut or changed file is seen.
//! Records are written in groups and made durable by one `sync`. A torn tail is
//! cut off when the file is opened. After any write or sync error the journal
//! takes nothing more: what the disk holds then is not known. This file does
//! not read what records say.

pub mod faulty;
pub mod file;

use file::DurableFile;
use std::io;
use talkoot_protocol::{Hash, HashContext, NetworkId, limits};

/// Begins every journal; the network id follows.
const MAGIC: [u8; 8] = *b"TALKJRN1";
/// Bytes before the first record.
pub const HEADER_BYTES: u64 = 40;
/// Length and kind before, hash after a record's payload.
const RECORD_OVERHEAD: usize = 4 + 1 + 32;
/// Bytes of a record's payload.
pub const RECORD_BYTES_MAX: usize = limits::ENTRY_BYTES_MAX;
/// Bytes that are gathered before they are written without being asked.
const BUFFER_BYTES_MAX: usize = 1024 * 1024;

/// What a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum RecordKind {
    /// A signed entry that was admitted.
    Entry = 1,
    /// A signed ack that this node sent.
    AckSent = 2,
    /// A signed ack that this node was given.
    AckHeld = 3,
}

impl RecordKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Entry),
            2 => Some(Self::AckSent),
            3 => Some(Self::AckHeld),
            _ => None,
        }
    }
}

/// A record as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where it begins.
    pub offset: u64,
    /// What it is.
    pub kind: RecordKind,
    /// What it holds.
    pub payload: Vec<u8>,
}

/// What reading a journal gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The whole records, in order.
    pub records: Vec<Record>,
    /// Where the whole records end.
    pub end: u64,
    /// Bytes after that, which are no whole record.
    pub torn_bytes: u64,
    /// The hash of the last record.
    pub head: Hash,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The disk says no.
    #[error("the journal cannot be read or written: {0}")]
    Io(#[from] io::Error),
    /// Another file.
    #[error("the file is no journal")]
    NotAJournal,
    /// Another network's journal.
    #[error("the journal belongs to another network")]
    OtherNetwork,
    /// An error came before; what the disk holds is not known.
    #[error("the journal failed before and takes nothing more")]
    Failed,
    /// A record larger than any object that is kept.
    #[error("a record of {0} bytes is too large")]
    TooLarge(usize),
}

/// An open journal.
#[derive(Debug)]
pub struct Journal<F> {
    file: F,
    end: u64,
    head: Hash,
    buffer: Vec<u8>,
    is_unsynced: bool,
    is_failed: bool,
}

fn header(network: NetworkId) -> Vec<u8> {
    [MAGIC.as_slice(), network.0.as_bytes()].concat()
}

fn record_hash(before: Hash, kind: u8, payload: &[u8]) -> Hash {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_le_bytes();
    Hash::of_parts(
        HashContext::JournalRecord,
        &[before.as_bytes(), &length, &[kind], payload],
    )
}

/// Reads a journal without changing it. An empty file or a torn header is an
/// empty journal.
///
/// # Errors
/// [`JournalError`].
pub fn read(file: &mut impl DurableFile, network: NetworkId) -> Result<Contents, JournalError> {
    let length = file.length()?;
    let size = usize::try_from(length).map_err(|_| JournalError::NotAJournal)?;
    let mut bytes = vec![0; size];
    file.read_exact_at(0, &mut bytes)?;
    let expected = header(network);
    let mut contents = Contents {
        records: Vec::new(),
        end: HEADER_BYTES,
        torn_bytes: 0,
        head: network.0,
    };
    // The header is durable before the first record is written, so a file this
    // short holds a header that was torn, and nothing else was ever in it.
    let is_torn_header = length <= HEADER_BYTES
        && bytes != expected
        && bytes
            .iter()
            .zip(&expected)
            .all(|(found, expected)| *found == 0 || found == expected);
    if is_torn_header {
        return Ok(Contents {
            end: 0,
            torn_bytes: length,
            ..contents
        });
    }
    let (found, mut rest) = bytes
        .split_at_checked(expected.len())
        .ok_or(JournalError::NotAJournal)?;
    if found != expected {
        let is_other = found.starts_with(&MAGIC);
        return Err(if is_other {
            JournalError::OtherNetwork
        } else {
            JournalError::NotAJournal
        });
    }
    while let Some((record, after, head)) = next_record(rest, contents.end, contents.head) {
        contents.end = contents
            .end
            .saturating_add(rest.len().saturating_sub(after.len()) as u64);
        contents.head = head;
        contents.records.push(record);
        rest = after;
    }
    contents.torn_bytes = rest.len() as u64;
    Ok(contents)
}

/// Takes one whole record off the front, if there is one.
fn next_record(bytes: &[u8], offset: u64, before: Hash) -> Option<(Record, &[u8], Hash)> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (&kind_byte, rest) = rest.split_first()?;
    let length = usize::try_from(u32::from_le_bytes(*length))
        .ok()
        .filter(|&length| length <= RECORD_BYTES_MAX)?;
    let (payload, rest) = rest.split_at_checked(length)?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let kind = RecordKind::from_byte(kind_byte)?;
    let head = record_hash(before, kind_byte, payload);
    (head.as_bytes() == hash).then(|| {
        (
            Record {
                offset,
                kind,
                payload: payload.to_vec(),
            },
            rest,
            head,
        )
    })
}

impl<F: DurableFile> Journal<F> {
    /// Opens a journal: reads it, cuts a torn tail off and makes that durable.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(mut file: F, network: NetworkId) -> Result<(Self, Contents), JournalError> {
        let contents = read(&mut file, network)?;
        if contents.end == 0 {
            file.truncate(0)?;
            file.write_at(0, &header(network))?;
            file.sync()?;
        } else if contents.torn_bytes > 0 {
            file.truncate(contents.end)?;
            file.sync()?;
        } else {
            // What was read may still be in the page cache only.
            file.sync()?;
        }
        let end = contents.end.max(HEADER_BYTES);
        let head = contents.head;
        let journal = Self {
            file,
            end,
            head,
            buffer: Vec::new(),
            is_unsynced: false,
            is_failed: false,
        };
        Ok((journal, Contents { end, ..contents }))
    }

    /// Appends a record to the group; gives its offset. It is durable after
    /// the next [`Journal::commit`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn append(&mut self, kind: RecordKind, payload: &[u8]) -> Result<u64, JournalError> {
        if self.is_failed {
            return Err(JournalError::Failed);
        }
        if payload.len() > RECORD_BYTES_MAX {
            return Err(JournalError::TooLarge(payload.len()));
        }
        let offset = self.end.saturating_add(self.buffer.len() as u64);
        let kind_byte = kind as u8;
        self.head = record_hash(self.head, kind_byte, payload);
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        self.buffer
            .reserve(payload.len().saturating_add(RECORD_OVERHEAD));
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.push(kind_byte);
        self.buffer.extend_from_slice(payload);
        self.buffer.extend_from_slice(self.head.as_bytes());
        if self.buffer.len() >= BUFFER_BYTES_MAX {
            self.write()?;
        }
        Ok(offset)
    }

    /// Makes all appended records durable.
    ///
    /// # Errors
    /// [`JournalError`]; after one, the journal takes nothing more.
    pub fn commit(&mut self) -> Result<(), JournalError> {
        if self.is_failed {
            return Err(JournalError::Failed);
        }
        self.write()?;
        if self.is_unsynced {
            self.file.sync().inspect_err(|_| self.is_failed = true)?;
            self.is_unsynced = false;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), JournalError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        self.file
            .write_at(self.end, &self.buffer)
            .inspect_err(|_| self.is_failed = true)?;
        self.end = self.end.saturating_add(self.buffer.len() as u64);
        self.buffer.clear();
        self.is_unsynced = true;
        Ok(())
    }

    /// Where the next record will begin, and the hash of the last.
    #[must_use]
    pub fn position(&self) -> (u64, Hash) {
        (self.end.saturating_add(self.buffer.len() as u64), self.head)
    }

    /// Whether an error has ended writing.
    #[must_use]
    pub const fn is_failed(&self) -> bool {
        self.is_failed
    }
}
