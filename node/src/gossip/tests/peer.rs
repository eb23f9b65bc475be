//! What the tests are made of: whole control planes, and rogues that speak the
//! wire but keep no rules.

use crate::books::BooksHandle;
use crate::context::{LendingLimits, NodeContext, ServedModels};
use crate::exchange::blobs::BlobStore;
use crate::gossip::presence::Describe;
use crate::gossip::{ControlPlane, presence};
use crate::swarm::{self, SwarmEvent, SwarmHandle, SwarmSettings};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use talkoot_ledger::books::Books;
use talkoot_ledger::kinds::Admit;
use talkoot_ledger::{Payload, Ugft, id_of};
use talkoot_protocol::genesis::{Founder, Genesis, Policy};
use talkoot_protocol::{Hash, Keypair, Wallet};
use tokio::sync::mpsc;

const DEADLINE: Duration = Duration::from_secs(60);
pub(super) const LOOPBACK: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

pub(super) fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

/// A network whose founders are the keys 1 to 3.
pub(super) fn genesis() -> Genesis {
    let founders = (1..=3)
        .map(|seed| Founder {
            wallet: key(seed).wallet(),
            line_ugft: 1_000,
        })
        .collect();
    Genesis::new("test", 1, Policy::default(), founders).unwrap()
}

/// Polls a condition until it holds; panics with `what` after the deadline.
pub(super) async fn until<F: AsyncFnMut() -> bool>(what: &str, mut holds: F) {
    let wait = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(
        tokio::time::timeout(DEADLINE, wait).await.is_ok(),
        "not in time: {what}"
    );
}

/// A whole control plane with its books.
pub(super) struct Node {
    pub(super) ctx: Arc<NodeContext>,
    pub(super) control: ControlPlane,
    home: tempfile::TempDir,
}

fn settings(listen: &str, bootstrap: &[String]) -> SwarmSettings {
    SwarmSettings {
        listen: vec![listen.to_owned()],
        bootstrap: bootstrap.to_vec(),
        mdns: false,
        observer: false,
    }
}

fn context(seed: u8, home: &tempfile::TempDir, is_new: bool) -> Arc<NodeContext> {
    let key = key(seed);
    let genesis = genesis();
    let (books, _) = Books::open(home.path(), genesis.clone(), key.wallet(), is_new).unwrap();
    Arc::new(NodeContext {
        network: genesis.id(),
        genesis,
        books: BooksHandle::start(books, key.clone()).unwrap(),
        key,
        served: ServedModels::default(),
        data_addresses: RwLock::default(),
        limits: LendingLimits {
            sessions_max: 2,
            memory_bytes: 0,
            threads: 1,
            exposure_ugft: 0,
        },
    })
}

impl Node {
    pub(super) async fn start(seed: u8, bootstrap: &[String]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ctx = context(seed, &home, true);
        let describe = presence::describe_with(Arc::clone(&ctx));
        Self::start_with(ctx, home, LOOPBACK, bootstrap, describe).await
    }

    /// A node whose files are lost: it cannot know what it has signed.
    pub(super) async fn wiped(seed: u8, bootstrap: &[String]) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ctx = context(seed, &home, false);
        let describe = presence::describe_with(Arc::clone(&ctx));
        Self::start_with(ctx, home, LOOPBACK, bootstrap, describe).await
    }

    /// A node that claims to serve something, over TCP.
    pub(super) async fn serving(seed: u8, bootstrap: &[String], describe: Describe) -> Self {
        let home = tempfile::tempdir().unwrap();
        let ctx = context(seed, &home, true);
        let tcp = "/ip4/127.0.0.1/tcp/0";
        Self::start_with(ctx, home, tcp, bootstrap, describe).await
    }

    async fn start_with(
        ctx: Arc<NodeContext>,
        home: tempfile::TempDir,
        listen: &str,
        bootstrap: &[String],
        describe: Describe,
    ) -> Self {
        let settings = settings(listen, bootstrap);
        let control = ControlPlane::start_with(
            Arc::clone(&ctx),
            settings,
            BlobStore::default(),
            Some(describe),
        )
        .await
        .unwrap();
        Self { ctx, control, home }
    }

    pub(super) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    pub(super) fn wallet(&self) -> Wallet {
        self.ctx.wallet()
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        self.control.swarm().listeners()
    }

    /// Length and tip of the chain.
    pub(super) async fn chain(&self) -> (u64, Hash) {
        let read = |books: &mut Books| (books.ledger().length(), books.ledger().tip());
        self.ctx.books.with(read).await.unwrap()
    }

    /// Passes one µGFT of line on: an entry that has effect each time.
    pub(super) async fn write(&self, to: Wallet) -> Hash {
        let admit = Admit {
            wallet: to,
            line_ugft: Ugft(1),
        };
        let entry = self.ctx.books.author_payload(&Payload::Admit(admit)).await;
        id_of(&entry.unwrap())
    }

    /// The newest mark of a peer, once it has so many.
    pub(super) async fn marked(&self, peer: Wallet, marks: u32) -> String {
        let swarm = self.control.swarm();
        until(&format!("{marks} marks"), async || {
            swarm.marks(&peer).is_some_and(|info| info.marks >= marks)
        })
        .await;
        swarm.marks(&peer).unwrap().last
    }
}

/// A peer that speaks the wire and keeps no rules.
pub(super) struct Rogue {
    pub(super) key: Keypair,
    pub(super) swarm: SwarmHandle,
    pub(super) events: mpsc::Receiver<SwarmEvent>,
}

impl Rogue {
    /// Starts one and connects it.
    pub(super) async fn connect(seed: u8, victim: &Node) -> Self {
        let key = key(seed);
        let settings = settings(LOOPBACK, &victim.addresses());
        let (swarm, events) = swarm::start(&key, victim.ctx.network, &settings)
            .await
            .unwrap();
        let (own, other) = (key.wallet(), victim.wallet());
        until("a connection", async || {
            swarm.is_connected(&other) && victim.control.swarm().is_connected(&own)
        })
        .await;
        Self { key, swarm, events }
    }

    /// Waits until an event passes the filter.
    pub(super) async fn event(&mut self, mut wanted: impl FnMut(&SwarmEvent) -> bool) {
        let wait = async {
            while let Some(event) = self.events.recv().await {
                if wanted(&event) {
                    return;
                }
            }
            panic!("the swarm ended");
        };
        tokio::time::timeout(DEADLINE, wait).await.unwrap();
    }
}
