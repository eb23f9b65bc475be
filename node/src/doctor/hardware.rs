//! Processor, memory and the files of models: what this machine could lend beside
//! what it says that it lends.

use super::{Finding, Scene};
use crate::api::StatusView;
use crate::clock;
use crate::exit::{Exit, Failure};
use crate::machine;
use crate::models::store::{Condition, Record, Store};
use crate::models::{LocalModel, Use, names};
use crate::units;
use std::path::PathBuf;
use talkoot_inference::kernels::InstructionSet;
use talkoot_inference::{Shard, ShardOptions};
use talkoot_protocol::LayerRange;

/// Decode steps of the measurement.
const MEASURED_TOKENS: u32 = 32;
/// A node that measures less than this part of what it announces misleads
/// routes; it may only be busy, so it is a warning.
const SLOWER_DIVISOR: f64 = 4.0;
/// Free memory below which a machine is about to swap, bytes.
const MEMORY_BYTES_MIN: u64 = 256 << 20;

/// A short run of the demo model.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Speed {
    layers_per_second: f64,
    gflop_per_second: f64,
}

/// `processor`.
pub(super) fn processor(scene: &Scene<'_>) -> Finding {
    let status = scene.node.running().map(|running| &running.status);
    let threads = status
        .map(|status| status.threads)
        .filter(|threads| *threads > 0)
        .unwrap_or_else(machine::threads);
    let set = InstructionSet::best();
    let shown = format!("{}, {threads} threads", set.name());
    let announced = status.and_then(announced_for_demo);
    match measure(threads) {
        Ok(speed) => judge_processor(&shown, set == InstructionSet::Baseline, speed, announced),
        Err(failure) => Finding::of(&failure, "this program cannot compute here; report it"),
    }
}

/// What a node announces for the demo model.
fn announced_for_demo(status: &StatusView) -> Option<f64> {
    let demo = status
        .serving
        .iter()
        .find(|served| served.name == names::DEMO);
    demo.map(|served| f64::from(served.layers_per_second))
}

fn judge_processor(shown: &str, is_plain: bool, speed: Speed, announced: Option<f64>) -> Finding {
    let mut evidence = format!(
        "{shown}; the demo model runs at {:.2} GFLOP/s, {:.0} layers/s",
        speed.gflop_per_second, speed.layers_per_second
    );
    if let Some(announced) = announced {
        evidence.push_str(&format!(", announced {announced:.0}"));
        if speed.layers_per_second * SLOWER_DIVISOR < announced {
            return Finding::warn(
                evidence,
                "something else takes the processor, or it is throttled: look, and start the \
                 node again so that it measures anew",
            );
        }
    }
    if is_plain {
        return Finding::warn(
            evidence,
            "this processor, or the machine's virtual one, has no vector instructions that the \
             kernels know: AVX2 with FMA, or NEON",
        );
    }
    Finding::pass(evidence)
}

fn measure(threads: usize) -> Result<Speed, Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::new(Exit::Failure, error.to_string());
    let model = LocalModel::open(None, &Use::default())?;
    let shape = &model.card.shape;
    let range = LayerRange::new(0, shape.layers).map_err(|error| failed(&error))?;
    let options = ShardOptions {
        threads,
        ..ShardOptions::default()
    };
    let mut shard =
        Shard::load(&model.checkpoint, range, &options).map_err(|error| failed(&error))?;
    let began = clock::monotonic();
    let elapsed_us = || u64::from(clock::elapsed_us(began));
    let layers_per_second = shard
        .measure_layers_per_second(MEASURED_TOKENS, elapsed_us)
        .map_err(|error| failed(&error))?;
    let flops = shape.flops_per_token(range).unwrap_or(0);
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let flops_per_layer = flops as f64 / f64::from(shape.layers.max(1));
    Ok(Speed {
        layers_per_second,
        gflop_per_second: layers_per_second * flops_per_layer / 1e9,
    })
}

/// `memory`.
pub(super) fn memory(scene: &Scene<'_>) -> Finding {
    let Some(available) = machine::available_bytes() else {
        return Finding::skip("this system does not say how much memory is free");
    };
    let serving = scene
        .node
        .running()
        .map_or(&[][..], |running| &running.status.serving);
    let planned = serving.iter().fold(0_u64, |sum, served| {
        let more = served
            .session_bytes_max
            .saturating_sub(served.session_bytes);
        sum.saturating_add(more)
    });
    judge_memory(available, planned)
}

