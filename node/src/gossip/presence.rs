//! Presence: says what we serve, and hears what others serve.
//!
//! We announce every [`EVERY`], at once when something changed, and when a peer
//! begins to listen; on connect each side asks the other for all announcements
//! it holds, so that a newcomer knows everybody after one exchange.

mod describe;

#[cfg(test)]
pub(super) use describe::addresses;
pub(super) use describe::{Describe, describe_with};

use super::Shared;
use super::entries::{Gossiped, judge};
use crate::clock;
use crate::core::directory::Applied;
use crate::exchange::{Protocol, Topic};
use crate::validate::{self, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;
use talkoot_protocol::announce::{
    Announcement, KIND_PRESENCE, Presence, PresenceRequest, PresenceResponse,
};
use talkoot_protocol::{Hash, Verified, Wallet, version};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// Between announcements when nothing changes.
const EVERY: Duration = Duration::from_secs(10);
/// How long an announcement counts: three may be lost.
const TTL_MS: u32 = 35_000;
/// How often we look whether something changed.
const LOOK: Duration = Duration::from_millis(250);
/// Between announcements when something changes all the time.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a new listener may wait for company, so that one announcement does
/// for all.
const GATHER: Duration = Duration::from_millis(50);
/// Connections that are looked for; small networks become a full mesh.
const PEERS_WANTED: usize = 24;
const ASK_TIMEOUT: Duration = Duration::from_secs(10);

/// What the task hears.
#[derive(Debug)]
pub(super) enum PresenceInput {
    Connected(Wallet),
    /// A peer listens to announcements from now on.
    Listening,
    Gone(Wallet),
    Gossiped(Gossiped),
    /// A peer's answer about who is present.
    Shown {
        from: Wallet,
        response: PresenceResponse,
    },
}

impl PresenceInput {
    pub(super) fn gossiped(self) -> Option<Gossiped> {
        match self {
            Self::Gossiped(gossiped) => Some(gossiped),
            _ => None,
        }
    }
}

pub(super) struct Task {
    shared: Shared,
    /// None for an observer, which announces nothing.
    describe: Option<Describe>,
    inputs: mpsc::Sender<PresenceInput>,
    number: u64,
    began_ms: u64,
    announced: Option<Presence>,
    announced_at: Option<Instant>,
    due_at: Instant,
    provided: BTreeSet<Hash>,
}

impl Task {
    pub(super) fn new(
        shared: Shared,
        describe: Option<Describe>,
        inputs: mpsc::Sender<PresenceInput>,
    ) -> Self {
        Self {
            shared,
            describe,
            inputs,
            number: 0,
            began_ms: clock::now_ms(),
            announced: None,
            announced_at: None,
            due_at: clock::timer(),
            provided: BTreeSet::new(),
        }
    }

    /// Runs until the queue closes.
    pub(super) async fn run(
        mut self,
        mut queue: mpsc::Receiver<PresenceInput>,
        mut announce_now: watch::Receiver<()>,
    ) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                input = queue.recv() => match input {
                    Some(input) => self.handle(input).await,
                    None => return,
                },
                changed = announce_now.changed() => match changed {
                    Ok(()) => self.announce_by(clock::timer()),
                    // The control plane is gone.
                    Err(_) => return,
                },
                _ = look.tick() => self.look(),
                () = tokio::time::sleep_until(self.due_at), if self.describe.is_some() => {
                    self.announce().await;
                }
            }
        }
    }

    async fn handle(&mut self, input: PresenceInput) {
        match input {
            PresenceInput::Connected(peer) => self.ask(peer),
            PresenceInput::Listening => self.announce_by(clock::timer() + GATHER),
            PresenceInput::Gone(peer) => self
                .shared
                .directory
                .write(|directory, _| directory.gone(&peer)),
            PresenceInput::Gossiped(Gossiped {
                bytes,
                from,
                receipt,
            }) => {
                self.note_clock(&bytes, from);
                let verdict = self.hear(&bytes, from).await;
                judge(&self.shared, from, receipt, &verdict).await;
            }
            PresenceInput::Shown { from, response } => {
                for bytes in &response.announcements {
                    // Held announcements may be a little old: only what can
                    // never be right is held against who shows it.
                    match self.hear(bytes, from).await {
                        Verdict::Reject(crate::core::peers::Mark::Replayed) => {}
                        Verdict::Reject(mark) => self.shared.swarm.mark(from, mark),
                        Verdict::Accept | Verdict::Ignore => {}
                    }
                }
            }
        }
    }

    /// Asks a new peer who is present, on the side.
    fn ask(&self, peer: Wallet) {
        let shared = self.shared.clone();
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            let request = PresenceRequest::All.to_bytes();
            let answer = shared
                .swarm
                .request(peer, Protocol::Presence, request, ASK_TIMEOUT)
                .await;
            match answer.map(|bytes| PresenceResponse::decode(&bytes)) {
                Ok(Ok(response)) => {
                    let shown = PresenceInput::Shown {
                        from: peer,
                        response,
                    };
                    inputs.send(shown).await.ok();
                }
                Ok(Err(error)) => shared.swarm.mark(peer, error.into()),
                Err(error) => {
                    tracing::debug!(peer = %peer.short(), %error, "presence not asked");
                }
            }
        });
    }

    /// Compares our clock with that of a peer which announces itself; also when it
    /// is so far off that the announcement does not count.
    fn note_clock(&self, bytes: &[u8], from: Wallet) {
        let announcement = validate::announcement(bytes, self.shared.ctx.network).ok();
        if let Some(own) = announcement.filter(|one| one.wallet == from) {
            self.shared.directory.write(|directory, now_ms| {
                directory.note_clock(from, own.issued_ms, now_ms);
            });
        }
    }

    /// Whether an announcement in our name is none of ours: newer than our last,
    /// and made since we began.
    fn is_twin(&self, announcement: &Announcement) -> bool {
        let is_newer = self.number > 0 && announcement.number > self.number;
        is_newer && announcement.issued_ms > self.began_ms
    }

    /// Takes in an announcement; a new face is dialled while there is room.
    async fn hear(&self, bytes: &[u8], from: Wallet) -> Verdict {
        let announcement = match validate::announcement(bytes, self.shared.ctx.network) {
            Ok(announcement) => announcement,
            Err(mark) => return Verdict::Reject(mark),
        };
        let wallet = announcement.wallet;
        if wallet == self.shared.ctx.wallet() {
            // Our own voice, that of our last run, or somebody with our seed.
            if self.is_twin(&announcement) {
                tracing::warn!(
                    "another node announces itself with this node's identity: stop one of the two"
                );
                self.shared
                    .directory
                    .write(|directory, now_ms| directory.note_twin(now_ms));
            }
            return Verdict::Ignore;
        }
        let applied = self
            .shared
            .directory
            .write(|directory, now_ms| directory.apply(announcement, now_ms));
        if matches!(applied, Applied::New | Applied::Newer) {
            self.meet(wallet).await;
        }
        validate::applied(&applied, from == wallet)
    }

    async fn meet(&self, wallet: Wallet) {
        let swarm = &self.shared.swarm;
        if swarm.is_connected(&wallet) || swarm.peers().len() >= PEERS_WANTED {
            return;
        }
        let addresses = self.shared.directory.read(|directory, now_ms| {
            directory
                .get(&wallet, now_ms)
                .map(|present| present.presence.addresses.clone())
        });
        if let Some(addresses) = addresses {
            swarm.dial_peer(wallet, &addresses).await;
        }
    }

    fn look(&mut self) {
        self.shared
            .directory
            .write(|directory, now_ms| directory.expire(now_ms));
        let Some(describe) = &self.describe else {
            return;
        };
        let presence = describe(&self.shared.swarm);
        if self.announced.as_ref() != Some(&presence) {
            self.announce_by(clock::timer());
        }
    }

    /// Announces at this moment at the latest, but not too often.
    fn announce_by(&mut self, moment: Instant) {
        let earliest = self.announced_at.map(|before| before + PAUSE);
        let moment = earliest.map_or(moment, |earliest| moment.max(earliest));
        self.due_at = self.due_at.min(moment);
    }

    async fn announce(&mut self) {
        let Some(describe) = &self.describe else {
            return;
        };
        let presence = describe(&self.shared.swarm);
        let now = clock::timer();
        self.announced_at = Some(now);
        self.due_at = now + EVERY;
        let now_ms = clock::now_ms();
        // Rises over restarts too, as long as the clock is not set back.
        self.number = now_ms.max(self.number.saturating_add(1));
        let announcement = Announcement {
            wallet: self.shared.ctx.wallet(),
            number: self.number,
            issued_ms: now_ms,
            ttl_ms: TTL_MS,
            kind: KIND_PRESENCE,
            payload: presence.to_payload(),
        };
        let (key, network) = (&self.shared.ctx.key, self.shared.ctx.network);
        let announcement = match Verified::sign(announcement, key, network) {
            Ok(announcement) => announcement,
            Err(error) => {
                tracing::error!(%error, "cannot announce");
                return;
            }
        };
        let bytes = announcement.to_bytes();
        self.shared
            .directory
            .write(|directory, now_ms| directory.apply(announcement, now_ms));
        self.shared.swarm.publish(Topic::Presence, bytes).await;
        self.provide(&presence).await;
        self.announced = Some(presence);
    }

    /// Keeps the provider records in step with what we serve.
    async fn provide(&mut self, presence: &Presence) {
        let mut keys = BTreeSet::new();
        for served in &presence.served {
            let size = version::PROVIDER_BLOCK_LAYERS;
            let blocks = served.range.start() / size..served.range.end().div_ceil(size);
            keys.extend(blocks.map(|block| version::provider_key(served.model, block)));
        }
        let fresh: Vec<Hash> = keys.difference(&self.provided).copied().collect();
        let stale: Vec<Hash> = self.provided.difference(&keys).copied().collect();
        if !fresh.is_empty() {
            self.shared.swarm.provide(fresh).await;
        }
        if !stale.is_empty() {
            self.shared.swarm.stop_providing(stale).await;
        }
        self.provided = keys;
    }
}
