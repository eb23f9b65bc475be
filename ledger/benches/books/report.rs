//! What the benchmark prints: `name: value` lines and their medians, and the
//! yardstick that everything is divided by.

use crate::history;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What was measured, by name.
#[derive(Default)]
pub(crate) struct Report(BTreeMap<String, f64>);

impl Report {
    /// Takes the `name: value` lines of a part.
    pub(crate) fn take(&mut self, text: &str) {
        for line in text.lines() {
            if let Some((name, value)) = line.split_once(": ")
                && let Ok(value) = value.parse()
            {
                self.0.insert(name.to_owned(), value);
            }
        }
    }

    pub(crate) fn print(&self) {
        for (name, value) in &self.0 {
            println!("{name}: {value}");
        }
    }
}

pub(crate) fn say(name: &str, value: f64) {
    let value = if value < 10.0 {
        (value * 1000.0).round() / 1000.0
    } else {
        (value * 10.0).round() / 10.0
    };
    println!("{name}: {value}");
}

/// A number from `/proc/self/status`, KiB.
pub(crate) fn status_kib(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    let number = line.split_whitespace().nth(1).unwrap();
    number.parse().unwrap()
}

/// Processor time of this process and its threads so far, seconds.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit(')').next().unwrap().split_whitespace();
    let ticks: Vec<f64> = fields
        .skip(11)
        .take(2)
        .map(|n| n.parse().unwrap())
        .collect();
    // Linux counts in hundredths for all programs.
    ticks.iter().sum::<f64>() / 100.0
}

/// The median time of a call, in microseconds.
pub(crate) fn median_us(calls: usize, mut call: impl FnMut(usize)) -> f64 {
    let mut times: Vec<Duration> = (0..calls)
        .map(|number| {
            let start = Instant::now();
            call(number);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[calls / 2].as_secs_f64() * 1e6
}

/// Verifications at a time: some hundredths of a second.
const YARDSTICK_CALLS: usize = 2000;

/// Raw ed25519 `verify_strict` with keys at hand: the yardstick.
pub(crate) struct Yardstick {
    keys: Vec<(ed25519_dalek::VerifyingKey, ed25519_dalek::Signature)>,
    message: Vec<u8>,
    pub(crate) calls: u64,
    pub(crate) took: Duration,
    pub(crate) cpu_seconds: f64,
}

impl Yardstick {
    pub(crate) fn new() -> Self {
        use ed25519_dalek::Signer;
        // What a signed entry's message is long: context, network, digest.
        let message = vec![7; 92];
        let keys = (0..64).map(|number| {
            let key = ed25519_dalek::SigningKey::from_bytes(&history::key(number).seed());
            (key.verifying_key(), key.sign(&message))
        });
        Self {
            keys: keys.collect(),
            message,
            calls: 0,
            took: Duration::ZERO,
            cpu_seconds: 0.0,
        }
    }

    pub(crate) fn run(&mut self) {
        let (start, cpu) = (Instant::now(), cpu_seconds());
        for (key, signature) in self.keys.iter().cycle().take(YARDSTICK_CALLS) {
            key.verify_strict(&self.message, signature).unwrap();
        }
        self.took += start.elapsed();
        self.cpu_seconds += cpu_seconds() - cpu;
        self.calls += YARDSTICK_CALLS as u64;
    }

    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.calls as f64 / self.cpu_seconds
    }

    pub(crate) fn per_second(&self) -> f64 {
        self.calls as f64 / self.took.as_secs_f64()
    }
}
