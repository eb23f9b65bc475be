//! Opening the books of a directory: what is read, repaired and compared.

use super::Books;
use super::replay::{Progress, Replay};
use super::trail::{IndexMode, Trail};
use crate::journal::file::{DurableFile, RealFile, sync_directory_of};
use crate::journal::{Journal, JournalError};
use crate::ledger::Ledger;
use crate::signer::{Found, SignerFile, SignerRead, SigningState};
use crate::store::sled::SledIndex;
use crate::store::{Index, IndexError};
use std::io;
use std::path::Path;
use talkoot_protocol::{Genesis, Wallet};

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
    /// Whether these were no torn tail but records that were whole once: the
    /// disk has changed bytes, and what was lost must come from peers.
    pub is_damaged: bool,
    /// Records that hold no entry or ack, or an entry that the ledger does not
    /// take: 0 in a journal that this program wrote.
    pub unusable: u64,
    /// Whether the index was built again.
    pub is_index_rebuilt: bool,
    /// If it was not: entries that it lacked and was given.
    pub index_lacked: u64,
    /// Whether this node may sign.
    pub signing: SigningState,
}

/// How books are opened.
pub struct Opening<'a> {
    /// Whether the identity or the network was made just now, so that nothing
    /// can have been signed in it before: only then may an empty directory sign
    /// at once.
    pub is_new: bool,
    /// How the index follows.
    pub index: IndexMode,
    /// Told now and then how far reading has come.
    pub progress: &'a mut dyn FnMut(Progress),
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening")
            .field("is_new", &self.is_new)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl Books {
    /// Opens the books in a directory; makes them if there are none. See
    /// [`Opening`] for `is_new`; the index trails.
    ///
    /// # Errors
    /// [`BooksError`].
    pub fn open(
        directory: &Path,
        genesis: Genesis,
        me: Wallet,
        is_new: bool,
    ) -> Result<(Self, OpenReport), BooksError> {
        let opening = Opening {
            is_new,
            index: IndexMode::default(),
            progress: &mut |_| {},
        };
        Self::open_as(directory, genesis, me, opening)
    }

    /// Opens the books in a directory; makes them if there are none.
    ///
    /// # Errors
    /// [`BooksError`].
    pub fn open_as(
        directory: &Path,
        genesis: Genesis,
        me: Wallet,
        opening: Opening<'_>,
    ) -> Result<(Self, OpenReport), BooksError> {
        std::fs::create_dir_all(directory)?;
        keep_genesis(&directory.join(GENESIS_FILE), &genesis)?;
        let signer = Box::new(RealFile::open(&directory.join(SIGNER_FILE))?);
        let journal = Box::new(RealFile::open(&directory.join(JOURNAL_FILE))?);
        let (index, _) = SledIndex::open(&directory.join(INDEX_DIRECTORY))?;
        let files = BooksFiles {
            journal,
            signer,
            index: Box::new(index),
        };
        Self::with_files_as(files, genesis, me, opening)
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
        let opening = Opening {
            is_new,
            index: IndexMode::default(),
            progress: &mut |_| {},
        };
        Self::with_files_as(files, genesis, me, opening)
    }

    /// Opens books over any files: see [`Books::open_as`].
    ///
    /// # Errors
    /// [`BooksError`].
    pub fn with_files_as(
        mut files: BooksFiles,
        genesis: Genesis,
        me: Wallet,
        opening: Opening<'_>,
    ) -> Result<(Self, OpenReport), BooksError> {
        let network = genesis.id();
        let (signer, read) = SignerFile::open(files.signer, network)?;
        let mark = files.index.mark().ok().flatten();
        let bytes_total = files.journal.length()?;
        let mut replay = Replay::new(Ledger::new(genesis), mark, bytes_total, opening.progress);
        let (journal, extent) =
            Journal::open(files.journal, network, &mut |record| replay.take(record))?;
        replay.finish();
        let mut books = Self {
            me,
            ledger: replay.ledger,
            journal,
            signer,
            signer_stands_at: match read {
                SignerRead::Missing => None,
                SignerRead::Nothing => Some(None),
                SignerRead::Highest(highest) => Some(Some(highest)),
            },
            signing: SigningState::Active,
            index: files.index,
            index_mode: opening.index,
            index_fault: None,
            trail: Trail::default(),
            acks_sent: replay.acks_sent,
            acks_held: replay.acks_held,
        };
        let signed = match read {
            SignerRead::Highest(highest) => books.ledger.holds(&highest.id),
            _ => false,
        };
        books.signing = SigningState::at_start(Found {
            signer: read,
            is_signed_held: signed,
            has_own: books.ledger.log_length(&me) > 0,
            is_new: opening.is_new,
        });
        books.settle_signing();
        let (is_index_rebuilt, index_lacked) = books.check_index(replay.trail);
        let report = OpenReport {
            entries: books.ledger.length(),
            torn_bytes: extent.torn_bytes,
            is_damaged: extent.is_damaged,
            unusable: replay.unusable,
            is_index_rebuilt,
            index_lacked,
            signing: books.signing.clone(),
        };
        Ok((books, report))
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
