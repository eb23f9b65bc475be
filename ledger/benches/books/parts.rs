//! The parts of the benchmark, each for a process of its own.

use crate::history::{self, FOUNDERS, Item, Random, Reader, SILENT};
use crate::report::{Yardstick, cpu_seconds, median_us, say, status_kib};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};
use talkoot_ledger::books::{IndexMode, Opening, verify};
use talkoot_ledger::views::EntryView;
use talkoot_ledger::{Admission, Books, Entry, Ledger, Payload, Source};
use talkoot_protocol::{Hash, Verified};

/// Entries that come together: what one answer of a peer holds at most.
const BATCH: usize = 512;
/// The tail that late entries sort before.
const TAIL: usize = 10_000;

/// Runs a part by its name.
pub(crate) fn run(part: &str, directory: &Path, history: &Path, authors: usize) -> bool {
    match part {
        "ingest" => ingest(directory, history, IndexMode::Trailing),
        "ingest-in-step" => ingest(directory, history, IndexMode::InStep),
        "restart" => restart(directory, "restart"),
        "restart-behind" => {
            std::fs::remove_dir_all(directory.join("index.sled")).unwrap();
            restart(directory, "restart_index_rebuilt");
        }
        "verify-full" => verify_full(directory),
        "relink" => relink(history, authors),
        _ => return false,
    }
    true
}

fn open(directory: &Path, index: IndexMode) -> Books {
    let opening = Opening {
        is_new: true,
        index,
        progress: &mut |_| {},
    };
    let me = history::key(0).wallet();
    Books::open_as(directory, history::genesis(), me, opening)
        .unwrap()
        .0
}

/// Decodes, verifies and admits a batch, as it comes from a peer.
fn take(books: &mut Books, batch: &[Item], now_ms: u64) {
    let network = books.ledger().network();
    let entries: Vec<Verified<Entry>> = batch
        .iter()
        .map(|item| Verified::from_bytes(&item.bytes, network).unwrap())
        .collect();
    let peer = history::key(1).wallet();
    let admissions = books
        .admit_batch(entries, Source::Peer(peer), now_ms)
        .unwrap();
    let is_added = |admission: &Admission| matches!(admission, Admission::Added { .. });
    assert!(admissions.iter().all(is_added));
}

fn ingest(directory: &Path, history: &Path, mode: IndexMode) {
    let mut books = open(directory, mode);
    let (mut reader, mut yardstick) = (Reader::open(history), Yardstick::new());
    let (mut signatures, mut of_jobs, mut took) = (0, 0, Duration::ZERO);
    let mut now_ms = 0;
    let (began, cpu_start) = (Instant::now(), cpu_seconds());
    loop {
        let batch = reader.batch(BATCH);
        if batch.is_empty() {
            break;
        }
        if books.ledger().length().is_multiple_of(BATCH as u64 * 32) {
            yardstick.run();
        }
        now_ms += 60_000;
        let start = Instant::now();
        take(&mut books, &batch, now_ms);
        // Tokens come back between batches; the index trails by the real clock.
        books.tick(began.elapsed().as_millis() as u64);
        took += start.elapsed();
        signatures += batch.iter().map(|item| item.signatures).sum::<u64>();
        let job_bytes = batch.iter().filter(|item| item.is_of_job);
        of_jobs += job_bytes.map(|item| item.bytes.len() + 37).sum::<usize>();
    }
    let start = Instant::now();
    books.settle_index();
    took += start.elapsed();
    let cpu = cpu_seconds() - cpu_start - yardstick.cpu_seconds;
    assert_eq!(books.index_fault(), None);
    let entries = books.ledger().length() as f64;
    let sled = match mode {
        IndexMode::InStep => "_sled",
        IndexMode::Trailing => "",
    };
    let per_second = signatures as f64 / took.as_secs_f64();
    if mode == IndexMode::Trailing {
        say("verify_strict_per_second", yardstick.per_second());
        say("signatures_per_entry", signatures as f64 / entries);
        let journal = std::fs::metadata(directory.join("journal.log")).unwrap();
        say("bytes_per_entry", journal.len() as f64 / entries);
        let jobs = books.ledger().jobs().count() as f64;
        say("entries_per_job", entries / jobs);
        say("bytes_per_job", of_jobs as f64 / jobs);
        say(
            "index_bytes_per_entry",
            size_of(&directory.join("index.sled")) / entries,
        );
        say("ingest_rss_mib", status_kib("VmRSS") / 1024.0);
        check_effects(&books);
    }
    say(&format!("ingest{sled}_signatures_per_second"), per_second);
    say(
        &format!("ingest{sled}_entries_per_second"),
        entries / took.as_secs_f64(),
    );
    say(
        &format!("ingest{sled}_to_verify_ratio"),
        per_second / yardstick.per_second(),
    );
    // The same of processor time, all threads: other load does not count.
    say(
        &format!("ingest{sled}_to_verify_cpu_ratio"),
        signatures as f64 / cpu / yardstick.per_cpu_second(),
    );
}

fn size_of(directory: &Path) -> f64 {
    let files = std::fs::read_dir(directory).unwrap();
    let bytes = files.map(|file| {
        let file = file.unwrap();
        let metadata = file.metadata().unwrap();
        if metadata.is_dir() {
            size_of(&file.path())
        } else {
            metadata.len() as f64
        }
    });
    bytes.sum()
}

/// The history must be what it is meant to be: entries with effect.
fn check_effects(books: &Books) {
    let inert = books
        .ledger()
        .entries(0)
        .filter(|view| !view.outcome.is_effective())
        .count();
    assert_eq!(inert, 0, "every entry of the history has effect");
}

