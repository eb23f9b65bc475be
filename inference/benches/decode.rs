//! Time for each token of a checkpoint, prefill and decode, by backend and
//! instruction set. `cargo bench --bench decode -- [--threads N] DIRECTORY..`; without
//! arguments the fixtures of the tests.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints"
)]

use std::path::{Path, PathBuf};
use std::time::Duration;
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{
    Backend, Checkpoint, SessionConfig, SessionId, Shard, ShardOptions, StepInput, StepItem, Wanted,
};
use talkoot_protocol::model::{DType, LayerRange};

const WARM_TOKENS: u32 = 16;
const PROMPT_TOKENS: usize = 512;
const DECODE_TOKENS: u32 = 64;

fn main() {
    let mut models: Vec<PathBuf> = Vec::new();
    let mut threads = 1;
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    while let Some(word) = words.next() {
        match word.as_str() {
            "--threads" => threads = words.next().unwrap().parse().unwrap(),
            _ => models.push(word.into()),
        }
    }
    if models.is_empty() {
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        models = vec![fixtures.join("tiny"), fixtures.join("stories260k")];
    }
    let formats = PackedFormat::ALL.map(|format| (Backend::Kernels, Some(format)));
    let stored = [Backend::Kernels, Backend::Burn].map(|backend| (backend, None));
    for path in models {
        for (backend, format) in formats.into_iter().chain(stored) {
            let (prefill, decode) = measure(&path, backend, format, threads);
            println!(
                "{} {backend:?} {format:?}: prefill {prefill:.1} us/token, decode {decode:.1} us/token",
                path.display()
            );
        }
    }
}

fn measure(
    path: &Path,
    backend: Backend,
    format: Option<PackedFormat>,
    threads: usize,
) -> (f64, f64) {
    let mut checkpoint = Checkpoint::open(path).unwrap();
    if let Some(format) = format {
        checkpoint = checkpoint.packed_as(format);
    }
    let range = LayerRange::whole(checkpoint.config().shape.layers).unwrap();
    let options = ShardOptions {
        backend,
        threads,
        ..ShardOptions::default()
    };
    let mut shard = Shard::load(&checkpoint, range, &options).unwrap();
    let session = SessionId(1);
    let capacity_tokens = WARM_TOKENS + PROMPT_TOKENS as u32 + DECODE_TOKENS;
    shard
        .open(
            session,
            SessionConfig {
                range,
                capacity_tokens,
                hidden_dtype: DType::F32,
            },
        )
        .unwrap();
    let mut step = |position: u32, ids: &[u32]| {
        let input = StepInput::Tokens(ids);
        #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
        let start = std::time::Instant::now();
        shard
            .step(&[StepItem {
                session,
                position,
                input,
                wanted: Wanted::LastLogits,
            }])
            .unwrap();
        start.elapsed()
    };
    // The first rows touch cold memory and are not counted.
    step(0, &[3; WARM_TOKENS as usize]);
    let prefill = step(WARM_TOKENS, &[3; PROMPT_TOKENS]);
    let start = WARM_TOKENS + PROMPT_TOKENS as u32;
    let mut times: Vec<Duration> = (start..start + DECODE_TOKENS)
        .map(|position| step(position, &[5]))
        .collect();
    times.sort();
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    (
        microseconds(prefill) / PROMPT_TOKENS as f64,
        microseconds(times[times.len() / 2]),
    )
}
