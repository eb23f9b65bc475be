//! The books read from disk, without a running node: the journal's entries,
//! folded again from nothing. Reads only, so it also works beside a node.

use crate::api::{ChainView, SCHEMA, VerifyView};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use talkoot_ledger::Entry;
use talkoot_ledger::books::{self, BooksError, JOURNAL_FILE, VerifyReport};
use talkoot_ledger::journal::{self, file::RealFile};
use talkoot_protocol::{Genesis, Verified};

/// Reads and checks the whole journal of the current network.
///
/// # Errors
/// When there is no network or no journal yet, or it cannot be read.
pub fn verify(home: &Home) -> Result<VerifyView, Failure> {
    let genesis = home.current_genesis()?.ok_or_else(no_books)?;
    let directory = home.network_dir(genesis.id());
    if !directory.join(JOURNAL_FILE).exists() {
        return Err(no_books());
    }
    let report = books::verify(&directory, true).map_err(|error| match error {
        BooksError::Io(_) => Failure::new(Exit::Failure, error.to_string()),
        _ => Failure::new(Exit::VerifyFailed, error.to_string()),
    })?;
    Ok(view(&report))
}

fn view(report: &VerifyReport) -> VerifyView {
    let mut problems = Vec::new();
    if report.undecodable > 0 {
        problems.push(format!("{} records do not decode", report.undecodable));
    }
    for id in &report.bad_signatures {
        problems.push(format!("the signature of entry {id} is wrong"));
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
        signatures: report.entries,
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
