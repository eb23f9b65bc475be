//! A running node and its peers: who is connected, who is not and why, how far
//! away they are, and what the owner said of them.
//!
//! The owner's file is read at start and whenever the owner's programs say that
//! it changed. Decisions about dialling and marks stand elsewhere.

use super::{Answer, NodeHandle, served_view};
use crate::api::{
    AskError, BannedView, ContactsView, ErrorCode, NeighbourNetworkView, PINGS_MAX, PeerView,
    PingRequest, PingView, SCHEMA, UnreachedAddressView, UnreachedView, WelcomeRequest,
    WelcomedView,
};
use crate::clock;
use crate::contacts::Contacts;
use crate::exchange::Protocol;
use crate::home::Home;
use crate::swarm::{PeerInfo, UnreachedAddress};
use crate::units;
use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;
use talkoot_ledger::sync::serve;
use talkoot_protocol::Wallet;
use talkoot_protocol::sync::SyncRequest;

/// How long one round trip may take.
const PING_TIMEOUT: Duration = Duration::from_secs(3);
/// Between two lines of the log about the whole node.
const TELLING: Duration = Duration::from_secs(60);
/// How often bans are looked at: they end by time.
const BANS_LOOK: Duration = Duration::from_secs(5);

/// What the owner says of peers, as the node holds it.
#[derive(Debug)]
pub(super) struct Acquaintances {
    home: Home,
    contacts: RwLock<Contacts>,
}

impl Acquaintances {
    /// Knows nobody before [`NodeHandle::take_contacts`].
    pub(super) fn new(home: Home) -> Self {
        Self {
            home,
            contacts: RwLock::default(),
        }
    }

