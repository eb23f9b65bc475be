//! QUIC between nodes: the only file that names quinn and rustls.
//!
//! Certificates are libp2p's (a fresh key signed by the node's ed25519 key), so
//! both ends know each other's wallet; the ALPN holds the network id, so nodes
//! of another network fail in the handshake. One connection per peer is reused
//! in both directions, whoever dialled it. A silent peer is gone after
//! [`IDLE`]; the runtime that drives this must not be starved by compute.

use super::{CloseFuture, Duplex, HopLink, LinkError, OpenFuture, RoundTripFuture};
use crate::swarm::identity::{peer_id_of, transport_keypair, wallet_of};
use futures::FutureExt;
use futures::future::select_ok;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use socket2::{Domain, Protocol, Socket, Type};
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use talkoot_protocol::version::data_alpn;
use talkoot_protocol::{Keypair, NetworkId, Wallet};
use tokio::sync::{Semaphore, mpsc};

/// After this long without a packet a peer counts as dead.
pub const IDLE: Duration = Duration::from_secs(5);
const KEEP_ALIVE: Duration = Duration::from_secs(1);
const DIAL: Duration = Duration::from_secs(5);
const SOCKET_BUFFER_BYTES: usize = 4 << 20;
const STREAM_WINDOW_BYTES: u32 = 16 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 64 << 20;
const SEND_WINDOW_BYTES: u64 = 32 << 20;
const STREAMS_PER_PEER: u32 = 256;
const CONNECTIONS_MAX: usize = 512;

/// A QUIC endpoint.
#[derive(Debug, Clone)]
pub struct QuinnLink(Arc<Inner>);

struct Inner {
    endpoint: Endpoint,
    key: libp2p::identity::Keypair,
    alpn: Vec<u8>,
    transport: Arc<TransportConfig>,
    accept: mpsc::Sender<Duplex>,
    connections: Mutex<BTreeMap<Wallet, Connection>>,
    dialling: Mutex<BTreeMap<Wallet, Arc<tokio::sync::Mutex<()>>>>,
    configs: Mutex<BTreeMap<Wallet, ClientConfig>>,
    slots: Arc<Semaphore>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QuinnLink").finish_non_exhaustive()
    }
}

fn setup(error: impl std::fmt::Display) -> LinkError {
    LinkError::Setup(error.to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn transport_config() -> TransportConfig {
    let mut config = TransportConfig::default();
    let idle = VarInt::from_u32(u32::try_from(IDLE.as_millis()).unwrap_or(u32::MAX));
    config
        .max_idle_timeout(Some(idle.into()))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW_BYTES))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW_BYTES))
        .send_window(SEND_WINDOW_BYTES)
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_PER_PEER))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None);
    config
}

