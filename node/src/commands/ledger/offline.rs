//! The books read from disk, without a running node: the journal's entries,
//! folded again from nothing. Reads only, so it also works beside a node.

use crate::api::{ChainView, SCHEMA, VerifyView};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use std::path::PathBuf;
use talkoot_ledger::books::{self, BooksError, JOURNAL_FILE, VerifyReport};
use talkoot_ledger::journal::{self, file::RealFile};
use talkoot_ledger::{Entry, Ledger};
use talkoot_protocol::{Genesis, Verified};

/// Whether this home holds books.
#[must_use]
pub fn has_books(home: &Home) -> bool {
    journal_of(home).is_ok()
}

/// The genesis of the current network and the directory of its journal.
fn journal_of(home: &Home) -> Result<(Genesis, PathBuf), Failure> {
    let genesis = home.current_genesis()?.ok_or_else(no_books)?;
    let directory = home.network_dir(genesis.id());
    if directory.join(JOURNAL_FILE).exists() {
        Ok((genesis, directory))
    } else {
        Err(no_books())
    }
}

/// Folds the journal of the current network into a ledger.
///
/// # Errors
/// When there is no network or no journal yet, or it cannot be read.
pub fn ledger(home: &Home) -> Result<Ledger, Failure> {
    let (_, directory) = journal_of(home)?;
    books::read(&directory).map_err(unreadable)
}

fn unreadable(error: BooksError) -> Failure {
    let exit = match error {
        BooksError::Io(_) => Exit::Failure,
        _ => Exit::VerifyFailed,
    };
    Failure::new(exit, error.to_string())
}

/// Reads and checks the whole journal of the current network; with `is_full`
/// every signature too.
///
/// # Errors
/// When there is no network or no journal yet, or it cannot be read.
pub fn verify(home: &Home, is_full: bool) -> Result<VerifyView, Failure> {
    verify_to_the_end(home, is_full).map(|(view, _)| view)
}

/// The same, and how many bytes after the last whole record form none: a write
/// under way, one that a crash cut off, or damage there.
///
/// # Errors
/// As [`verify`].
pub fn verify_to_the_end(home: &Home, is_full: bool) -> Result<(VerifyView, u64), Failure> {
    let (_, directory) = journal_of(home)?;
    let report = books::verify(&directory, is_full).map_err(unreadable)?;
    Ok((view(&report, is_full), report.torn_bytes))
}

fn view(report: &VerifyReport, is_full: bool) -> VerifyView {
    let mut problems = Vec::new();
    if report.is_damaged {
        problems.push(format!(
            "a record after entry {} has changed on the disk: {} bytes from there on are not read, and the next start cuts them off and fetches from peers what they held",
            report.entries.saturating_sub(1),
            report.torn_bytes
        ));
    }
    if report.undecodable > 0 {
        problems.push(format!("{} records do not decode", report.undecodable));
    }
    for id in &report.bad_signatures {
        problems.push(format!("the signature of entry {id} is wrong"));
    }
    for id in &report.bad_flags {
        problems.push(format!(
            "the journal says something wrong of the signatures inside entry {id}"
        ));
    }
    for id in &report.refused {
        problems.push(format!("entry {id} does not belong to the set"));
    }
    if !report.is_chain_right {
        problems.push("linking all entries again gives another tip".to_owned());
    }
    let sum_ugft = report.sum.0;
    if sum_ugft != 0 {
        problems.push(format!("balances and commons sum to {sum_ugft} µGFT"));
    }
    VerifyView {
        schema: SCHEMA,
        ok: report.is_right(),
        entries: report.entries,
        signatures: if is_full { report.entries } else { 0 },
        chain: ChainView {
            length: report.length,
            tip: report.tip.to_string(),
        },
        sum_ugft,
        problems,
    }
}

/// How many entries of others the journal of `genesis` holds.
///
/// # Errors
/// When the journal exists and cannot be read.
pub fn foreign_entries(home: &Home, genesis: &Genesis) -> Result<usize, Failure> {
    let network = genesis.id();
    let path = home.network_dir(network).join(JOURNAL_FILE);
    if !path.exists() {
        return Ok(0);
    }
    let me = home.existing_identity()?.wallet();
    let unreadable = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Failure, format!("{}: {error}", path.display()))
    };
    let mut file = RealFile::open_read_only(&path).map_err(|error| unreadable(&error))?;
    let mut foreign = 0_usize;
    journal::scan(&mut file, network, &mut |record| {
        let entry = record
            .kind
            .embedded()
            .and_then(|_| Verified::<Entry>::from_trusted_bytes(record.payload).ok());
        if entry.is_some_and(|entry| entry.author != me) {
            foreign = foreign.saturating_add(1);
        }
    })
    .map_err(|error| unreadable(&error))?;
    Ok(foreign)
}

fn no_books() -> Failure {
    Failure::new(Exit::NotFound, "this home has no books yet")
        .hint("`talkoot up` begins them; `talkoot join TICKET` joins a network")
}

#[cfg(test)]
mod tests;
