//! Pasts of hundreds of authors, some forked, against plain sets.

use super::{Cut, Past};
use crate::entry::Entry;
use crate::graph::{AuthorIx, Graph, Ix, Parents};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::codec;
use talkoot_protocol::{Hash, NetworkId, Verified, Wallet};

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % end as u64).unwrap()
    }
}

/// A graph, and the past of each entry as a plain set.
struct History {
    graph: Graph,
    pasts: Vec<BTreeSet<Ix>>,
    own: BTreeMap<usize, Vec<Ix>>,
}

impl History {
    fn closure(&self, ix: Ix) -> BTreeSet<Ix> {
        let mut closure = self.pasts[ix.position()].clone();
        closure.insert(ix);
        closure
    }

    fn add(&mut self, random: &mut Random, author: usize) {
        let own = self.own.get(&author).cloned().unwrap_or_default();
        let is_forking = author.is_multiple_of(7) && random.below(4) == 0;
        let prev = match own.as_slice() {
            [] => None,
            own if is_forking => Some(own[random.below(own.len())]),
            own => own.last().copied(),
        };
        let held = self.pasts.len();
        let others = (0..random.below(5)).filter_map(|_| {
            let back = random.below(held.min(60)) + 1;
            let ix = Ix::from_position(u32::try_from(held - back).unwrap());
            (!own.contains(&ix)).then_some(ix)
        });
        let refs: BTreeSet<Ix> = if held == 0 {
            BTreeSet::new()
        } else {
            others.collect()
        };
        let parents: Vec<Ix> = prev.into_iter().chain(refs.iter().copied()).collect();
        let past = parents.iter().flat_map(|&ix| self.closure(ix)).collect();
        let node = |ix: Ix| self.graph.node(ix);
        let mut ids: Vec<Hash> = refs.iter().map(|&ix| node(ix).id).collect();
        ids.sort_unstable();
        let lamport = parents.iter().map(|&ix| node(ix).entry.lamport).max();
        let entry = Entry {
            network: NetworkId(Hash::ZERO),
            author: Wallet::from_bytes(*Hash::of_blob(&author.to_le_bytes()).as_bytes()),
            seq: prev.map_or(0, |ix| node(ix).entry.seq + 1),
            prev: prev.map_or(Hash::ZERO, |ix| node(ix).id),
            refs: ids,
            lamport: lamport.unwrap_or(0) + 1,
            time_ms: held as u64,
            names: Vec::new(),
            kind: 4,
            payload: Vec::new(),
        };
        let body = codec::encode(&entry);
        let unsigned = [&(body.len() as u64).to_le_bytes(), &body[..], &[0; 64]].concat();
        let parents = Parents {
            prev,
            refs: refs.into_iter().collect(),
        };
        let entry = Verified::from_trusted_bytes(&unsigned).unwrap();
        let ix = self.graph.push(entry, &parents);
        self.pasts.push(past);
        self.own.entry(author).or_default().push(ix);
    }

    /// The entries of a set by author.
    fn by_author(&self, set: &BTreeSet<Ix>) -> BTreeMap<AuthorIx, BTreeSet<Ix>> {
        let mut all: BTreeMap<AuthorIx, BTreeSet<Ix>> = BTreeMap::new();
        for &ix in set {
            let author = self.graph.node(ix).author;
            all.entry(author).or_default().insert(ix);
        }
        all
    }

    /// The lowest number at which a set of one author's entries holds two.
    fn fork_seq(&self, entries: &BTreeSet<Ix>) -> Option<u64> {
        let mut seqs: Vec<u64> = entries.iter().map(|&ix| self.graph.seq(ix)).collect();
        seqs.sort_unstable();
        seqs.windows(2)
            .find(|two| two[0] == two[1])
            .map(|two| two[0])
    }
}

#[test]
fn pasts_hold_what_plain_sets_hold() {
    for seed in 0..6 {
        let mut random = Random(seed);
        let mut history = History {
            graph: Graph::default(),
            pasts: Vec::new(),
            own: BTreeMap::new(),
        };
        let authors = [3, 20, 140, 400][random.below(4)];
        for _ in 0..700 {
            let author = random.below(authors);
            history.add(&mut random, author);
        }
        for _ in 0..40 {
            check(&history, &mut random);
        }
    }
}

fn check(history: &History, random: &mut Random) {
    let graph = &history.graph;
    let any = |random: &mut Random| {
        Ix::from_position(u32::try_from(random.below(history.pasts.len())).unwrap())
    };
    let parents: Vec<Ix> = (0..3).map(|_| any(random)).collect();
    let naive: BTreeSet<Ix> = parents.iter().flat_map(|&ix| history.closure(ix)).collect();
    let past = graph.closure_of(&parents);
    for ix in graph.all() {
        assert_eq!(past.contains(graph, ix), naive.contains(&ix));
    }
    let groups = history.by_author(&naive);
    for (author, log) in graph.authors() {
        let empty = BTreeSet::new();
        let held = groups.get(&author).unwrap_or(&empty);
        let is_tip = |&&ix: &&Ix| {
            !held
                .iter()
                .any(|&newer| newer != ix && graph.in_log_of(ix, newer))
        };
        let tips: Vec<Ix> = held.iter().filter(is_tip).copied().collect();
        assert_eq!(past.tips(author), tips, "{}", log.wallet);
        let cut = Cut::Past(&past);
        assert_eq!(cut.fork_seq(graph, author), history.fork_seq(held));
    }
    check_since(history, (&past, &naive), any(random));
}

fn check_since(history: &History, (past, naive): (&Past, &BTreeSet<Ix>), other: Ix) {
    let graph = &history.graph;
    let (all, old) = (
        history.by_author(naive),
        history.by_author(&history.pasts[other.position()]),
    );
    let mut newer = BTreeSet::new();
    past.since(&graph.node(other).past, &mut |author, tips| {
        assert_eq!(past.tips(author), tips);
        newer.insert(author);
    });
    let differ = |author: &&AuthorIx| all.get(author) != old.get(author);
    let expected: BTreeSet<AuthorIx> = all.keys().filter(differ).copied().collect();
    assert_eq!(newer, expected);
}
