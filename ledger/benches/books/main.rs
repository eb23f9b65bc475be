//! What the books cost: entries in, signatures and disk included, a restart,
//! late entries, look-ups, memory and bytes.
//!
//! `cargo bench -p talkoot-ledger` takes a million entries of a thousand
//! authors (`TALKOOT_BENCH_ENTRIES`, `TALKOOT_BENCH_AUTHORS` say otherwise;
//! under 20 000 entries it is a smoke run). The history is written once and
//! kept beside the build; `history.rs` states its mix. Each part runs in a
//! process of its own, so that memory is its own. The yardstick, `verify_strict`
//! over messages of a signed entry's length, runs between the batches of the
//! same process: other load slows both.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation,
    reason = "a benchmark stops at the first surprise, reads the clock and prints"
)]

mod history;
mod parts;
mod report;

use report::Report;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is measured of.
pub(crate) struct Size {
    pub(crate) entries: usize,
    pub(crate) authors: usize,
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn main() {
    let entries = number("TALKOOT_BENCH_ENTRIES", 1_000_000);
    let size = Size {
        entries,
        authors: number("TALKOOT_BENCH_AUTHORS", 1000).min(entries / 20),
    };
    let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let history = target.join(format!("history-{}-{}.bin", size.entries, size.authors));
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [part, directory] = arguments.as_slice()
        && parts::run(part, Path::new(directory), &history, size.authors)
    {
        return;
    }
    println!("{} entries of {} authors", size.entries, size.authors);
    history::generate(&history, size.entries, size.authors);
    let room = tempfile::tempdir_in(&target).unwrap();
    let mut report = Report::default();
    for (part, directory) in [
        ("ingest", "trailing"),
        ("ingest-in-step", "step"),
        ("restart", "trailing"),
        ("restart-behind", "trailing"),
        ("verify-full", "trailing"),
        ("relink", "none"),
    ] {
        let output = Command::new(std::env::current_exe().unwrap())
            .arg(part)
            .arg(room.path().join(directory))
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        print!("{text}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{part}: {errors}");
        report.take(&text);
    }
    println!("\nbooks of {} entries:", size.entries);
    report.print();
}
