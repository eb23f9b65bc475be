//! The running data plane of one node: its thread, its link, its accept loop.

use super::expected::Expected;
use super::memory::MemoryNetwork;
use super::quinn::QuinnLink;
use super::wire::{ControlReader, StreamHello, WireError};
use super::{Duplex, HopLink, LinkError, OwnOrRemote};
use crate::context::{LendingLimits, NodeContext, ServedModels};
use crate::core::job::Deadlines;
use crate::jobs::ledger::JobLedger;
use crate::jobs::marks::Marks;
use crate::jobs::stage::{Nonces, serve_control};
use crate::runs::Runs;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use talkoot_protocol::{Genesis, Keypair, NetworkId, Wallet};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

/// Streams that wait to be looked at.
const ACCEPT_BACKLOG: usize = 256;
/// Streams whose first bytes are awaited or whose control messages are served.
const STREAMS_MAX: usize = 1024;
/// How long a stream may take to say what it is.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// How long peers may take to hear of our end.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why the data plane does not run.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The thread.
    #[error("the data thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// What jobs need of their node.
#[derive(Debug)]
pub struct Host {
    /// Our key.
    pub key: Keypair,
    /// The network's id.
    pub network: NetworkId,
    /// The network.
    pub genesis: Genesis,
    /// What we serve.
    pub served: ServedModels,
    /// What the owner allows.
    pub limits: LendingLimits,
    /// The books.
    pub ledger: Arc<dyn JobLedger>,
    /// How long each side waits.
    pub deadlines: Deadlines,
    /// The link to peers and to ourselves.
    pub link: Arc<dyn HopLink>,
    /// Where our own data plane answers; the node may refine it.
    pub own_addresses: RwLock<Vec<SocketAddr>>,
    /// Streams and the jobs that await them.
    pub expected: Expected,
    /// Offers made.
    pub nonces: Nonces,
    /// Who broke which rule.
    pub marks: Marks,
    /// The newest jobs.
    pub runs: Runs,
    /// Whom the owner keeps out.
    pub kept_out: RwLock<BTreeSet<Wallet>>,
    /// True once the node stops.
    pub stopping: watch::Receiver<bool>,
    /// Jobs that run here as a stage.
    pub running: AtomicUsize,
    began: Instant,
}

impl Host {
    /// Our wallet.
    #[must_use]
    pub fn wallet(&self) -> Wallet {
        self.key.wallet()
    }

    /// Where our own data plane answers.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let addresses = self.own_addresses.read();
        addresses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the owner keeps a peer out.
    #[must_use]
    pub fn is_kept_out(&self, peer: &Wallet) -> bool {
        let kept_out = self.kept_out.read();
        kept_out
            .unwrap_or_else(PoisonError::into_inner)
            .contains(peer)
    }

    /// Monotonic time since the data plane began, µs.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// What a data plane is made of; [`DataPlane::bind`] takes it from the node.
#[derive(Debug)]
pub struct PlaneParts {
    /// Our key.
    pub key: Keypair,
    /// The network.
    pub genesis: Genesis,
    /// What we serve.
    pub served: ServedModels,
    /// What the owner allows.
    pub limits: LendingLimits,
    /// The books.
    pub ledger: Arc<dyn JobLedger>,
    /// How long each side waits.
    pub deadlines: Deadlines,
}

/// The data plane; cheap to clone. Dropping the last clone ends its thread and
/// all jobs.
#[derive(Debug, Clone)]
pub struct DataPlane(Arc<Plane>);

#[derive(Debug)]
struct Plane {
    host: Arc<Host>,
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
    stop: watch::Sender<bool>,
}

impl DataPlane {
    /// Binds the node's data plane and notes its address in the context.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn bind(
        ctx: &NodeContext,
        ledger: Arc<dyn JobLedger>,
        address: SocketAddr,
    ) -> Result<Self, DataError> {
        let parts = PlaneParts {
            key: ctx.key.clone(),
            genesis: ctx.genesis.clone(),
            served: ctx.served.clone(),
            limits: ctx.limits.clone(),
            ledger,
            deadlines: Deadlines::default(),
        };
        let plane = Self::over_quinn(parts, address)?;
        let mut addresses = ctx
            .data_addresses
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *addresses = plane.addresses();
        drop(addresses);
        Ok(plane)
    }

