//! `ledger verify`: checks a directory's journal from the bytes up.
//!
//! Reads only; works beside a running node, whose newest records may be half
//! written. The chain is linked again in one plain pass and compared with what
//! the incremental code gives.

use super::open::{BooksError, GENESIS_FILE, JOURNAL_FILE};
use crate::amount::Balance;
use crate::chain::next_link;
use crate::entry::{Entry, id_of};
use crate::journal::file::RealFile;
use crate::journal::{self, RecordKind};
use crate::ledger::{Admission, Ledger, Source};
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
    /// Entries admitted.
    pub entries: u64,
    /// Records that do not decode.
    pub undecodable: u64,
    /// Entries whose signature is wrong (looked at in a full check).
    pub bad_signatures: Vec<Hash>,
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
        self.undecodable == 0
            && self.bad_signatures.is_empty()
            && self.refused.is_empty()
            && self.is_chain_right
            && self.sum == Balance::ZERO
    }
}

/// Checks the journal of a directory; with `is_full` every signature too.
///
/// # Errors
/// [`BooksError`] when files cannot be read or are not a ledger's.
pub fn verify(directory: &Path, is_full: bool) -> Result<VerifyReport, BooksError> {
    let genesis = Genesis::decode(&std::fs::read(directory.join(GENESIS_FILE))?)
        .map_err(|_| BooksError::NoGenesis)?;
    let network = genesis.id();
    let mut file = RealFile::open_read_only(&directory.join(JOURNAL_FILE))?;
    let contents = journal::read(&mut file, network)?;
    let mut ledger = Ledger::new(genesis);
    let (mut entries, mut undecodable, mut bad_signatures) = (Vec::new(), 0_u64, Vec::new());
    let records = contents.records.len() as u64;
    for record in contents
        .records
        .iter()
        .filter(|record| record.kind == RecordKind::Entry)
    {
        let Ok(entry) = Verified::<Entry>::from_trusted_bytes(&record.payload) else {
            undecodable = undecodable.saturating_add(1);
            continue;
        };
        if is_full
            && Signed::<Entry>::from(entry.clone())
                .verify(network)
                .is_err()
        {
            bad_signatures.push(id_of(&entry));
        }
        entries.push(entry);
    }
    let ids: Vec<Hash> = entries.iter().map(id_of).collect();
    let admissions = ledger.admit_batch(entries, Source::Own, 0);
    let is_refused = |admission: &Admission| !matches!(admission, Admission::Added { .. });
    let refused = ids
        .iter()
        .zip(&admissions)
        .filter(|(_, admission)| is_refused(admission))
        .map(|(id, _)| *id);
    Ok(VerifyReport {
        network,
        records,
        torn_bytes: contents.torn_bytes,
        entries: ledger.length(),
        undecodable,
        bad_signatures,
        refused: refused.collect(),
        length: ledger.length(),
        tip: ledger.tip(),
        is_chain_right: link_plainly(&ledger) == ledger.tip(),
        sum: ledger.sum(),
        commons: ledger.commons(),
    })
}

/// Sorts and links all entries in one pass.
fn link_plainly(ledger: &Ledger) -> Hash {
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
