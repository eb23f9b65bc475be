//! `talkoot-simulate`: runs seeds of the simulator, prints progress, and at the
//! end what happened as `name: value` lines.
//!
//! ```text
//! talkoot-simulate [--seed N | --seeds A..B] [--minutes N]
//!                  [--scenario all|NAME] [--nodes N] [--json] [--keep-going]
//! talkoot-simulate --thousand [--nodes N] [--entries N] [--seed N]
//! ```
//!
//! With `--minutes` it goes on with further seeds until the time is over and
//! the seeds given are done. A seed that breaks a law ends the run with exit
//! code 1 and the command that replays it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a program for the terminal, which measures real time"
)]

use std::process::ExitCode;
use std::time::{Duration, Instant};
use talkoot_simulation::{Counts, Scenario, Violation, run, thousand};

struct Options {
    first: u64,
    end: u64,
    minutes: u64,
    scenario: Option<Scenario>,
    nodes: Option<usize>,
    is_json: bool,
    keeps_going: bool,
    is_thousand: bool,
    entries: u64,
}

const USAGE: &str = "usage: talkoot-simulate [--seed N | --seeds A..B] [--minutes N] \
    [--scenario all|small|general|crashes|partitions|directed|majority|large|garbage|releases] \
    [--nodes N] [--json] [--keep-going]";

fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        first: 0,
        end: 100,
        minutes: 0,
        scenario: None,
        nodes: None,
        is_json: false,
        keeps_going: false,
        is_thousand: false,
        entries: 10_000,
    };
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--seed" => {
                options.first = arguments.next()?.parse().ok()?;
                options.end = options.first.checked_add(1)?;
            }
            "--seeds" => {
                let range = arguments.next()?;
                let (first, end) = range.split_once("..")?;
                (options.first, options.end) = (first.parse().ok()?, end.parse().ok()?);
            }
            "--minutes" => options.minutes = arguments.next()?.parse().ok()?,
            "--scenario" => {
                let name = arguments.next()?;
                options.scenario = match name.as_str() {
                    "all" => None,
                    name => Some(Scenario::named(name)?),
                };
            }
            "--nodes" => options.nodes = Some(arguments.next()?.parse().ok()?),
            "--json" => options.is_json = true,
            "--thousand" => options.is_thousand = true,
            "--entries" => options.entries = arguments.next()?.parse().ok()?,
            "--keep-going" => options.keeps_going = true,
            _ => return None,
        }
    }
    Some(options)
}

fn replay(options: &Options, scenario: Scenario, seed: u64) -> String {
    let nodes = options
        .nodes
        .map_or_else(String::new, |nodes| format!(" --nodes {nodes}"));
    format!(
        "cargo run --release -p talkoot-simulation -- --seed {seed} --scenario {}{nodes}",
        scenario.name()
    )
}

fn run_seed(options: &Options, scenario: Scenario, seed: u64) -> Result<Counts, Violation> {
    let attempt = std::panic::AssertUnwindSafe(|| run(scenario, seed, options.nodes));
    std::panic::catch_unwind(attempt).unwrap_or_else(|_| Err(Violation("it panicked".into())))
}

fn print(options: &Options, counts: &Counts, failures: u64, seconds: u64) {
    if options.is_json {
        let mut object: serde_json::Map<String, serde_json::Value> = counts
            .all()
            .map(|(name, value)| (name.to_owned(), value.into()))
            .collect();
        object.insert("failures".into(), failures.into());
        object.insert("seconds".into(), seconds.into());
        println!("{}", serde_json::Value::Object(object));
        return;
    }
    for (name, value) in counts.all() {
        println!("{name}: {value}");
    }
    println!("virtual_hours: {}", counts.get("virtual_ms") / 3_600_000);
    println!("failures: {failures}");
    println!("seconds: {seconds}");
}

fn run_thousand(options: &Options, start: Instant) -> ExitCode {
    let nodes = options.nodes.unwrap_or(1000);
    match thousand(nodes, options.entries, options.first) {
        Ok(counts) => {
            print(options, &counts, 0, start.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Err(violation) => {
            println!("{violation}");
            ExitCode::FAILURE
        }
    }
}

fn main() -> ExitCode {
    let Some(options) = parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let start = Instant::now();
    if options.is_thousand {
        return run_thousand(&options, start);
    }
    let least = Duration::from_secs(options.minutes.saturating_mul(60));
    let (mut counts, mut failures, mut shown) = (Counts::default(), 0_u64, Duration::ZERO);
    let mut seed = options.first;
    while seed < options.end || start.elapsed() < least {
        let scenario = options.scenario.unwrap_or_else(|| Scenario::of_seed(seed));
        match run_seed(&options, scenario, seed) {
            Ok(more) => counts.join(&more),
            Err(violation) => {
                failures = failures.saturating_add(1);
                println!("SEED {seed} ({}): {violation}", scenario.name());
                println!("replay: {}", replay(&options, scenario, seed));
                if !options.keeps_going {
                    break;
                }
            }
        }
        seed = seed.saturating_add(1);
        if start.elapsed().saturating_sub(shown) > Duration::from_secs(10) {
            shown = start.elapsed();
            let (done, entries) = (counts.get("seeds"), counts.get("entries"));
            eprintln!(
                "{}s: {done} seeds, {entries} entries, {failures} failures",
                shown.as_secs()
            );
        }
    }
    print(&options, &counts, failures, start.elapsed().as_secs());
    if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
