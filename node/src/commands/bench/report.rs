//! What is printed: one JSON object for programs, one page for people.
//!
//! Figures are of one run; the page has their median, least and greatest. What a
//! run would earn uses the default prices, by operations.

use super::load::{Loaded, Resident};
use super::plan::Plan;
use super::profile::{self, Profile};
use super::work::Run;
use crate::api::SCHEMA;
use crate::cli::BenchArgs;
use crate::commands::output::{Align, Table};
use crate::units;
use serde::Serialize;
use std::collections::BTreeMap;
use talkoot_inference::Checkpoint;
use talkoot_protocol::Policy;

const SECONDS_PER_HOUR: f64 = 3600.0;

/// What is known once the layers are loaded.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Ready {
    schema: u32,
    ready: bool,
    #[serde(flatten)]
    setup: Setup,
    resident_bytes: Option<u64>,
    peak_resident_bytes: Option<u64>,
}

/// What is the same for every run.
#[derive(Debug, Clone, Serialize)]
struct Setup {
    model: String,
    layers: [u32; 2],
    /// As given: `none`, `bf16`, `q8_0` or `q4_0`.
    format: String,
    /// The number format in memory.
    dtype: String,
    arithmetic: String,
    instruction_set: &'static str,
    threads: usize,
    streams: u32,
    prompt_tokens: u32,
    decode_tokens: u32,
    load_s: f64,
    weight_bytes: u64,
    /// What each step reads of them.
    read_bytes_per_step: u64,
    /// What one token through these layers earns at the default prices.
    ugft_per_token: Option<u64>,
}

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Record {
    schema: u32,
    #[serde(flatten)]
    setup: Setup,
    prefill_tokens_per_s: f64,
    decode_tokens_per_s: f64,
    read_bandwidth_bytes_per_s: f64,
    read_bandwidth_share: f64,
    resident_bytes: Option<u64>,
    peak_resident_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_s: Option<BTreeMap<&'static str, Profile>>,
}

impl Ready {
    pub(super) fn new(
        args: &BenchArgs,
        checkpoint: &Checkpoint,
        plan: &Plan,
        loaded: &Loaded,
    ) -> Self {
        let shard = &loaded.shard;
        let dtype = checkpoint.dtype();
        let packed = checkpoint.packed_format().map(|_| dtype.to_string());
        let flops = checkpoint.config().shape.flops_per_token(plan.range);
        let setup = Setup {
            model: args.model.display().to_string(),
            layers: [plan.range.start(), plan.range.end()],
            format: packed.unwrap_or_else(|| "none".to_owned()),
            dtype: dtype.to_string(),
            arithmetic: shard.arithmetic().to_string(),
            instruction_set: shard.instruction_set().name(),
            threads: shard.threads(),
            streams: plan.streams,
            prompt_tokens: plan.prompt_tokens,
            decode_tokens: plan.decode_tokens,
            load_s: loaded.load_s,
            weight_bytes: shard.weight_bytes(),
            read_bytes_per_step: shard.product_bytes(),
            ugft_per_token: flops
                .and_then(|flops| Policy::default().flops_price_ugft(flops, dtype)),
        };
        Self {
            schema: SCHEMA,
            ready: true,
            setup,
            resident_bytes: loaded.memory.now,
            peak_resident_bytes: loaded.memory.peak,
        }
    }
}

impl Record {
    pub(super) fn new(ready: &Ready, run: Run) -> Self {
        let setup = ready.setup.clone();
        let tokens = |each: u32| f64::from(each) * f64::from(setup.streams);
        let memory = Resident::look();
        let steps_per_s = f64::from(setup.decode_tokens) / run.decode_s;
        let phases = |[prefill, decode]: [Profile; 2]| {
            BTreeMap::from([("prefill", prefill), ("decode", decode)])
        };
        Self {
            schema: SCHEMA,
            prefill_tokens_per_s: tokens(setup.prompt_tokens) / run.prefill_s,
            decode_tokens_per_s: tokens(setup.decode_tokens) / run.decode_s,
            read_bandwidth_bytes_per_s: run.read_bytes_per_s,
            read_bandwidth_share: setup.read_bytes_per_step as f64 * steps_per_s
                / run.read_bytes_per_s,
            resident_bytes: memory.now,
            peak_resident_bytes: memory.peak,
            profile_s: run.profile.map(phases),
            setup,
        }
    }

    fn profile(&self) -> Option<[Profile; 2]> {
        let phases = self.profile_s.as_ref()?;
        Some([
            phases.get("prefill")?.clone(),
            phases.get("decode")?.clone(),
        ])
    }
}

/// The page for people.
pub(super) fn page(ready: &Ready, records: &[Record]) -> String {
    let setup = &ready.setup;
    let stored = match setup.format.as_str() {
        "none" => format!("{} as stored", setup.dtype),
        packed => packed.to_owned(),
    };
    let peak = ready.peak_resident_bytes.map_or_else(String::new, |bytes| {
        format!(", {} resident at most", units::bytes(bytes))
    });
    let mut text = format!(
        "model    {}, layers {}..{}, {stored}, arithmetic {}\n\
         machine  {}, {}\n\
         load     {:.2} s, weights {}{peak}\n\
         work     {}, prompt {}, then {} tokens one by one\n\n",
        setup.model,
        setup.layers[0],
        setup.layers[1],
        setup.arithmetic,
        setup.instruction_set,
        counted(setup.threads, "thread"),
        setup.load_s,
        units::bytes(setup.weight_bytes),
        counted(setup.streams as usize, "stream"),
        setup.prompt_tokens,
        setup.decode_tokens,
    );
    text.push_str(&figures(records));
    text.push_str(&earnings(setup, records));
    let profiles: Vec<[Profile; 2]> = records.iter().filter_map(Record::profile).collect();
    if let Some(table) = profile::table(profiles.iter()) {
        text.push('\n');
        text.push_str(&table);
    }
    text
}

