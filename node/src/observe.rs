//! An observer: looks into a network that it is no member of, and is not
//! noticed in its books.
//!
//! It asks its first contacts for the genesis (or takes it from a ticket), then
//! listens to gossip and syncs with a key that lives as long as the process.
//! Every signature is checked on the way in; the books stand in memory only. It
//! answers no request, announces nothing, writes no entry and needs no home.

mod contact;
mod nowhere;
mod peers;
#[cfg(test)]
mod tests;

pub use contact::Contact;
pub use peers::PeerChain;

use crate::books::BooksHandle;
use crate::clock;
use crate::context::{LendingLimits, NodeContext, ServedModels};
use crate::exit::{Exit, Failure};
use crate::gossip::ControlPlane;
use crate::home;
use crate::swarm::scout::{self, Found};
use futures::future::join_all;
use nowhere::Nowhere;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};
use talkoot_ledger::books::{Books, BooksFiles};
use talkoot_ledger::{Ledger, books::IndexMode, books::Opening};
use talkoot_protocol::{Genesis, Keypair, NetworkId};

/// Between two looks at the peers' chains while we catch up.
const LOOK: Duration = Duration::from_millis(200);

/// What to look at.
#[derive(Debug, Clone)]
pub struct ObserverSettings {
    /// First contacts.
    pub contacts: Vec<Contact>,
    /// The network that is meant; any if none is named.
    pub network: Option<NetworkId>,
    /// How long first contacts, and then their books, may take.
    pub timeout: Duration,
}

/// How far an observer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries held.
    pub entries: u64,
    /// Entries still to come, by what peers claim.
    pub to_fetch: u64,
    /// Connected peers.
    pub peers: usize,
}

/// A running observer. Dropping it closes its connections.
#[derive(Debug)]
pub struct Observer {
    control: ControlPlane,
    books: BooksHandle,
    genesis: Genesis,
    runtime: tokio::runtime::Runtime,
}

