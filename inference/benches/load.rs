//! Time and memory that it takes to load a checkpoint packed: hashing, packing,
//! and again from the warm cache. `cargo bench --bench load -- DIRECTORY FORMAT
//! THREADS CACHE`; without arguments a fixture of the tests.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints"
)]

use std::path::{Path, PathBuf};
use std::time::Instant;
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{Checkpoint, LoadEvent, Shard, ShardOptions};

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .collect();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny");
    let directory = arguments.first().map_or(fixture, PathBuf::from);
    let format = match arguments.get(1).map(String::as_str) {
        Some("bf16") => PackedFormat::Bf16,
        Some("q4_0") => PackedFormat::Q4_0,
        _ => PackedFormat::Q8_0,
    };
    let threads = arguments.get(2).map_or(1, |text| text.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let cache = arguments
        .get(3)
        .map_or_else(|| scratch.path().to_owned(), PathBuf::from);
    for round in ["first", "again"] {
        measure(round, &directory, format, threads, &cache);
    }
    println!("peak resident {} MB", memory("VmHWM:"));
}

#[expect(clippy::disallowed_methods, reason = "a benchmark times")]
fn measure(round: &str, directory: &Path, format: PackedFormat, threads: usize, cache: &Path) {
    let begin = Instant::now();
    let opened = Checkpoint::open(directory).unwrap();
    let checkpoint = opened.packed_as(format).cached_in(cache);
    let open = begin.elapsed();
    checkpoint.hash_tensors(threads, &|_| {}).unwrap();
    let hashed = begin.elapsed() - open;
    let card = checkpoint.card("model").unwrap();
    let options = ShardOptions {
        threads,
        ..ShardOptions::default()
    };
    let observer = |event: LoadEvent<'_>| {
        if !matches!(event, LoadEvent::Packed { .. } | LoadEvent::Hashed { .. }) {
            println!("{event:?}");
        }
    };
    let range = checkpoint.config().layers();
    let begin_load = Instant::now();
    let shard = Shard::load_observed(&checkpoint, range, &options, &observer).unwrap();
    println!(
        "{round}: {} on {threads} threads: open {:.2} s, hash {:.2} s, load {:.2} s, all {:.2} s; \
         weights {} MB; resident {} MB ({} of files), huge pages {} MB",
        card.name,
        open.as_secs_f64(),
        hashed.as_secs_f64(),
        begin_load.elapsed().as_secs_f64(),
        begin.elapsed().as_secs_f64(),
        shard.weight_bytes() / 1_000_000,
        memory("VmRSS:"),
        memory("RssFile:"),
        huge_pages(),
    );
}

/// A line of this process's status, in MB.
fn memory(name: &str) -> u64 {
    field("/proc/self/status", name)
}

fn huge_pages() -> u64 {
    field("/proc/self/smaps_rollup", "AnonHugePages:")
}

fn field(path: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024 / 1_000_000
}
