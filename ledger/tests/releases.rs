//! Holds that end: a stage that never says its last word, those that posted in
//! time, and those who would like to have.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::agreed::{books, is_confirmed, outcome};
use common::{E, Kit, OfferTerms, wallet};
use talkoot_ledger::duties::Duties;
use talkoot_ledger::kinds::{Release, Reserve};
use talkoot_ledger::{
    Balance, Draft, HOLD_GRACE_MS, Ledger, Outcome, Payload, Reason, Source, Ugft, id_of,
};
use talkoot_protocol::{JobId, Verified, Wallet};

const DEADLINE_MS: u64 = 9_000;
const OVER_MS: u64 = DEADLINE_MS + HOLD_GRACE_MS;

fn f(i: usize) -> Wallet {
    wallet(["f0", "f1", "f2", "f3"][i])
}

/// Four founders of one line; f0 asks w and v, half each, for up to 100.
struct World {
    kit: Kit,
    w: Wallet,
    v: Wallet,
    names: E,
    job: E,
}

impl World {
    fn new() -> Self {
        let founders = [("f0", 100), ("f1", 100), ("f2", 100), ("f3", 100)];
        let kit = Kit::new(&founders, &["w", "v", "q", "q2"]);
        let (w, v) = (wallet("w"), wallet("v"));
        let names = kit.naming(f(3), &[w, v, wallet("q"), wallet("q2")]);
        let job = kit.reserve(f(0), None, &[], &[(w, 1), (v, 1)], 100);
        Self {
            kit,
            w,
            v,
            names,
            job,
        }
    }

    fn frontier(&self, worker: Wallet, done: u32, is_final: bool) -> E {
        let refs = [&self.names, &self.job];
        self.kit
            .frontier(worker, None, &refs, &self.job, done, is_final)
    }

    /// Witnesses of f1, f2 and f3 that saw these, at a time.
    fn witnesses(&self, before: Option<&[E; 3]>, seen: &[&E], time_ms: u64) -> [E; 3] {
        [1, 2, 3].map(|i| {
            let prev = match (before, i) {
                (Some(before), _) => Some(&before[i - 1]),
                (None, 3) => Some(&self.names),
                (None, _) => None,
            };
            self.kit.witness(f(i), prev, seen, time_ms)
        })
    }

    fn release(&self, prev: &E, seen: &[&E]) -> E {
        let job = JobId(id_of(&self.job));
        let payload = Payload::Release(Release { job });
        self.kit.entry(prev.author, Some(prev), seen, &payload)
    }

    fn reserve_again(&self, prev: &E, seen: &[&E], max: u32) -> E {
        self.kit
            .reserve(f(0), Some(prev), seen, &[(wallet("q"), 9)], max)
    }
}

fn with<'a>(some: &[&'a E], more: &'a [E]) -> Vec<&'a E> {
    some.iter().copied().chain(more).collect()
}

#[test]
fn what_a_silent_stage_leaves_is_free_and_what_others_posted_is_theirs() {
    let world = World::new();
    let (kit, job) = (&world.kit, &world.job);
    // w did 40 of its 50 and never ends the job; v says nothing at all.
    let posted = world.frontier(world.w, 80, false);
    let over = world.witnesses(None, &[&posted], OVER_MS);
    let release = world.release(job, &with(&[], &over));
    let late_w = kit.frontier(world.w, Some(&posted), &[], job, 100, true);
    let late_v = world.frontier(world.v, 100, true);
    let again = world.reserve_again(&release, &[], 60);
    let above = world.reserve_again(&release, &[], 61);
    let base = [
        &world.names,
        job,
        &posted,
        &over[0],
        &over[1],
        &over[2],
        &release,
    ];
    let ledger = books(kit, &[&base[..], &[&late_w, &late_v, &again]].concat());
    let freed = Outcome::Released { freed: Ugft(60) };
    assert_eq!(outcome(&ledger, &release), freed);
    for late in [&late_w, &late_v] {
        assert_eq!(outcome(&ledger, late), Outcome::Inert(Reason::Released));
    }
    let held = Outcome::Reserved { held: Ugft(60) };
    assert_eq!(outcome(&ledger, &again), held);
    let account = ledger.account(f(0));
    assert_eq!(
        (account.balance, account.held),
        (Balance(-40), Ugft(60).into())
    );
    assert_eq!(ledger.account(world.w).balance, Balance(40));
    let view = ledger.job(JobId(id_of(job))).unwrap();
    assert_eq!(
        (view.held, view.released_by),
        (Ugft(0), Some(id_of(&release)))
    );
    let ledger = books(kit, &[&base[..], &[&above]].concat());
    assert_eq!(outcome(&ledger, &above), Outcome::Inert(Reason::TooLittle));
}

