//! Who is in the set: structure, waiting for parents, tokens.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{E, Kit, MODEL, wallet};
use talkoot_ledger::{Admission, Entry, Ledger, Source, StructureError, id_of};
use talkoot_protocol::{NetworkId, Verified, Wallet};

struct World {
    ledger: Ledger,
    names: E,
    s: Wallet,
    w: Wallet,
}

fn world() -> World {
    let kit = Kit::new(&[("s", 1000)], &["w", "v", "x"]);
    let mut ledger = Ledger::new(kit.genesis.clone());
    let (s, w) = (wallet("s"), wallet("w"));
    let names = kit.naming(s, &[w, wallet("v"), wallet("x")]);
    ledger.admit(names.clone(), Source::Own, 0);
    World {
        ledger,
        names,
        s,
        w,
    }
}

fn add(world: &mut World, entry: &E) {
    let admission = world.ledger.admit(entry.clone(), Source::Own, 0);
    assert!(
        matches!(admission, Admission::Added { .. }),
        "{admission:?}"
    );
}

fn resign(kit: &Kit, entry: &E, change: impl FnOnce(&mut Entry)) -> E {
    let mut value = entry.clone().into_inner();
    change(&mut value);
    let key = kit.key(value.author).clone();
    Verified::sign(value, &key, kit.network).unwrap()
}

#[test]
fn structure_decides_membership_for_ever() {
    let mut world = world();
    let (names, w) = (world.names.clone(), world.w);
    let kit = Kit::new(&[("s", 1000)], &["w", "v", "x", "stranger"]);
    let first = kit.witness(w, None, &[&names], 0);
    add(&mut world, &first);
    let s_next = kit.witness(world.s, Some(&names), &[&first], 0);
    add(&mut world, &s_next);
    let cases = [
        (
            StructureError::NotNamed,
            kit.witness(wallet("stranger"), None, &[&first], 0),
        ),
        (
            StructureError::NotNamed,
            kit.witness(wallet("v"), None, &[&first], 0),
        ),
        (
            StructureError::Lamport,
            resign(&kit, &first, |e| e.lamport += 1),
        ),
        (
            StructureError::OwnRef,
            resign(&kit, &s_next, |e| {
                (e.refs, e.lamport) = (vec![id_of(&names)], 2)
            }),
        ),
        (
            StructureError::Prev,
            resign(&kit, &s_next, |e| {
                (e.prev, e.lamport, e.refs) = (id_of(&first), 3, vec![])
            }),
        ),
        (StructureError::Prev, resign(&kit, &s_next, |e| e.seq = 2)),
        (
            StructureError::Network,
            resign(&kit, &first, |e| e.network = NetworkId(MODEL.0)),
        ),
    ];
    for (error, entry) in cases {
        let admission = world.ledger.admit(entry.clone(), Source::Own, 0);
        assert_eq!(admission, Admission::Refused(error));
        assert!(!world.ledger.holds(&id_of(&entry)));
    }
    assert_eq!(world.ledger.admit(first, Source::Own, 0), Admission::Known);
}

#[test]
fn pending_entries_wait_are_bounded_and_expire() {
    let mut world = world();
    let kit = Kit::new(&[("s", 1000)], &["w"]);
    let names = world.names.clone();
    let lost = kit.witness(world.w, None, &[&names], 1);
    let mut prev = lost.clone();
    let peer = Source::Peer(wallet("peer"));
    for n in 0..talkoot_ledger::pending::PENDING_PER_SOURCE_MAX as u64 {
        prev = kit.witness(world.w, Some(&prev), &[], n);
        let admission = world.ledger.admit(prev.clone(), peer, 0);
        assert!(
            matches!(admission, Admission::Pending { .. }),
            "{admission:?}"
        );
    }
    let one_more = kit.witness(world.w, Some(&prev), &[], 9);
    assert_eq!(
        world.ledger.admit(one_more.clone(), peer, 0),
        Admission::Later
    );
    let other = Source::Peer(wallet("other"));
    assert!(matches!(
        world.ledger.admit(one_more, other, 0),
        Admission::Pending { .. }
    ));
    world
        .ledger
        .expire(talkoot_ledger::pending::PENDING_MS_MAX + 1);
    assert_eq!(world.ledger.pending_count(), 0);
}

#[test]
fn a_named_author_that_floods_is_told_to_come_back_later() {
    let mut world = world();
    let kit = Kit::new(&[("s", 1000)], &["w"]);
    let names = world.names.clone();
    let mut prev = kit.witness(world.w, None, &[&names], 0);
    let peer = Source::Peer(wallet("peer"));
    let mut admitted = 0_u64;
    while let Admission::Added { .. } = world.ledger.admit(prev.clone(), peer, 0) {
        admitted += 1;
        assert!(admitted < 10_000, "no limit");
        prev = kit.witness(world.w, Some(&prev), &[], admitted);
    }
    assert_eq!(world.ledger.admit(prev.clone(), peer, 0), Admission::Later);
    // What a founder has seen needs no token.
    let seen = kit.witness(world.s, Some(&names), &[&prev], 0);
    assert!(matches!(
        world.ledger.admit(seen, peer, 0),
        Admission::Pending { .. }
    ));
    assert!(
        matches!(world.ledger.admit(prev, peer, 0), Admission::Added { newly } if newly.len() == 2)
    );
}
