//! Catching up at scale: from several peers at once, whatever some of them do,
//! within bounds, and past tokens without letting a flood in.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::net::{Honesty, Net};
use common::{E, Kit, Rng, seeds, wallet};
use std::rc::Rc;
use talkoot_ledger::sync::{SyncFault, SyncProgress, WINDOW};
use talkoot_ledger::{Entry, Ledger, Source, kinds};
use talkoot_protocol::{Verified, Wallet, limits};

const FOUNDERS: [&str; 3] = ["a", "b", "c"];
const WORKERS: [&str; 20] = [
    "w00", "w01", "w02", "w03", "w04", "w05", "w06", "w07", "w08", "w09", "w10", "w11", "w12",
    "w13", "w14", "w15", "w16", "w17", "w18", "w19",
];

fn kit() -> Kit {
    Kit::new(&FOUNDERS.map(|name| (name, 1)), &WORKERS)
}

/// Goes on with a history: workers write entries of about the size of a
/// `Frontier`, and every twelfth is a founder's that has seen the newest.
#[derive(Debug, Clone)]
struct Writer {
    entries: Vec<E>,
    /// The newest entry of each author.
    newest: Vec<(Wallet, E)>,
}

impl Writer {
    fn new(kit: &Kit) -> Self {
        let workers = WORKERS.map(wallet);
        let first = kit.naming(wallet("a"), &workers[..16]);
        let rest = kit.raw(
            wallet("a"),
            Some(&first),
            &[],
            kinds::WITNESS,
            vec![],
            &workers[16..],
        );
        let mut writer = Self {
            newest: vec![(wallet("a"), rest.clone())],
            entries: vec![first.clone(), rest.clone()],
        };
        for (n, worker) in workers.into_iter().enumerate() {
            let naming = if n < 16 { &first } else { &rest };
            let entry = kit.entry(worker, None, &[naming], &talkoot_ledger::Payload::Witness);
            writer.add(entry);
        }
        writer
    }

    fn add(&mut self, entry: E) {
        self.newest.retain(|(author, _)| *author != entry.author);
        self.newest.push((entry.author, entry.clone()));
        self.entries.push(entry);
    }

    fn write(&mut self, kit: &Kit, random: &mut Rng, authors: &[&str], count: usize) {
        for n in 0..count {
            let is_founder = n % 12 == 11;
            let name = if is_founder {
                random.pick(&FOUNDERS)
            } else {
                random.pick(authors)
            };
            let author = wallet(name);
            let prev = self.newest.iter().find(|(who, _)| *who == author);
            let prev = prev.map(|(_, entry)| entry.clone());
            let cited = if is_founder { 8 } else { 1 };
            let refs: Vec<E> = self
                .newest
                .iter()
                .rev()
                .filter(|(who, _)| *who != author)
                .map(|(_, entry)| entry.clone())
                .take(cited)
                .collect();
            let refs: Vec<&E> = refs.iter().collect();
            let payload = if is_founder { vec![] } else { vec![7; 400] };
            let kind = if is_founder { kinds::WITNESS } else { 999 };
            self.add(kit.raw(author, prev.as_ref(), &refs, kind, payload, &[]));
        }
    }
}

fn ledger_of(kit: &Kit, entries: &[E]) -> Rc<Ledger> {
    let mut ledger = Ledger::new(kit.genesis.clone());
    ledger.admit_batch(entries.to_vec(), Source::Own, 0);
    assert_eq!(ledger.length(), entries.len() as u64);
    Rc::new(ledger)
}

fn history(kit: &Kit, count: usize) -> Writer {
    let mut writer = Writer::new(kit);
    writer.write(kit, &mut Rng(1), &WORKERS, count);
    writer
}

fn size(entries: &[E]) -> u64 {
    entries
        .iter()
        .map(|entry| entry.to_bytes().len() as u64)
        .sum()
}

/// A node that is `count` behind, with so many honest peers.
fn catch_up(kit: &Kit, full: &Rc<Ledger>, peers: usize) -> Net {
    let mut net = Net::new(Ledger::new(kit.genesis.clone()));
    for peer in 0..peers {
        net.add(wallet(&format!("peer {peer}")), full, Honesty::Honest);
    }
    let is_over = net.run(3_600_000, |net| net.equals(full));
    assert!(is_over, "held {} of {}", net.ledger.length(), full.length());
    net
}

fn report(name: &str, net: &Net, needed: u64) {
    println!(
        "{name}: {} ms, {} entries, {:.3} of the bytes needed, {:.2} % twice, up {} bytes, \
         {} peers at once, kept at most {} bytes, {} pending at most",
        net.now_ms,
        net.ledger.length(),
        net.bytes_down as f64 / needed as f64,
        net.waste_percent(),
        net.bytes_up,
        net.peers_max,
        net.kept_bytes_max,
        net.pending_max,
    );
}

