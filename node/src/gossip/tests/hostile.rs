//! Rogues: rubbish of every kind over the real wire gets a mark, and the node
//! goes on.

use super::peer::{Node, Rogue, key, until};
use crate::core::peers::Mark;
use crate::exchange::{FrameFault, Protocol, Topic};
use crate::swarm::SwarmEvent;
use std::time::Duration;
use talkoot_ledger::{Entry, kinds};
use talkoot_protocol::announce::{Announcement, KIND_PRESENCE};
use talkoot_protocol::blob::{BlobRequest, BlobResponse};
use talkoot_protocol::codec;
use talkoot_protocol::sync::{Heads, Listing, SyncRequest, SyncResponse};
use talkoot_protocol::{Hash, Keypair, NetworkId, Verified, Wallet, limits};

const TIMEOUT: Duration = Duration::from_secs(2);

fn entry(author: &Keypair, network: NetworkId, lamport: u64) -> Vec<u8> {
    let entry = Entry {
        network,
        author: author.wallet(),
        seq: 0,
        prev: Hash::ZERO,
        refs: vec![],
        lamport,
        time_ms: 0,
        names: vec![],
        kind: kinds::WITNESS,
        payload: vec![],
    };
    Verified::sign(entry, author, network).unwrap().to_bytes()
}

fn announcement(author: &Keypair, network: NetworkId, number: u64, payload: Vec<u8>) -> Vec<u8> {
    let announcement = Announcement {
        wallet: author.wallet(),
        number,
        issued_ms: crate::clock::now_ms(),
        ttl_ms: 1_000,
        kind: KIND_PRESENCE,
        payload,
    };
    Verified::sign(announcement, author, network)
        .unwrap()
        .to_bytes()
}

/// A request as it is, or a frame that is broken on the way.
type Request = Result<Vec<u8>, FrameFault>;

