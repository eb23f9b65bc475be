//! `ledger export`: every entry with its bytes and what it came to, one JSON
//! object per line, in the chain's order.
//!
//! It streams pages. Each entry's link must follow from the one before, so an
//! export that ends well is one chain: when a late entry changes what was
//! written already, it stops and says so.

use super::check;
use super::reader::Reader;
use crate::api::{EntriesQuestion, EntryView, GenesisQuestion};
use crate::cli::{ExportFormat, LedgerExportArgs};
use crate::commands::output;
use crate::exit::{Exit, Failure};
use crate::views::BYTES_ENTRIES_MAX;
use std::fs::File;
use std::io::{BufWriter, Write};

/// Writes the whole chain.
///
/// # Errors
/// When the books cannot be read or the file not written, or
/// [`Exit::VerifyFailed`] when an entry is not what its bytes say.
pub(super) fn run(args: &LedgerExportArgs, books: &Reader) -> Result<(), Failure> {
    let ExportFormat::Jsonl = args.format;
    let mut out: Box<dyn Write> = match &args.output {
        Some(path) => Box::new(File::create(path).map_err(|error| {
            Failure::new(Exit::Failure, format!("{}: {error}", path.display()))
        })?),
        None => Box::new(std::io::stdout().lock()),
    };
    let mut out = BufWriter::new(&mut out);
    let written = write(books, &mut out)?;
    out.flush()?;
    output::note(&format!(
        "{} entries, tip {}\n",
        written.count, written.link
    ));
    Ok(())
}

struct Written {
    count: u64,
    link: String,
}

fn write(books: &Reader, out: &mut impl Write) -> Result<Written, Failure> {
    let network = check::network(&books.ask(&GenesisQuestion)?)?;
    let mut written = Written {
        count: 0,
        link: network.to_string(),
    };
    loop {
        let page = books.ask(&EntriesQuestion {
            from: Some(written.count),
            count: Some(BYTES_ENTRIES_MAX),
            bytes: true,
            ..EntriesQuestion::default()
        })?;
        for entry in &page.entries {
            if entry.link_before != written.link || entry.index != written.count {
                return Err(moved(entry));
            }
            if !check::entry(entry, network).is_right() {
                let message = format!("entry {} is not what its bytes say", entry.id);
                return Err(Failure::new(Exit::VerifyFailed, message));
            }
            serde_json::to_writer(&mut *out, entry).map_err(std::io::Error::from)?;
            out.write_all(b"\n")?;
            written.count += 1;
            written.link.clone_from(&entry.link);
        }
        if written.count >= page.chain.length {
            return Ok(written);
        }
        if page.entries.is_empty() {
            return Err(Failure::new(
                Exit::Failure,
                "the node gives no more entries",
            ));
        }
    }
}

/// A late entry sorted before what was written.
fn moved(entry: &EntryView) -> Failure {
    let message = format!(
        "the chain changed at or before index {} while it was written",
        entry.index
    );
    Failure::new(Exit::Failure, message)
        .hint("run it again, or with --offline: that reads one moment from the journal")
}