#[test]
fn four_peers_are_nearly_four_times_as_fast_as_one_and_nothing_comes_twice() {
    let kit = kit();
    let count = usize::try_from(seeds(5_000)).unwrap();
    let writer = history(&kit, count);
    let full = ledger_of(&kit, &writer.entries);
    let needed = size(&writer.entries);
    let one = catch_up(&kit, &full, 1);
    report("one peer", &one, needed);
    let four = catch_up(&kit, &full, 4);
    report("four peers", &four, needed);
    assert!(
        four.now_ms * 5 < one.now_ms * 2,
        "{} ms with four, {} ms with one",
        four.now_ms,
        one.now_ms
    );
    for net in [&one, &four] {
        assert!(net.downloads.values().all(|times| *times == 1));
        assert!(net.bytes_down * 100 < needed * 103, "{}", net.bytes_down);
        assert!(net.marks.is_empty(), "{:?}", net.marks);
        assert_eq!(net.pending_max, 0);
        let bound = (WINDOW + 8) * limits::SYNC_ENTRIES_BYTES_MAX;
        assert!(net.kept_bytes_max < i64::try_from(bound).unwrap());
    }
    assert_eq!(four.peers_max, 4);
    for (net, peers) in [(&one, 1), (&four, 4)] {
        let all = net.progress.iter().copied();
        let progress: Vec<SyncProgress> = all.filter(|now| now.is_catching_up).collect();
        assert!(progress.is_sorted_by_key(|now| (now.held, now.fetched)));
        let tells = |now: &SyncProgress| {
            now.to_fetch > 0 && now.peers == peers && now.entries_per_second > 0
        };
        assert!(progress.iter().any(tells), "{progress:?}");
    }
}

#[test]
fn rubbish_from_one_of_four_is_dropped_and_costs_little() {
    let kit = kit();
    let writer = history(&kit, usize::try_from(seeds(1_500)).unwrap());
    let full = ledger_of(&kit, &writer.entries);
    let cases: [(Honesty, &[SyncFault]); 12] = [
        (Honesty::Undecodable, &[SyncFault::Undecodable]),
        (Honesty::BadSignature, &[SyncFault::BadEntry]),
        (Honesty::Elsewhere, &[SyncFault::Unasked]),
        (
            Honesty::ListsMore,
            &[SyncFault::NotServed, SyncFault::BadListing],
        ),
        (Honesty::FakeIds, &[SyncFault::NotServed]),
        (
            Honesty::Endless,
            &[
                SyncFault::BadListing,
                SyncFault::Crumbs,
                SyncFault::NotServed,
            ],
        ),
        (Honesty::Empty, &[SyncFault::NotServed]),
        (Honesty::Crumbs, &[SyncFault::Crumbs]),
        (Honesty::LiesLength, &[SyncFault::BadListing]),
        (Honesty::Silent, &[]),
        (Honesty::Goes(5), &[]),
        (Honesty::Goes(2), &[]),
    ];
    for (honesty, faults) in cases {
        // The liar is asked first, or last.
        for liar in ["first", "last"] {
            let mut net = Net::new(Ledger::new(kit.genesis.clone()));
            let bad = wallet(liar);
            if liar == "first" {
                net.add(bad, &full, honesty);
            }
            for peer in ["x", "y", "z"] {
                net.add(wallet(peer), &full, Honesty::Honest);
            }
            if liar == "last" {
                net.add(bad, &full, honesty);
            }
            let is_over = net.run(60_000, |net| net.equals(&full));
            println!(
                "{honesty:?} {liar}: {} ms, {:.2} % twice, {:?}",
                net.now_ms,
                net.waste_percent(),
                net.marks
            );
            assert!(is_over, "{honesty:?}: held {}", net.ledger.length());
            assert!(net.now_ms < 15_000, "{honesty:?} took {} ms", net.now_ms);
            // What it says is looked at again once the rest is held.
            net.run(net.now_ms + 10_000, |_| false);
            assert!(
                net.marks.iter().all(|(peer, _)| *peer == bad),
                "{honesty:?}"
            );
            if liar == "first" {
                assert_eq!(net.marks.is_empty(), faults.is_empty(), "{honesty:?}");
            }
            assert!(
                net.marks.iter().all(|(_, fault)| faults.contains(fault)),
                "{honesty:?}: {:?}",
                net.marks
            );
            assert!(net.marks.len() <= 1, "{honesty:?} was believed again");
            assert!(net.waste_percent() < 5.0, "{honesty:?}");
        }
    }
}

