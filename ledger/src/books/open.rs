//! Opening the books of a directory: what is read, repaired and compared.

use super::{Books, HeldAck};
use crate::journal::file::{DurableFile, RealFile, sync_directory_of};
use crate::journal::{Journal, JournalError, Record, RecordKind};
use crate::ledger::{Admission, Ledger, Source};
use crate::signer::{Found, SignerFile, SignerRead, SigningState};
use crate::store::sled::SledIndex;
use crate::store::{Index, IndexBatch, IndexError};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use talkoot_protocol::{Genesis, Hash, Signed, Verified, Wallet};

/// The journal's file name.
pub const JOURNAL_FILE: &str = "journal.log";
/// The genesis' file name.
pub(super) const GENESIS_FILE: &str = "genesis.bin";
const SIGNER_FILE: &str = "signer.bin";
const INDEX_DIRECTORY: &str = "index.sled";

/// Why books do not open.
#[derive(Debug, thiserror::Error)]
pub enum BooksError {
    /// The disk says no.
    #[error("the ledger's files cannot be used: {0}")]
    Io(#[from] io::Error),
    /// The journal cannot be used.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Not even an empty index can be made.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The directory holds another genesis.
    #[error("the directory belongs to another network")]
    OtherGenesis,
    /// The directory holds no readable genesis.
    #[error("the directory holds no readable genesis")]
    NoGenesis,
}

/// The files of books.
#[derive(Debug)]
pub struct BooksFiles {
    /// The journal.
    pub journal: Box<dyn DurableFile>,
    /// The signer file.
    pub signer: Box<dyn DurableFile>,
    /// The index.
    pub index: Box<dyn Index>,
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Entries read from the journal.
    pub entries: u64,
    /// Bytes of a torn tail that were cut off.
    pub torn_bytes: u64,
    /// Records that hold no entry or ack, or an entry that the ledger does not
    /// take: 0 in a journal that this program wrote.
    pub unusable: u64,
    /// Whether the index was built again.
    pub is_index_rebuilt: bool,
    /// Whether this node may sign.
    pub signing: SigningState,
}

impl Books {
    /// Opens the books in a directory; makes them if there are none.
    ///
    /// `is_new` says that the identity or the network was made just now, so
    /// that nothing can have been signed in it before: only then may an empty
    /// directory sign at once.
    ///
    /// # Errors
    /// [`BooksError`].
    pub fn open(
        directory: &Path,
        genesis: Genesis,
        me: Wallet,
        is_new: bool,
    ) -> Result<(Self, OpenReport), BooksError> {
        std::fs::create_dir_all(directory)?;
        keep_genesis(&directory.join(GENESIS_FILE), &genesis)?;
        let signer = Box::new(RealFile::open(&directory.join(SIGNER_FILE))?);
        let journal = Box::new(RealFile::open(&directory.join(JOURNAL_FILE))?);
        let (index, _) = SledIndex::open(&directory.join(INDEX_DIRECTORY))?;
        Self::with_files(
            BooksFiles {
                journal,
                signer,
                index: Box::new(index),
            },
            genesis,
            me,
            is_new,
        )
    }

