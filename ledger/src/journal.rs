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

use crate::facts::Embedded;
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
/// Bytes that are read at a time: any record fits in.
const WINDOW_BYTES: usize = 1024 * 1024;
const _: () = assert!(WINDOW_BYTES > RECORD_BYTES_MAX + RECORD_OVERHEAD);
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
    /// An admitted entry whose first embedded signature is wrong.
    EntryFirstWrong = 4,
    /// An admitted entry whose later embedded signatures are not all right.
    EntryLaterWrong = 5,
}

impl RecordKind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Entry),
            2 => Some(Self::AckSent),
            3 => Some(Self::AckHeld),
            4 => Some(Self::EntryFirstWrong),
            5 => Some(Self::EntryLaterWrong),
            _ => None,
        }
    }

    /// The kind of an entry's record, by its embedded signatures.
    #[must_use]
    pub const fn of_entry(embedded: Embedded) -> Self {
        match embedded {
            Embedded::Right => Self::Entry,
            Embedded::FirstWrong => Self::EntryFirstWrong,
            Embedded::LaterWrong => Self::EntryLaterWrong,
        }
    }

    /// For an entry's record: what it says of the embedded signatures.
    #[must_use]
    pub const fn embedded(self) -> Option<Embedded> {
        match self {
            Self::Entry => Some(Embedded::Right),
            Self::EntryFirstWrong => Some(Embedded::FirstWrong),
            Self::EntryLaterWrong => Some(Embedded::LaterWrong),
            Self::AckSent | Self::AckHeld => None,
        }
    }
}

/// A record where it was read.
#[derive(Debug, Clone, Copy)]
pub struct RecordRef<'a> {
    /// Where it begins.
    pub offset: u64,
    /// Where it ends.
    pub end: u64,
    /// What it is.
    pub kind: RecordKind,
    /// What it holds.
    pub payload: &'a [u8],
    /// Its hash, which covers all before.
    pub head: Hash,
}

/// The whole records of a journal, without what they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// How many.
    pub records: u64,
    /// Where they end; 0 when there is no whole header.
    pub end: u64,
    /// Bytes after that, which are no whole record.
    pub torn_bytes: u64,
    /// Whether what follows goes on after a record that does not match its
    /// hash: bytes that were whole have changed, and no torn write did that.
    pub is_damaged: bool,
    /// The hash of the last record.
    pub head: Hash,
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

