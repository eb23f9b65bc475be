//! The control plane at work: gossip, sync, presence and blobs between the
//! swarm, the books and the directory.
//!
//! A few tasks, each with one duty and a bounded queue; when a queue is full
//! gossip is dropped and requests are answered "busy", and the next sync or
//! announcement makes up for it. [`ControlPlane`] owns them all.

mod duties;
mod entries;
mod neighbours;
mod presence;
mod routing;
mod sync;

#[cfg(test)]
mod tests;

pub use neighbours::NeighbourNetwork;

use crate::clock;
use crate::context::NodeContext;
use crate::core::directory::Directory;
use crate::exchange::blobs::{self, BlobStore, FetchError};
use crate::swarm::{self, StartError, SwarmHandle, SwarmSettings};
use futures::future::BoxFuture;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use talkoot_ledger::sync::{SyncInput, SyncProgress};
use talkoot_protocol::join::{JoinRequest, JoinResponse};
use talkoot_protocol::{Hash, Wallet};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Items that may wait in one of the queues between tasks.
const QUEUE_MAX: usize = 1024;

/// Who is present, shared with everybody who routes.
#[derive(Debug, Clone, Default)]
pub struct SharedDirectory(Arc<RwLock<Directory>>);

impl SharedDirectory {
    /// Looks at the directory; `look` gets the time too.
    pub fn read<R>(&self, look: impl FnOnce(&Directory, u64) -> R) -> R {
        let directory = self.0.read().unwrap_or_else(PoisonError::into_inner);
        look(&directory, clock::now_ms())
    }

    fn write<R>(&self, change: impl FnOnce(&mut Directory, u64) -> R) -> R {
        let mut directory = self.0.write().unwrap_or_else(PoisonError::into_inner);
        change(&mut directory, clock::now_ms())
    }
}

/// Decides about newcomers that present a ticket.
pub type WelcomeDesk =
    Box<dyn Fn(Wallet, JoinRequest) -> BoxFuture<'static, JoinResponse> + Send + Sync>;

/// Told of peers whose last connection closed.
pub type GoneHook = Box<dyn Fn(Wallet) + Send + Sync>;

struct Gone(GoneHook);

impl std::fmt::Debug for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gone")
    }
}

struct Desk(WelcomeDesk);

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

/// What all tasks hold.
#[derive(Debug, Clone)]
struct Shared {
    ctx: Arc<NodeContext>,
    swarm: SwarmHandle,
    directory: SharedDirectory,
    blobs: BlobStore,
    desk: Arc<OnceLock<Desk>>,
    gone: Arc<OnceLock<Gone>>,
    progress: watch::Sender<SyncProgress>,
    neighbours: neighbours::NeighbourNetworks,
}

/// The running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    shared: Shared,
    announce: watch::Sender<()>,
    tasks: Vec<JoinHandle<()>>,
}

impl ControlPlane {
    /// Starts listening, gossiping, syncing and announcing. Returns when every
    /// listener has its address. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        ctx: Arc<NodeContext>,
        settings: SwarmSettings,
        blobs: BlobStore,
    ) -> Result<Self, StartError> {
        let describe = presence::describe_with(Arc::clone(&ctx));
        Self::start_with(ctx, settings, blobs, Some(describe)).await
    }

    /// Starts listening to a network that we are no member of: gossip and sync
    /// into the books of `ctx`, and nothing is announced, served or written.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn observe(
        ctx: Arc<NodeContext>,
        bootstrap: Vec<String>,
    ) -> Result<Self, StartError> {
        let settings = SwarmSettings {
            bootstrap,
            observer: true,
            ..SwarmSettings::default()
        };
        Self::start_with(ctx, settings, BlobStore::default(), None).await
    }

    /// `describe` gives our presence; without it we have none.
    async fn start_with(
        ctx: Arc<NodeContext>,
        settings: SwarmSettings,
        blobs: BlobStore,
        describe: Option<presence::Describe>,
    ) -> Result<Self, StartError> {
        let (swarm, events) = swarm::start(&ctx.key, ctx.network, &settings).await?;
        let shared = Shared {
            ctx,
            swarm,
            directory: SharedDirectory::default(),
            blobs,
            desk: Arc::default(),
            gone: Arc::default(),
            progress: watch::Sender::default(),
            neighbours: neighbours::NeighbourNetworks::default(),
        };
        let (announce, announce_now) = watch::channel(());
        let (entries, entries_in) = mpsc::channel(QUEUE_MAX);
        let (sync, sync_in) = mpsc::channel::<SyncInput>(QUEUE_MAX);
        let (presence, presence_in) = mpsc::channel(QUEUE_MAX);
        let (strangers, strangers_in) = mpsc::channel(QUEUE_MAX);
        let queues = routing::Queues {
            entries,
            sync: sync.clone(),
            presence: presence.clone(),
            strangers,
        };
        let tasks = vec![
            tokio::spawn(routing::run(shared.clone(), events, queues)),
            tokio::spawn(entries::admit(shared.clone(), entries_in)),
            tokio::spawn(entries::spread(shared.clone(), sync.clone())),
            tokio::spawn(sync::run(shared.clone(), sync, sync_in)),
            tokio::spawn(neighbours::ask(shared.clone(), strangers_in)),
            tokio::spawn(duties::run(Arc::clone(&shared.ctx))),
            tokio::spawn(
                presence::Task::new(shared.clone(), describe, presence)
                    .run(presence_in, announce_now),
            ),
        ];
        Ok(Self {
            shared,
            announce,
            tasks,
        })
    }

    /// The swarm: peers, addresses, marks, dialling.
    #[must_use]
    pub const fn swarm(&self) -> &SwarmHandle {
        &self.shared.swarm
    }

    /// Who is present and what they serve, we included.
    #[must_use]
    pub fn directory(&self) -> SharedDirectory {
        self.shared.directory.clone()
    }

    /// How far this node is with catching up.
    #[must_use]
    pub fn sync_progress(&self) -> SyncProgress {
        *self.shared.progress.borrow()
    }

    /// Other networks found on this local network.
    #[must_use]
    pub fn neighbours(&self) -> Vec<NeighbourNetwork> {
        self.shared.neighbours.list()
    }

    /// The blobs this node serves.
    #[must_use]
    pub const fn blobs(&self) -> &BlobStore {
        &self.shared.blobs
    }

    /// Sets who decides about newcomers; until then they are told to come back.
    /// The first call counts.
    pub fn welcome_with(&self, desk: WelcomeDesk) {
        self.shared.desk.set(Desk(desk)).ok();
    }

    /// Sets who is told of peers that go. The first call counts.
    pub fn on_gone(&self, hook: GoneHook) {
        self.shared.gone.set(Gone(hook)).ok();
    }

    /// Announces what we serve now, rather than within a quarter of a second.
    pub fn announce_now(&self) {
        self.announce.send_replace(());
    }

    /// A blob: from our own store, or else from the first candidate that gives
    /// it rightly. A fetched blob is not kept here.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn fetch_blob(
        &self,
        hash: Hash,
        candidates: &[Wallet],
    ) -> Result<Vec<u8>, FetchError> {
        if let Some(held) = self.shared.blobs.get(&hash) {
            return Ok(held.to_vec());
        }
        blobs::fetch(&self.shared.swarm, hash, candidates).await
    }

    /// Closes all connections, so that peers see us go, and ends the tasks. The
    /// books stay open: they are not ours to close.
    pub async fn shutdown(&self) {
        self.shared.swarm.shutdown().await;
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}
