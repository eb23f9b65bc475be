//! Scenarios: what kind of world a seed makes, and how a run goes: noise, calm,
//! convergence, last checks.

mod cast;

use crate::counts::Counts;
use crate::invariants::{self, Lawful, Violation};
use crate::links::{LinkSettings, at};
use crate::naive;
use crate::node::Serving;
use crate::random::Random;
use crate::world::{Settings, World, stages_are_paid};
use talkoot_ledger::Ledger;
use talkoot_ledger::signer::{PEERS_NEEDED_MAX, SigningState};

/// A kind of world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Few nodes and entries: the oracle compares whole books.
    Small,
    /// Any liars, any faults.
    General,
    /// Honest nodes on failing disks.
    Crashes,
    /// Double spenders in a network that parts again and again.
    Partitions,
    /// The attacks that a general adversary misses.
    Directed,
    /// Cheating founders with a third of the lines and more.
    Majority,
    /// Up to thirty nodes.
    Large,
    /// Ten thousand authors write rubbish.
    Garbage,
    /// Long enough that holds end by a release.
    Releases,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Small,
        Self::General,
        Self::Crashes,
        Self::Partitions,
        Self::Directed,
        Self::Majority,
        Self::Large,
        Self::Garbage,
        Self::Releases,
    ];

    /// The name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::General => "general",
            Self::Crashes => "crashes",
            Self::Partitions => "partitions",
            Self::Directed => "directed",
            Self::Majority => "majority",
            Self::Large => "large",
            Self::Garbage => "garbage",
            Self::Releases => "releases",
        }
    }

    /// The scenario of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    }

    /// The scenario that a seed of a mixed run stands for.
    #[must_use]
    pub const fn of_seed(seed: u64) -> Self {
        match seed % 1000 {
            199 => Self::Garbage,
            other => match other % 12 {
                0..3 => Self::Small,
                3..6 => Self::General,
                6 | 7 => Self::Crashes,
                8 => Self::Partitions,
                9 => Self::Directed,
                10 if other % 24 == 10 => Self::Releases,
                10 => Self::Majority,
                _ => Self::Large,
            },
        }
    }

    fn nodes(self, random: &mut Random) -> usize {
        match self {
            Self::Small | Self::Directed => 5 + random.below(3),
            Self::Large => 16 + random.below(15),
            Self::Garbage => 5,
            _ => 6 + random.below(7),
        }
    }

    fn noise_us(self) -> u64 {
        match self {
            Self::Small => 12_000_000,
            Self::Directed => 20_000_000,
            Self::Large => 30_000_000,
            // The grace of ten minutes must pass.
            Self::Releases => 680_000_000,
            _ => 40_000_000,
        }
    }

    fn settings(self, random: &mut Random, nodes: Option<usize>) -> Settings {
        let nodes = nodes.unwrap_or_else(|| self.nodes(random)).max(5);
        let scale = random.pick(&[1, 1_000_003, 1_000_000_000_039]).unwrap_or(1);
        let founders = 4 + random.below(if nodes > 7 { 3 } else { 1 });
        // Equal lines and one small founder, so that liars can be told from
        // thirds.
        let mut lines = vec![1000 * scale; founders];
        lines[0] = if random.chance(50) {
            600 * scale
        } else {
            1000 * scale
        };
        let price = scale / random.between(1, 3).max(1);
        Settings {
            nodes,
            founders,
            lines,
            price: price.clamp(1, 1_000_000_000_000),
            links: LinkSettings {
                degree: 8.min(nodes - 1),
                delay_us: random.between(5_000, 120_000),
                jitter_us: random.between(0, 100_000),
                loss_percent: random.between(0, 20),
                double_percent: random.between(0, 10),
                bytes_per_ms: random.between(50, 5_000),
            },
            has_disks: true,
            named: founders..nodes,
            is_watched: true,
            tick_us: if self == Self::Garbage {
                2_000_000
            } else {
                500_000
            },
            inspect_every_us: if self == Self::Releases {
                20_000_000
            } else {
                2_000_000
            },
            job_every_us: match self {
                Self::Small => 1_500_000,
                Self::Releases => 8_000_000,
                _ => random.between(400_000, 1_500_000),
            },
            fault_every_us: match self {
                Self::Crashes => 1_000_000,
                Self::Partitions => 1_500_000,
                Self::Releases => 30_000_000,
                _ => random.between(2_000_000, 10_000_000),
            },
            lie_every_us: match self {
                Self::Releases => 20_000_000,
                Self::Garbage => 1_000_000,
                _ => random.between(500_000, 3_000_000),
            },
        }
    }
}

/// How long calm nodes may take to come together.
const CONVERGE_US: u64 = 400_000_000;
/// Nothing new for so long means that all is said.
const QUIET_US: u64 = 6_000_000;

/// Runs one seed of a scenario.
///
/// # Errors
/// The [`Violation`] that ended it, with the counts so far lost.
pub fn run(scenario: Scenario, seed: u64, nodes: Option<usize>) -> Result<Counts, Violation> {
    let mut random = Random::new(seed ^ 0x7461_6C6B_6F6F_7400);
    let settings = scenario.settings(&mut random, nodes);
    let liars = cast::liars(scenario, &mut random, &settings);
    let mut world = World::new(random.next(), settings);
    for (who, liar) in liars {
        world.corrupt(who, liar);
    }
    world.begin()?;
    let noise_us = scenario.noise_us();
    for part in 1..=4 {
        world.run_until(noise_us * part / 4)?;
        compare(&mut world, &mut random)?;
    }
    calm(&mut world)?;
    compare(&mut world, &mut random)?;
    restart_all(&mut world)?;
    finish(&mut world);
    Ok(world.counts)
}

