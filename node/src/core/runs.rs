//! What became of the newest jobs of this node: how far they are, and where the
//! time of each token went.
//!
//! A bounded memory for the owner; money stands in the ledger. Pure: time comes in
//! as numbers, and whoever wants to outlive the process restores what it kept.

use super::hop_times::{self, HopTime};
use std::collections::VecDeque;
use talkoot_protocol::frame::StageTime;
use talkoot_protocol::{JobId, LayerRange, Wallet};

/// Jobs remembered.
pub const RUNS_MAX: usize = 256;
/// Tokens of a job whose times are remembered.
pub const SAMPLES_MAX: usize = 512;

/// What this node is to a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It asks.
    Asker,
    /// It computes a stage of another's job.
    Worker,
}

/// How far a job is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// The stages read the prompt.
    Prompt,
    /// Tokens come.
    Answering,
    /// It is complete.
    Done,
    /// It was given up by the asker.
    Cancelled,
    /// It failed, for this reason.
    Failed(String),
}

/// What is known of a job when it begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunStart {
    /// The job.
    pub job: JobId,
    /// What its stages call it in their logs; may be empty.
    pub request_id: String,
    /// What we are to it.
    pub role: Role,
    /// The model's id.
    pub model: String,
    /// The model's name.
    pub model_name: String,
    /// The route, in order.
    pub stages: Vec<(Wallet, LayerRange)>,
    /// Prompt tokens.
    pub prompt_tokens: u32,
    /// Completion tokens at most.
    pub completion_tokens_max: u32,
    /// Price of a token, µGFT; 0 for a free job.
    pub price_ugft_per_token: u64,
    /// When, milliseconds since 1970.
    pub started_ms: u64,
    /// The same on the monotonic clock, µs.
    pub started_us: u64,
}

/// The time of one token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenSample {
    /// Since the job began, µs.
    pub at_us: u64,
    /// Since the token before, µs; since the beginning for the first.
    pub interval_us: u64,
    /// Where it went. A worker knows of the stages up to its own, and nothing of
    /// the wire.
    pub hops: Vec<HopTime>,
}

impl TokenSample {
    /// All hops of the wire together, µs.
    #[must_use]
    pub fn wire_us(&self) -> u64 {
        self.hops.iter().map(|hop| u64::from(hop.wire_us)).sum()
    }
}

/// One job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What was known at its beginning.
    pub start: RunStart,
    /// How far it is.
    pub phase: Phase,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: Option<u64>,
    /// Prompt tokens accepted as done.
    pub prompt_done: u32,
    /// Completion tokens made.
    pub completion_tokens: u32,
    /// Completion tokens accepted: what money follows.
    pub acked_tokens: u32,
    /// The newest tokens' times, oldest first.
    pub samples: VecDeque<TokenSample>,
    /// When the first token came, on the clock of `start.started_us`.
    pub first_us: Option<u64>,
    /// When something was last heard of it, on the same clock.
    pub last_us: u64,
}

/// Half of the values, and nearly all, are no larger.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spread {
    /// The median.
    pub p50: u64,
    /// The 95th percentile.
    pub p95: u64,
}

impl Spread {
    /// Of these values, by the nearest rank.
    #[must_use]
    pub fn of(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        let rank = |percent: usize| {
            let index = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values.get(index).copied().unwrap_or(0)
        };
        Self {
            p50: rank(50),
            p95: rank(95),
        }
    }
}

/// The parts of one hop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HopSpread {
    /// Waiting in the stage, µs.
    pub wait: Spread,
    /// Computing, µs.
    pub compute: Spread,
    /// The link to the next stage, µs.
    pub wire: Spread,
}

impl Run {
    /// From the beginning to the first token, µs.
    #[must_use]
    pub fn time_to_first_token_us(&self) -> u64 {
        self.first_us
            .map_or(0, |first_us| first_us.saturating_sub(self.start.started_us))
    }

    /// Tokens per second after the first; 0 without a second.
    #[must_use]
    pub fn tokens_per_second(&self) -> f64 {
        let first_us = self.first_us.unwrap_or(self.last_us);
        let seconds =
            std::time::Duration::from_micros(self.last_us.saturating_sub(first_us)).as_secs_f64();
        let later = f64::from(self.completion_tokens.saturating_sub(1));
        if seconds > 0.0 { later / seconds } else { 0.0 }
    }

    /// The samples that tell how tokens go round: all but the first, which holds
    /// the prompt, where there are others.
    fn decoding(&self) -> impl Iterator<Item = &TokenSample> {
        let skipped = usize::from(
            self.samples.len() > 1
                && self.samples.front().map(|sample| sample.at_us)
                    == Some(self.time_to_first_token_us()),
        );
        self.samples.iter().skip(skipped)
    }

    /// Hops whose times are known: all for the asker, those up to its own for a
    /// worker.
    #[must_use]
    pub fn hops_known(&self) -> usize {
        self.samples.back().map_or(0, |sample| sample.hops.len())
    }

