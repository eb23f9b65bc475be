//! The simulator in the gate: every kind of world for some seeds, about two
//! minutes in all on one core. `TALKOOT_SEEDS` percent of the seeds are run.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use talkoot_simulation::{Counts, Scenario, run};

fn seeds(default: u64) -> u64 {
    let percent = std::env::var("TALKOOT_SEEDS")
        .ok()
        .and_then(|text| text.parse::<u64>().ok())
        .unwrap_or(100);
    (default * percent / 100).max(1)
}

/// Runs seeds; what must have happened is named, so that a world in which
/// nothing happens does not pass.
fn simulate(scenario: Scenario, default: u64, happened: &[&str]) {
    let mut counts = Counts::default();
    for seed in 0..seeds(default) {
        let name = scenario.name();
        let replay =
            format!("cargo run --release -p talkoot-simulation -- --seed {seed} --scenario {name}");
        let attempt = std::panic::catch_unwind(|| run(scenario, seed, None));
        match attempt {
            Ok(Ok(more)) => counts.join(&more),
            Ok(Err(violation)) => panic!("SEED={seed} ({name}): {violation}\nreplay: {replay}"),
            Err(_) => panic!("SEED={seed} ({name}) panicked\nreplay: {replay}"),
        }
    }
    for (name, value) in counts.all() {
        println!("{name}: {value}");
    }
    for name in happened {
        assert!(counts.get(name) > 0, "{name} never happened");
    }
}

#[test]
fn small_worlds_agree_with_the_oracle() {
    let happened = [
        "oracle_comparisons",
        "recounts",
        "entries_confirmed",
        "frontiers_paid",
        "forks_proven",
    ];
    simulate(Scenario::Small, 360, &happened);
}

#[test]
fn worlds_of_all_liars_and_faults() {
    let happened = [
        "entries_refused",
        "partitions_healed",
        "restarts",
        "entries_backfilled",
    ];
    simulate(Scenario::General, 160, &happened);
}

#[test]
fn honest_nodes_on_failing_disks() {
    let happened = [
        "disks_failed",
        "disks_wiped",
        "backups_restored",
        "restarts",
    ];
    simulate(Scenario::Crashes, 150, &happened);
}

#[test]
fn double_spenders_in_a_parting_network() {
    simulate(
        Scenario::Partitions,
        40,
        &["forks_proven", "partitions_healed"],
    );
}

#[test]
fn attacks_that_a_general_adversary_misses() {
    simulate(Scenario::Directed, 180, &["forks_proven", "frontiers_paid"]);
}

#[test]
fn founders_with_a_third_and_more() {
    simulate(Scenario::Majority, 80, &["forks_proven", "frontiers_paid"]);
}

#[test]
fn holds_that_end() {
    simulate(Scenario::Releases, 16, &["releases", "frontiers_paid"]);
}

#[test]
fn ten_thousand_authors_write_rubbish() {
    simulate(
        Scenario::Garbage,
        1,
        &["garbage_authors", "entries_confirmed"],
    );
}

#[test]
fn large_worlds() {
    simulate(Scenario::Large, 24, &["entries_confirmed", "restarts"]);
}

#[test]
fn a_run_is_a_function_of_its_seed() {
    for seed in 0..4 {
        let scenario = Scenario::of_seed(seed * 3);
        let runs = [run(scenario, seed, None), run(scenario, seed, None)];
        let [first, second] = runs.map(|counts| counts.unwrap().all().collect::<Vec<_>>());
        assert_eq!(first, second, "SEED={seed} ({})", scenario.name());
    }
}