fn figures(records: &[Record]) -> String {
    let mut table = Table::new(&[
        ("", Align::Left),
        ("MEDIAN", Align::Right),
        ("LEAST", Align::Right),
        ("GREATEST", Align::Right),
        ("", Align::Left),
    ]);
    let mut row = |name: &str, digits: usize, unit: &str, of: &dyn Fn(&Record) -> f64| {
        let figures = Spread::of(records.iter().map(of));
        let shown = [figures.median, figures.least, figures.greatest];
        let numbers = shown.map(|value| format!("{value:.digits$}"));
        let cells = [name.to_owned()].into_iter().chain(numbers);
        table.row(cells.chain([unit.to_owned()]).collect());
    };
    row("prefill", 1, "tokens/s", &|run| run.prefill_tokens_per_s);
    row("decode", 2, "tokens/s", &|run| run.decode_tokens_per_s);
    row("reading", 1, "GB/s, the limit of memory", &|run| {
        run.read_bandwidth_bytes_per_s * 1e-9
    });
    row("share", 1, "% of it reached by decode", &|run| {
        run.read_bandwidth_share * 100.0
    });
    table.render()
}

/// What a peer with these layers would earn.
fn earnings(setup: &Setup, records: &[Record]) -> String {
    let Some(ugft) = setup.ugft_per_token else {
        return String::new();
    };
    let per_hour = |of: fn(&Record) -> f64| {
        let tokens_per_s = Spread::of(records.iter().map(of)).median;
        tokens_per_s * SECONDS_PER_HOUR * ugft as f64 / units::UGFT_PER_GFT as f64
    };
    format!(
        "\na token through these layers earns {} GFT at the default prices: {:.1} GFT an hour of \
         decoding, {:.1} of reading prompts\n",
        units::gft(ugft.into()),
        per_hour(|run| run.decode_tokens_per_s),
        per_hour(|run| run.prefill_tokens_per_s),
    )
}

fn counted(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What several figures come to.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    median: f64,
    least: f64,
    greatest: f64,
}

impl Spread {
    fn of(figures: impl Iterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = figures.collect();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self {
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            least: at(0),
            greatest: at(last),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready() -> Ready {
        Ready {
            schema: SCHEMA,
            ready: true,
            setup: Setup {
                model: "demo".to_owned(),
                layers: [0, 8],
                format: "q8_0".to_owned(),
                dtype: "q8_0".to_owned(),
                arithmetic: "a4".to_owned(),
                instruction_set: "avx2",
                threads: 2,
                streams: 3,
                prompt_tokens: 100,
                decode_tokens: 10,
                load_s: 0.25,
                weight_bytes: 1 << 20,
                read_bytes_per_step: 1000,
                ugft_per_token: Some(500_000),
            },
            resident_bytes: Some(1),
            peak_resident_bytes: None,
        }
    }

    fn record(decode_s: f64) -> Record {
        let run = Run {
            prefill_s: 2.0,
            decode_s,
            read_bytes_per_s: 20_000.0,
            profile: None,
        };
        Record::new(&ready(), run)
    }

    #[test]
    fn streams_count_as_tokens_and_not_as_reading() {
        let record = record(1.0);
        assert_eq!(record.prefill_tokens_per_s, 150.0);
        assert_eq!(record.decode_tokens_per_s, 30.0);
        assert_eq!(record.read_bandwidth_share, 0.5);
    }

    #[test]
    fn programs_find_the_names_they_look_for() {
        let json = serde_json::to_value(record(1.0)).unwrap();
        for name in [
            "load_s",
            "prefill_tokens_per_s",
            "decode_tokens_per_s",
            "resident_bytes",
            "read_bandwidth_bytes_per_s",
            "read_bandwidth_share",
            "threads",
            "format",
            "instruction_set",
            "streams",
        ] {
            assert!(!json[name].is_null(), "{name}: {json}");
        }
        assert!(json.get("ready").is_none() && json.get("profile_s").is_none());
        let ready = serde_json::to_value(ready()).unwrap();
        assert_eq!(
            (&ready["ready"], &ready["load_s"]),
            (&true.into(), &0.25.into())
        );
        assert!(ready["peak_resident_bytes"].is_null());
    }

    #[test]
    fn the_page_has_medians_and_what_an_hour_earns() {
        let page = page(&ready(), &[record(1.0), record(0.5), record(2.0)]);
        let decode = page
            .lines()
            .find(|line| line.starts_with("decode"))
            .unwrap();
        let cells: Vec<&str> = decode.split_whitespace().collect();
        assert_eq!(cells[1..4], ["30.00", "15.00", "60.00"]);
        assert!(page.contains("earns 0.500000 GFT"), "{page}");
        assert!(page.contains("54000.0 GFT an hour"), "{page}");
        assert!(page.contains("2 threads") && page.contains("3 streams"));
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = Spread::of([4.0, 1.0, 2.0, 9.0].into_iter());
        assert_eq!(
            (spread.median, spread.least, spread.greatest),
            (3.0, 1.0, 9.0)
        );
    }
}
