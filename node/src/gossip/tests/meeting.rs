//! Honest nodes: they find each other, hold the same books and blobs.

use super::peer::{Node, genesis, key, until};
use crate::gossip::presence::{Describe, addresses};
use std::time::Duration;
use talkoot_ledger::Entry;
use talkoot_protocol::announce::{Presence, Served};
use talkoot_protocol::{
    ArithmeticId, Hash, LayerRange, ModelId, Verified, Wallet, limits, version,
};

fn model() -> ModelId {
    ModelId(Hash::from_bytes([7; 32]))
}

/// Claims to serve layers 2..6 of 8.
fn serves_layers() -> Describe {
    Box::new(|swarm| Presence {
        software: "test".into(),
        addresses: addresses(swarm),
        data_addresses: vec!["127.0.0.1:7471".into()],
        served: vec![Served {
            model: model(),
            name: "demo".into(),
            card: Hash::ZERO,
            layers: 8,
            range: LayerRange::new(2, 6).unwrap(),
            arithmetic: ArithmeticId(1),
            layers_per_second: 1,
            context: 64,
        }],
        free_sessions: 1,
        memory_bytes: 0,
    })
}

async fn agree(nodes: &[&Node], length_min: u64) {
    until("equal chains", async || {
        let mut chains = Vec::new();
        for node in nodes {
            chains.push(node.chain().await);
        }
        chains[0].0 >= length_min && chains.iter().all(|chain| *chain == chains[0])
    })
    .await;
}