    /// A data plane over QUIC.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn over_quinn(parts: PlaneParts, address: SocketAddr) -> Result<Self, DataError> {
        let runtime = runtime()?;
        let (accept, accepted) = mpsc::channel(ACCEPT_BACKLOG);
        let guard = runtime.enter();
        let network = parts.genesis.id();
        let remote = QuinnLink::bind(&parts.key, network, address, accept.clone())?;
        drop(guard);
        let addresses = vec![remote.local_addr()?];
        let own = parts.key.wallet();
        let memory = MemoryNetwork::default().join_into(own, accept);
        let link = Arc::new(OwnOrRemote {
            own,
            memory,
            remote,
        });
        Ok(Self::start(parts, (link, addresses), accepted, runtime))
    }

    /// A data plane over pipes inside this process, for tests and simulation.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn over_memory(parts: PlaneParts, network: &MemoryNetwork) -> Result<Self, DataError> {
        let runtime = runtime()?;
        let (link, accepted) = network.join(parts.key.wallet());
        let link = (Arc::new(link) as Arc<dyn HopLink>, Vec::new());
        Ok(Self::start(parts, link, accepted, runtime))
    }

    fn start(
        parts: PlaneParts,
        (link, addresses): (Arc<dyn HopLink>, Vec<SocketAddr>),
        accepted: mpsc::Receiver<Duplex>,
        runtime: Runtime,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let host = Arc::new(Host {
            network: parts.genesis.id(),
            key: parts.key,
            genesis: parts.genesis,
            served: parts.served,
            limits: parts.limits,
            ledger: parts.ledger,
            deadlines: parts.deadlines,
            link,
            own_addresses: RwLock::new(addresses),
            expected: Expected::default(),
            nonces: Nonces::default(),
            marks: Marks::default(),
            runs: Runs::default(),
            kept_out: RwLock::default(),
            stopping,
            running: AtomicUsize::new(0),
            began: crate::clock::monotonic(),
        });
        runtime.spawn(accept_streams(Arc::clone(&host), accepted));
        Self(Arc::new(Plane {
            host,
            handle: runtime.handle().clone(),
            runtime: Mutex::new(Some(runtime)),
            stop,
        }))
    }

    /// What jobs need of this node.
    #[must_use]
    pub fn host(&self) -> &Arc<Host> {
        &self.0.host
    }

    /// Where the data plane answers.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.host.addresses()
    }

    /// Runs a question to the link on the data plane's own thread.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub async fn run<T: Send + 'static>(
        &self,
        question: impl Future<Output = Result<T, LinkError>> + Send + 'static,
    ) -> Result<T, String> {
        match self.0.handle.spawn(question).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Takes no streams of exactly these peers from now on.
    pub fn keep_out(&self, peers: BTreeSet<Wallet>) {
        let kept_out = &self.0.host.kept_out;
        *kept_out.write().unwrap_or_else(PoisonError::into_inner) = peers;
    }

    /// Replaces the addresses that stages are told to find us at, for example
    /// when the bound one is unspecified.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) {
        let own = self.0.host.own_addresses.write();
        *own.unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Who broke which rule on the data plane.
    #[must_use]
    pub fn marks(&self) -> &Marks {
        &self.0.host.marks
    }

    /// Runs a task on the data plane's thread.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.0.handle.spawn(task)
    }

    /// Ends at once and without a word to anybody, as a killed process does: for
    /// tests of what the others do then.
    pub fn abandon(&self) {
        if let Some(runtime) = self.0.take_runtime() {
            runtime.shutdown_background();
        }
    }

    /// Tells all stages to end their jobs with a word to their submitters.
    pub fn begin_shutdown(&self) {
        self.0.stop.send_replace(true);
    }
}

impl Plane {
    fn take_runtime(&self) -> Option<Runtime> {
        let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
        runtime.take()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        let Some(runtime) = self.take_runtime() else {
            return;
        };
        // Peers that hear of the end need not wait for a silence; but this may
        // run inside another runtime, which must not be blocked.
        let host = Arc::clone(&self.host);
        let farewell = async move {
            while host.running.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let close = self.host.link.close();
        let say = move || {
            let told = async {
                let ended = tokio::time::timeout(FAREWELL, farewell).await;
                tokio::time::timeout(FAREWELL, close).await.and(ended)
            };
            let is_told = runtime.block_on(told).is_ok();
            tracing::debug!(is_told, "the data plane ends");
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name("talkoot-bye".to_owned());
        if let Err(error) = thread.spawn(say) {
            tracing::warn!(%error, "no thread for the farewell");
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("talkoot-data")
        .enable_all()
        .build()
}

async fn accept_streams(host: Arc<Host>, mut accepted: mpsc::Receiver<Duplex>) {
    let slots = Arc::new(Semaphore::new(STREAMS_MAX));
    while let Some(stream) = accepted.recv().await {
        if host.is_kept_out(&stream.peer) {
            continue;
        }
        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
            continue;
        };
        let host = Arc::clone(&host);
        tokio::spawn(async move {
            let _slot = slot;
            let peer = stream.peer;
            match greet(&host, stream).await {
                Ok(()) => {}
                Err(error) if error.is_fault() => host.marks.add(peer, &error.to_string()),
                Err(error) => tracing::debug!(peer = %peer.short(), %error, "a stream ended"),
            }
        });
    }
}

async fn greet(host: &Arc<Host>, mut stream: Duplex) -> Result<(), WireError> {
    let hello = tokio::time::timeout(HELLO_WAIT, StreamHello::read(&mut stream.reader))
        .await
        .map_err(|_| WireError::Ended)??;
    match hello {
        StreamHello::Control => {
            let reader = ControlReader::new(stream.reader);
            serve_control(host, stream.peer, reader, stream.writer).await
        }
        StreamHello::Data(key) => {
            if let Err(error) = host.expected.bring(key, stream.peer, stream.reader) {
                host.marks.add(stream.peer, &error.to_string());
            }
            Ok(())
        }
    }
}