    /// Opens books over any files: see [`Books::open`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub fn with_files(
        files: BooksFiles,
        genesis: Genesis,
        me: Wallet,
        is_new: bool,
    ) -> Result<(Self, OpenReport), BooksError> {
        let network = genesis.id();
        let (signer, read) = SignerFile::open(files.signer, network)?;
        let (journal, contents) = Journal::open(files.journal, network)?;
        let mut books = Self {
            me,
            ledger: Ledger::new(genesis),
            journal,
            signer,
            signer_stands_at: match read {
                SignerRead::Missing => None,
                SignerRead::Nothing => Some(None),
                SignerRead::Highest(highest) => Some(Some(highest)),
            },
            signing: SigningState::Active,
            index: files.index,
            index_fault: None,
            acks_sent: BTreeMap::new(),
            acks_held: BTreeMap::new(),
        };
        let (offsets, unusable) = books.replay(contents.records);
        let signed = match read {
            SignerRead::Highest(highest) => books.ledger.holds(&highest.id),
            _ => false,
        };
        books.signing = SigningState::at_start(Found {
            signer: read,
            is_signed_held: signed,
            has_own: books.ledger.log_length(&me) > 0,
            is_new,
        });
        books.settle_signing();
        let is_index_rebuilt = books.check_index(&offsets);
        let report = OpenReport {
            entries: books.ledger.length(),
            torn_bytes: contents.torn_bytes,
            unusable,
            is_index_rebuilt,
            signing: books.signing.clone(),
        };
        Ok((books, report))
    }

    /// Reads records into the ledger; gives the offsets of the entries and how
    /// many records could not be used.
    fn replay(&mut self, records: Vec<Record>) -> (Vec<(Hash, u64)>, u64) {
        let mut entries = Vec::new();
        let mut offsets = Vec::new();
        let mut unusable = 0_u64;
        for record in records {
            let is_read = match record.kind {
                RecordKind::Entry => {
                    Verified::from_trusted_bytes(&record.payload).is_ok_and(|entry| {
                        offsets.push((crate::entry::id_of(&entry), record.offset));
                        entries.push(entry);
                        true
                    })
                }
                RecordKind::AckSent => {
                    Signed::decode(&record.payload).is_ok_and(|ack: Signed<_>| {
                        let ack: Signed<talkoot_protocol::Ack> = ack;
                        self.acks_sent.insert(ack.claimed().job, ack);
                        true
                    })
                }
                RecordKind::AckHeld => HeldAck::decode(&record.payload).is_ok_and(|held| {
                    self.acks_held.insert(held.ack.claimed().job, held);
                    true
                }),
            };
            unusable = unusable.saturating_add(u64::from(!is_read));
        }
        let admissions = self.ledger.admit_batch(entries, Source::Own, 0);
        let refused = admissions
            .iter()
            .filter(|admission| !matches!(admission, Admission::Added { .. }))
            .count();
        offsets.retain(|(id, _)| self.ledger.holds(id));
        (offsets, unusable.saturating_add(refused as u64))
    }

    /// Compares the index with the journal and builds it again if they differ.
    fn check_index(&mut self, offsets: &[(Hash, u64)]) -> bool {
        let mark = self.mark();
        self.ledger.take_relinked_from();
        let newest = mark.chain_length.saturating_sub(1);
        let last = usize::try_from(newest)
            .ok()
            .and_then(|position| self.ledger.link_at(position));
        let agrees = self.index.mark() == Ok(Some(mark)) && self.index.link(newest) == Ok(last);
        if agrees {
            return false;
        }
        let batch = IndexBatch {
            places: offsets
                .iter()
                .filter_map(|(id, offset)| self.place(id, *offset))
                .collect(),
            links_from: 0,
            links: self.ledger.links(0).collect(),
            mark,
        };
        let built = self
            .index
            .clear()
            .and_then(|()| self.index.apply(&batch))
            .and_then(|()| self.index.flush());
        self.index_fault = built.err();
        true
    }
}

/// Writes the genesis of a new directory, whole or not at all; checks that of
/// an old one.
fn keep_genesis(path: &Path, genesis: &Genesis) -> Result<(), BooksError> {
    match std::fs::read(path) {
        Ok(bytes) if bytes == genesis.to_bytes() => Ok(()),
        Ok(_) => Err(BooksError::OtherGenesis),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let draft = path.with_extension("draft");
            std::fs::write(&draft, genesis.to_bytes())?;
            std::fs::File::open(&draft)?.sync_all()?;
            std::fs::rename(&draft, path)?;
            Ok(sync_directory_of(path)?)
        }
        Err(error) => Err(error.into()),
    }
}