async fn knows(node: &Node, other: Wallet) {
    until("an announcement and a connection", async || {
        let directory = node.control.directory();
        directory.read(|directory, now_ms| directory.get(&other, now_ms).is_some())
            && node.control.swarm().is_connected(&other)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_meet_through_one_address_and_hold_the_same_books() {
    let first = Node::serving(1, &[], serves_layers()).await;
    let second = Node::start(2, &first.addresses()).await;
    let third = Node::start(3, &first.addresses()).await;
    for (node, other) in [
        (&first, &second),
        (&first, &third),
        (&second, &first),
        (&second, &third),
        (&third, &first),
        (&third, &second),
    ] {
        knows(node, other.wallet()).await;
    }

    for node in [&first, &second, &third, &first] {
        node.write(key(9).wallet()).await;
    }
    // Four entries, and the founders' witnesses of them.
    agree(&[&first, &second, &third], 5).await;

    let coverage = third
        .control
        .directory()
        .read(|directory, now_ms| directory.coverage(model(), 8, now_ms));
    assert_eq!(coverage, [0, 0, 1, 1, 1, 1, 0, 0]);
    let provided = version::provider_key(model(), 1);
    until("a provider record", async || {
        let swarm = third.control.swarm();
        let found = swarm.find_providers(provided, Duration::from_secs(5)).await;
        found == [first.wallet()]
    })
    .await;

    // A newcomer that no entry concerns catches up by itself.
    let late = Node::start(4, &second.addresses()).await;
    agree(&[&first, &late], 5).await;

    // A peer that leaves is left out of routes at once.
    let gone = first.wallet();
    first.control.shutdown().await;
    until("the peer to be gone", async || {
        let directory = late.control.directory();
        directory.read(|directory, now_ms| directory.get(&gone, now_ms).is_none())
    })
    .await;
}

/// Two founders that cite each other, each far ahead of an empty node.
fn long_history(count: u64) -> Vec<Verified<Entry>> {
    let network = genesis().id();
    let mut entries: Vec<Verified<Entry>> = Vec::new();
    for lamport in 1..=count {
        let author = key(if lamport % 2 == 0 { 2 } else { 3 });
        let before = |back: usize| entries.len().checked_sub(back).map(|at| &entries[at]);
        let entry = Entry {
            network,
            author: author.wallet(),
            seq: (lamport - 1) / 2,
            prev: before(2).map_or(Hash::ZERO, talkoot_ledger::id_of),
            refs: before(1).map(talkoot_ledger::id_of).into_iter().collect(),
            lamport,
            time_ms: 0,
            names: vec![],
            kind: talkoot_ledger::kinds::WITNESS,
            payload: vec![],
        };
        entries.push(Verified::sign(entry, &author, network).unwrap());
    }
    entries
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_far_behind_catches_up_from_all_and_tells_how_far_it_is() {
    let entries = long_history(4_000);
    let first = Node::start(4, &[]).await;
    let second = Node::start(5, &first.addresses()).await;
    for node in [&first, &second] {
        node.ctx.books.admit(entries.clone(), None).await.unwrap();
    }
    knows(&second, first.wallet()).await;
    let addresses = [first.addresses(), second.addresses()].concat();
    let late = Node::start(6, &addresses).await;
    let mut watch = late.control.shared.progress.subscribe();
    let told = tokio::spawn(async move {
        let (mut fetched, mut to_fetch, mut peers) = (0, 0, 0);
        while watch.changed().await.is_ok() {
            let progress = *watch.borrow_and_update();
            fetched = progress.fetched.max(fetched);
            to_fetch = progress.to_fetch.max(to_fetch);
            peers = progress.peers.max(peers);
            if !progress.is_catching_up && fetched > 0 {
                break;
            }
        }
        (fetched, to_fetch, peers)
    });
    agree(&[&first, &second, &late], 4_000).await;
    let (fetched, to_fetch, peers) = told.await.unwrap();
    assert!(fetched > 0 && fetched <= 4_100, "{fetched}");
    assert!(to_fetch > 1_000, "{to_fetch}");
    assert!(peers > 0);
    for node in [&first, &second] {
        assert!(late.control.swarm().marks(&node.wallet()).is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_parents_are_fetched_from_who_sent_the_entry() {
    let writer = Node::start(1, &[]).await;
    let reader = Node::start(2, &writer.addresses()).await;
    knows(&reader, writer.wallet()).await;
    // Written where gossip does not hear it: straight into the books.
    let entries = writer
        .ctx
        .books
        .with(|books| {
            let admit = talkoot_ledger::Payload::Admit(talkoot_ledger::kinds::Admit {
                wallet: key(9).wallet(),
                line_ugft: talkoot_ledger::Ugft(1),
            });
            let mut author = || {
                let draft = talkoot_ledger::Draft::new(&admit, 1);
                books.author(&key(1), draft).unwrap()
            };
            (0..40).map(|_| author()).collect::<Vec<Verified<Entry>>>()
        })
        .await
        .unwrap();
    let last = entries.last().unwrap().clone();
    let id = talkoot_ledger::id_of(&last);
    let from = Some(writer.wallet());
    let admitted = reader.ctx.books.admit(vec![last], from).await.unwrap();
    assert_eq!(admitted.len(), 1);
    let known = reader
        .ctx
        .books
        .wait_known(id, from, Duration::from_secs(60));
    assert!(known.await);
    let never = reader
        .ctx
        .books
        .wait_known(Hash::ZERO, None, Duration::from_millis(1));
    assert!(!never.await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_catches_up_before_it_signs() {
    let first = Node::start(1, &[]).await;
    let second = Node::start(2, &first.addresses()).await;
    let third = Node::start(3, &first.addresses()).await;
    let before = third.write(key(9).wallet()).await;
    agree(&[&first, &second, &third], 1).await;
    third.control.shutdown().await;
    third.ctx.books.close().await;

    let wiped = Node::wiped(3, &first.addresses()).await;
    let signs = |node: &Node| {
        let look = |books: &mut talkoot_ledger::Books| books.signing().is_active();
        let books = node.ctx.books.clone();
        async move { books.with(look).await.unwrap() }
    };
    assert!(!signs(&wiped).await);
    until("signing to begin", async || signs(&wiped).await).await;
    let holds = move |books: &mut talkoot_ledger::Books| books.ledger().holds(&before);
    assert!(wiped.ctx.books.with(holds).await.unwrap());
    wiped.write(key(9).wallet()).await;
    agree(&[&first, &second, &wiped], 2).await;
    let forks = |books: &mut talkoot_ledger::Books| books.ledger().forks();
    assert_eq!(first.ctx.books.with(forks).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_blob_comes_from_whoever_holds_it() {
    let holder = Node::start(1, &[]).await;
    let empty = Node::start(2, &holder.addresses()).await;
    let asker = Node::start(4, &holder.addresses()).await;
    knows(&asker, holder.wallet()).await;
    knows(&asker, empty.wallet()).await;
    // Three ranges, the last one short.
    let bytes: Vec<u8> = (0..2 * limits::BLOB_RANGE_BYTES_MAX + 5)
        .map(|position| u8::try_from(position % 251).unwrap())
        .collect();
    let hash = holder.control.blobs().insert(bytes.clone().into());
    let candidates = [empty.wallet(), key(77).wallet(), holder.wallet()];
    let fetched = asker.control.fetch_blob(hash, &candidates).await;
    assert_eq!(fetched, Ok(bytes));
    let nobody = asker.control.fetch_blob(hash, &candidates[..1]).await;
    assert!(nobody.is_err());
    // Not having a blob is no fault.
    let info = asker.control.swarm().peer(&empty.wallet()).unwrap();
    assert_eq!(info.marks, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notes_and_entries_survive_closing_the_books() {
    let node = Node::start(1, &[]).await;
    let id = node.write(key(9).wallet()).await;
    assert!(node.ctx.books.note(|books| books.tick(0)));
    node.ctx.books.close().await;
    assert!(node.ctx.books.with(|_| ()).await.is_err());
    let (books, report) =
        talkoot_ledger::Books::open(node.home(), genesis(), node.wallet(), false).unwrap();
    assert!(books.ledger().holds(&id));
    assert_eq!(report.unusable, 0);
}
