//! Law of a job: Σ earned + commons = burned ≤ cap at every frontier; what is
//! paid in steps adds up to what one frontier pays; nothing falls; and in which
//! order the workers are listed does not matter.

use crate::common::{E, Kit, OfferTerms, wallet};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::BTreeMap;
use talkoot_ledger::views::AccountView;
use talkoot_ledger::{Balance, Ledger, Payload, Source, Ugft, id_of};
use talkoot_protocol::{JobId, Wallet};

const WORKERS: [&str; 6] = ["w0", "w1", "w2", "w3", "w4", "w5"];
const LINE: u64 = 1 << 60;

fn terms() -> impl Strategy<Value = OfferTerms> {
    let rate = prop_oneof![Just(0), 1_u32..50, any::<u32>()];
    let share = prop_oneof![0_u64..4, 1000_u64..5000, 0..=1_u64 << 36];
    let bytes = prop_oneof![Just(0), 1_u64..100, any::<u64>()];
    let memory = prop_oneof![1_u64..100, 1..=u64::MAX];
    (share, rate, 500_000_u32..=1_000_000, bytes, memory).prop_map(
        |(share_kflop, service_rate, reliability_ppm, shard_bytes, memory_bytes)| OfferTerms {
            price: 0,
            share_kflop,
            service_rate,
            reliability_ppm,
            shard_bytes,
            memory_bytes,
        },
    )
}

#[derive(Debug, Clone)]
struct Job {
    price: u64,
    prompt: u32,
    completion_max: u32,
    /// In the order of the layers.
    stages: Vec<(Wallet, OfferTerms)>,
    submitter_is_a_stage: bool,
    /// Completion tokens of the frontiers that each stage posts.
    frontiers: Vec<Vec<u32>>,
}

fn job() -> impl Strategy<Value = Job> {
    let price = prop_oneof![0_u64..20, 0..=1_000_000_000_000_u64];
    let stages = vec((terms(), vec(0_u32..=200, 1..4)), 1..=WORKERS.len());
    (price, 0_u32..=200, 1_u32..=200, stages, any::<bool>()).prop_map(
        |(price, prompt, completion_max, stages, submitter_is_a_stage)| {
            let with_price = |terms| OfferTerms { price, ..terms };
            let (terms, mut frontiers): (Vec<OfferTerms>, Vec<Vec<u32>>) =
                stages.into_iter().unzip();
            let names = WORKERS.iter().map(|name| wallet(name));
            for done in frontiers.iter_mut().flatten() {
                *done %= completion_max + 1;
            }
            Job {
                price,
                prompt,
                completion_max,
                stages: names.zip(terms.into_iter().map(with_price)).collect(),
                submitter_is_a_stage,
                frontiers,
            }
        },
    )
}

/// Books of one job, and its stages' logs.
struct Run {
    kit: Kit,
    ledger: Ledger,
    names: E,
    job: E,
    tips: BTreeMap<Wallet, E>,
}

fn start(job: &Job) -> Run {
    let kit = Kit::new(&[("s", LINE), ("f", LINE)], &WORKERS);
    let all: Vec<Wallet> = WORKERS.iter().map(|name| wallet(name)).collect();
    let names = kit.naming(wallet("s"), &all);
    let own = job.submitter_is_a_stage.then(|| {
        let terms = OfferTerms {
            price: job.price,
            ..OfferTerms::default()
        };
        (wallet("s"), terms)
    });
    let stages: Vec<_> = job
        .stages
        .iter()
        .copied()
        .chain(own)
        .map(|(worker, terms)| (worker, 1, terms))
        .collect();
    let payload = kit.reserve_payload(wallet("s"), &stages, job.prompt, job.completion_max);
    let payload = Payload::Reserve(Box::new(payload));
    let entry = kit.entry(wallet("s"), Some(&names), &[], &payload);
    let mut ledger = Ledger::new(kit.genesis.clone());
    ledger.admit_batch(vec![names.clone(), entry.clone()], Source::Own, 0);
    Run {
        kit,
        ledger,
        names,
        job: entry,
        tips: BTreeMap::new(),
    }
}

