//! Opens and loads what is measured, and says early why it will not go.

use crate::cli::BenchArgs;
use crate::commands::progress::Progress;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::models::store::Store;
use crate::{clock, machine, models, settings, units};
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{Checkpoint, LoadEvent, Shard, ShardOptions};
use talkoot_protocol::LayerRange;

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

/// Opens the model that the arguments name.
pub(super) fn open(args: &BenchArgs, home: &Home) -> Result<Checkpoint, Failure> {
    let store = Store::new(home, &args.directories.model_dirs);
    let path = store.resolve(&args.model)?;
    if !models::is_model(&path) {
        let message = format!("{}: no such model here", args.model.display());
        return Err(Failure::new(Exit::NotFound, message).hint(models::NO_MODEL));
    }
    let mut checkpoint = models::checkpoint(&path)?.cached_in(&home.cache);
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
    let progress = Progress::new("loading");
    let observer = |event: LoadEvent<'_>| {
        if let LoadEvent::Packed {
            done_bytes,
            total_bytes,
            ..
        } = event
        {
            progress.at(done_bytes, total_bytes);
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