#[test]
fn a_frontier_that_was_shut_out_is_never_confirmed_nor_spent() {
    let world = World::new();
    let (kit, job) = (&world.kit, &world.job);
    let over = world.witnesses(None, &[job], OVER_MS);
    let late = world.frontier(world.v, 100, true);
    // All founders but the submitter see it, after they said that it is over.
    let seen = world.witnesses(Some(&over), &[&late], OVER_MS + 1);
    let spend = kit.reserve(
        world.v,
        Some(&late),
        &with(&[], &seen),
        &[(wallet("q"), 9)],
        1,
    );
    let mut all = vec![&world.names, job, &late, &spend];
    all.extend(over.iter().chain(&seen));
    let ledger = books(kit, &all);
    assert!(
        matches!(outcome(&ledger, &late), Outcome::Paid { .. }),
        "nobody released the job"
    );
    assert!(!is_confirmed(&ledger, &late));
    assert_eq!(ledger.account(world.v).pending, Ugft(50));
    assert_eq!(outcome(&ledger, &spend), Outcome::Inert(Reason::TooLittle));
    let release = world.release(job, &with(&[], &over));
    all.push(&release);
    let ledger = books(kit, &all);
    assert_eq!(outcome(&ledger, &late), Outcome::Inert(Reason::Released));
    assert_eq!(ledger.account(world.v).balance, Balance::ZERO);
}

#[test]
fn what_a_third_of_the_lines_saw_in_time_cannot_be_left_out() {
    let world = World::new();
    let posted = world.frontier(world.v, 100, true);
    // f1 and f2 saw it in time; of the three that say it is over, one did.
    let early = [1, 2].map(|i| world.kit.witness(f(i), None, &[&posted], 10));
    let over1 = world.kit.witness(f(1), Some(&early[0]), &[], OVER_MS);
    let over3 = world
        .kit
        .witness(f(3), Some(&world.names), &[&world.job], OVER_MS);
    let own = world.kit.witness(f(0), Some(&world.job), &[], OVER_MS);
    let release = world.release(&own, &[&over1, &over3]);
    let entries = [
        &world.names,
        &world.job,
        &posted,
        &early[0],
        &early[1],
        &over1,
        &over3,
        &own,
        &release,
    ];
    let ledger = books(&world.kit, &entries);
    assert_eq!(
        outcome(&ledger, &release),
        Outcome::Released { freed: Ugft(50) }
    );
    assert!(matches!(outcome(&ledger, &posted), Outcome::Paid { .. }));
    assert_eq!(ledger.account(world.v).balance, Balance(50));
}

#[test]
fn a_release_needs_claims_of_more_than_two_thirds_that_saw_the_job() {
    let world = World::new();
    let inert = |seen: &[&E], more: &[&E]| {
        let release = world.release(&world.job, seen);
        let entries = [&[&world.names, &world.job], more, &[&release]].concat();
        outcome(&books(&world.kit, &entries), &release)
    };
    let not_due = Outcome::Inert(Reason::NotDue);
    let over = world.witnesses(None, &[&world.job], OVER_MS);
    assert_eq!(
        inert(&[&over[0], &over[1]], &[&over[0], &over[1]]),
        not_due,
        "two of four"
    );
    let early = world.witnesses(None, &[&world.job], OVER_MS - 1);
    assert_eq!(
        inert(&with(&[], &early), &with(&[], &early)),
        not_due,
        "in the grace"
    );
    let blind = world.witnesses(None, &[], OVER_MS);
    assert_eq!(
        inert(&with(&[], &blind), &with(&[], &blind)),
        not_due,
        "before the job"
    );
    // The time of no other entry counts.
    let busy = [1, 2, 3].map(|i| {
        let prev = (i == 3).then_some(&world.names);
        let mut admit = world
            .kit
            .admit(f(i), prev, &[&world.job], world.w, 1)
            .into_inner();
        admit.time_ms = OVER_MS;
        Verified::sign(admit, world.kit.key(f(i)), world.kit.network).unwrap()
    });
    assert_eq!(
        inert(&with(&[], &busy), &with(&[], &busy)),
        not_due,
        "no witnesses"
    );
    let freed = Outcome::Released { freed: Ugft(100) };
    assert_eq!(inert(&with(&[], &over), &with(&[], &over)), freed);
}