/// Reads a journal without changing it, record by record, through a bounded
/// window. An empty file or a torn header is an empty journal.
///
/// # Errors
/// [`JournalError`].
pub fn scan(
    file: &mut (impl DurableFile + ?Sized),
    network: NetworkId,
    each: &mut dyn FnMut(RecordRef<'_>),
) -> Result<Extent, JournalError> {
    let length = file.length()?;
    let mut extent = Extent {
        records: 0,
        end: HEADER_BYTES,
        torn_bytes: 0,
        is_damaged: false,
        head: network.0,
    };
    if !has_header(file, length, network)? {
        return Ok(Extent {
            end: 0,
            torn_bytes: length,
            ..extent
        });
    }
    let mut window = Vec::new();
    loop {
        let left = length.saturating_sub(extent.end);
        let size = usize::try_from(left).map_or(WINDOW_BYTES, |left| left.min(WINDOW_BYTES));
        window.resize(size, 0);
        file.read_exact_at(extent.end, &mut window)?;
        let mut rest = window.as_slice();
        let start = extent.end;
        while let Some((record, after)) = next_record(rest, extent.end, extent.head) {
            extent.end = record.end;
            extent.head = record.head;
            extent.records = extent.records.saturating_add(1);
            rest = after;
            each(record);
        }
        // A window holds any whole record, so none here is none at all.
        if extent.end == start || extent.end == length {
            extent.is_damaged = goes_on(rest, extent.head);
            break;
        }
    }
    extent.torn_bytes = length.saturating_sub(extent.end);
    Ok(extent)
}

/// Whether the file begins with a whole header of this network; `false` when it
/// is empty or the header was torn.
fn has_header(
    file: &mut (impl DurableFile + ?Sized),
    length: u64,
    network: NetworkId,
) -> Result<bool, JournalError> {
    let size = usize::try_from(length.min(HEADER_BYTES)).unwrap_or(0);
    let mut found = vec![0; size];
    file.read_exact_at(0, &mut found)?;
    let expected = header(network);
    if found == expected {
        return Ok(true);
    }
    // The header is durable before the first record is written, so a file this
    // short holds a header that was torn, and nothing else was ever in it.
    let is_torn = length <= HEADER_BYTES
        && found
            .iter()
            .zip(&expected)
            .all(|(found, expected)| *found == 0 || found == expected);
    if is_torn {
        Ok(false)
    } else if found.starts_with(&MAGIC) && length >= HEADER_BYTES {
        Err(JournalError::OtherNetwork)
    } else {
        Err(JournalError::NotAJournal)
    }
}

/// Reads a whole journal into memory: for small ones. See [`scan`].
///
/// # Errors
/// [`JournalError`].
pub fn read(file: &mut impl DurableFile, network: NetworkId) -> Result<Contents, JournalError> {
    let mut records = Vec::new();
    let extent = scan(file, network, &mut |record| {
        records.push(Record {
            offset: record.offset,
            kind: record.kind,
            payload: record.payload.to_vec(),
        });
    })?;
    Ok(Contents {
        records,
        end: extent.end,
        torn_bytes: extent.torn_bytes,
        head: extent.head,
    })
}

/// Whether a whole record follows the broken one at the front: it covers the
/// hash that stands there, or the one that should.
fn goes_on(bytes: &[u8], before: Hash) -> bool {
    let parts = || {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (&kind, rest) = rest.split_first()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let (payload, rest) = rest.split_at_checked(length)?;
        let (hash, rest) = rest.split_first_chunk::<32>()?;
        let right = record_hash(before, kind, payload);
        let heads = [Hash::from_bytes(*hash), right];
        Some(
            heads
                .iter()
                .any(|&head| next_record(rest, 0, head).is_some()),
        )
    };
    parts().unwrap_or(false)
}

/// Takes one whole record off the front, if there is one.
fn next_record(bytes: &[u8], offset: u64, before: Hash) -> Option<(RecordRef<'_>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (&kind_byte, rest) = rest.split_first()?;
    let length = usize::try_from(u32::from_le_bytes(*length))
        .ok()
        .filter(|&length| length <= RECORD_BYTES_MAX)?;
    let (payload, rest) = rest.split_at_checked(length)?;
    let (hash, rest) = rest.split_first_chunk::<32>()?;
    let kind = RecordKind::from_byte(kind_byte)?;
    let head = record_hash(before, kind_byte, payload);
    let used = bytes.len().saturating_sub(rest.len()) as u64;
    let record = RecordRef {
        offset,
        end: offset.saturating_add(used),
        kind,
        payload,
        head,
    };
    (head.as_bytes() == hash).then_some((record, rest))
}

impl<F: DurableFile> Journal<F> {
    /// Opens a journal: reads it, cuts a torn tail off and makes that durable.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(
        mut file: F,
        network: NetworkId,
        each: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<(Self, Extent), JournalError> {
        let extent = scan(&mut file, network, each)?;
        if extent.end == 0 {
            file.truncate(0)?;
            file.write_at(0, &header(network))?;
            file.sync()?;
        } else if extent.torn_bytes > 0 {
            file.truncate(extent.end)?;
            file.sync()?;
        } else {
            // What was read may still be in the page cache only.
            file.sync()?;
        }
        let end = extent.end.max(HEADER_BYTES);
        let journal = Self {
            file,
            end,
            head: extent.head,
            buffer: Vec::new(),
            is_unsynced: false,
            is_failed: false,
        };
        Ok((journal, Extent { end, ..extent }))
    }

    /// Reads the records again that are written out.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn scan_again(
        &mut self,
        network: NetworkId,
        each: &mut dyn FnMut(RecordRef<'_>),
    ) -> Result<Extent, JournalError> {
        scan(&mut self.file, network, each)
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