#[test]
fn a_slow_peer_gets_small_parts_and_does_not_hold_the_others_up() {
    let kit = kit();
    let writer = history(&kit, usize::try_from(seeds(3_000)).unwrap());
    let full = ledger_of(&kit, &writer.entries);
    let mut net = Net::new(Ledger::new(kit.genesis.clone()));
    for peer in ["slow", "x", "y", "z"] {
        net.add(wallet(peer), &full, Honesty::Honest);
    }
    let slow = wallet("slow");
    // A hundredth of the others: its first part takes longer than all the rest.
    net.servers.get_mut(&slow).unwrap().bits_per_ms = 100;
    assert!(net.run(60_000, |net| net.equals(&full)));
    println!(
        "with a slow peer: {} ms, {:.2} % twice",
        net.now_ms,
        net.waste_percent()
    );
    assert!(net.now_ms < 5_000, "{} ms", net.now_ms);
    assert!(net.waste_percent() < 15.0);
    assert!(net.servers[&slow].asked <= 2);
    assert!(net.marks.is_empty(), "{:?}", net.marks);
}

#[test]
fn sides_of_a_partition_become_one_set_and_only_what_lacks_is_sent() {
    let kit = kit();
    let mut left = history(&kit, 1_000);
    let shared = left.entries.len();
    let mut right = left.clone();
    let count = usize::try_from(seeds(2_000)).unwrap();
    left.write(&kit, &mut Rng(2), &WORKERS[..10], count);
    // Founders are on both sides; they must not write on both.
    for n in 0..count {
        let author = WORKERS[10 + n % 10];
        right.write(&kit, &mut Rng(n as u64), &[author], 1);
    }
    let ours = ledger_of(&kit, &left.entries);
    let theirs = ledger_of(&kit, &right.entries);
    let mut union = Ledger::new(kit.genesis.clone());
    for side in [&left, &right] {
        union.admit_batch(side.entries.clone(), Source::Own, 0);
    }
    let mut net = Net::new(Rc::try_unwrap(ours).unwrap());
    for peer in ["x", "y", "z"] {
        net.add(wallet(peer), &theirs, Honesty::Honest);
    }
    assert!(net.run(60_000, |net| net.equals(&union)));
    report("partition", &net, size(&right.entries[shared..]));
    assert!(net.waste_percent() < 5.0, "{}", net.waste_percent());
    assert!(net.peers_max > 1);
    assert!(net.marks.is_empty(), "{:?}", net.marks);
}

