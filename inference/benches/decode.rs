//! Time for each token of a checkpoint, prefill and decode, by backend and
//! instruction set. `cargo bench --bench decode -- DIRECTORY..`; without
//! arguments the fixtures of the tests.

#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints"
)]

use std::path::PathBuf;
use std::time::Duration;
use talkoot_inference::{
    Backend, Checkpoint, SessionConfig, SessionId, Shard, ShardOptions, StepInput, StepItem, Wanted,
};
use talkoot_protocol::model::{DType, LayerRange};

const PROMPT_TOKENS: usize = 256;
const DECODE_TOKENS: u32 = 200;

fn main() {
    let mut models: Vec<PathBuf> = std::env::args_os()
        .skip(1)
        .filter(|argument| argument != "--bench")
        .map(PathBuf::from)
        .collect();
    if models.is_empty() {
        let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        models = vec![fixtures.join("tiny"), fixtures.join("stories260k")];
    }
    for path in models {
        for backend in [Backend::Kernels, Backend::Burn] {
            let (prefill, decode) = measure(&path, backend);
            println!(
                "{} {backend:?}: prefill {prefill:.1} us/token, decode {decode:.1} us/token",
                path.display()
            );
        }
    }
}

fn measure(path: &std::path::Path, backend: Backend) -> (f64, f64) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let range = LayerRange::whole(checkpoint.config().shape.layers).unwrap();
    let options = ShardOptions {
        backend,
        ..ShardOptions::default()
    };
    let mut shard = Shard::load(&checkpoint, range, &options).unwrap();
    let session = SessionId(1);
    let capacity_tokens = PROMPT_TOKENS as u32 + DECODE_TOKENS;
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
    let prefill = step(0, &[3; PROMPT_TOKENS]);
    let mut times: Vec<Duration> = (0..DECODE_TOKENS)
        .map(|i| step(PROMPT_TOKENS as u32 + i, &[5]))
        .collect();
    times.sort();
    let microseconds = |time: Duration| time.as_secs_f64() * 1e6;
    (
        microseconds(prefill) / PROMPT_TOKENS as f64,
        microseconds(times[times.len() / 2]),
    )
}