    fn contacts(&self) -> Contacts {
        let contacts = self.contacts.read();
        contacts.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl NodeHandle {
    fn contacts(&self) -> Contacts {
        self.0.acquaintances.contacts()
    }

    /// Reads the owner's file of peers and does what it says: dials first
    /// contacts, and keeps out who is banned.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidRequest`] when the file cannot be used; then nothing
    /// changes.
    pub async fn take_contacts(&self) -> Answer<ContactsView> {
        let held = &self.0.acquaintances;
        let invalid = |message: String| AskError::new(ErrorCode::InvalidRequest, message);
        let contacts = Contacts::read(&held.home).map_err(|error| invalid(error.to_string()))?;
        self.0
            .control
            .swarm()
            .bootstrap_with(&contacts.bootstrap)
            .await
            .map_err(|error| invalid(error.to_string()))?;
        *held
            .contacts
            .write()
            .unwrap_or_else(PoisonError::into_inner) = contacts;
        self.carry_out_bans().await;
        let contacts = self.contacts();
        Ok(ContactsView {
            schema: SCHEMA,
            labels: contacts.labels.len(),
            bans: contacts.bans_now(clock::now_ms()).count(),
            bootstrap: contacts.bootstrap.len(),
        })
    }

    async fn carry_out_bans(&self) {
        let contacts = self.contacts();
        let bans = contacts.bans_now(clock::now_ms());
        let peers: BTreeSet<Wallet> = bans.map(|(wallet, _)| wallet).collect();
        self.0.data.keep_out(peers.clone());
        self.0.control.swarm().keep_out(peers).await;
    }

    /// Ends bans when their time is over, until the node stops.
    pub(super) async fn watch_bans(self) {
        let mut look = tokio::time::interval(BANS_LOOK);
        let mut stopped = self.0.stopped.clone();
        loop {
            tokio::select! {
                _ = look.tick() => self.carry_out_bans().await,
                _ = stopped.changed() => return,
            }
        }
    }

    /// Says once a minute how the node is, until it stops.
    pub(super) async fn tell_now_and_then(self) {
        let mut minute = tokio::time::interval(TELLING);
        minute.tick().await;
        let mut stopped = self.0.stopped.clone();
        loop {
            tokio::select! {
                _ = minute.tick() => {}
                _ = stopped.changed() => return,
            }
            let Ok(status) = self.status().await else {
                return;
            };
            let running: usize = status.serving.iter().map(|served| served.sessions).sum();
            tracing::info!(
                ready = status.ready,
                peers = status.peers,
                served = status.serving.len(),
                running,
                balance = units::gft(status.balance.balance_ugft),
                entries = status.chain.length,
                "status"
            );
        }
    }

    /// The connected peers.
    ///
    /// # Errors
    /// [`AskError`] when the node is stopping.
    pub async fn peers(&self) -> Answer<Vec<PeerView>> {
        let peers = self.0.control.swarm().peers();
        let wallets: Vec<Wallet> = peers.iter().map(|peer| peer.wallet).collect();
        let members = self
            .ledger(move |ledger| {
                let is_member = |wallet: &Wallet| ledger.is_member(wallet);
                wallets.iter().map(is_member).collect::<Vec<bool>>()
            })
            .await?;
        let contacts = self.contacts();
        let views = peers.into_iter().zip(members);
        Ok(views
            .map(|(peer, is_member)| self.peer_view(peer, is_member, &contacts))
            .collect())
    }

    fn peer_view(&self, peer: PeerInfo, is_member: bool, contacts: &Contacts) -> PeerView {
        let directory = self.0.control.directory();
        let (presence, clock_offset_ms) = directory.read(|directory, now_ms| {
            let present = directory.get(&peer.wallet, now_ms);
            (
                present.map(|present| present.presence.clone()),
                directory.clock_offset_ms(&peer.wallet),
            )
        });
        PeerView {
            wallet: peer.wallet.to_string(),
            peer_id: peer.peer_id,
            label: contacts.label_of(&peer.wallet).map(str::to_owned),
            is_relayed: is_relayed(&peer.address),
            direction: if peer.is_inbound {
                "inbound"
            } else {
                "outbound"
            }
            .to_owned(),
            is_member,
            address: peer.address,
            rtt_us: peer.rtt_us,
            software: presence
                .as_ref()
                .map(|presence| presence.software.clone())
                .or(peer.software),
            serving: presence.map_or_else(Vec::new, |presence| {
                presence.served.iter().map(served_view).collect()
            }),
            clock_offset_ms,
            marks: peer.marks,
            last_mark: peer.last_mark,
        }
    }

    /// Who is not connected, and why.
    ///
    /// # Errors
    /// None now; the signature is the same for all requests.
    #[expect(clippy::unused_async, reason = "all requests are alike to HTTP")]
    pub async fn unreached(&self) -> Answer<UnreachedView> {
        let contacts = self.contacts();
        let swarm = self.0.control.swarm();
        let label = |wallet: &Wallet| contacts.label_of(wallet).map(str::to_owned);
        let unreached = swarm.unreached().into_iter();
        let view = |unreached: UnreachedAddress| UnreachedAddressView {
            label: unreached.failed.peer.as_ref().and_then(&label),
            wallet: unreached.failed.peer.map(|peer| peer.to_string()),
            reason: unreached.failed.failure.to_string(),
            advice: unreached.failed.failure.advice().to_owned(),
            attempts: unreached.failed.attempts,
            tried_ms: unreached.failed.at_ms,
            next_ms: unreached.next_ms,
            address: unreached.address,
        };
        let by_owner = contacts
            .bans_now(clock::now_ms())
            .map(|(wallet, ban)| BannedView {
                wallet: wallet.to_string(),
                label: label(&wallet),
                by: "owner".to_owned(),
                reason: ban.reason.clone(),
                until_ms: ban.until_ms,
            });
        let by_marks = swarm
            .banned()
            .into_iter()
            .map(|(wallet, reason)| BannedView {
                wallet: wallet.to_string(),
                label: label(&wallet),
                by: "marks".to_owned(),
                reason,
                until_ms: None,
            });
        Ok(UnreachedView {
            schema: SCHEMA,
            unreached: unreached.map(view).collect(),
            banned: by_owner.chain(by_marks).collect(),
        })
    }

    /// Other networks on this local network.
    pub(super) fn neighbours(&self) -> Vec<NeighbourNetworkView> {
        let found = self.0.control.neighbours().into_iter();
        found
            .map(|found| NeighbourNetworkView {
                network: found.genesis.name.clone(),
                network_id: found.genesis.id().to_string(),
                wallet: found.peer.to_string(),
                peer_id: found.peer_id(),
                address: found.address,
            })
            .collect()
    }

    /// The connected peer that a label, or the beginning of a wallet or peer id,
    /// means; or the wallet that is written out.
    fn find_peer(&self, asked: &str) -> Answer<Wallet> {
        if let Some(wallet) = self.contacts().labelled(asked) {
            return Ok(wallet);
        }
        let peers = self.0.control.swarm().peers();
        let mut matching = peers.iter().filter(|peer| {
            let wallet = peer.wallet.to_string();
            asked.len() >= 4 && (wallet.starts_with(asked) || peer.peer_id.starts_with(asked))
        });
        match (matching.next(), matching.next()) {
            (Some(peer), None) => return Ok(peer.wallet),
            (Some(_), Some(_)) => {
                let message = format!("several peers begin with {asked}: give more of the id");
                return Err(AskError::new(ErrorCode::InvalidRequest, message));
            }
            (None, _) => {}
        }
        asked.parse().map_err(|_| {
            let message = format!(
                "no peer {asked:?} is connected, and it is no label and no whole wallet id \
                 (`talkoot peers`, `talkoot label ls`)"
            );
            AskError::new(ErrorCode::NotFound, message)
        })
    }

    /// Round trips to a connected peer, over both planes.
    ///
    /// # Errors
    /// [`ErrorCode::NotFound`] when no such peer is connected.
    pub async fn ping(&self, request: &PingRequest) -> Answer<PingView> {
        let wallet = self.find_peer(&request.peer)?;
        let swarm = self.0.control.swarm();
        let Some(peer) = swarm.peer(&wallet) else {
            let message =
                format!("peer {wallet} is not connected (`talkoot peers --why` may say why)");
            return Err(AskError::new(ErrorCode::NotFound, message));
        };
        let heads = self.ledger(serve::heads).await?;
        let bytes = SyncRequest::Heads(heads).to_bytes();
        let mut control_us = Vec::new();
        for _ in 0..request.count.clamp(1, PINGS_MAX) {
            let began = clock::monotonic();
            let answer = swarm.request(wallet, Protocol::Sync, bytes.clone(), PING_TIMEOUT);
            let is_answered = answer.await.is_ok();
            control_us.push(is_answered.then(|| u64::from(clock::elapsed_us(began))));
        }
        let addresses = self.0.control.directory().read(|directory, now_ms| {
            let present = directory.get(&wallet, now_ms);
            present.map_or_else(Vec::new, |present| present.data_addresses())
        });
        let data = self.0.data.host().link.round_trip(wallet, addresses);
        let data = tokio::time::timeout(PING_TIMEOUT, self.0.data.run(data)).await;
        let data = data.unwrap_or_else(|_| Err("no answer in time".to_owned()));
        Ok(PingView {
            schema: SCHEMA,
            wallet: wallet.to_string(),
            label: self.contacts().label_of(&wallet).map(str::to_owned),
            is_relayed: is_relayed(&peer.address),
            address: peer.address,
            control_us,
            data_us: data
                .as_ref()
                .ok()
                .map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            data_error: data.err(),
        })
    }

    /// Names a wallet, so that it may write into the ledger, and passes on a
    /// line: what a ticket does, for somebody who has none.
    ///
    /// # Errors
    /// [`AskError`] when it is named already, the line is more than we may pass
    /// on, or we may not sign.
    pub async fn welcome(&self, request: &WelcomeRequest) -> Answer<WelcomedView> {
        let wallet = self.find_peer(&request.peer)?;
        let me = self.0.ctx.wallet();
        let (is_member, available) = self
            .ledger(move |ledger| (ledger.is_member(&wallet), ledger.available(me).0))
            .await?;
        if is_member {
            let message = format!("{wallet} may write already (`talkoot ledger author` shows it)");
            return Err(AskError::new(ErrorCode::InvalidRequest, message));
        }
        if i128::from(request.line_ugft) > available {
            let message = format!(
                "a line of {} µGFT cannot be passed on: {available} µGFT are available",
                request.line_ugft
            );
            return Err(AskError::new(ErrorCode::InsufficientCredits, message));
        }
        super::welcome::name(self, wallet, request.line_ugft)
            .await
            .map_err(|error| AskError::new(ErrorCode::NotSigning, error))?;
        Ok(WelcomedView {
            schema: SCHEMA,
            wallet: wallet.to_string(),
            line_ugft: request.line_ugft,
        })
    }
}

/// Whether bytes to an address go through another peer.
fn is_relayed(address: &str) -> bool {
    address.contains("/p2p-circuit")
}
