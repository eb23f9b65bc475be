//! Law: extremes of every parameter stay in range or go inert; nothing panics.
//!
//! Founders have the largest lines there are, and every number of offers,
//! reserves, frontiers and admits is 0, 1, its largest, or near these. Then raw
//! payloads get such numbers anywhere.

use crate::common::{E, Kit, OfferTerms, Rng, SeedGuard, is_enough, seed_list, wallet};
use talkoot_ledger::kinds::{ADMIT, FRONTIER, RESERVE};
use talkoot_ledger::{Admission, Balance, Ledger, Outcome, Payload, Reason, Source, Ugft, id_of};
use talkoot_protocol::genesis::{Founder, PPM, Policy};
use talkoot_protocol::limits::{CONTEXT_TOKENS_MAX, STAGES_MAX};
use talkoot_protocol::{Genesis, JobId, Wallet};

const LINE_MAX: u64 = 1 << 60;
const PRICE_MAX: u64 = PPM * PPM;

/// The books of sixteen founders; the first submits, and sixty-four work.
struct World {
    kit: Kit,
    ledger: Ledger,
    workers: Vec<Wallet>,
    tips: Vec<E>,
    newest: E,
    nonce: u64,
}

fn founders() -> Vec<String> {
    (0..16).map(|n| format!("founder {n}")).collect()
}

fn workers() -> Vec<String> {
    (0..STAGES_MAX + 1).map(|n| format!("worker {n}")).collect()
}

impl World {
    fn new(random: &mut Rng) -> Self {
        let (founder_names, worker_names) = (founders(), workers());
        let lines: Vec<(&str, u64)> = founder_names
            .iter()
            .map(|name| {
                (
                    name.as_str(),
                    random.pick(&[LINE_MAX, LINE_MAX, LINE_MAX, 0, 1]),
                )
            })
            .collect();
        let lines = [&[(lines[0].0, LINE_MAX)], &lines[1..]].concat();
        let names: Vec<&str> = worker_names.iter().map(String::as_str).collect();
        let kit = Kit::with_policy(
            &lines,
            &names,
            Policy {
                hardware_multiplier: random.chance(50),
                ..Policy::default()
            },
        );
        let workers: Vec<Wallet> = names.iter().map(|name| wallet(name)).collect();
        let mut ledger = Ledger::new(kit.genesis.clone());
        let mut tips = Vec::new();
        let mut newest: Option<E> = None;
        for part in workers.chunks(16) {
            let me = wallet("founder 0");
            let naming = kit.raw(me, newest.as_ref(), &[], 4, Vec::new(), part);
            ledger.admit(naming.clone(), Source::Own, 0);
            for worker in part {
                let first = kit.witness(*worker, None, &[&naming], 0);
                ledger.admit(first.clone(), Source::Own, 0);
                tips.push(first);
            }
            newest = Some(naming);
        }
        Self {
            kit,
            ledger,
            workers,
            tips,
            newest: newest.unwrap(),
            nonce: 0,
        }
    }

    fn add(&mut self, entry: &E) -> Outcome {
        let admission = self.ledger.admit(entry.clone(), Source::Own, 0);
        assert!(
            matches!(admission, Admission::Added { .. }),
            "{admission:?}"
        );
        self.check();
        self.ledger.view(&id_of(entry)).unwrap().outcome
    }

    /// Every sum is right and every number is in its range.
    fn check(&self) {
        assert_eq!(self.ledger.sum(), Balance::ZERO);
        let accounts = self.ledger.accounts();
        let lines: i128 = accounts.iter().map(|account| account.line.0).sum();
        let total = i128::try_from(self.kit.genesis.lines_ugft()).unwrap();
        assert_eq!(lines, total);
        for account in accounts {
            let left = account.line.0 + account.balance.0 - account.held.0;
            assert!(left >= 0 && left <= 2 * total, "{account:?}");
            assert!(account.held.0 >= 0 && account.line.0 >= 0, "{account:?}");
        }
    }
}

fn extreme_u32(random: &mut Rng, low: u32, high: u32) -> u32 {
    let middle = low + (high - low) / 2;
    let near = [(low + 1).min(high), high.saturating_sub(1).max(low)];
    random.pick(&[low, low, high, high, near[0], near[1], middle])
}

fn extreme_u64(random: &mut Rng, low: u64, high: u64) -> u64 {
    let middle = low + (high - low) / 2;
    let near = [(low + 1).min(high), high.saturating_sub(1).max(low)];
    random.pick(&[low, low, high, high, near[0], near[1], middle])
}