#[test]
fn only_the_submitter_releases_and_only_once() {
    let world = World::new();
    let over = world.witnesses(None, &[&world.job], OVER_MS);
    let release = world.release(&world.job, &with(&[], &over));
    let twice = world.release(&release, &[]);
    let others = world.release(&over[0], &[]);
    let entries = [
        &world.names,
        &world.job,
        &over[0],
        &over[1],
        &over[2],
        &release,
        &twice,
        &others,
    ];
    let ledger = books(&world.kit, &entries);
    assert!(outcome(&ledger, &release).is_effective());
    assert_eq!(
        outcome(&ledger, &twice),
        Outcome::Inert(Reason::ReleasedBefore)
    );
    assert_eq!(outcome(&ledger, &others), Outcome::Inert(Reason::NotOwnJob));
}

#[test]
fn a_founder_that_never_saw_the_job_confirms_what_it_sees_late() {
    let world = World::new();
    let posted = world.frontier(world.v, 100, true);
    // A partition: the others had said that time is past, without the job.
    let blind = world.witnesses(None, &[], OVER_MS);
    let healed = world.witnesses(Some(&blind), &[&posted], OVER_MS + 5);
    let mut entries = vec![&world.names, &world.job, &posted];
    entries.extend(blind.iter().chain(&healed));
    let ledger = books(&world.kit, &entries);
    assert!(is_confirmed(&ledger, &posted));
    let release = world.release(&world.job, &with(&[], &healed));
    entries.push(&release);
    let ledger = books(&world.kit, &entries);
    assert_eq!(
        outcome(&ledger, &release),
        Outcome::Released { freed: Ugft(50) }
    );
    assert!(matches!(outcome(&ledger, &posted), Outcome::Paid { .. }));
}

#[test]
fn a_release_on_an_unconfirmed_branch_shuts_nobody_out() {
    let world = World::new();
    let over = world.witnesses(None, &[&world.job], OVER_MS);
    let release = world.release(&world.job, &with(&[], &over));
    let twin = world.kit.witness(f(0), Some(&world.job), &[], 1);
    let late = world.frontier(world.v, 100, true);
    let base = [
        &world.names,
        &world.job,
        &over[0],
        &over[1],
        &over[2],
        &release,
        &late,
    ];
    let ledger = books(&world.kit, &[&base[..], &[&twin]].concat());
    assert_eq!(outcome(&ledger, &release), Outcome::Inert(Reason::Fork));
    assert!(matches!(outcome(&ledger, &late), Outcome::Paid { .. }));
    // Confirmed before the fork was seen, it stands.
    let seen = world.witnesses(Some(&over), &[&release], OVER_MS + 1);
    let mut entries = [&base[..], &[&twin]].concat();
    entries.extend(&seen);
    let ledger = books(&world.kit, &entries);
    assert!(outcome(&ledger, &release).is_effective());
    assert_eq!(outcome(&ledger, &late), Outcome::Inert(Reason::Released));
}

/// Two final frontiers on two branches of a stage's log: the release keeps what
/// the dearer of them may still be paid.
#[test]
fn a_release_keeps_what_either_branch_of_a_stage_may_be_paid() {
    let world = World::new();
    let nothing = world.frontier(world.v, 0, true);
    let everything = world.frontier(world.v, 100, true);
    let over = world.witnesses(None, &[&world.job], OVER_MS);
    let seen = [&over[0], &over[1], &over[2], &nothing, &everything];
    let release = world.release(&world.job, &seen);
    let base = [&[&world.names, &world.job, &release], &seen[..]].concat();
    for (max, is_enough) in [(51, false), (50, true)] {
        let again = world.reserve_again(&release, &[], max);
        let ledger = books(&world.kit, &[&base[..], &[&again]].concat());
        assert_eq!(outcome(&ledger, &again).is_effective(), is_enough);
    }
}

/// Nodes that do their duties and tell each other everything.
struct Network {
    kit: Kit,
    nodes: Vec<(Wallet, Ledger, Duties)>,
}

impl Network {
    fn new(kit: Kit, who: &[Wallet]) -> Self {
        let node = |&me: &Wallet| (me, Ledger::new(kit.genesis.clone()), Duties::new(me));
        let nodes = who.iter().map(node).collect();
        Self { kit, nodes }
    }

    fn tell(&mut self, entry: &E) {
        for (_, ledger, _) in &mut self.nodes {
            ledger.admit(entry.clone(), Source::Own, 0);
        }
    }