/// One honest node's books against the oracle.
fn compare(world: &mut World, random: &mut Random) -> Lawful {
    let up: Vec<u32> = world
        .honest()
        .filter(|who| world.ledger(*who).is_some())
        .collect();
    if let Some(ledger) = random.pick(&up).and_then(|who| world.ledger(who)) {
        let entries = naive::compare(ledger, random)?;
        let counted = naive::recount(ledger)?;
        world.counts.one("oracle_comparisons");
        world.counts.add("oracle_entries", entries);
        world.counts.add("recounts", u64::from(counted > 0));
        world.counts.add("recounted_entries", counted);
    }
    Ok(())
}

/// Ends the noise and waits until honest nodes agree and nobody has more to
/// say.
fn calm(world: &mut World) -> Lawful {
    world.calm_down()?;
    world.confess()?;
    let start_us = world.now_us;
    loop {
        world.run_until(world.now_us + 1_000_000)?;
        help_who_waits(world);
        let is_quiet = world.now_us > world.last_change_us + QUIET_US;
        let agreement = agree(world);
        if is_quiet && agreement.is_ok() {
            break;
        }
        if world.now_us > start_us + CONVERGE_US {
            agreement?;
            return Err(Violation("honest nodes do not come to rest".into()));
        }
    }
    if world.laws.is_minority {
        stages_are_paid(world)?;
    }
    world
        .counts
        .add("converge_ms_sum", (world.now_us - start_us) / 1000);
    for who in world.honest().collect::<Vec<_>>() {
        if let Some(ledger) = world.nodes[at(who)]
            .books
            .as_ref()
            .map(talkoot_ledger::Books::ledger)
        {
            world.laws.inspect(ledger)?;
        }
    }
    Ok(())
}

/// Who waits until three peers have shown all they hold needs three that show
/// anything: where there are fewer, liars next to it stop serving rubbish.
fn help_who_waits(world: &mut World) {
    let waits = |who: &u32| {
        let books = world.nodes[at(*who)].books.as_ref();
        books.is_some_and(|books| matches!(books.signing(), SigningState::AwaitingPeers { .. }))
    };
    for who in world.honest().filter(waits).collect::<Vec<_>>() {
        let peers = world.links.peers(who).to_vec();
        let (rubbish, rest): (Vec<u32>, Vec<u32>) = peers
            .into_iter()
            .partition(|peer| matches!(world.nodes[at(*peer)].serving, Serving::Rubbish));
        if rest.len() < PEERS_NEEDED_MAX {
            for peer in rubbish {
                world.nodes[at(peer)].serving = Serving::Right;
            }
        }
    }
}

fn agree(world: &World) -> Lawful {
    let signs = |who: &u32| {
        let books = world.nodes[at(*who)].books.as_ref();
        books.is_some_and(|books| books.signing().is_active())
    };
    if let Some(who) = world.honest().find(|who| !signs(who)) {
        let state = world.nodes[at(who)]
            .books
            .as_ref()
            .map(talkoot_ledger::Books::signing);
        return Err(Violation(format!(
            "node {who} does not come to sign: {state:?}"
        )));
    }
    let names: Vec<(String, &Ledger)> = world
        .honest()
        .filter_map(|who| Some((format!("node {who}"), world.ledger(who)?)))
        .collect();
    let named: Vec<(&str, &Ledger)> = names
        .iter()
        .map(|(name, ledger)| (name.as_str(), *ledger))
        .collect();
    invariants::converged(&named)
}

/// Every honest machine stops and starts once more: it has the tip it had.
fn restart_all(world: &mut World) -> Lawful {
    for who in world.honest().collect::<Vec<_>>() {
        let before = world
            .ledger(who)
            .map(|ledger| (ledger.length(), ledger.tip()));
        world.crash(who);
        world.start_machine(who, false)?;
        let after = world
            .ledger(who)
            .map(|ledger| (ledger.length(), ledger.tip()));
        if before != after {
            return Err(Violation(format!("node {who} comes back with another tip")));
        }
    }
    Ok(())
}

fn finish(world: &mut World) {
    let counts = &mut world.counts;
    counts.one("seeds");
    counts.add("virtual_ms", world.now_us / 1000);
    counts.add("entries", world.laws.held_count());
    counts.add("entries_confirmed", world.laws.confirmed_count());
    counts.most("most_entries", world.laws.held_count());
    let first = world
        .nodes
        .iter()
        .find(|node| !node.is_liar)
        .and_then(|node| node.books.as_ref());
    if let Some(books) = first {
        counts.add("forks_proven", books.ledger().forked_authors().len() as u64);
        let money = books
            .ledger()
            .entries(0)
            .filter(|view| view.outcome.is_effective());
        for view in money {
            match view.outcome {
                talkoot_ledger::Outcome::Reserved { .. } => counts.one("reserves_effective"),
                talkoot_ledger::Outcome::Paid { .. } => counts.one("frontiers_paid"),
                talkoot_ledger::Outcome::Released { .. } => counts.one("releases"),
                talkoot_ledger::Outcome::Admitted { .. } => counts.one("lines_passed_on"),
                _ => {}
            }
        }
    }
}