impl Run {
    fn post(&mut self, worker: Wallet, prompt: u32, done: u32, is_final: bool) {
        let payload = self.kit.frontier_payload(&self.job, prompt, done, is_final);
        let payload = Payload::Frontier(Box::new(payload));
        let refs = [&self.names, &self.job];
        let entry = self
            .kit
            .entry(worker, self.tips.get(&worker), &refs, &payload);
        self.ledger.admit(entry.clone(), Source::Own, 0);
        let outcome = self.ledger.view(&id_of(&entry)).unwrap().outcome;
        assert!(outcome.is_effective(), "{outcome:?}");
        self.tips.insert(worker, entry);
    }

    /// Earned by worker, burned in all, commons; checked against each other.
    fn paid(&self) -> (BTreeMap<Wallet, Ugft>, Ugft, Ugft) {
        let job = self.ledger.job(JobId(id_of(&self.job))).unwrap();
        assert_eq!(job.earned.0 + job.commons.0, job.burned.0);
        assert!(job.burned <= job.cap);
        let account = |wallet| self.ledger.account(wallet);
        assert_eq!(
            account(wallet("s")).balance,
            Balance::ZERO.minus(job.burned)
        );
        assert_eq!(self.ledger.commons(), Balance::from(job.commons));
        let mut earned = BTreeMap::new();
        for stage in &job.stages {
            assert!(stage.earned <= stage.burned && stage.burned <= stage.hold);
            if !stage.is_own {
                assert_eq!(account(stage.worker).balance, Balance::from(stage.earned));
            }
            earned.insert(stage.worker, stage.earned);
        }
        (earned, job.burned, job.commons)
    }

    /// The submitter forks its log at the job, and what was paid is void; the
    /// other founder has seen the job alone, and all is paid again.
    fn through_a_fork(&mut self) {
        let before = self.paid();
        let twin = self.kit.witness(wallet("s"), Some(&self.names), &[], 77);
        self.ledger.admit(twin, Source::Own, 0);
        assert_eq!(self.paid().1, Ugft::ZERO);
        let witness = self.kit.witness(wallet("f"), None, &[&self.job], 1);
        self.ledger.admit(witness, Source::Own, 0);
        assert_eq!(self.paid(), before);
    }

    fn accounts(&self) -> Vec<AccountView> {
        self.ledger.accounts()
    }
}

/// Pays the job in the steps of its frontiers, all stages in turn.
fn in_steps(job: &Job) -> Run {
    let mut run = start(job);
    let rounds = job.frontiers.iter().map(Vec::len).max().unwrap_or(0);
    let (mut before, mut burned_before, mut commons_before) = run.paid();
    for round in 0..rounds {
        for ((worker, _), frontiers) in job.stages.iter().zip(&job.frontiers) {
            let Some(&done) = frontiers.get(round) else {
                continue;
            };
            run.post(*worker, job.prompt, done, round + 1 == frontiers.len());
            let (earned, burned, commons) = run.paid();
            assert!(
                burned >= burned_before && commons >= commons_before,
                "it fell"
            );
            assert!(
                earned
                    .iter()
                    .all(|(worker, earned)| *earned >= before[worker])
            );
            (before, burned_before, commons_before) = (earned, burned, commons);
        }
    }
    run
}

/// Pays each stage once, at the highest of its frontiers.
fn at_once(job: &Job) -> Run {
    let mut run = start(job);
    for ((worker, _), frontiers) in job.stages.iter().zip(&job.frontiers) {
        let done = frontiers.iter().copied().max().unwrap_or(0);
        run.post(*worker, job.prompt, done, true);
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        u32::try_from(crate::common::seeds(200)).unwrap()
    ))]

    #[test]
    fn steps_add_up_and_the_order_of_workers_does_not_matter(
        job in job(),
        shuffle in any::<u64>(),
    ) {
        let mut steps = in_steps(&job);
        let once = at_once(&job);
        prop_assert_eq!(steps.paid(), once.paid());
        prop_assert_eq!(steps.accounts(), once.accounts());
        steps.through_a_fork();
        let mut permuted = job.clone();
        let mut pairs: Vec<_> = permuted.stages.into_iter().zip(permuted.frontiers).collect();
        crate::common::Rng(shuffle).shuffle(&mut pairs);
        (permuted.stages, permuted.frontiers) = pairs.into_iter().unzip();
        let mut other = in_steps(&permuted);
        other.through_a_fork();
        prop_assert_eq!(other.paid(), steps.paid());
        prop_assert_eq!(other.accounts(), steps.accounts());
    }
}