fn forged(mut bytes: Vec<u8>) -> Vec<u8> {
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

/// The node still takes part: it hears from an honest peer and answers it.
async fn goes_on(victim: &Node) {
    let honest = Node::start(2, &victim.addresses()).await;
    honest.write(key(9).wallet()).await;
    until("the victim to hold an honest entry", async || {
        let (length, _) = victim.chain().await;
        length > 0 && victim.chain().await == honest.chain().await
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_in_gossip_is_marked_by_kind() {
    let victim = Node::start(1, &[]).await;
    let network = victim.ctx.network;
    let elsewhere = NetworkId(Hash::from_bytes([1; 32]));
    let mut rogue = Rogue::connect(50, &victim).await;
    let mut topics = 0;
    rogue
        .event(|event| {
            topics += u32::from(matches!(event, SwarmEvent::Subscribed(..)));
            topics == 2
        })
        .await;
    let stranger = key(60);
    let good = entry(&key(3), network, 1);
    let mut trailing = good.clone();
    trailing.push(0);
    // Nine, because the tenth bans.
    let sent: [(Topic, Vec<u8>, &str); 9] = [
        (Topic::Ledger, vec![0xff; 64], "malformed"),
        (Topic::Ledger, good[..good.len() - 3].to_vec(), "malformed"),
        (Topic::Ledger, trailing, "malformed"),
        (
            Topic::Ledger,
            vec![0; limits::ENTRY_BYTES_MAX + 1],
            "more than the limit",
        ),
        (Topic::Ledger, forged(good), "wrong signature"),
        (
            Topic::Ledger,
            entry(&key(3), elsewhere, 1),
            "another network",
        ),
        (Topic::Ledger, entry(&key(3), network, 2), "lamport"),
        (Topic::Ledger, entry(&stranger, network, 1), "no founder"),
        (
            Topic::Presence,
            announcement(&stranger, network, 1, vec![9]),
            "malformed",
        ),
    ];
    for (count, (topic, bytes, reason)) in (1..).zip(sent) {
        rogue.swarm.publish(topic, bytes).await;
        let last = victim.marked(rogue.key.wallet(), count).await;
        assert!(last.contains(reason), "{last} is not about {reason}");
    }
    rogue.swarm.publish(Topic::Presence, vec![0; 7]).await;
    until("the rogue to be banned", async || {
        !victim.control.swarm().is_connected(&rogue.key.wallet())
    })
    .await;
    goes_on(&victim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_of_another_network_is_sent_away() {
    let victim = Node::start(1, &[]).await;
    let stray = key(53);
    let elsewhere = NetworkId(Hash::from_bytes([1; 32]));
    let settings = crate::swarm::SwarmSettings {
        bootstrap: victim.addresses(),
        ..Default::default()
    };
    let (swarm, mut events) = crate::swarm::start(&stray, elsewhere, &settings)
        .await
        .unwrap();
    // It comes back with every pause of its bootstrap, until it is banned.
    let last = victim.marked(stray.wallet(), 2).await;
    assert_eq!(last, Mark::OtherNetwork.to_string());
    let gone = async {
        while let Some(event) = events.recv().await {
            if matches!(event, SwarmEvent::Gone(wallet) if wallet == victim.wallet()) {
                return;
            }
        }
        panic!("the swarm ended");
    };
    tokio::time::timeout(Duration::from_secs(60), gone)
        .await
        .unwrap();
    swarm.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replayed_announcement_is_marked() {
    let victim = Node::start(1, &[]).await;
    let network = victim.ctx.network;
    let mut rogue = Rogue::connect(51, &victim).await;
    rogue
        .event(|event| matches!(event, SwarmEvent::Subscribed(_, Topic::Presence)))
        .await;
    let presence = crate::gossip::presence::describe_with(victim.ctx.clone())(&rogue.swarm);
    for number in [5, 4] {
        let bytes = announcement(&rogue.key, network, number, presence.to_payload());
        rogue.swarm.publish(Topic::Presence, bytes).await;
    }
    let last = victim.marked(rogue.key.wallet(), 1).await;
    assert_eq!(last, Mark::Replayed.to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_in_requests_is_marked_and_unanswered() {
    let victim = Node::start(1, &[]).await;
    let rogue = Rogue::connect(52, &victim).await;
    let unsorted = codec::encode(&(
        4_u32,
        vec![(Hash::from_bytes([2; 32]), 0_u64), (Hash::ZERO, 0)],
    ));
    assert!(SyncRequest::decode(&unsorted).is_err());
    let beyond = BlobRequest {
        hash: Hash::ZERO,
        offset: limits::BLOB_BYTES_MAX + 1,
        length: 1,
    };
    let over = |protocol: Protocol| vec![0; protocol.request_bytes_max() + 1];
    let sent: [(Protocol, Request, &str); 10] = [
        (Protocol::Sync, Ok(over(Protocol::Sync)), "limit"),
        (Protocol::Blob, Ok(over(Protocol::Blob)), "limit"),
        (Protocol::Presence, Ok(over(Protocol::Presence)), "limit"),
        (Protocol::Sync, Err(FrameFault::Truncated), "truncated"),
        (Protocol::Sync, Ok(vec![9; 40]), "malformed"),
        (Protocol::Sync, Ok(unsorted), "out of bounds"),
        (Protocol::Blob, Ok(beyond.to_bytes()), "out of bounds"),
        (Protocol::Blob, Ok(vec![1]), "malformed"),
        (Protocol::Presence, Ok(vec![1; 8]), "malformed"),
        (Protocol::Join, Ok(vec![9; 20]), "malformed"),
    ];
    for (count, (protocol, request, reason)) in (1..).zip(sent) {
        let asked = rogue
            .swarm
            .exchange(victim.wallet(), protocol, request, TIMEOUT);
        assert!(asked.await.is_err());
        let last = victim.marked(rogue.key.wallet(), count).await;
        assert!(last.contains(reason), "{last} is not about {reason}");
    }
    goes_on(&victim).await;
}

/// How a rogue answers what it is asked.
type Answer = fn(&Keypair, Protocol, &[u8]) -> Option<Vec<u8>>;

fn sync_lie(bytes: &[u8], id: Hash, entries: Vec<Vec<u8>>) -> Vec<u8> {
    let listing = Listing::Ids(vec![id; 9]);
    let lie = match SyncRequest::decode(bytes).unwrap() {
        SyncRequest::Heads(_) => SyncResponse::Heads(Heads {
            length: 9,
            tip: Hash::ZERO,
        }),
        SyncRequest::Since { .. } => SyncResponse::Since { shared: 0, listing },
        SyncRequest::List(_) => SyncResponse::List(listing),
        SyncRequest::Slice { .. } => SyncResponse::Slice {
            entries,
            more: false,
        },
        SyncRequest::Entries { .. } => SyncResponse::Entries { entries },
    };
    lie.to_bytes()
}

async fn marked_for(seed: u8, victim: &Node, answer: Answer) -> String {
    let Rogue {
        key,
        swarm,
        mut events,
    } = Rogue::connect(seed, victim).await;
    let wallet: Wallet = key.wallet();
    let answering = tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            if let SwarmEvent::Request {
                protocol,
                bytes,
                reply,
                ..
            } = event
                && let Some(bytes) = answer(&key, protocol, &bytes)
            {
                reply.send(bytes).await;
            }
        }
    });
    let last = victim.marked(wallet, 1).await;
    swarm.shutdown().await;
    answering.abort();
    last
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rubbish_in_answers_is_marked() {
    let victim = Node::start(1, &[]).await;
    let answers: [(Answer, &str); 7] = [
        (
            |_, protocol, _| (protocol == Protocol::Sync).then(|| vec![0xff; 9]),
            "does not decode",
        ),
        (
            |_, protocol, _| (protocol == Protocol::Presence).then(|| vec![0xff; 9]),
            "malformed",
        ),
        (
            |_, protocol, _| {
                (protocol == Protocol::Presence).then(|| vec![0; limits::PRESENCE_BYTES_MAX + 1])
            },
            "limit",
        ),
        (
            |_, protocol, _| {
                let wrong = SyncResponse::Entries { entries: vec![] };
                (protocol == Protocol::Sync).then(|| wrong.to_bytes())
            },
            "another kind",
        ),
        (
            |_, protocol, bytes| {
                let garbage = vec![vec![7; 100]];
                (protocol == Protocol::Sync).then(|| sync_lie(bytes, Hash::ZERO, garbage))
            },
            "does not verify",
        ),
        (
            |key, protocol, bytes| {
                let network = super::peer::genesis().id();
                let stranger = entry(key, network, 1);
                let id = Verified::<Entry>::from_bytes(&stranger, network)
                    .unwrap()
                    .named();
                (protocol == Protocol::Sync).then(|| sync_lie(bytes, id, vec![stranger]))
            },
            "no set can hold",
        ),
        (
            |_, protocol, bytes| {
                (protocol == Protocol::Sync).then(|| sync_lie(bytes, Hash::ZERO, vec![]))
            },
            "does not serve",
        ),
    ];
    for (seed, (answer, reason)) in (60..).zip(answers) {
        let last = marked_for(seed, &victim, answer).await;
        assert!(last.contains(reason), "{last} is not about {reason}");
    }
    goes_on(&victim).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_false_blob_is_marked_and_fetched_elsewhere() {
    let asker = Node::start(1, &[]).await;
    let holder = Node::start(2, &asker.addresses()).await;
    let mut rogue = Rogue::connect(70, &asker).await;
    let bytes = vec![5; 1_000];
    let hash = holder.control.blobs().insert(bytes.clone().into());
    let liar = rogue.key.wallet();
    let answering = tokio::spawn(async move {
        while let Some(event) = rogue.events.recv().await {
            if let SwarmEvent::Request {
                protocol: Protocol::Blob,
                reply,
                ..
            } = event
            {
                let lie = BlobResponse::Range {
                    total: 1_000,
                    bytes: vec![6; 1_000],
                };
                reply.send(lie.to_bytes()).await;
            }
        }
    });
    until("a holder", async || {
        asker.control.swarm().is_connected(&holder.wallet())
    })
    .await;
    let fetched = asker
        .control
        .fetch_blob(hash, &[liar, holder.wallet()])
        .await;
    assert_eq!(fetched, Ok(bytes));
    assert!(asker.marked(liar, 1).await.contains("invalid"));
    answering.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_and_a_clock_that_is_off_are_noticed() {
    let node = Node::start(1, &[]).await;
    let mut peer = Rogue::connect(54, &node).await;
    let network = super::peer::genesis().id();
    let payload = |issued_ms: u64, author: &Keypair, number: u64| {
        let announcement = Announcement {
            wallet: author.wallet(),
            number,
            issued_ms,
            ttl_ms: 1_000,
            kind: KIND_PRESENCE,
            payload: presence_of_nothing(),
        };
        Verified::sign(announcement, author, network)
            .unwrap()
            .to_bytes()
    };
    let listens = |event: &SwarmEvent| matches!(event, SwarmEvent::Subscribed(_, Topic::Presence));
    peer.event(listens).await;
    let now_ms = crate::clock::now_ms();
    // So far ahead that it does not count; the difference is known all the same.
    let ahead = payload(now_ms + 3_600_000, &peer.key, 1);
    let own_old = payload(1, &key(1), 2);
    let own_new = payload(now_ms + 60_000, &key(1), now_ms + 60_000);
    for bytes in [ahead, own_old] {
        peer.swarm.publish(Topic::Presence, bytes).await;
    }
    let directory = node.control.directory();
    let wallet = peer.key.wallet();
    until("the offset of the clock", async || {
        let offset = directory.read(|directory, _| directory.clock_offset_ms(&wallet));
        offset.is_some_and(|offset| offset > 3_500_000)
    })
    .await;
    assert_eq!(directory.read(|directory, _| directory.twin_ms()), None);
    peer.swarm.publish(Topic::Presence, own_new).await;
    until("the twin", async || {
        directory.read(|directory, _| directory.twin_ms()).is_some()
    })
    .await;
}

fn presence_of_nothing() -> Vec<u8> {
    talkoot_protocol::announce::Presence {
        software: "x".to_owned(),
        addresses: vec![],
        data_addresses: vec![],
        served: vec![],
        free_sessions: 0,
        memory_bytes: 0,
    }
    .to_payload()
}