fn bind_socket(address: SocketAddr) -> std::io::Result<UdpSocket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel may grant less; that costs speed, not correctness.
    for outcome in [
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES),
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES),
    ] {
        if let Err(error) = outcome {
            tracing::debug!(%error, "socket buffer");
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

impl QuinnLink {
    /// Opens the endpoint; streams that peers open go into `accept`. Must run
    /// inside a tokio runtime, which then drives the endpoint.
    ///
    /// # Errors
    /// [`LinkError::Setup`]: the address is taken, or the certificate cannot be
    /// made.
    pub fn bind(
        key: &Keypair,
        network: NetworkId,
        address: SocketAddr,
        accept: mpsc::Sender<Duplex>,
    ) -> Result<Self, LinkError> {
        let key = transport_keypair(key).map_err(setup)?;
        let alpn = data_alpn(network);
        let transport = Arc::new(transport_config());
        let mut tls = libp2p_tls::make_server_config(&key).map_err(setup)?;
        tls.alpn_protocols = vec![alpn.clone()];
        let crypto = QuicServerConfig::try_from(tls).map_err(setup)?;
        let mut server = ServerConfig::with_crypto(Arc::new(crypto));
        server.transport_config(Arc::clone(&transport));
        let socket = bind_socket(address).map_err(setup)?;
        let endpoint = Endpoint::new(
            quinn::EndpointConfig::default(),
            Some(server),
            socket,
            Arc::new(quinn::TokioRuntime),
        )
        .map_err(setup)?;
        let link = Self(Arc::new(Inner {
            endpoint,
            key,
            alpn,
            transport,
            accept,
            connections: Mutex::default(),
            dialling: Mutex::default(),
            configs: Mutex::default(),
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        }));
        tokio::spawn(link.clone().accept_connections());
        Ok(link)
    }

    /// The bound address.
    ///
    /// # Errors
    /// [`LinkError::Setup`].
    pub fn local_addr(&self) -> Result<SocketAddr, LinkError> {
        self.0.endpoint.local_addr().map_err(setup)
    }

    async fn accept_connections(self) {
        while let Some(incoming) = self.0.endpoint.accept().await {
            let Ok(slot) = Arc::clone(&self.0.slots).try_acquire_owned() else {
                incoming.refuse();
                continue;
            };
            let link = self.clone();
            tokio::spawn(async move {
                let _slot = slot;
                match incoming.await {
                    Ok(connection) => link.serve(connection).await,
                    Err(error) => tracing::debug!(%error, "a handshake failed"),
                }
            });
        }
    }

    /// Keeps a new connection and takes the streams the peer opens on it.
    async fn serve(self, connection: Connection) {
        let Some(peer) = wallet_at(&connection) else {
            connection.close(VarInt::from_u32(1), b"no ed25519 identity");
            return;
        };
        // The newest one is used from now on: an older one may belong to a
        // program that was killed and has just come back.
        lock(&self.0.connections).insert(peer, connection.clone());
        self.take_streams(peer, connection).await;
    }

    async fn take_streams(&self, peer: Wallet, connection: Connection) {
        while let Ok((writer, reader)) = connection.accept_bi().await {
            let stream = Duplex {
                peer,
                reader: Box::new(reader),
                writer: Box::new(writer),
            };
            if self.0.accept.send(stream).await.is_err() {
                break;
            }
        }
        let mut connections = lock(&self.0.connections);
        let is_this = connections
            .get(&peer)
            .is_some_and(|held| held.stable_id() == connection.stable_id());
        if is_this {
            connections.remove(&peer);
        }
    }

    fn connected(&self, peer: Wallet) -> Option<Connection> {
        let held = lock(&self.0.connections).get(&peer).cloned()?;
        held.close_reason().is_none().then_some(held)
    }

    fn client_config(&self, peer: Wallet) -> Result<ClientConfig, LinkError> {
        if let Some(config) = lock(&self.0.configs).get(&peer) {
            return Ok(config.clone());
        }
        let id = peer_id_of(&peer).ok_or_else(|| LinkError::Unreachable {
            peer,
            reason: "the wallet is no ed25519 key".to_owned(),
        })?;
        let mut tls = libp2p_tls::make_client_config(&self.0.key, Some(id)).map_err(setup)?;
        tls.alpn_protocols = vec![self.0.alpn.clone()];
        let crypto = QuicClientConfig::try_from(tls).map_err(setup)?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::clone(&self.0.transport));
        let mut configs = lock(&self.0.configs);
        // A cache: when it is full of old peers it starts anew.
        if configs.len() >= CONNECTIONS_MAX {
            configs.clear();
        }
        configs.insert(peer, config.clone());
        Ok(config)
    }

    async fn dial(&self, peer: Wallet, addresses: &[SocketAddr]) -> Result<Connection, LinkError> {
        let gate = {
            let mut dialling = lock(&self.0.dialling);
            dialling.retain(|_, gate| Arc::strong_count(gate) > 1);
            Arc::clone(dialling.entry(peer).or_default())
        };
        let _alone = gate.lock().await;
        if let Some(connection) = self.connected(peer) {
            return Ok(connection);
        }
        let unreachable = |reason: String| LinkError::Unreachable { peer, reason };
        if addresses.is_empty() {
            return Err(unreachable("it has no known data address".to_owned()));
        }
        let config = self.client_config(peer)?;
        let attempts = addresses.iter().map(|&address| {
            let connecting = self
                .0
                .endpoint
                .connect_with(config.clone(), address, "talkoot");
            async move {
                connecting
                    .map_err(|e| e.to_string())?
                    .await
                    .map_err(|e| e.to_string())
            }
            .boxed()
        });
        let first = tokio::time::timeout(DIAL, select_ok(attempts)).await;
        let (connection, _) = match first {
            Ok(Ok(connected)) => connected,
            Ok(Err(reason)) => return Err(unreachable(reason)),
            Err(_) => return Err(unreachable("no answer to the dial".to_owned())),
        };
        lock(&self.0.connections).insert(peer, connection.clone());
        let link = self.clone();
        let served = connection.clone();
        tokio::spawn(async move { link.take_streams(peer, served).await });
        Ok(connection)
    }

    async fn open_stream(
        &self,
        peer: Wallet,
        addresses: &[SocketAddr],
    ) -> Result<Duplex, LinkError> {
        let connection = match self.connected(peer) {
            Some(connection) => connection,
            None => self.dial(peer, addresses).await?,
        };
        let opened = tokio::time::timeout(DIAL, connection.open_bi()).await;
        let (writer, reader) = match opened {
            Ok(Ok(streams)) => streams,
            Ok(Err(error)) => {
                let reason = error.to_string();
                return Err(LinkError::Unreachable { peer, reason });
            }
            Err(_) => {
                let reason = "it takes no more streams".to_owned();
                return Err(LinkError::Unreachable { peer, reason });
            }
        };
        Ok(Duplex {
            peer,
            reader: Box::new(reader),
            writer: Box::new(writer),
        })
    }
}

impl HopLink for QuinnLink {
    fn open(&self, peer: Wallet, addresses: Vec<SocketAddr>) -> OpenFuture {
        let link = self.clone();
        Box::pin(async move { link.open_stream(peer, &addresses).await })
    }

    fn round_trip(&self, peer: Wallet, addresses: Vec<SocketAddr>) -> RoundTripFuture {
        let link = self.clone();
        Box::pin(async move {
            match link.connected(peer) {
                Some(connection) => Ok(connection.rtt()),
                None => Ok(link.dial(peer, &addresses).await?.rtt()),
            }
        })
    }

    fn known_round_trip(&self, peer: Wallet) -> Option<Duration> {
        self.connected(peer).map(|connection| connection.rtt())
    }

    fn forget(&self, peer: Wallet) {
        lock(&self.0.connections).remove(&peer);
    }

    fn close(&self) -> CloseFuture {
        let link = self.clone();
        Box::pin(async move {
            link.0.endpoint.close(VarInt::from_u32(0), b"bye");
            link.0.endpoint.wait_idle().await;
        })
    }
}

/// Who is at the other end, by the certificate of the handshake.
fn wallet_at(connection: &Connection) -> Option<Wallet> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    let certificate = libp2p_tls::certificate::parse(chain.first()?).ok()?;
    wallet_of(&certificate.peer_id())
}
