//! Takes each event of the swarm to the task whose business it is, and answers
//! what peers ask.
//!
//! It must not fall behind, so it waits for nobody: a full queue means that
//! gossip is ignored and a request goes unanswered or is told to come back.

use super::Shared;
use super::entries::Gossiped;
use super::neighbours::Stranger;
use super::presence::PresenceInput;
use crate::core::peers::Mark;
use crate::exchange::{Protocol, Topic};
use crate::swarm::{Acceptance, Reply, SwarmEvent};
use std::sync::Arc;
use talkoot_ledger::sync::{SyncInput, serve};
use talkoot_protocol::Wallet;
use talkoot_protocol::announce::{PresenceRequest, PresenceResponse};
use talkoot_protocol::join::{JoinRequest, JoinResponse};
use talkoot_protocol::limits;
use talkoot_protocol::sync::{SyncRequest, SyncResponse};
use tokio::sync::{Semaphore, mpsc};

/// Requests of peers that are answered at the same time.
const SERVING_MAX: usize = 32;

/// Where events go.
pub(super) struct Queues {
    pub(super) entries: mpsc::Sender<Gossiped>,
    pub(super) sync: mpsc::Sender<SyncInput>,
    pub(super) presence: mpsc::Sender<PresenceInput>,
    pub(super) strangers: mpsc::Sender<Stranger>,
}

impl Queues {
    /// Queues a message; gives it back when there is no room.
    fn take(&self, topic: Topic, gossiped: Gossiped) -> Option<Gossiped> {
        match topic {
            Topic::Ledger => {
                let full = self.entries.try_send(gossiped).err()?;
                Some(full.into_inner())
            }
            Topic::Presence => {
                let input = PresenceInput::Gossiped(gossiped);
                let full = self.presence.try_send(input).err()?;
                full.into_inner().gossiped()
            }
        }
    }
}

/// Runs until the swarm ends.
pub(super) async fn run(shared: Shared, mut events: mpsc::Receiver<SwarmEvent>, queues: Queues) {
    let serving = Arc::new(Semaphore::new(SERVING_MAX));
    while let Some(event) = events.recv().await {
        match event {
            SwarmEvent::Connected(peer) => {
                queues.sync.send(SyncInput::PeerConnected(peer)).await.ok();
                queues
                    .presence
                    .send(PresenceInput::Connected(peer))
                    .await
                    .ok();
            }
            SwarmEvent::Gone(peer) => {
                if let Some(hook) = shared.gone.get() {
                    (hook.0)(peer);
                }
                queues.sync.send(SyncInput::PeerGone(peer)).await.ok();
                queues.presence.send(PresenceInput::Gone(peer)).await.ok();
            }
            SwarmEvent::Stranger { peer, address } => {
                // It is found again in some minutes.
                let stranger = Stranger { peer, address };
                queues.strangers.try_send(stranger).ok();
            }
            SwarmEvent::Subscribed(_, topic) => {
                if topic == Topic::Presence {
                    let input = PresenceInput::Listening;
                    queues.presence.send(input).await.ok();
                }
            }
            SwarmEvent::Gossip {
                topic,
                bytes,
                from,
                receipt,
            } => {
                let gossiped = Gossiped {
                    bytes,
                    from,
                    receipt,
                };
                if let Some(dropped) = queues.take(topic, gossiped) {
                    let receipt = dropped.receipt;
                    shared.swarm.judge(receipt, Acceptance::Ignore).await;
                }
            }
            SwarmEvent::Request {
                from,
                protocol,
                bytes,
                reply,
            } => match Arc::clone(&serving).try_acquire_owned() {
                Ok(permit) => {
                    let shared = shared.clone();
                    tokio::spawn(async move {
                        answer(&shared, from, protocol, &bytes, reply).await;
                        drop(permit);
                    });
                }
                Err(_) if protocol == Protocol::Sync => {
                    reply.send(SyncResponse::Busy.to_bytes()).await;
                }
                Err(_) => drop(reply),
            },
        }
    }
}

/// Answers a request, or marks who sent it.
async fn answer(shared: &Shared, from: Wallet, protocol: Protocol, bytes: &[u8], reply: Reply) {
    let answer = match protocol {
        Protocol::Blob => shared.blobs.serve(bytes),
        Protocol::Presence => answer_presence(shared, bytes),
        Protocol::Sync => answer_sync(shared, bytes).await,
        Protocol::Join => answer_newcomer(shared, from, bytes).await,
        // The request is empty: its frame has no room for more.
        Protocol::Genesis => Ok(shared.ctx.genesis.to_bytes()),
    };
    match answer {
        // Closing books say nothing: the node is stopping.
        Ok(bytes) if bytes.is_empty() => {}
        Ok(bytes) => reply.send(bytes).await,
        Err(mark) => shared.swarm.mark(from, mark),
    }
}

async fn answer_sync(shared: &Shared, bytes: &[u8]) -> Result<Vec<u8>, Mark> {
    let request = SyncRequest::decode(bytes)?;
    let books = &shared.ctx.books;
    let answer = books.with(move |books| serve::answer(books.ledger(), &request).to_bytes());
    Ok(answer.await.unwrap_or_default())
}

async fn answer_newcomer(shared: &Shared, from: Wallet, bytes: &[u8]) -> Result<Vec<u8>, Mark> {
    let request = JoinRequest::decode(bytes)?;
    let answer = match shared.desk.get() {
        Some(desk) => (desk.0)(from, request).await,
        None => JoinResponse::Later,
    };
    Ok(answer.to_bytes())
}

/// All held announcements that fit, our own first.
fn answer_presence(shared: &Shared, bytes: &[u8]) -> Result<Vec<u8>, Mark> {
    PresenceRequest::decode(bytes)?;
    let own = shared.ctx.wallet();
    let announcements = shared.directory.read(|directory, now_ms| {
        let mine = directory.get(&own, now_ms).into_iter();
        let others = directory
            .present(now_ms)
            .filter(|(wallet, _)| **wallet != own)
            .map(|(_, present)| present);
        let mut room = limits::PRESENCE_BYTES_MAX - 64;
        mine.chain(others)
            .map(|present| present.announcement.to_bytes())
            .take_while(|bytes| {
                // Each has its length in front.
                let fits = room.checked_sub(bytes.len() + 8);
                room = fits.unwrap_or(0);
                fits.is_some()
            })
            .take(limits::PRESENT_MAX)
            .collect()
    });
    Ok(PresenceResponse { announcements }.to_bytes())
}
