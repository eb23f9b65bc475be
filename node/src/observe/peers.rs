//! What connected peers say of their chains, and whether it can be true.
//!
//! Two that hold the same entries have the same chain. So a peer that lists our
//! entries and shows another chain contradicts itself or us: one of the two
//! computes wrongly or lies.

use super::Observer;
use crate::api::{ObservedPeerView, VerifyView};
use crate::exchange::Protocol;
use crate::exit::Failure;
use crate::views;
use futures::future::join_all;
use std::time::Duration;
use talkoot_ledger::sync::serve;
use talkoot_protocol::sync::{Heads, KeyRange, Listing, SyncRequest, SyncResponse};
use talkoot_protocol::{Hash, Wallet};

const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// Listings of one peer that are compared with ours.
const LISTINGS_MAX: usize = 4096;

/// What a peer says of its chain, beside ours at that time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerChain {
    /// Who.
    pub wallet: Wallet,
    /// Where it is connected.
    pub address: String,
    /// Entries it holds.
    pub length: u64,
    /// Its last link.
    pub tip: Hash,
    /// Our chain.
    pub ours: Heads,
}

impl PeerChain {
    /// Whether its chain is ours.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        (self.length, self.tip) == (self.ours.length, self.ours.tip)
    }

    /// That it holds what we hold and has another chain, in words.
    #[must_use]
    pub fn contradiction(&self) -> String {
        format!(
            "peer {} shows the same entries and another chain ({} entries, tip {})",
            self.wallet, self.length, self.tip
        )
    }

    /// For the owner.
    #[must_use]
    pub fn view(&self) -> ObservedPeerView {
        ObservedPeerView {
            wallet: self.wallet.to_string(),
            address: self.address.clone(),
            length: self.length,
            tip: self.tip.to_string(),
            equal: self.is_equal(),
        }
    }
}

impl Observer {
    /// The chains of the peers that answer.
    ///
    /// # Errors
    /// When the observer is stopping.
    pub fn peer_chains(&self) -> Result<Vec<PeerChain>, Failure> {
        let ours = self.own_heads()?;
        let peers = self.control.swarm().peers();
        let asked = peers.iter().map(|peer| self.heads(peer.wallet, ours));
        let answers = self.runtime.block_on(join_all(asked));
        // What came in while they answered counts.
        let ours = self.own_heads()?;
        let chains = peers.into_iter().zip(answers);
        Ok(chains
            .filter_map(|(peer, heads)| {
                heads.map(|heads| PeerChain {
                    wallet: peer.wallet,
                    address: peer.address,
                    length: heads.length,
                    tip: heads.tip,
                    ours,
                })
            })
            .collect())
    }

    /// Checks the books that are held, and what peers say of theirs.
    ///
    /// # Errors
    /// When the observer is stopping.
    pub fn verify(&self) -> Result<VerifyView, Failure> {
        let mut view = self.look(views::verify)?;
        for chain in self.peer_chains()? {
            if self.contradicts(&chain)? {
                view.problems.push(chain.contradiction());
            }
        }
        for (wallet, what) in self.control.swarm().falsehoods() {
            view.problems.push(format!("peer {wallet} {what}"));
        }
        view.ok = view.problems.is_empty();
        Ok(view)
    }

    fn own_heads(&self) -> Result<Heads, Failure> {
        self.look(serve::heads)
    }

    /// Whether a peer holds what we hold, and yet another chain.
    pub(super) fn contradicts(&self, chain: &PeerChain) -> Result<bool, Failure> {
        if chain.is_equal() || chain.length != chain.ours.length {
            return Ok(false);
        }
        let theirs = Heads {
            length: chain.length,
            tip: chain.tip,
        };
        let (is_same, after) = self.runtime.block_on(async {
            let is_same = self.holds_the_same(chain.wallet).await;
            (is_same, self.heads(chain.wallet, theirs).await)
        });
        // Both sets stood still while they were compared.
        let stood_still = after == Some(theirs) && self.own_heads()? == chain.ours;
        Ok(stood_still && is_same == Some(true))
    }

    /// Whether a peer lists the entries that we list; none when it does not say.
    async fn holds_the_same(&self, peer: Wallet) -> Option<bool> {
        let mut open = vec![KeyRange::ALL];
        let mut asked = 0;
        while let Some(range) = open.pop() {
            asked += 1;
            if asked > LISTINGS_MAX {
                return None;
            }
            let request = SyncRequest::List(range);
            let theirs = self.ask(peer, &request).await?;
            let ours = self
                .books
                .with(move |books| serve::answer(books.ledger(), &request));
            if theirs != ours.await.ok()? {
                return Some(false);
            }
            let SyncResponse::List(Listing::Spans(spans)) = theirs else {
                continue;
            };
            let mut after = range.after;
            for span in spans {
                // Without a digest its count says little.
                if span.digest.is_none() {
                    let until = Some(span.last);
                    open.push(KeyRange { after, until });
                }
                after = Some(span.last);
            }
        }
        Some(true)
    }

    async fn heads(&self, peer: Wallet, ours: Heads) -> Option<Heads> {
        match self.ask(peer, &SyncRequest::Heads(ours)).await? {
            SyncResponse::Heads(heads) => Some(heads),
            _ => None,
        }
    }

    async fn ask(&self, peer: Wallet, request: &SyncRequest) -> Option<SyncResponse> {
        let swarm = self.control.swarm();
        let bytes = request.to_bytes();
        let answer = swarm.request(peer, Protocol::Sync, bytes, ANSWER_TIMEOUT);
        SyncResponse::decode(&answer.await.ok()?).ok()
    }
}