impl Observer {
    /// Finds the genesis and begins to listen.
    ///
    /// # Errors
    /// [`Exit::NotRunning`] when nobody answers, [`Exit::VerifyFailed`] when
    /// contacts belong to different networks or not to the one that is meant.
    pub fn start(settings: &ObserverSettings) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()?;
        let mut seed = [0; 32];
        home::fill_random(&mut seed)?;
        let key = Keypair::from_seed(&seed);
        let genesis = runtime.block_on(find_genesis(&key, settings))?;
        let network = genesis.id();
        if let Some(meant) = settings.network.filter(|meant| *meant != network) {
            let message = format!("the contacts belong to {network}, not to {meant}");
            return Err(Failure::new(Exit::VerifyFailed, message));
        }
        let books = books(&genesis, &key)?;
        let ctx = Arc::new(context(&genesis, key, books.clone()));
        let addresses = settings.contacts.iter().flat_map(Contact::addresses);
        let control = runtime
            .block_on(ControlPlane::observe(ctx, addresses.collect()))
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        Ok(Self {
            control,
            books,
            genesis,
            runtime,
        })
    }

    /// The founding document of the network.
    #[must_use]
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Looks at the books.
    ///
    /// # Errors
    /// When the observer is stopping.
    pub fn look<R: Send + 'static>(
        &self,
        read: impl FnOnce(&Ledger) -> R + Send + 'static,
    ) -> Result<R, Failure> {
        self.runtime
            .block_on(self.books.with(move |books| read(books.ledger())))
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))
    }

    /// Waits until our chain is that of a peer, and tells now and then how far
    /// it is.
    ///
    /// # Errors
    /// [`Exit::NotRunning`] when no peer is found, [`Exit::TimedOut`] when the
    /// chains are not equal in time.
    pub fn wait_synced(
        &self,
        timeout: Duration,
        mut tell: impl FnMut(Progress),
    ) -> Result<(), Failure> {
        let began = clock::monotonic();
        loop {
            let chains = self.peer_chains()?;
            if chains.iter().any(PeerChain::is_equal) {
                return Ok(());
            }
            self.check_chains(&chains)?;
            let progress = Progress {
                entries: self.look(Ledger::length)?,
                to_fetch: self.control.sync_progress().to_fetch,
                peers: self.control.swarm().peers().len(),
            };
            tell(progress);
            if began.elapsed() > timeout {
                return Err(self.not_synced(progress, &chains, began));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Peers that hold what we hold must have our chain.
    fn check_chains(&self, chains: &[PeerChain]) -> Result<(), Failure> {
        for chain in chains {
            if self.contradicts(chain)? {
                return Err(Failure::new(Exit::VerifyFailed, chain.contradiction()));
            }
        }
        Ok(())
    }

    fn not_synced(&self, progress: Progress, chains: &[PeerChain], began: Instant) -> Failure {
        let falsehoods = self.control.swarm().falsehoods();
        match falsehoods.first() {
            Some((wallet, what)) => {
                Failure::new(Exit::VerifyFailed, format!("peer {wallet} {what}"))
            }
            None => too_slow(progress, chains, began.elapsed().as_secs()),
        }
    }
}

fn too_slow(progress: Progress, chains: &[PeerChain], seconds: u64) -> Failure {
    if progress.peers == 0 {
        let message = format!("after {seconds} s no peer of the network is connected");
        return Failure::new(Exit::NotRunning, message)
            .hint("give the address of another node: `talkoot status` on it prints some");
    }
    let most = chains.iter().map(|chain| chain.length).max().unwrap_or(0);
    let message = format!(
        "after {seconds} s {} entries are held and peers show up to {most}",
        progress.entries
    );
    Failure::new(Exit::TimedOut, message).hint("`--wait 5m` waits longer")
}

/// The one genesis that all contacts that answer have.
async fn find_genesis(key: &Keypair, settings: &ObserverSettings) -> Result<Genesis, Failure> {
    let mut found: Vec<Genesis> = settings
        .contacts
        .iter()
        .filter_map(Contact::genesis)
        .cloned()
        .collect();
    let asked = settings
        .contacts
        .iter()
        .filter(|contact| contact.genesis().is_none());
    let addresses: Vec<String> = asked.flat_map(Contact::addresses).collect();
    let answers = addresses
        .iter()
        .map(|address| scout::genesis_at(key, address, settings.timeout));
    let mut failures = Vec::new();
    for (address, answer) in addresses.iter().zip(join_all(answers).await) {
        match answer {
            Ok(Found { genesis, .. }) => found.push(genesis),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    let Some(genesis) = found.first() else {
        let message = format!("nobody answers: {}", failures.join("; "));
        return Err(Failure::new(Exit::NotRunning, message)
            .hint("`talkoot status` on a node of the network prints its addresses"));
    };
    if let Some(other) = found.iter().find(|other| other.id() != genesis.id()) {
        let message = format!(
            "the contacts belong to different networks: {} and {}",
            genesis.id(),
            other.id()
        );
        return Err(Failure::new(Exit::VerifyFailed, message));
    }
    Ok(genesis.clone())
}

/// Books that no disk keeps.
fn books(genesis: &Genesis, key: &Keypair) -> Result<BooksHandle, Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::new(Exit::Failure, format!("no books: {error}"));
    let files = BooksFiles {
        journal: Box::new(Nowhere::default()),
        signer: Box::new(Nowhere::default()),
        index: Box::new(Nowhere::default()),
    };
    let opening = Opening {
        is_new: false,
        index: IndexMode::default(),
        progress: &mut |_| {},
    };
    let (books, _) = Books::with_files_as(files, genesis.clone(), key.wallet(), opening)
        .map_err(|error| failed(&error))?;
    BooksHandle::start(books, key.clone()).map_err(|error| failed(&error))
}

fn context(genesis: &Genesis, key: Keypair, books: BooksHandle) -> NodeContext {
    NodeContext {
        genesis: genesis.clone(),
        network: genesis.id(),
        key,
        books,
        served: ServedModels::default(),
        data_addresses: RwLock::default(),
        limits: LendingLimits {
            sessions_max: 0,
            memory_bytes: 0,
            threads: 0,
            exposure_ugft: 0,
        },
    }
}