fn judge_memory(available: u64, planned: u64) -> Finding {
    let free = units::bytes(available);
    let evidence = match planned {
        0 => format!("{free} free"),
        planned => format!(
            "{free} free; sessions may still take {}",
            units::bytes(planned)
        ),
    };
    if planned > available || available < MEMORY_BYTES_MIN {
        Finding::warn(
            evidence,
            "close other programs, or lend less: --max-mem SIZE, --sessions N, fewer --layers",
        )
    } else {
        Finding::pass(evidence)
    }
}

/// `models`.
pub(super) fn models(scene: &Scene<'_>) -> Finding {
    let store = Store::new(scene.home, &scene.wishes.model_dirs);
    let imported: Vec<(String, State)> = store
        .imported()
        .into_iter()
        .map(|(name, record)| {
            let state = State::of(record, &store.place(&name));
            (name, state)
        })
        .collect();
    judge_models(&imported)
}

/// How the files of a model are.
#[derive(Debug)]
enum State {
    Unreadable(Failure),
    Whole(u64),
    Missing(PathBuf),
    Changed(PathBuf, PathBuf),
}

impl State {
    fn of(record: Result<Record, Failure>, directory: &std::path::Path) -> Self {
        let record = match record {
            Ok(record) => record,
            Err(failure) => return Self::Unreadable(failure),
        };
        match record.condition(directory) {
            Condition::Whole => Self::Whole(record.bytes()),
            Condition::Missing(path) => Self::Missing(path),
            Condition::Changed(path) => Self::Changed(path, record.origin),
        }
    }
}

fn judge_models(imported: &[(String, State)]) -> Finding {
    let mut whole = Vec::new();
    let mut broken: Vec<(String, String)> = Vec::new();
    for (name, state) in imported {
        match state {
            State::Whole(bytes) => whole.push(format!("{name} ({})", units::bytes(*bytes))),
            State::Unreadable(failure) => broken.push((
                format!("{name}: {}", failure.message),
                "remove that file and import the model again".to_owned(),
            )),
            State::Missing(path) => broken.push((
                format!("{name}: {} is not there", path.display()),
                format!("put it back, or `talkoot rm {name} --yes` and import it from where it is"),
            )),
            State::Changed(path, origin) => broken.push((
                format!("{name}: {} is not what was imported", path.display()),
                format!(
                    "`talkoot show {name}` reads it again; `talkoot import {}` takes it as it is now",
                    origin.display()
                ),
            )),
        }
    }
    if let Some((_, fix)) = broken.first() {
        let fix = fix.clone();
        let evidence: Vec<String> = broken.into_iter().map(|(evidence, _)| evidence).collect();
        return Finding::fail(evidence.join("; "), fix);
    }
    if whole.is_empty() {
        return Finding::pass("none is imported; the demo model is in the program");
    }
    Finding::pass(format!("whole: {}", whole.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;

    #[test]
    fn a_speed_is_judged_by_what_is_announced() {
        let speed = Speed {
            layers_per_second: 100.0,
            gflop_per_second: 1.0,
        };
        let judged = |is_plain, announced| judge_processor("x", is_plain, speed, announced).verdict;
        assert_eq!(judged(false, None), Verdict::Pass);
        assert_eq!(judged(false, Some(399.0)), Verdict::Pass);
        assert_eq!(judged(false, Some(500.0)), Verdict::Warn);
        assert_eq!(judged(true, None), Verdict::Warn);
    }

    #[test]
    fn the_demo_model_can_be_measured() {
        let speed = measure(1).unwrap();
        assert!(speed.layers_per_second > 0.0 && speed.gflop_per_second > 0.0);
    }

    #[test]
    fn memory_is_short_when_sessions_may_take_more() {
        assert_eq!(judge_memory(1 << 30, 0).verdict, Verdict::Pass);
        assert_eq!(judge_memory(1 << 30, 2 << 30).verdict, Verdict::Warn);
        assert_eq!(judge_memory(1 << 20, 0).verdict, Verdict::Warn);
    }

    #[test]
    fn files_of_models_are_whole_or_named() {
        let judged = |state| judge_models(&[("a".to_owned(), state)]);
        assert_eq!(judge_models(&[]).verdict, Verdict::Pass);
        assert_eq!(judged(State::Whole(7)).verdict, Verdict::Pass);
        let missing = judged(State::Missing("/m/x".into()));
        assert_eq!(missing.verdict, Verdict::Fail);
        assert!(missing.fix.unwrap().contains("talkoot rm a --yes"));
        let changed = State::Changed("/m/x".into(), "/m".into());
        assert_eq!(judged(changed).verdict, Verdict::Fail);
    }
}