/// A job of extreme numbers by the submitter, and extreme frontiers.
fn job(world: &mut World, random: &mut Rng) -> Outcome {
    let me = wallet("founder 0");
    let price = extreme_u64(random, 0, PRICE_MAX);
    let count = random.pick(&[1, 2, STAGES_MAX - 1, STAGES_MAX, STAGES_MAX + 1]);
    world.nonce += 1;
    let nonce = random.pick(&[world.nonce, u64::MAX - world.nonce]);
    let tokens = [(); 2].map(|()| extreme_u32(random, 0, CONTEXT_TOKENS_MAX));
    let uniform = random.chance(30).then(|| terms(random, price));
    let stages: Vec<_> = (0..count)
        .map(|k| {
            (
                world.workers[k],
                nonce,
                uniform.unwrap_or_else(|| terms(random, price)),
            )
        })
        .collect();
    let hardware = extreme_u32(random, 50_000, 8_000_000);
    let mut reserve = world.kit.reserve_payload(me, &stages, tokens[0], tokens[1]);
    for signed in &mut reserve.offers {
        let mut offer = signed.claimed().clone();
        offer.hardware_ppm = hardware;
        offer.prompt_tokens_max = CONTEXT_TOKENS_MAX;
        offer.completion_tokens_max = extreme_u32(random, tokens[1], CONTEXT_TOKENS_MAX);
        offer.expires_ms = extreme_u64(random, 0, u64::MAX);
        *signed = world.kit.sign_offer(offer);
    }
    (reserve.deadline_ms, reserve.layers) = (
        extreme_u64(random, 0, u64::MAX),
        u32::try_from(count).unwrap(),
    );
    let memory_is_lent = stages.iter().all(|stage| stage.2.memory_bytes > 0);
    let payload = Payload::Reserve(Box::new(reserve));
    if payload.to_bytes().len() > talkoot_protocol::limits::ENTRY_PAYLOAD_BYTES_MAX {
        return Outcome::Inert(Reason::TooManyStages);
    }
    let entry = world.kit.entry(me, Some(&world.newest), &[], &payload);
    world.newest = entry.clone();
    let outcome = world.add(&entry);
    let cap = (u64::from(tokens[0]) + u64::from(tokens[1])) * price;
    match outcome {
        Outcome::Reserved { held } => {
            assert!(memory_is_lent && count <= STAGES_MAX);
            assert!(held.0 <= cap && cap - held.0 < count as u64);
            frontiers(world, random, &entry, &stages, tokens);
        }
        Outcome::Inert(reason) => assert!(
            matches!(
                (reason, memory_is_lent, count <= STAGES_MAX),
                (Reason::NoMemory, false, true)
                    | (Reason::TooLittle, true, true)
                    | (Reason::TooManyStages, _, false)
            ),
            "{reason:?}"
        ),
        other => panic!("{other:?}"),
    }
    outcome
}

fn terms(random: &mut Rng, price: u64) -> OfferTerms {
    OfferTerms {
        price,
        share_kflop: extreme_u64(random, 0, 1 << 36),
        service_rate: extreme_u32(random, 0, u32::MAX),
        reliability_ppm: extreme_u32(random, 500_000, 1_000_000),
        shard_bytes: extreme_u64(random, 0, u64::MAX),
        memory_bytes: extreme_u64(random, u64::from(random.clone().chance(97)), u64::MAX),
    }
}

fn frontiers(
    world: &mut World,
    random: &mut Rng,
    job: &E,
    stages: &[(Wallet, u64, OfferTerms)],
    tokens: [u32; 2],
) {
    for _ in 0..3 {
        let k = random.below(stages.len());
        let done = tokens.map(|tokens| extreme_u32(random, 0, tokens.max(1)));
        let is_final = random.chance(50);
        let payload = world.kit.frontier_payload(job, done[0], done[1], is_final);
        let payload = Payload::Frontier(Box::new(payload));
        let entry = world
            .kit
            .entry(stages[k].0, Some(&world.tips[k]), &[job], &payload);
        world.tips[k] = entry.clone();
        let outcome = world.add(&entry);
        let is_within = done[0] <= tokens[0] && done[1] <= tokens[1];
        match outcome {
            Outcome::Paid { burned, earned, .. } => assert!(is_within && earned <= burned),
            Outcome::Inert(Reason::PromptAbove | Reason::CompletionAbove) => assert!(!is_within),
            Outcome::Inert(Reason::AfterFinal) => {}
            other => panic!("{other:?}"),
        }
        let view = world.ledger.job(JobId(id_of(job))).unwrap();
        assert_eq!(view.burned.0, view.earned.0 + view.commons.0);
        assert!(view.burned <= view.cap && view.held <= view.cap);
    }
}

