//! The data plane: streams between nodes, and the thread that drives them.
//!
//! Everything goes through [`HopLink`], so jobs do not know what carries them:
//! QUIC between machines, pipes inside one process. The data plane has a
//! runtime of its own with one thread: compute never starves it, and a job's
//! whole ring logic runs there without a further thread hop.

pub mod expected;
pub mod memory;
pub mod plane;
pub mod quinn;
pub mod wire;

pub use plane::{DataError, DataPlane};

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;
use talkoot_protocol::Wallet;
use tokio::io::{AsyncRead, AsyncWrite};

/// The reading half of a stream.
pub type Reader = Box<dyn AsyncRead + Send + Unpin>;
/// The writing half of a stream.
pub type Writer = Box<dyn AsyncWrite + Send + Unpin>;
/// A stream in the making.
pub type OpenFuture = Pin<Box<dyn Future<Output = Result<Duplex, LinkError>> + Send>>;
/// A round trip in the making.
pub type RoundTripFuture = Pin<Box<dyn Future<Output = Result<Duration, LinkError>> + Send>>;
/// A farewell to all peers.
pub type CloseFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A two-way byte stream to a known peer.
pub struct Duplex {
    /// Who is at the other end; the link has proved it.
    pub peer: Wallet,
    /// What comes from there.
    pub reader: Reader,
    /// What goes there.
    pub writer: Writer,
}

impl Debug for Duplex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Duplex")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Duplex {
    /// Splits one object that reads and writes.
    pub fn split<S: AsyncRead + AsyncWrite + Send + 'static>(peer: Wallet, stream: S) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            peer,
            reader: Box::new(reader),
            writer: Box::new(writer),
        }
    }
}

/// Why there is no stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Our own end cannot be set up.
    #[error("the data plane cannot be set up: {0}")]
    Setup(String),
    /// The peer cannot be reached.
    #[error("{} cannot be reached: {reason}", .peer.short())]
    Unreachable {
        /// Who.
        peer: Wallet,
        /// Why.
        reason: String,
    },
}

/// Opens streams to peers.
pub trait HopLink: Send + Sync + Debug {
    /// Opens a stream; tries all addresses, or uses what is connected already.
    fn open(&self, peer: Wallet, addresses: Vec<SocketAddr>) -> OpenFuture;

    /// How long a packet takes to a peer and back, by the transport's estimate;
    /// connects where nothing is connected.
    fn round_trip(&self, peer: Wallet, addresses: Vec<SocketAddr>) -> RoundTripFuture;

    /// The same of a peer to which a connection is open; none otherwise.
    fn known_round_trip(&self, peer: Wallet) -> Option<Duration>;

    /// Takes up no more streams on what connects us to a peer: it went away, and
    /// if it comes back it knows nothing of old connections. Streams that are
    /// open live on.
    fn forget(&self, peer: Wallet);

    /// Ends all streams, takes no more, and tells the peers.
    fn close(&self) -> CloseFuture;
}

/// Own streams go through memory, all others through another link.
#[derive(Debug)]
pub struct OwnOrRemote<R> {
    own: Wallet,
    memory: memory::MemoryLink,
    remote: R,
}

impl<R: HopLink> HopLink for OwnOrRemote<R> {
    fn open(&self, peer: Wallet, addresses: Vec<SocketAddr>) -> OpenFuture {
        if peer == self.own {
            self.memory.open(peer, addresses)
        } else {
            self.remote.open(peer, addresses)
        }
    }

    fn round_trip(&self, peer: Wallet, addresses: Vec<SocketAddr>) -> RoundTripFuture {
        if peer == self.own {
            self.memory.round_trip(peer, addresses)
        } else {
            self.remote.round_trip(peer, addresses)
        }
    }

    fn known_round_trip(&self, peer: Wallet) -> Option<Duration> {
        if peer == self.own {
            self.memory.known_round_trip(peer)
        } else {
            self.remote.known_round_trip(peer)
        }
    }

    fn forget(&self, peer: Wallet) {
        self.remote.forget(peer);
    }

    fn close(&self) -> CloseFuture {
        let (memory, remote) = (self.memory.close(), self.remote.close());
        Box::pin(async move {
            memory.await;
            remote.await;
        })
    }
}
