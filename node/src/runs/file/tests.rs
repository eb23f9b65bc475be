//! What a stop, a kill and a damaged file leave of the jobs.

use super::*;
use crate::core::runs::{Phase, RunBook, RunStart};
use talkoot_protocol::frame::StageTime;
use talkoot_protocol::{Hash, JobId, Keypair, LayerRange};

fn start(number: u64, role: Role) -> RunStart {
    let wallet = Keypair::from_seed(&[7; 32]).wallet();
    let mut id = [0; 32];
    id[..8].copy_from_slice(&number.to_le_bytes());
    RunStart {
        job: JobId(Hash::from_bytes(id)),
        request_id: "a\nrequest".to_owned(),
        role,
        model: "m".to_owned(),
        model_name: "demo".to_owned(),
        stages: vec![(wallet, LayerRange::new(0, 4).unwrap()); 2],
        prompt_tokens: 3,
        completion_tokens_max: 9,
        price_ugft_per_token: 5,
        started_ms: number,
        started_us: 1_000,
    }
}

/// A finished job of three tokens.
fn finished(number: u64, role: Role) -> Run {
    let mut book = RunBook::default();
    let start = start(number, role);
    let job = start.job;
    book.begin(start);
    let time = StageTime {
        compute_us: 10,
        stay_us: 15,
        link_us: 2,
    };
    for now_us in [2_000, 2_100, 2_200] {
        book.token(job, &[time, time], now_us);
        book.passed(job, &[time], now_us);
        book.made(job, 1, now_us);
    }
    book.acked(job, role, 3, 2);
    book.end(
        job,
        role,
        Phase::Failed("lost: \"it\"".to_owned()),
        number + 5,
    );
    book.newest().next().unwrap().clone()
}

/// What is restored of a job: the same, on a clock that begins with it.
fn on_its_own_clock(mut run: Run) -> Run {
    let started_us = std::mem::take(&mut run.start.started_us);
    run.first_us = run.first_us.map(|first_us| first_us - started_us);
    run.last_us -= started_us;
    run
}

#[test]
fn jobs_come_back_as_they_were() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.jsonl");
    let (none, file) = RunsFile::open(path.clone()).unwrap();
    assert!(none.is_empty());
    let runs = [
        finished(1, Role::Asker),
        finished(1, Role::Worker),
        finished(2, Role::Asker),
    ];
    for run in &runs {
        file.write(run.clone());
    }
    file.flush();
    let (restored, _) = RunsFile::open(path).unwrap();
    let expected: Vec<Run> = runs.into_iter().map(on_its_own_clock).collect();
    assert_eq!(restored.len(), 3);
    for run in expected {
        assert!((run.tokens_per_second() > 0.0) == (run.start.role == Role::Asker));
        assert!(restored.contains(&run), "{run:?}");
    }
}

#[test]
fn a_job_that_ran_when_the_node_was_killed_has_failed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.jsonl");
    let mut book = RunBook::default();
    book.begin(start(1, Role::Worker));
    let running = book.newest().next().unwrap().clone();
    let (_, file) = RunsFile::open(path.clone()).unwrap();
    file.write(running);
    file.flush();
    let mut lines = std::fs::read(&path).unwrap();
    // Cut before the end of a line that is whole but for that.
    std::fs::write(&path, &lines[..lines.len() - 1]).unwrap();
    drop(RunsFile::open(path.clone()).unwrap());
    assert_eq!(std::fs::read(&path).unwrap().last(), Some(&b'\n'));
    // Cut in the middle of a line, and something else's line.
    lines.extend_from_slice(b"\xff\xfe\n{\"schema\":1,\"job\":\"");
    std::fs::write(&path, lines).unwrap();
    let (restored, file) = RunsFile::open(path.clone()).unwrap();
    let [run] = restored.as_slice() else {
        panic!("{restored:?}")
    };
    assert!(matches!(&run.phase, Phase::Failed(reason) if reason.contains("the node ended")));
    assert_eq!(run.ended_ms, Some(1));
    // The damage is gone, and what comes stands on a line of its own.
    file.write(finished(2, Role::Asker));
    file.flush();
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().all(|line| line::read(line).is_ok()), "{text}");
}

#[test]
fn the_file_is_bounded_and_keeps_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.jsonl");
    let (_, file) = RunsFile::open(path.clone()).unwrap();
    let jobs = 2 * u64::try_from(LINES_MAX).unwrap();
    for number in 0..jobs {
        file.write(finished(number, Role::Worker));
        if number % 100 == 0 {
            file.flush();
        }
    }
    file.flush();
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.lines().count() <= LINES_MAX);
    let (restored, _) = RunsFile::open(path.clone()).unwrap();
    assert_eq!(restored.len(), RUNS_MAX);
    assert_eq!(restored.last().unwrap().start.started_ms, jobs - 1);
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text.lines().count(), RUNS_MAX);
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("jobs.jsonl");
    let (_, file) = RunsFile::open(path.clone()).unwrap();
    file.write(finished(1, Role::Asker));
    file.flush();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
