//! Tests of the observer against peers that tell the truth, and others.

use super::*;
use crate::exchange::{ExchangeError, Protocol};
use crate::swarm::{self, SwarmEvent, SwarmHandle, SwarmSettings};
use crate::views::tests::{books, empty};
use std::sync::Mutex;
use talkoot_ledger::sync::serve;
use talkoot_protocol::sync::{Heads, SyncRequest, SyncResponse};
use talkoot_protocol::{Founder, Hash, Policy, Wallet};

const LOOPBACK: &str = "/ip4/127.0.0.1/udp/0/quic-v1";
const PATIENCE: Duration = Duration::from_secs(30);

/// A peer that answers sync by a function of its books.
struct Peer {
    runtime: tokio::runtime::Runtime,
    swarm: SwarmHandle,
    seen: Arc<Mutex<Vec<Wallet>>>,
}

type Answer = fn(&Ledger, &SyncRequest) -> SyncResponse;

fn peer(seed: u8, ledger: Ledger, answer: Answer) -> Peer {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let key = Keypair::from_seed(&[seed; 32]);
    let settings = SwarmSettings {
        listen: vec![LOOPBACK.to_owned()],
        ..SwarmSettings::default()
    };
    let started = runtime.block_on(swarm::start(&key, ledger.network(), &settings));
    let (swarm, mut events) = started.unwrap();
    let seen: Arc<Mutex<Vec<Wallet>>> = Arc::default();
    let noted = Arc::clone(&seen);
    runtime.spawn(async move {
        while let Some(event) = events.recv().await {
            match event {
                SwarmEvent::Connected(wallet) => noted.lock().unwrap().push(wallet),
                SwarmEvent::Request {
                    protocol: Protocol::Genesis,
                    reply,
                    ..
                } => reply.send(ledger.genesis().to_bytes()).await,
                SwarmEvent::Request {
                    protocol: Protocol::Sync,
                    bytes,
                    reply,
                    ..
                } => {
                    let request = SyncRequest::decode(&bytes).unwrap();
                    reply.send(answer(&ledger, &request).to_bytes()).await;
                }
                _ => {}
            }
        }
    });
    Peer {
        runtime,
        swarm,
        seen,
    }
}

fn settings(peers: &[&Peer]) -> ObserverSettings {
    let contact = |peer: &&Peer| Contact::parse(&peer.swarm.listeners()[0]).unwrap();
    ObserverSettings {
        contacts: peers.iter().map(contact).collect(),
        network: None,
        timeout: PATIENCE,
    }
}

fn true_answer(ledger: &Ledger, request: &SyncRequest) -> SyncResponse {
    serve::answer(ledger, request)
}

/// The entries are right, the chain is not.
fn other_chain(ledger: &Ledger, request: &SyncRequest) -> SyncResponse {
    match serve::answer(ledger, request) {
        SyncResponse::Heads(Heads { length, .. }) => SyncResponse::Heads(Heads {
            length,
            tip: Hash::from_bytes([9; 32]),
        }),
        answer => answer,
    }
}

fn bent(mut entries: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    for entry in &mut entries {
        *entry.last_mut().unwrap() ^= 1;
    }
    entries
}

/// The last byte of each signature is another.
fn forged(ledger: &Ledger, request: &SyncRequest) -> SyncResponse {
    match serve::answer(ledger, request) {
        SyncResponse::Entries { entries } => SyncResponse::Entries {
            entries: bent(entries),
        },
        SyncResponse::Slice { entries, more } => SyncResponse::Slice {
            entries: bent(entries),
            more,
        },
        answer => answer,
    }
}

#[test]
fn an_observer_holds_the_same_books_and_serves_nothing() {
    let (ledger, _) = books(true);
    let tip = ledger.tip();
    let peer = peer(1, ledger, true_answer);
    let observer = Observer::start(&settings(&[&peer])).unwrap();
    observer.wait_synced(PATIENCE, |_| {}).unwrap();
    assert_eq!(observer.look(Ledger::tip).unwrap(), tip);
    let view = observer.verify().unwrap();
    assert!(view.ok, "{view:?}");
    assert_eq!((view.entries, view.signatures), (7, 7));
    // The last that connected is the observer: before it the scout did.
    let observer_wallet = *peer.seen.lock().unwrap().last().unwrap();
    for protocol in [Protocol::Sync, Protocol::Blob, Protocol::Presence] {
        let ask = peer
            .swarm
            .request(observer_wallet, protocol, Vec::new(), PATIENCE);
        let answer = peer.runtime.block_on(ask);
        assert_eq!(answer, Err(ExchangeError::Unsupported), "{protocol:?}");
    }
    assert_eq!(observer.look(Ledger::length).unwrap(), 7);
}

#[test]
fn a_peer_with_the_same_entries_and_another_chain_is_found_out() {
    let (ledger, _) = books(true);
    let liar = peer(1, ledger, other_chain);
    let observer = Observer::start(&settings(&[&liar])).unwrap();
    let failure = observer.wait_synced(PATIENCE, |_| {}).unwrap_err();
    assert_eq!(failure.exit, Exit::VerifyFailed);
    assert!(failure.message.contains("another chain"), "{failure}");
    let view = observer.verify().unwrap();
    assert!(!view.ok && view.problems.len() == 1, "{view:?}");
}

#[test]
fn forged_entries_stay_out_and_their_sender_is_named() {
    let (ledger, _) = books(true);
    let forger = peer(1, ledger, forged);
    let observer = Observer::start(&settings(&[&forger])).unwrap();
    let mut found = Vec::new();
    let began = clock::monotonic();
    while found.is_empty() && began.elapsed() < PATIENCE {
        found = observer.control.swarm().falsehoods();
        std::thread::sleep(LOOK);
    }
    let failure = observer.wait_synced(Duration::ZERO, |_| {}).unwrap_err();
    assert_eq!(failure.exit, Exit::VerifyFailed, "{failure}");
    assert!(!observer.verify().unwrap().ok);
    assert_eq!(observer.look(Ledger::length).unwrap(), 0);
}

#[test]
fn the_network_that_is_meant_is_the_network_that_is_seen() {
    let (ledger, _) = books(true);
    let network = ledger.network();
    let one = peer(1, ledger, true_answer);
    let mut asked = settings(&[&one]);
    asked.network = Some(network);
    assert_eq!(Observer::start(&asked).unwrap().genesis().id(), network);
    asked.network = Some(NetworkId(Hash::ZERO));
    let failure = Observer::start(&asked).unwrap_err();
    assert_eq!(failure.exit, Exit::VerifyFailed);
    let founder = Founder {
        wallet: Keypair::from_seed(&[8; 32]).wallet(),
        line_ugft: 1,
    };
    let other = Genesis::new("other", 1, Policy::default(), vec![founder]).unwrap();
    let other = peer(8, Ledger::new(other), true_answer);
    let failure = Observer::start(&settings(&[&one, &other])).unwrap_err();
    assert_eq!(failure.exit, Exit::VerifyFailed);
    assert!(failure.message.contains("different networks"), "{failure}");
}

#[test]
fn nobody_there_is_said_so() {
    let gone = peer(1, empty(), true_answer);
    let mut asked = settings(&[&gone]);
    gone.runtime.block_on(gone.swarm.shutdown());
    asked.timeout = Duration::from_millis(500);
    let failure = Observer::start(&asked).unwrap_err();
    assert_eq!(failure.exit, Exit::NotRunning);
    assert!(failure.message.contains("nobody answers"), "{failure}");
}
