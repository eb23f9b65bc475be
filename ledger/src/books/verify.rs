//! `ledger verify`: checks a directory's journal from the bytes up.
//!
//! Reads only; works beside a running node, whose newest records may be half
//! written. The chain is linked again in one plain pass and compared with what
//! the incremental code gives.

use super::open::{BooksError, GENESIS_FILE, JOURNAL_FILE};
use crate::amount::Balance;
use crate::chain::next_link;
use crate::entry::{Entry, id_of};
use crate::facts::Embedded;
use crate::journal::file::RealFile;
use crate::journal::{self, Extent, RecordRef};
use crate::ledger::{Admission, Ledger};
use std::path::Path;
use talkoot_protocol::{Genesis, Hash, NetworkId, Signed, Verified};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyReport {
    /// The network.
    pub network: NetworkId,
    /// Records of the journal whose hashes chain.
    pub records: u64,
    /// Bytes after the last whole record. A few are a torn write, which the
    /// next start cuts off.
    pub torn_bytes: u64,
    /// Whether whole records follow one that does not match its hash: bytes
    /// have changed on the disk, and the next start loses what follows them.
    pub is_damaged: bool,
    /// Entries admitted.
    pub entries: u64,
    /// Records that do not decode.
    pub undecodable: u64,
    /// Entries whose signature is wrong (looked at in a full check).
    pub bad_signatures: Vec<Hash>,
    /// Entries whose record says something else of the signatures inside them
    /// than they are (looked at in a full check).
    pub bad_flags: Vec<Hash>,
    /// Entries that the ledger does not take.
    pub refused: Vec<Hash>,
    /// The chain's length.
    pub length: u64,
    /// The chain's last link.
    pub tip: Hash,
    /// Whether linking all entries again gives the same tip.
    pub is_chain_right: bool,
    /// Σ balances + commons.
    pub sum: Balance,
    /// The commons.
    pub commons: Balance,
}

impl VerifyReport {
    /// Whether everything is right.
    #[must_use]
    pub fn is_right(&self) -> bool {
        !self.is_damaged
            && self.undecodable == 0
            && self.bad_signatures.is_empty()
            && self.bad_flags.is_empty()
            && self.refused.is_empty()
            && self.is_chain_right
            && self.sum == Balance::ZERO
    }
}

/// Entries that are handed to the ledger at once.
const BATCH_ENTRIES: usize = 4096;

/// A journal on its way through the checks.
struct Check {
    ledger: Ledger,
    is_full: bool,
    batch: Vec<(Verified<Entry>, Embedded)>,
    undecodable: u64,
    bad_signatures: Vec<Hash>,
    bad_flags: Vec<Hash>,
    refused: Vec<Hash>,
}

impl Check {
    fn take(&mut self, record: RecordRef<'_>) {
        let Some(embedded) = record.kind.embedded() else {
            return;
        };
        let Ok(entry) = Verified::<Entry>::from_trusted_bytes(record.payload) else {
            self.undecodable = self.undecodable.saturating_add(1);
            return;
        };
        let is_right = || Signed::from(entry.clone()).is_right(self.ledger.network());
        if self.is_full && !is_right() {
            self.bad_signatures.push(id_of(&entry));
        }
        self.batch.push((entry, embedded));
        if self.batch.len() >= BATCH_ENTRIES {
            self.admit();
        }
    }

    fn admit(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let is_full = self.is_full;
        let known = |(entry, embedded): &(Verified<Entry>, Embedded)| {
            (entry.clone(), (!is_full).then_some(*embedded))
        };
        let admissions = self.ledger.admit_recorded(batch.iter().map(known));
        for ((entry, embedded), admission) in batch.iter().zip(&admissions) {
            let id = id_of(entry);
            if !matches!(admission, Admission::Added { .. }) {
                self.refused.push(id);
            } else if self.ledger.embedded(&id) != Some(*embedded) {
                self.bad_flags.push(id);
            }
        }
    }
}

/// Reads the journal of a directory into a ledger, as a start does. Only
/// reads; works beside a running node.
///
/// # Errors
/// [`BooksError`] when files cannot be read or are not a ledger's.
pub fn read(directory: &Path) -> Result<Ledger, BooksError> {
    let (check, _) = go_through(directory, false)?;
    Ok(check.ledger)
}

fn go_through(directory: &Path, is_full: bool) -> Result<(Check, Extent), BooksError> {
    let genesis = Genesis::decode(&std::fs::read(directory.join(GENESIS_FILE))?)
        .map_err(|_| BooksError::NoGenesis)?;
    let network = genesis.id();
    let mut file = RealFile::open_read_only(&directory.join(JOURNAL_FILE))?;
    let mut check = Check {
        ledger: Ledger::new(genesis),
        is_full,
        batch: Vec::new(),
        undecodable: 0,
        bad_signatures: Vec::new(),
        bad_flags: Vec::new(),
        refused: Vec::new(),
    };
    let extent = journal::scan(&mut file, network, &mut |record| check.take(record))?;
    check.admit();
    Ok((check, extent))
}

/// Checks the journal of a directory; with `is_full` every signature too, those
/// inside entries with what the records say of them.
///
/// # Errors
/// [`BooksError`] when files cannot be read or are not a ledger's.
pub fn verify(directory: &Path, is_full: bool) -> Result<VerifyReport, BooksError> {
    let (check, extent) = go_through(directory, is_full)?;
    let ledger = check.ledger;
    Ok(VerifyReport {
        network: ledger.network(),
        records: extent.records,
        torn_bytes: extent.torn_bytes,
        is_damaged: extent.is_damaged,
        entries: ledger.length(),
        undecodable: check.undecodable,
        bad_signatures: check.bad_signatures,
        bad_flags: check.bad_flags,
        refused: check.refused,
        length: ledger.length(),
        tip: ledger.tip(),
        is_chain_right: link_plainly(&ledger) == ledger.tip(),
        sum: ledger.sum(),
        commons: ledger.commons(),
    })
}

/// Sorts and links all entries in one pass, with nothing of what the ledger
/// keeps in step: the tip that its chain must have.
#[must_use]
pub fn link_plainly(ledger: &Ledger) -> Hash {
    let mut views: Vec<_> = ledger.entries(0).collect();
    views.sort_by_key(|view| {
        (
            view.entry.lamport,
            view.entry.author,
            view.entry.seq,
            view.id,
        )
    });
    views.iter().fold(ledger.network().0, |before, view| {
        next_link(before, view.id, view.outcome.digest())
    })
}
