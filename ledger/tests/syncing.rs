//! The sync core: ledgers converge, rubbish is marked, nothing is unbounded.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{E, Kit, Rng, history, seeds, wallet};
use std::collections::{BTreeMap, VecDeque};
use talkoot_ledger::sync::{SyncCore, SyncFault, SyncInput, SyncOutput, serve};
use talkoot_ledger::{Ledger, Source, id_of};
use talkoot_protocol::sync::{Heads, Listing, SyncRequest, SyncResponse};
use talkoot_protocol::{Hash, Wallet};

struct Node {
    ledger: Ledger,
    sync: SyncCore,
}

#[derive(Default)]
struct Net {
    nodes: BTreeMap<Wallet, Node>,
    requests: u64,
    entries_sent: u64,
    marks: Vec<(Wallet, SyncFault)>,
    synced: Vec<(Wallet, Wallet)>,
}

impl Net {
    fn add(&mut self, name: &str, ledger: Ledger) -> Wallet {
        let me = wallet(name);
        self.nodes.insert(
            me,
            Node {
                ledger,
                sync: SyncCore::new(7),
            },
        );
        me
    }

    fn input(&mut self, me: Wallet, input: SyncInput, now_ms: u64) {
        let mut queue = VecDeque::from([(me, input)]);
        while let Some((me, input)) = queue.pop_front() {
            let node = self.nodes.get_mut(&me).unwrap();
            for output in node.sync.handle(input, &node.ledger, now_ms) {
                match output {
                    SyncOutput::Request {
                        peer,
                        request_id,
                        request,
                    } => {
                        self.requests += 1;
                        let request = SyncRequest::decode(&request.to_bytes()).unwrap();
                        let response = serve::answer(&self.nodes[&peer].ledger, &request);
                        if let SyncResponse::Slice { entries, .. }
                        | SyncResponse::Entries { entries } = &response
                        {
                            self.entries_sent += entries.len() as u64;
                        }
                        let response = SyncResponse::decode(&response.to_bytes()).unwrap();
                        queue.push_back((
                            me,
                            SyncInput::Response {
                                peer,
                                request_id,
                                response,
                            },
                        ));
                    }
                    SyncOutput::Admit { peer, entries } => {
                        let node = self.nodes.get_mut(&me).unwrap();
                        let admissions =
                            node.ledger.admit_batch(entries, Source::Peer(peer), now_ms);
                        queue.push_back((me, SyncInput::Admitted { peer, admissions }));
                    }
                    SyncOutput::Mark { peer, fault } => self.marks.push((peer, fault)),
                    SyncOutput::Synced { peer } => self.synced.push((me, peer)),
                }
            }
        }
    }

    fn heads(&self, me: Wallet) -> Heads {
        serve::heads(&self.nodes[&me].ledger)
    }
}

fn ledger_of(kit: &Kit, entries: &[E]) -> Ledger {
    let mut ledger = Ledger::new(kit.genesis.clone());
    ledger.admit_batch(entries.to_vec(), Source::Own, 0);
    assert_eq!(ledger.length(), entries.len() as u64);
    ledger
}

