//! Opens and loads what is measured, and says early why it will not go.

use crate::cli::BenchArgs;
use crate::commands::output;
use crate::exit::{Exit, Failure};
use crate::{clock, machine, models, settings, units};
use std::io::IsTerminal;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{Checkpoint, LoadEvent, Shard, ShardOptions};
use talkoot_protocol::LayerRange;

/// The name of the embedded model.
const DEMO: &str = "demo";
/// What a step needs beside weights and caches.
const WORKING_BYTES: u64 = 200 << 20;

/// Layers in memory.
pub(super) struct Loaded {
    pub(super) shard: Shard,
    /// From the start of reading until a step can be computed.
    pub(super) load_s: f64,
    /// What that took, before anything else is in memory.
    pub(super) memory: Resident,
}

/// Bytes of this process in memory, where the system says it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Resident {
    pub(super) now: Option<u64>,
    pub(super) peak: Option<u64>,
}

impl Resident {
    pub(super) fn look() -> Self {
        Self {
            now: machine::resident_bytes(),
            peak: machine::peak_resident_bytes(),
        }
    }
}

/// Opens the model that the arguments name. A directory called `demo` is meant
/// before the embedded model is.
pub(super) fn open(args: &BenchArgs, cache: &Path) -> Result<Checkpoint, Failure> {
    let path = &args.model;
    let is_directory = path.is_dir();
    if !is_directory && path.as_os_str() != DEMO {
        let message = format!("{}: no such model here", path.display());
        return Err(Failure::new(Exit::NotFound, message)
            .hint("give a directory with config.json, tokenizer.json and safetensors, or `demo`"));
    }
    let opened = if is_directory {
        Checkpoint::open(path).map_err(|error| error.to_string())
    } else {
        models::demo_checkpoint().map_err(|error| error.to_string())
    };
    let mut checkpoint = opened
        .map_err(|error| {
            Failure::new(
                Exit::BadConfig,
                format!("{}: {error}", args.model.display()),
            )
        })?
        .cached_in(cache);
    if let Some(format) = Option::<PackedFormat>::from(args.quantize) {
        checkpoint = checkpoint.packed_as(format);
    }
    Ok(checkpoint)
}

/// Loads layers, with room for sessions of so many bytes.
pub(super) fn load(
    checkpoint: &Checkpoint,
    range: LayerRange,
    session_bytes: u64,
    args: &BenchArgs,
) -> Result<Loaded, Failure> {
    check_memory(
        checkpoint
            .weight_bytes(range)
            .saturating_add(session_bytes)
            .saturating_add(WORKING_BYTES),
        machine::available_bytes(),
    )?;
    let options = ShardOptions {
        session_bytes_max: session_bytes,
        threads: settings::threads(args.threads)?,
        ..ShardOptions::default()
    };
    let shown = AtomicU64::new(0);
    let is_seen = std::io::stderr().is_terminal();
    let observer = |event: LoadEvent<'_>| {
        if let (
            true,
            LoadEvent::Packed {
                done_bytes,
                total_bytes,
                ..
            },
        ) = (is_seen, event)
        {
            show_progress(&shown, done_bytes, total_bytes);
        }
    };
    let began = clock::monotonic();
    let shard = Shard::load_observed(checkpoint, range, &options, &observer)
        .map_err(|error| Failure::new(Exit::BadConfig, error.to_string()))?;
    Ok(Loaded {
        shard,
        load_s: began.elapsed().as_secs_f64(),
        memory: Resident::look(),
    })
}

/// A line that each further tenth writes over.
fn show_progress(shown: &AtomicU64, done_bytes: u64, total_bytes: u64) {
    let tenths = done_bytes.saturating_mul(10) / total_bytes.max(1);
    if shown.fetch_max(tenths, Ordering::Relaxed) < tenths {
        let end = if tenths < 10 { "" } else { "\n" };
        output::note(&format!("\rloading {} %{end}", tenths * 10));
    }
}

fn check_memory(needed_bytes: u64, available_bytes: Option<u64>) -> Result<(), Failure> {
    match available_bytes {
        Some(available) if available < needed_bytes => {
            let message = format!(
                "weights and caches need {}, {} of memory is available",
                units::bytes(needed_bytes),
                units::bytes(available)
            );
            Err(Failure::new(Exit::BadConfig, message)
                .hint("--quantize q8_0 or q4_0, fewer --layers, fewer --streams or a shorter --prompt take less"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_said_before_loading() {
        assert!(check_memory(5 << 30, None).is_ok());
        assert!(check_memory(5 << 30, Some(5 << 30)).is_ok());
        let failure = check_memory(5 << 30, Some(3 << 29)).unwrap_err();
        assert_eq!(failure.exit, Exit::BadConfig);
        assert!(failure.message.contains("need 5.0 GiB, 1.5 GiB"));
    }
}