    /// Of one hop.
    #[must_use]
    pub fn hop_spread(&self, hop: usize) -> HopSpread {
        let of = |part: fn(&HopTime) -> u32| {
            let hops = self.decoding().filter_map(|sample| sample.hops.get(hop));
            Spread::of(hops.map(|hop| u64::from(part(hop))).collect())
        };
        HopSpread {
            wait: of(|hop| hop.wait_us),
            compute: of(|hop| hop.compute_us),
            wire: of(|hop| hop.wire_us),
        }
    }

    /// Of the wire, all hops together: what of a token's time no stage had it.
    #[must_use]
    pub fn wire_spread(&self) -> Spread {
        Spread::of(self.decoding().map(TokenSample::wire_us).collect())
    }

    fn push(&mut self, sample: TokenSample) {
        if self.samples.len() >= SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }
}

/// The newest jobs.
#[derive(Debug, Default)]
pub struct RunBook {
    /// Oldest first.
    runs: VecDeque<Run>,
}

impl RunBook {
    /// A job begins. The oldest that has ended makes room.
    pub fn begin(&mut self, start: RunStart) {
        self.runs.push_back(Run {
            last_us: start.started_us,
            start,
            phase: Phase::Prompt,
            ended_ms: None,
            prompt_done: 0,
            completion_tokens: 0,
            acked_tokens: 0,
            samples: VecDeque::new(),
            first_us: None,
        });
        self.make_room();
    }