#[test]
fn two_halves_of_a_history_with_forks_converge() {
    let mut forks = 0;
    for seed in 0..seeds(60) {
        let mut random = Rng(seed);
        let history = history::write(&mut random, 1, 90);
        let oracle = &history.oracle;
        let mut half = || {
            let tops = (0..8).map(|_| oracle.closure(random.below(oracle.entries.len())));
            let set = tops.fold(0, |a, b| a | b);
            let entries: Vec<E> = common::oracle::bits(set)
                .map(|i| oracle.entries[i].clone())
                .collect();
            (set, ledger_of(&history.kit, &entries))
        };
        let ((left_set, left), (right_set, right)) = (half(), half());
        let mut net = Net::default();
        let (a, b) = (net.add("a", left), net.add("b", right));
        let mut now_ms = 0;
        net.input(a, SyncInput::PeerConnected(b), now_ms);
        net.input(b, SyncInput::PeerConnected(a), now_ms);
        for _ in 0..10 {
            now_ms += 3_000;
            net.input(a, SyncInput::Tick, now_ms);
            net.input(b, SyncInput::Tick, now_ms);
        }
        assert_eq!(net.heads(a), net.heads(b), "SEED={seed}");
        assert_eq!(
            net.heads(a).length,
            u64::from((left_set | right_set).count_ones()),
            "SEED={seed}"
        );
        assert_eq!(net.marks, [], "SEED={seed}");
        assert!(
            net.synced.contains(&(a, b)) && net.synced.contains(&(b, a)),
            "SEED={seed}"
        );
        forks += net.nodes[&a].ledger.forks().len();
    }
    assert!(forks > 10, "too few forked logs were synced: {forks}");
}

/// A long history: two founders cite each other, w works in between.
fn long(kit: &Kit, count: u64) -> Vec<E> {
    let (a, b, w) = (wallet("a"), wallet("b"), wallet("w"));
    let mut entries = vec![kit.naming(a, &[w])];
    let mut tips: BTreeMap<Wallet, E> = [(a, entries[0].clone())].into();
    for n in 0..count {
        let author = [a, b, w][usize::try_from(n % 3).unwrap()];
        let newest = entries.last().unwrap().clone();
        let naming = entries[0].clone();
        let refs: Vec<&E> = [&newest, &naming]
            .into_iter()
            .filter(|entry| entry.author != author)
            .collect();
        let refs = if n < 3 {
            refs
        } else {
            refs.into_iter().take(1).collect()
        };
        let entry = kit.witness(author, tips.get(&author), &refs, n);
        tips.insert(author, entry.clone());
        entries.push(entry);
    }
    entries
}

#[test]
fn an_empty_node_catches_up_in_few_requests_and_without_waste() {
    let kit = Kit::new(&[("a", 1), ("b", 1)], &["w"]);
    let entries = long(&kit, 3000);
    let mut net = Net::default();
    let full = net.add("full", ledger_of(&kit, &entries));
    let empty = net.add("empty", Ledger::new(kit.genesis.clone()));
    net.input(empty, SyncInput::PeerConnected(full), 0);
    assert_eq!(net.heads(empty), net.heads(full));
    assert!(net.requests < 20, "{} requests", net.requests);
    assert_eq!(net.entries_sent, entries.len() as u64);
    assert_eq!(net.nodes[&empty].ledger.pending_count(), 0);
}

#[test]
fn a_gossiped_entry_with_unknown_parents_brings_them() {
    let kit = Kit::new(&[("a", 1), ("b", 1)], &["w"]);
    let entries = long(&kit, 30);
    let mut net = Net::default();
    let full = net.add("full", ledger_of(&kit, &entries));
    let behind = net.add("behind", ledger_of(&kit, &entries[..20]));
    // Connected while equal, so that no round is running.
    let node = net.nodes.get_mut(&behind).unwrap();
    let first = node
        .sync
        .handle(SyncInput::PeerConnected(full), &node.ledger, 0);
    let [SyncOutput::Request { request_id, .. }] = first.as_slice() else {
        panic!("{first:?}")
    };
    let same = SyncResponse::Heads(serve::heads(&node.ledger));
    let input = SyncInput::Response {
        peer: full,
        request_id: *request_id,
        response: same,
    };
    let outputs = node.sync.handle(input, &node.ledger, 0);
    assert_eq!(outputs, [SyncOutput::Synced { peer: full }]);
    let newest = entries.last().unwrap().clone();
    let admission = node.ledger.admit(newest, Source::Peer(full), 0);
    let talkoot_ledger::Admission::Pending { missing } = admission else {
        panic!("{admission:?}")
    };
    net.input(
        behind,
        SyncInput::MissingParents {
            peer: full,
            ids: missing,
        },
        1,
    );
    assert_eq!(net.heads(behind), net.heads(full));
}