    fn write(&mut self, me: Wallet, draft: Draft) -> E {
        let ledger = &self.nodes.iter().find(|node| node.0 == me).unwrap().1;
        let entry = ledger.compose(me, draft).unwrap();
        assert_eq!(ledger.preview(&entry).reason, None);
        let entry = Verified::sign(entry, self.kit.key(me), self.kit.network).unwrap();
        self.tell(&entry);
        entry
    }

    /// Everybody does what is due at a time, once; gives what was written.
    fn duties(&mut self, now_ms: u64) -> Vec<E> {
        let mut written = Vec::new();
        for i in 0..self.nodes.len() {
            let (me, ledger, duties) = &mut self.nodes[i];
            let (me, drafts) = (*me, duties.due(ledger, now_ms));
            for draft in drafts {
                written.push(self.write(me, draft));
            }
        }
        written
    }
}

#[test]
fn duties_end_a_hold_and_then_there_is_nothing_to_do() {
    let world = World::new();
    let mut network = Network::new(
        Kit::new(
            &[("f0", 100), ("f1", 100), ("f2", 100), ("f3", 100)],
            &["w", "v", "q", "q2"],
        ),
        &[f(0), f(1), f(2), f(3)],
    );
    let posted = world.frontier(world.w, 60, true);
    for entry in [&world.names, &world.job, &posted] {
        network.tell(entry);
    }
    let ledger = |network: &Network| network.nodes[0].1.job(JobId(id_of(&world.job))).unwrap();
    let mut now_ms = 5_000;
    while !network.duties(now_ms).is_empty() {
        now_ms += 2_000;
    }
    assert_eq!(ledger(&network).held, Ugft(50), "v's part");
    assert!(network.nodes[0].2.wake_ms(&network.nodes[0].1, now_ms) == Some(OVER_MS));
    assert!(network.duties(OVER_MS - 1).is_empty());
    let mut now_ms = OVER_MS;
    let mut written = Vec::new();
    while written.len() < 100 {
        let new = network.duties(now_ms);
        if new.is_empty() {
            break;
        }
        written.extend(new);
        now_ms += 2_000;
    }
    let view = ledger(&network);
    assert_eq!((view.held, view.burned), (Ugft(0), Ugft(30)));
    assert!(view.released_by.is_some());
    assert!(
        written.len() < 20,
        "{} entries for one release",
        written.len()
    );
    assert_eq!(network.nodes[0].1.available(f(0)), Balance(70));
}

/// A founder that says that a job is over has all in its past that its stages
/// posted, even when that is more than one entry can cite.
#[test]
fn a_founder_sees_all_stages_before_it_says_that_a_job_is_over() {
    let workers: Vec<String> = (0..20).map(|i| format!("worker {i}")).collect();
    let names: Vec<&str> = workers.iter().map(String::as_str).collect();
    let kit = Kit::new(&[("f0", 1_000)], &names);
    let wallets: Vec<Wallet> = names.iter().map(|name| wallet(name)).collect();
    let first = kit.naming(f(0), &wallets[..16]);
    let payload = Payload::Witness;
    let second = kit.raw(
        f(0),
        Some(&first),
        &[],
        payload.kind(),
        Vec::new(),
        &wallets[16..],
    );
    let stages: Vec<_> = wallets
        .iter()
        .map(|w| (*w, 1, OfferTerms::default()))
        .collect();
    let reserve: Reserve = kit.reserve_payload(f(0), &stages, 0, 100);
    let job = kit.entry(
        f(0),
        Some(&second),
        &[],
        &Payload::Reserve(Box::new(reserve)),
    );
    let mut network = Network::new(kit, &[f(0)]);
    for entry in [&first, &second, &job] {
        network.tell(entry);
    }
    // All but one end the job, each unseen by the others.
    for (i, worker) in wallets.iter().enumerate().skip(1) {
        let named = if i < 16 { &first } else { &second };
        let refs = [named, &job];
        let frontier = network.kit.frontier(*worker, None, &refs, &job, 100, true);
        network.tell(&frontier);
    }
    let mut now_ms = OVER_MS;
    let job = JobId(id_of(&job));
    while network.nodes[0].1.job(job).unwrap().released_by.is_none() {
        assert!(!network.duties(now_ms).is_empty(), "stuck at {now_ms}");
        now_ms += 2_000;
    }
    let view = network.nodes[0].1.job(job).unwrap();
    assert_eq!(view.burned, Ugft(95), "nobody that posted was shut out");
}