/// A line passed on, from nothing to more than there is.
fn admit(world: &mut World, random: &mut Rng) -> Outcome {
    let line = random.pick(&[
        0,
        1,
        LINE_MAX - 1,
        LINE_MAX,
        LINE_MAX + 1,
        u64::MAX,
        1 << 40,
    ]);
    let to = random.pick(&[wallet("founder 0"), wallet("founder 1"), world.workers[0]]);
    let entry = world
        .kit
        .admit(wallet("founder 0"), Some(&world.newest), &[], to, line);
    world.newest = entry.clone();
    let outcome = world.add(&entry);
    if let Outcome::Admitted {
        line: passed_on, ..
    } = outcome
    {
        assert!(passed_on == Ugft(line) && line > 0 && line <= LINE_MAX);
    }
    outcome
}

/// A payload with extreme numbers written anywhere into it.
fn patched(world: &mut World, random: &mut Rng) -> Outcome {
    let me = wallet("founder 0");
    world.nonce += 1;
    let price = 1;
    let stages = [(world.workers[0], world.nonce, terms(random, price))];
    let reserve = world.kit.reserve_payload(me, &stages, 3, 4);
    let (kind, mut payload) = match random.below(3) {
        0 => (RESERVE, Payload::Reserve(Box::new(reserve)).to_bytes()),
        1 => (
            ADMIT,
            world
                .kit
                .admit(me, None, &[], world.workers[0], 5)
                .payload
                .clone(),
        ),
        _ => {
            let payload = Payload::Reserve(Box::new(reserve));
            let job = world.kit.entry(me, None, &[], &payload);
            let frontier = world.kit.frontier_payload(&job, 1, 2, true);
            (FRONTIER, Payload::Frontier(Box::new(frontier)).to_bytes())
        }
    };
    for _ in 0..random.between(1, 3) {
        let width = random.pick(&[1, 2, 4, 8]);
        let at = random.below(payload.len() - width + 1);
        let byte = random.pick(&[0, 1, 0x7f, 0x80, 0xff]);
        payload[at..at + width].fill(byte);
    }
    let entry = world
        .kit
        .raw(me, Some(&world.newest), &[], kind, payload, &[]);
    world.newest = entry.clone();
    world.add(&entry)
}

#[test]
fn extremes_stay_in_range_or_go_inert() {
    let (mut inert, mut effective) = (0_u64, 0_u64);
    for seed in seed_list(20) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let mut world = World::new(&mut random);
        for _ in 0..20 {
            let outcome = match random.below(8) {
                0..3 => job(&mut world, &mut random),
                3 => admit(&mut world, &mut random),
                _ => patched(&mut world, &mut random),
            };
            *(if outcome.is_effective() {
                &mut effective
            } else {
                &mut inert
            }) += 1;
        }
    }
    assert!(is_enough([inert, effective], 20), "{inert} {effective}");
}

/// The numbers of a genesis: at their bounds it is one, beyond it is none.
#[test]
fn a_genesis_beyond_its_bounds_is_none() {
    let make = |policy: Policy, lines: &[u64]| {
        let founder = |(n, &line_ugft): (usize, &u64)| Founder {
            wallet: wallet(&format!("founder {n}")),
            line_ugft,
        };
        let founders = lines.iter().enumerate().map(founder).collect();
        Genesis::new("extreme", u64::MAX, policy, founders)
    };
    let policy = Policy::default();
    let most = make(policy.clone(), &[LINE_MAX; 16]).unwrap();
    assert_eq!(most.lines_ugft(), 1 << 64);
    assert_eq!(Genesis::decode(&most.to_bytes()).as_ref(), Ok(&most));
    assert!(make(policy.clone(), &[LINE_MAX + 1]).is_err());
    assert!(make(policy.clone(), &[u64::MAX]).is_err());
    assert!(make(policy.clone(), &[]).is_err() && make(policy.clone(), &[1; 17]).is_err());
    assert!(
        make(
            Policy {
                f32_ppm: 1000 * PPM,
                ..policy.clone()
            },
            &[1]
        )
        .is_ok()
    );
    assert!(
        make(
            Policy {
                f32_ppm: 1000 * PPM + 1,
                ..policy
            },
            &[1]
        )
        .is_err()
    );
    // With no line at all nothing can be confirmed, and nothing breaks.
    let kit = Kit::new(&[("a", 0), ("b", 0)], &[]);
    let mut ledger = Ledger::new(kit.genesis.clone());
    let first = kit.witness(wallet("a"), None, &[], 1);
    let admit = kit.admit(wallet("a"), Some(&first), &[], wallet("b"), 1);
    ledger.admit_batch(vec![first.clone(), admit.clone()], Source::Own, 0);
    assert!(!ledger.is_confirmed(&id_of(&first)));
    let outcome = ledger.view(&id_of(&admit)).unwrap().outcome;
    assert_eq!(outcome, Outcome::Inert(Reason::TooLittle));
}