#[test]
fn a_tip_that_waits_here_does_not_hide_its_parents() {
    let kit = Kit::new(&[("a", 1), ("b", 1)], &["w"]);
    let a = wallet("a");
    let mut entries = long(&kit, 20);
    let known = entries.len();
    for n in 100..102 {
        let mut log = entries.iter().filter(|entry| entry.author == a);
        let next = kit.witness(a, log.next_back(), &[], n);
        entries.push(next);
    }
    let mut net = Net::default();
    let full = net.add("full", ledger_of(&kit, &entries));
    let behind = net.add("behind", ledger_of(&kit, &entries[..known]));
    // The newest entry came from elsewhere, and nobody told the core what it
    // waits for (or a round that knew broke off).
    let node = net.nodes.get_mut(&behind).unwrap();
    let newest = entries.last().unwrap().clone();
    let admission = node.ledger.admit(newest, Source::Peer(full), 0);
    assert!(matches!(
        admission,
        talkoot_ledger::Admission::Pending { .. }
    ));
    net.input(behind, SyncInput::PeerConnected(full), 1);
    assert_eq!(net.heads(behind), net.heads(full));
}

/// Answers one request of a fresh core with `answer`; gives what it says.
fn provoke(kit: &Kit, answers: &[SyncResponse]) -> Vec<SyncOutput> {
    let ledger = Ledger::new(kit.genesis.clone());
    let mut sync = SyncCore::new(1);
    let peer = wallet("peer");
    let mut outputs = sync.handle(SyncInput::PeerConnected(peer), &ledger, 0);
    for response in answers {
        let Some(SyncOutput::Request { request_id, .. }) = outputs.first().cloned() else {
            panic!("{outputs:?}")
        };
        let input = SyncInput::Response {
            peer,
            request_id,
            response: response.clone(),
        };
        outputs = sync.handle(input, &ledger, 0);
    }
    outputs
}

#[test]
fn rubbish_is_marked_and_the_peer_left_alone() {
    let kit = Kit::new(&[("a", 1)], &[]);
    let other_network = Kit::new(&[("a", 2)], &[]);
    let peer = wallet("peer");
    let heads = SyncResponse::Heads(Heads {
        length: 1,
        tip: Hash::ZERO,
    });
    let since = |shared, ids: &[Hash]| SyncResponse::Since {
        shared,
        listing: Listing::Ids(ids.to_vec()),
    };
    let entries = |entry: Vec<u8>| SyncResponse::Entries {
        entries: vec![entry],
    };
    let foreign = other_network.witness(wallet("a"), None, &[], 1).to_bytes();
    let unasked = kit.witness(wallet("a"), None, &[], 1).to_bytes();
    let one = since(0, &[Hash::of_blob(&[1])]);
    let cases: Vec<(SyncFault, Vec<SyncResponse>)> = vec![
        (SyncFault::WrongKind, vec![one.clone()]),
        (SyncFault::BadListing, vec![heads.clone(), since(0, &[])]),
        (
            SyncFault::BadListing,
            vec![heads.clone(), since(7, &[Hash::ZERO])],
        ),
        (
            SyncFault::NotServed,
            vec![
                heads.clone(),
                one.clone(),
                SyncResponse::Entries { entries: vec![] },
            ],
        ),
        (
            SyncFault::BadEntry,
            vec![heads.clone(), one.clone(), entries(vec![1, 2, 3])],
        ),
        (
            SyncFault::BadEntry,
            vec![heads.clone(), one.clone(), entries(foreign)],
        ),
        (SyncFault::Unasked, vec![heads, one, entries(unasked)]),
    ];
    for (fault, answers) in cases {
        assert_eq!(
            provoke(&kit, &answers),
            [SyncOutput::Mark { peer, fault }],
            "{fault}"
        );
    }
}