    /// Takes up what an earlier process knew, oldest first: all of it is older than
    /// what this one knows.
    pub fn restore(&mut self, runs: Vec<Run>) {
        for run in runs.into_iter().rev() {
            self.runs.push_front(run);
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.runs.len() > RUNS_MAX {
            let ended = self.runs.iter().position(|run| run.ended_ms.is_some());
            self.runs.remove(ended.unwrap_or(0));
        }
    }

    /// One job, as this node is to it.
    #[must_use]
    pub fn get(&self, job: JobId, role: Role) -> Option<&Run> {
        let mut newest = self.runs.iter().rev();
        newest.find(|run| run.start.job == job && run.start.role == role)
    }

    fn of(&mut self, job: JobId, role: Role) -> Option<&mut Run> {
        let mut newest = self.runs.iter_mut().rev();
        newest.find(|run| run.start.job == job && run.start.role == role)
    }

    /// A token came to the asker.
    pub fn token(&mut self, job: JobId, stages: &[StageTime], now_us: u64) {
        let Some(run) = self.of(job, Role::Asker) else {
            return;
        };
        let interval_us = now_us.saturating_sub(run.last_us);
        run.phase = Phase::Answering;
        run.first_us.get_or_insert(now_us);
        run.last_us = now_us;
        run.completion_tokens = run.completion_tokens.saturating_add(1);
        run.prompt_done = run.start.prompt_tokens;
        run.push(TokenSample {
            at_us: now_us.saturating_sub(run.start.started_us),
            interval_us,
            hops: hop_times::divide(interval_us, stages),
        });
    }

    /// A token passed a stage of ours, and `stages` is what it and those before it
    /// say. What the others take is not known here.
    pub fn passed(&mut self, job: JobId, stages: &[StageTime], now_us: u64) {
        let Some(run) = self.of(job, Role::Worker) else {
            return;
        };
        // As a token it leaves the last stage, and the first one holds the prompt.
        if stages.len() == run.start.stages.len() {
            run.first_us.get_or_insert(now_us);
        }
        let at_us = now_us.saturating_sub(run.start.started_us);
        let before_us = run.samples.back().map_or(0, |sample| sample.at_us);
        run.push(TokenSample {
            at_us,
            interval_us: at_us.saturating_sub(before_us),
            hops: hop_times::divide(0, stages),
        });
    }

    /// The asker accepted this much.
    pub fn acked(&mut self, job: JobId, role: Role, prompt_done: u32, completion: u32) {
        if let Some(run) = self.of(job, role) {
            run.prompt_done = run.prompt_done.max(prompt_done);
            run.acked_tokens = run.acked_tokens.max(completion);
        }
    }

    /// A stage of ours knows that this much is made.
    pub fn made(&mut self, job: JobId, completion: u32, now_us: u64) {
        if let Some(run) = self.of(job, Role::Worker) {
            if completion > 0 {
                run.phase = Phase::Answering;
                run.first_us.get_or_insert(now_us);
            }
            run.last_us = now_us;
            run.completion_tokens = run.completion_tokens.max(completion);
        }
    }

    /// A job ended.
    pub fn end(&mut self, job: JobId, role: Role, phase: Phase, now_ms: u64) {
        if let Some(run) = self.of(job, role) {
            run.phase = phase;
            run.ended_ms = Some(now_ms);
        }
    }

    /// All, newest first.
    pub fn newest(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_protocol::Hash;

    fn start(byte: u8, role: Role) -> RunStart {
        RunStart {
            job: JobId(Hash::from_bytes([byte; 32])),
            request_id: String::new(),
            role,
            model: String::new(),
            model_name: String::new(),
            stages: Vec::new(),
            prompt_tokens: 10,
            completion_tokens_max: 20,
            price_ugft_per_token: 1,
            started_ms: 1,
            started_us: 1_000,
        }
    }

    fn time(compute_us: u32, stay_us: u32) -> StageTime {
        StageTime {
            compute_us,
            stay_us,
            link_us: 0,
        }
    }

    #[test]
    fn the_time_of_a_token_is_compute_wait_and_wire() {
        let mut book = RunBook::default();
        let start = start(1, Role::Asker);
        let job = start.job;
        book.begin(start);
        book.token(job, &[time(900, 1_000), time(900, 1_000)], 5_000);
        for step in 1..=4 {
            let stages = [time(100, 200), time(300, 400)];
            book.token(job, &stages, 5_000 + step * 1_000);
        }
        book.acked(job, Role::Asker, 10, 4);
        let run = book.newest().next().unwrap();
        assert_eq!(run.time_to_first_token_us(), 4_000);
        assert!((run.tokens_per_second() - 1_000.0).abs() < 1e-9);
        assert_eq!((run.completion_tokens, run.acked_tokens), (5, 4));
        let both = |value| Spread {
            p50: value,
            p95: value,
        };
        let hop = |wait, compute, wire| HopSpread {
            wait: both(wait),
            compute: both(compute),
            wire: both(wire),
        };
        assert_eq!(run.hop_spread(0), hop(100, 100, 200));
        assert_eq!(run.hop_spread(1), hop(100, 300, 200));
        assert_eq!(run.wire_spread(), both(400));
        assert_eq!(run.hops_known(), 2);
        assert_eq!(run.phase, Phase::Answering);
    }

    #[test]
    fn a_worker_knows_its_own_times_and_those_before_it() {
        let mut book = RunBook::default();
        let start = start(1, Role::Worker);
        let job = start.job;
        book.begin(start);
        for step in 1..=3 {
            book.passed(job, &[time(100, 200), time(300, 400)], step * 1_000);
        }
        let run = book.newest().next().unwrap();
        let hop = run.hop_spread(1);
        assert_eq!(run.time_to_first_token_us(), 0, "it is not the last stage");
        assert_eq!((hop.compute.p50, hop.wait.p95, hop.wire.p95), (300, 100, 0));
        assert_eq!((run.hops_known(), run.completion_tokens), (2, 0));
        assert_eq!(run.samples[2].interval_us, 1_000);
    }

    #[test]
    fn the_last_stage_leaves_the_prompt_out() {
        let mut book = RunBook::default();
        let wallet = Wallet::from_bytes([1; 32]);
        let start = RunStart {
            stages: vec![(wallet, LayerRange::new(0, 4).unwrap())],
            ..start(1, Role::Worker)
        };
        let job = start.job;
        book.begin(start);
        book.passed(job, &[time(9_000, 9_500)], 11_000);
        book.passed(job, &[time(100, 150)], 11_200);
        let run = book.newest().next().unwrap();
        assert_eq!(run.time_to_first_token_us(), 10_000);
        assert_eq!(run.hop_spread(0).compute.p95, 100);
    }

    #[test]
    fn spreads_are_of_the_nearest_rank() {
        assert_eq!(Spread::of(Vec::new()), Spread::default());
        let hundred = Spread::of((1..=100).rev().collect());
        assert_eq!((hundred.p50, hundred.p95), (50, 95));
        let one = Spread::of(vec![7]);
        assert_eq!((one.p50, one.p95), (7, 7));
    }

    #[test]
    fn both_roles_of_one_job_are_told_apart() {
        let mut book = RunBook::default();
        let (asker, worker) = (start(1, Role::Asker), start(1, Role::Worker));
        let job = asker.job;
        book.begin(asker);
        book.begin(worker);
        book.made(job, 8, 2_000);
        book.acked(job, Role::Worker, 10, 8);
        book.end(job, Role::Worker, Phase::Done, 9);
        let runs: Vec<&Run> = book.newest().collect();
        assert_eq!((runs[0].acked_tokens, runs[0].ended_ms), (8, Some(9)));
        assert_eq!((runs[1].acked_tokens, runs[1].ended_ms), (0, None));
    }

    #[test]
    fn memory_is_bounded_and_running_jobs_stay() {
        let mut book = RunBook::default();
        let running = start(200, Role::Asker);
        let kept = running.job;
        book.begin(running);
        for byte in 0..=255_u8 {
            let mut start = start(byte, Role::Worker);
            start.started_ms = u64::from(byte);
            let job = start.job;
            book.begin(start);
            book.end(job, Role::Worker, Phase::Done, 1);
        }
        assert_eq!(book.newest().count(), RUNS_MAX);
        assert!(
            book.newest()
                .any(|run| run.start.job == kept && run.ended_ms.is_none())
        );
        for now_us in 0..2_000 {
            book.token(kept, &[time(1, 1)], now_us);
        }
        let run = book.newest().find(|run| run.start.role == Role::Asker);
        assert_eq!(run.unwrap().samples.len(), SAMPLES_MAX);
    }
}