fn restart(directory: &Path, name: &str) {
    let start = Instant::now();
    let books = open(directory, IndexMode::Trailing);
    say(&format!("{name}_seconds"), start.elapsed().as_secs_f64());
    say(&format!("{name}_cpu_seconds"), cpu_seconds());
    if name != "restart" {
        return;
    }
    say("restart_rss_mib", status_kib("VmRSS") / 1024.0);
    say("restart_peak_mib", status_kib("VmHWM") / 1024.0);
    let length = books.ledger().length() as f64;
    say(
        "memory_bytes_per_entry",
        status_kib("VmRSS") * 1024.0 / length,
    );
    look_up(&books);
}

fn look_up(books: &Books) {
    let ledger = books.ledger();
    let length = ledger.length() as usize;
    let mut random = Random(5);
    let mut any = move || random.below(length);
    let ids: Vec<Hash> = (0..2000)
        .map(|_| ledger.link_at(any()).unwrap().id)
        .collect();
    let calls = ids.len();
    say(
        "lookup_by_id_us",
        median_us(calls, |n| {
            assert!(ledger.view(&ids[n]).is_some());
        }),
    );
    let at: Vec<_> = ids
        .iter()
        .map(|id| {
            ledger
                .entry(id)
                .map(|entry| (entry.author, entry.seq))
                .unwrap()
        })
        .collect();
    say(
        "lookup_by_author_and_seq_us",
        median_us(calls, |n| {
            assert!(!books.index().at_seq(&at[n].0, at[n].1).unwrap().is_empty());
        }),
    );
    let places: Vec<usize> = (0..calls).map(|_| any()).collect();
    say(
        "lookup_chain_position_us",
        median_us(calls, |n| {
            assert!(ledger.link_at(places[n]).is_some());
        }),
    );
    look_up_money(books);
}

fn look_up_money(books: &Books) {
    let ledger = books.ledger();
    let jobs: Vec<_> = ledger.jobs().take(2000).collect();
    say(
        "lookup_job_us",
        median_us(jobs.len(), |n| {
            assert!(ledger.job(jobs[n]).is_some());
        }),
    );
    let wallets: Vec<_> = (0..20)
        .map(|number| history::key(number).wallet())
        .collect();
    say(
        "lookup_account_us",
        median_us(20, |n| {
            std::hint::black_box(ledger.account(wallets[n]));
        }),
    );
    say(
        "lookup_available_us",
        median_us(20, |n| {
            std::hint::black_box(ledger.available(wallets[n]));
        }),
    );
    say(
        "lookup_unconfirmed_holds_us",
        median_us(20, |n| {
            std::hint::black_box(ledger.unconfirmed_holds(wallets[n]));
        }),
    );
    say(
        "lookup_service_rate_us",
        median_us(20, |n| {
            std::hint::black_box(ledger.service_rate(wallets[n]));
        }),
    );
    say(
        "witness_due_us",
        median_us(FOUNDERS, |n| {
            std::hint::black_box(ledger.is_witness_due(wallets[n], 1 << 40));
        }),
    );
}

/// First entries of named authors that have not written yet; they sort a tail
/// before the end.
fn late(ledger: &Ledger, authors: Range<usize>) -> Vec<Verified<Entry>> {
    let length = ledger.length() as usize;
    let parent = ledger.link_at(length - TAIL.min(length / 2)).unwrap().id;
    let lamport = ledger.entry(&parent).unwrap().lamport + 1;
    let entry = |number: usize| {
        let key = history::key(number);
        let names_it = |view: &EntryView<'_>| view.entry.names.contains(&key.wallet());
        let naming = ledger.entries(0).find(names_it).unwrap().id;
        let mut refs = vec![naming, parent];
        refs.sort_unstable();
        let entry = Entry {
            network: ledger.network(),
            author: key.wallet(),
            seq: 0,
            prev: Hash::ZERO,
            refs,
            lamport,
            time_ms: 0,
            names: Vec::new(),
            kind: Payload::Witness.kind(),
            payload: Vec::new(),
        };
        Verified::sign(entry, &key, ledger.network()).unwrap()
    };
    authors.map(entry).collect()
}

/// Late entries into a ledger in memory: what linking the tail again costs.
fn relink(history: &Path, authors: usize) {
    let mut ledger = Ledger::new(history::genesis());
    let mut reader = Reader::open(history);
    while ledger.length() < 5 * TAIL as u64 {
        let batch = reader.batch(BATCH);
        if batch.is_empty() {
            break;
        }
        let entry = |item: &Item| Verified::from_trusted_bytes(&item.bytes).unwrap();
        ledger.admit_batch(batch.iter().map(entry).collect(), Source::Own, 0);
    }
    let one: Vec<_> = (authors..authors + 9)
        .flat_map(|number| late(&ledger, number..number + 1))
        .collect();
    let hundred = late(&ledger, authors + 9..authors + SILENT);
    let count = hundred.len() as f64;
    let mut one = one.into_iter();
    let single = median_us(9, |_| {
        let admission = ledger.admit(one.next().unwrap(), Source::Own, 0);
        assert!(matches!(admission, Admission::Added { .. }));
    });
    say("relink_late_entry_us", single);
    let start = Instant::now();
    ledger.admit_batch(hundred, Source::Own, 0);
    let all = start.elapsed().as_secs_f64() * 1e6;
    say("relink_hundred_late_entries_us", all);
    say("relink_late_of_hundred_us", all / count);
}

fn verify_full(directory: &Path) {
    let start = Instant::now();
    let report = verify(directory, true).unwrap();
    assert!(report.is_right());
    say("verify_full_seconds", start.elapsed().as_secs_f64());
    let start = Instant::now();
    assert!(verify(directory, false).unwrap().is_right());
    say("verify_seconds", start.elapsed().as_secs_f64());
}