#[test]
fn one_late_entry_among_a_thousand_authors_costs_little() {
    let names: Vec<String> = (0..1_000).map(|n| format!("author {n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let kit = Kit::new(&[("a", 1)], &names);
    let a = wallet("a");
    let wallets: Vec<Wallet> = names.iter().map(|name| wallet(name)).collect();
    let mut entries: Vec<E> = Vec::new();
    for group in wallets.chunks(16) {
        let prev = entries.iter().rfind(|entry| entry.author == a).cloned();
        let naming = kit.raw(a, prev.as_ref(), &[], kinds::WITNESS, vec![], group);
        entries.push(naming.clone());
        for author in group {
            entries.push(kit.witness(*author, None, &[&naming], 1));
        }
    }
    let last = entries
        .iter()
        .rfind(|entry| entry.author == a)
        .unwrap()
        .clone();
    let newest = kit.witness(a, Some(&last), &[], 1);
    let middle = entries.iter().find(|entry| entry.author == wallets[500]);
    let middle = middle.unwrap().clone();
    for (what, missing) in [("the newest", newest), ("one in the middle", middle)] {
        let mut all = entries.clone();
        if !all.contains(&missing) {
            all.push(missing.clone());
        }
        let full = ledger_of(&kit, &all);
        let behind: Vec<E> = all
            .iter()
            .filter(|entry| **entry != missing)
            .cloned()
            .collect();
        let behind = ledger_of(&kit, &behind);
        let mut net = Net::new(Rc::try_unwrap(behind).unwrap());
        net.add(wallet("peer"), &full, Honesty::Honest);
        assert!(net.run(10_000, |net| net.equals(&full)));
        println!(
            "{what}: {} bytes up, {} down, {} ms; all tips are {} bytes",
            net.bytes_up,
            net.bytes_down,
            net.now_ms,
            72 * full.log_tips().len()
        );
        assert!(net.bytes_up + net.bytes_down < 20_000);
        assert_eq!(net.downloads.len(), 1);
    }
}

/// An entry by somebody whose key this kit does not know.
fn garbage(kit: &Kit, number: usize, naming: &E) -> E {
    let key = common::key(&format!("garbage {number}"));
    let entry = Entry {
        network: kit.network,
        author: key.wallet(),
        seq: 0,
        prev: talkoot_protocol::Hash::ZERO,
        refs: vec![talkoot_ledger::id_of(naming)],
        lamport: naming.lamport + 1,
        time_ms: 0,
        names: vec![],
        kind: kinds::WITNESS,
        payload: vec![],
    };
    Verified::sign(entry, &key, kit.network).unwrap()
}

#[test]
fn honest_entries_need_no_tokens_to_catch_up_and_a_flood_stays_under_its_share() {
    let kit = kit();
    let cheater = wallet("w19");
    let mut writer = Writer::new(&kit);
    let count = usize::try_from(seeds(6_000)).unwrap();
    writer.write(&kit, &mut Rng(1), &WORKERS[..19], count);
    let honest: Vec<E> = writer.entries.clone();
    // The cheater names a crowd, low in the order.
    let mut prev = honest.iter().find(|entry| entry.author == cheater).cloned();
    let crowd = usize::try_from(seeds(10_000)).unwrap();
    let mut flood = Vec::new();
    for first in (0..crowd).step_by(16) {
        let crowd: Vec<Wallet> = (first..first + 16)
            .map(|n| wallet(&format!("garbage {n}")))
            .collect();
        let naming = kit.raw(cheater, prev.as_ref(), &[], kinds::WITNESS, vec![], &crowd);
        writer.add(naming.clone());
        flood.push(naming.clone());
        for n in first..first + 16 {
            let entry = garbage(&kit, n, &naming);
            writer.add(entry.clone());
            flood.push(entry);
        }
        prev = Some(naming);
    }
    let full = ledger_of(&kit, &writer.entries);
    let mut net = Net::new(Ledger::new(kit.genesis.clone()));
    for peer in ["x", "y", "z"] {
        net.add(wallet(peer), &full, Honesty::Honest);
    }
    let holds_all = |net: &Net| {
        let mut newest = honest.iter().rev().take(100);
        newest.all(|entry| net.ledger.holds(&talkoot_ledger::id_of(entry)))
    };
    assert!(net.run(60_000, holds_all), "held {}", net.ledger.length());
    let caught_up_ms = net.now_ms;
    assert!(caught_up_ms < 20_000, "{caught_up_ms} ms");
    net.run(40_000, |_| false);
    let held = |entries: &[E]| {
        let held = entries
            .iter()
            .filter(|entry| net.ledger.holds(&talkoot_ledger::id_of(entry)));
        held.count()
    };
    let (honest_held, flood_held) = (held(&honest), held(&flood));
    println!(
        "honest {honest_held} of {} after {caught_up_ms} ms, flood {flood_held} of {}, {} bytes \
         down for {}",
        honest.len(),
        flood.len(),
        net.bytes_down,
        size(&writer.entries)
    );
    // Half of the founder's burst, and half of its rate.
    let share = 4096 + 64 * 40;
    assert!(flood_held <= share, "{flood_held} of the flood came in");
    assert!(honest.len() - honest_held <= 64);
    assert!(net.bytes_down < 2 * size(&writer.entries));
    assert!(net.marks.is_empty(), "{:?}", net.marks);
}

/// What this thread has computed, whatever else the machine does.
fn computed_ms() -> u64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds: u64 = stat.split(' ').next().unwrap().parse().unwrap();
    nanoseconds / 1_000_000
}

#[test]
#[ignore = "a measurement: cargo test --release -p talkoot-ledger --test catching_up -- --ignored --nocapture"]
fn a_hundred_thousand_entries() {
    let kit = kit();
    let writer = history(&kit, 100_000);
    let full = ledger_of(&kit, &writer.entries);
    let needed = size(&writer.entries);
    let signed: Vec<Vec<u8>> = writer.entries.iter().map(Verified::to_bytes).collect();
    let before = computed_ms();
    for bytes in &signed {
        Verified::<Entry>::from_bytes(bytes, kit.network).unwrap();
    }
    println!(
        "decoding and verifying alone: {} ms",
        computed_ms() - before
    );
    for peers in [1, 4] {
        let before = computed_ms();
        let net = catch_up(&kit, &full, peers);
        report(&format!("{peers} peers"), &net, needed);
        let ms = computed_ms() - before;
        println!(
            "{peers} peers: {ms} ms computed, serving and the driver included: {} entries/s",
            full.length() * 1000 / ms
        );
    }
}