#[test]
fn a_marked_silent_or_busy_peer_is_asked_again_only_later() {
    let kit = Kit::new(&[("a", 1)], &[]);
    let ledger = Ledger::new(kit.genesis.clone());
    let peer = wallet("peer");
    let mut sync = SyncCore::new(1);
    let id = |outputs: &[SyncOutput]| match outputs {
        [SyncOutput::Request { request_id, .. }] => *request_id,
        other => panic!("{other:?}"),
    };
    let request_id = id(&sync.handle(SyncInput::PeerConnected(peer), &ledger, 0));
    let busy = SyncInput::Response {
        peer,
        request_id,
        response: SyncResponse::Busy,
    };
    assert!(sync.handle(busy, &ledger, 0).is_empty());
    assert!(sync.handle(SyncInput::Tick, &ledger, 999).is_empty());
    let request_id = id(&sync.handle(SyncInput::Tick, &ledger, 1_000));
    assert!(
        sync.handle(SyncInput::Tick, &ledger, 9_000).is_empty(),
        "one request at a time"
    );
    assert!(
        sync.handle(SyncInput::Tick, &ledger, 10_000).is_empty(),
        "too late, given up"
    );
    let late = SyncInput::Response {
        peer,
        request_id,
        response: SyncResponse::Busy,
    };
    assert!(sync.handle(late, &ledger, 10_000).is_empty());
    let request_id = id(&sync.handle(SyncInput::Tick, &ledger, 11_001));
    let rubbish = SyncInput::RequestFailed {
        peer,
        request_id,
        is_rubbish: true,
    };
    let outputs = sync.handle(rubbish, &ledger, 11_001);
    assert_eq!(
        outputs,
        [SyncOutput::Mark {
            peer,
            fault: SyncFault::Undecodable
        }]
    );
    assert!(sync.handle(SyncInput::Tick, &ledger, 60_000).is_empty());
    id(&sync.handle(SyncInput::Tick, &ledger, 78_002));
    sync.handle(SyncInput::PeerGone(peer), &ledger, 78_003);
    assert!(sync.handle(SyncInput::Tick, &ledger, 200_000).is_empty());
}

#[test]
fn entries_that_no_set_can_hold_are_marked() {
    let kit = Kit::new(&[("a", 1)], &["stranger"]);
    let first = kit.witness(wallet("a"), None, &[], 1);
    let intruder = kit.witness(wallet("stranger"), None, &[&first], 1);
    let mut ledger = ledger_of(&kit, &[first]);
    let peer = wallet("peer");
    let mut sync = SyncCore::new(1);
    let heads = SyncResponse::Heads(Heads {
        length: 2,
        tip: Hash::ZERO,
    });
    let answers = [
        heads,
        SyncResponse::Since {
            shared: 0,
            listing: Listing::Ids(vec![id_of(&intruder); 2]),
        },
        SyncResponse::Entries {
            entries: vec![intruder.to_bytes()],
        },
    ];
    let mut outputs = sync.handle(SyncInput::PeerConnected(peer), &ledger, 0);
    for response in answers {
        let [SyncOutput::Request { request_id, .. }] = outputs.as_slice() else {
            panic!("{outputs:?}")
        };
        let input = SyncInput::Response {
            peer,
            request_id: *request_id,
            response,
        };
        outputs = sync.handle(input, &ledger, 0);
    }
    let Some(SyncOutput::Admit { entries, .. }) = outputs.pop() else {
        panic!("{outputs:?}")
    };
    let admissions = ledger.admit_batch(entries, Source::Peer(peer), 0);
    let outputs = sync.handle(SyncInput::Admitted { peer, admissions }, &ledger, 0);
    assert_eq!(
        outputs,
        [SyncOutput::Mark {
            peer,
            fault: SyncFault::BadStructure
        }]
    );
}
