//! A thousand nodes: how fast entries spread over a modelled mesh, and what
//! becomes of a network that was parted for ten minutes.
//!
//! Every node holds a full ledger of its own. Disks are left out and single
//! admissions are not watched; at the end all tips must be equal and the books
//! of some nodes are inspected.

use crate::counts::Counts;
use crate::invariants::{Lawful, Violation};
use crate::links::{LinkSettings, index};
use crate::world::{Settings, Spread, World};
use talkoot_ledger::{Draft, Payload};

const FOUNDERS: usize = 16;
const MEMBERS: usize = 24;
/// Entries whose way over the mesh is measured, without and with loss.
const MEASURED: u64 = 300;
const PART_US: u64 = 600_000_000;

fn settings(nodes: usize) -> Settings {
    Settings {
        nodes,
        founders: FOUNDERS,
        lines: vec![1_000_000; FOUNDERS],
        price: 1,
        links: LinkSettings {
            degree: 8,
            delay_us: 60_000,
            jitter_us: 5_000,
            loss_percent: 0,
            double_percent: 0,
            bytes_per_ms: 1_000,
        },
        has_disks: false,
        named: nodes / 2..nodes / 2 + MEMBERS,
        is_watched: false,
        tick_us: 500_000,
        inspect_every_us: u64::MAX / 4,
        job_every_us: u64::MAX / 4,
        fault_every_us: u64::MAX / 4,
        lie_every_us: u64::MAX / 4,
    }
}

/// Runs it with so many nodes and so many entries on each side of the
/// partition.
///
/// # Errors
/// The [`Violation`] that ended it.
pub fn thousand(nodes: usize, entries: u64, seed: u64) -> Result<Counts, Violation> {
    let mut world = World::new(seed, settings(nodes.max(2 * FOUNDERS + 2 * MEMBERS)));
    world.begin()?;
    world.run_until(10_000_000)?;
    let (left, right) = authors(&world);
    let all = [left.clone(), right.clone()].concat();
    measure(
        &mut world,
        &all,
        "p50_ms_without_loss",
        "p99_ms_without_loss",
        "most_ms_without_loss",
    )?;
    world.links.settings.loss_percent = 20;
    measure(
        &mut world,
        &all,
        "p50_ms_with_loss",
        "p99_ms_with_loss",
        "most_ms_with_loss",
    )?;
    world.links.settings.loss_percent = 0;
    part(&mut world, (&left, &right), entries)?;
    unite(&mut world)?;
    let length = world.ledger(0).map_or(0, talkoot_ledger::Ledger::length);
    world.counts.add("nodes", world.nodes.len() as u64);
    world.counts.add("entries", length);
    world.counts.add("virtual_ms", world.now_us / 1000);
    Ok(world.counts)
}

/// Who writes on each side: founders on one, named members on the other.
fn authors(world: &World) -> (Vec<u32>, Vec<u32>) {
    let founders = (0..FOUNDERS).map(index).collect();
    (founders, world.settings.named.clone().map(index).collect())
}

fn write(world: &mut World, authors: &[u32]) -> Lawful {
    if let Some(who) = world.random.pick(authors) {
        let draft = Draft::new(&Payload::Witness, world.clock_ms(who));
        world.author(who, draft)?;
    }
    Ok(())
}

/// Publishes entries one after another and measures when they are where.
fn measure(
    world: &mut World,
    authors: &[u32],
    p50: &'static str,
    p99: &'static str,
    most: &'static str,
) -> Lawful {
    world.spread = Some(Spread::default());
    for _ in 0..MEASURED {
        world.run_until(world.now_us + 100_000)?;
        write(world, authors)?;
    }
    world.run_until(world.now_us + 30_000_000)?;
    let Some(Spread {
        born_us,
        mut delays_us,
    }) = world.spread.take()
    else {
        return Ok(());
    };
    // Its author holds an entry before it is published.
    let expected = born_us.len() * (world.nodes.len() - 1);
    if delays_us.len() != expected {
        let missing = expected - delays_us.len();
        return Err(Violation(format!(
            "after 30 s {missing} of {expected} entries are missing"
        )));
    }
    delays_us.sort_unstable();
    let at = |percent: usize| delays_us[(delays_us.len() - 1) * percent / 100] / 1000;
    world.counts.add(p50, at(50));
    world.counts.add(p99, at(99));
    world.counts.add(most, at(100));
    Ok(())
}

/// Ten minutes in two halves, both of which write.
fn part(world: &mut World, (left, right): (&[u32], &[u32]), entries: u64) -> Lawful {
    world.links.part_at(world.nodes.len() / 2);
    let step_us = PART_US / entries.max(1);
    for _ in 0..entries {
        world.run_until(world.now_us + step_us)?;
        write(world, left)?;
        write(world, right)?;
    }
    // What was just written still travels.
    world.run_until(world.now_us + 5_000_000)
}

/// Heals, and waits until a pair over the cut, and then everybody, is equal.
fn unite(world: &mut World) -> Lawful {
    let boundary = index(world.nodes.len() / 2);
    let heads = |world: &World, who: u32| {
        world
            .ledger(who)
            .map(|ledger| (ledger.length(), ledger.tip()))
    };
    let before: Vec<_> = [0, boundary].map(|who| heads(world, who)).to_vec();
    let sides = [0..boundary, boundary..index(world.nodes.len())];
    for (side, first) in sides.into_iter().zip(&before) {
        if side.clone().any(|who| heads(world, who) != *first) {
            return Err(Violation(
                "a side does not agree before the network heals".into(),
            ));
        }
    }
    world.links.heal();
    world.counts.one("partitions_healed");
    let (start_us, asked) = (world.now_us, world.counts.get("sync_requests"));
    let neighbours = (boundary - 1, boundary);
    let mut is_pair_equal = false;
    loop {
        world.run_until(world.now_us + 100_000)?;
        let passed_ms = (world.now_us - start_us) / 1000;
        if !is_pair_equal && heads(world, neighbours.0) == heads(world, neighbours.1) {
            is_pair_equal = true;
            world.counts.add("first_pair_equal_ms", passed_ms);
        }
        let first = heads(world, 0);
        if (0..index(world.nodes.len())).all(|who| heads(world, who) == first) {
            world.counts.add("all_equal_ms", passed_ms);
            let requests = world.counts.get("sync_requests") - asked;
            world.counts.add("requests_to_unite", requests);
            break;
        }
        if passed_ms > 600_000 {
            return Err(Violation(
                "ten minutes after the partition tips differ".into(),
            ));
        }
    }
    for who in [0, boundary] {
        if let Some(books) = &world.nodes[crate::links::at(who)].books {
            world.laws.inspect(books.ledger())?;
        }
    }
    Ok(())
}
