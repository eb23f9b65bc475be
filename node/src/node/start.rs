//! Starting a node: each part after those it needs.
//!
//! Books first, then the data plane, then the control plane (it announces where
//! the data plane answers). The layers come last, in `serving`: the node answers
//! while they load.

use super::acquaintances::Acquaintances;
use super::loading::Loading;
use super::{NodeHandle, Parts, serving, welcome};
use crate::ask::Asker;
use crate::books::BooksHandle;
use crate::clock;
use crate::context::{LendingLimits, NodeContext, ServedModels};
use crate::core::peers::Mark;
use crate::data::DataPlane;
use crate::exit::{Exit, Failure};
use crate::gossip::ControlPlane;
use crate::home::Home;
use crate::invites::Invites;
use crate::models::Models;
use crate::runs;
use crate::settings::Settings;
use crate::settlement::{self, BookedJobs};
use crate::swarm::SwarmSettings;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use talkoot_ledger::Books;
use talkoot_ledger::books::{IndexMode, Opening, Progress};
use talkoot_protocol::ticket::Ticket;
use talkoot_protocol::{Genesis, Keypair, Verified};
use tokio::sync::watch;

/// What a node is started with.
#[derive(Debug)]
pub struct NodeParts {
    /// Its directories; this process holds their lock.
    pub home: Home,
    /// Who it is.
    pub key: Keypair,
    /// Its network.
    pub genesis: Genesis,
    /// The ticket by which it came here.
    pub ticket: Option<Verified<Ticket>>,
    /// Whether no node of this home has run in this network: then a missing
    /// journal is a beginning, not a loss.
    pub is_new: bool,
    /// The owner's decisions.
    pub settings: Settings,
}

fn failed(what: &str, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Failure, format!("{what}: {error}"))
}

/// Starts a node; it listens when this returns, and serves nothing yet
/// ([`NodeHandle::lend`]).
///
/// # Errors
/// When a port is taken or the ledger cannot be opened.
pub async fn start(parts: NodeParts) -> Result<NodeHandle, Failure> {
    let NodeParts {
        home,
        key,
        genesis,
        ticket,
        is_new,
        settings,
    } = parts;
    let directory = home.network_dir(genesis.id());
    let lending = settings.lending.clone();
    let books = open_books(&directory, &genesis, &key, is_new)?;
    let ctx = Arc::new(context(genesis, key, books, &settings));
    ctx.served.lending().begin(lending, &home.pause_path());
    // Read before the first job of this run.
    let open = settlement::leftovers(&ctx.books).await;
    let data = bind_data(&ctx, &settings, &home)?;
    let me = ctx.wallet();
    let used = ctx
        .books
        .with(move |books| books.ledger().nonce_highest(me));
    if let Ok(Some(used)) = used.await {
        data.host().nonces.raise(used);
    }
    let booked = BookedJobs::new(ctx.books.clone(), ctx.network, me);
    tokio::spawn(settlement::settle(booked, open));
    let invites = Invites::open(&directory.join("invites"))
        .map_err(|error| failed("used tickets", &error))?;
    let models = Models::default();
    let swarm = swarm_settings(&settings, ticket.as_ref());
    let control = ControlPlane::start(Arc::clone(&ctx), swarm, models.blobs());
    let control = Arc::new(control.await.map_err(|error| {
        failed("cannot start the control plane", &error)
            .hint("--p2p-port takes another port (0 any); --instance N shifts all ports")
    })?);
    announce_reachable(&ctx, &data, &control);
    forward_marks(&data, &control);
    let link = Arc::clone(&data.host().link);
    control.on_gone(Box::new(move |peer| link.forget(peer)));
    tokio::spawn(ctx.served.lending().clone().watch());
    let handle = assemble(ctx, control, data, models, home);
    handle.take_contacts().await.map_err(Failure::from)?;
    tokio::spawn(handle.clone().watch_bans());
    tokio::spawn(handle.clone().tell_now_and_then());
    if settings.serve {
        handle.0.loading.begin("models");
    }
    welcome::serve(&handle, invites);
    if let Some(ticket) = ticket {
        tokio::spawn(welcome::present(handle.clone(), ticket));
    }
    Ok(handle)
}

fn context(genesis: Genesis, key: Keypair, books: BooksHandle, settings: &Settings) -> NodeContext {
    NodeContext {
        network: genesis.id(),
        genesis,
        key,
        books,
        served: ServedModels::default(),
        data_addresses: RwLock::new(Vec::new()),
        limits: LendingLimits {
            sessions_max: settings.sessions_max,
            memory_bytes: settings
                .memory_bytes
                .unwrap_or_else(serving::memory_default),
            threads: settings.threads,
            exposure_ugft: settings.exposure_ugft,
        },
    }
}

fn bind_data(ctx: &NodeContext, settings: &Settings, home: &Home) -> Result<DataPlane, Failure> {
    let ledger = BookedJobs::new(ctx.books.clone(), ctx.network, ctx.wallet());
    let address = SocketAddr::new(settings.listen, settings.data_port);
    let data = DataPlane::bind(ctx, Arc::new(ledger), address).map_err(|error| {
        failed(&format!("cannot listen for data on {address}"), &error)
            .hint("--data-port takes another port (0 any); --instance N shifts all ports")
    })?;
    let jobs = runs::path(&home.network_dir(ctx.network));
    data.host().runs.keep_in(jobs);
    Ok(data)
}

/// What the data plane holds against a peer counts on the control plane too.
fn forward_marks(data: &DataPlane, control: &Arc<ControlPlane>) {
    let control = Arc::clone(control);
    data.marks().forward(Box::new(move |peer, reason| {
        control.swarm().mark(peer, Mark::Data(reason.to_owned()));
    }));
}

fn assemble(
    ctx: Arc<NodeContext>,
    control: Arc<ControlPlane>,
    data: DataPlane,
    models: Models,
    home: Home,
) -> NodeHandle {
    let asker = Asker {
        ctx: Arc::clone(&ctx),
        models: models.clone(),
        control: Arc::clone(&control),
        data: data.clone(),
    };
    let (stop, stop_asked) = watch::channel(false);
    let (stopped_sender, stopped) = watch::channel(false);
    let handle = NodeHandle(Arc::new(Parts {
        ctx,
        control,
        data,
        models,
        asker,
        cache: home.cache.clone(),
        loading: Loading::default(),
        acquaintances: Acquaintances::new(home),
        began: clock::monotonic(),
        stop,
        stopped,
    }));
    tokio::spawn(handle.clone().run_until_stopped(stop_asked, stopped_sender));
    handle
}

fn open_books(
    directory: &std::path::Path,
    genesis: &Genesis,
    key: &Keypair,
    is_new: bool,
) -> Result<BooksHandle, Failure> {
    let mut told = 0;
    let mut progress = |progress: Progress| {
        // A long journal says at each tenth how far it is.
        let tenth = progress.bytes.saturating_mul(10);
        let tenth = tenth.checked_div(progress.bytes_total).unwrap_or(10);
        if tenth > told && tenth < 10 {
            told = tenth;
            let percent = tenth.saturating_mul(10);
            tracing::info!(percent, entries = progress.entries, "reading the journal");
        }
    };
    let opening = Opening {
        is_new,
        index: IndexMode::Trailing,
        progress: &mut progress,
    };
    let (books, report) = Books::open_as(directory, genesis.clone(), key.wallet(), opening)
        .map_err(|error| {
            failed(
                &format!("cannot open the books in {}", directory.display()),
                &error,
            )
        })?;
    if report.is_damaged {
        tracing::error!(
            bytes = report.torn_bytes,
            "the journal was damaged on the disk: what followed was cut off, and peers must show it again"
        );
    }
    tracing::info!(?report, "books open");
    BooksHandle::start(books, key.clone())
        .map_err(|error| failed("cannot start the ledger thread", &error))
}

fn swarm_settings(settings: &Settings, ticket: Option<&Verified<Ticket>>) -> SwarmSettings {
    let (family, ip) = match settings.listen {
        IpAddr::V4(ip) => ("ip4", ip.to_string()),
        IpAddr::V6(ip) => ("ip6", ip.to_string()),
    };
    let port = settings.p2p_port;
    let mut bootstrap = settings.bootstrap.clone();
    bootstrap.extend(
        ticket
            .into_iter()
            .flat_map(|ticket| ticket.addresses.iter().cloned()),
    );
    SwarmSettings {
        listen: vec![
            format!("/{family}/{ip}/udp/{port}/quic-v1"),
            format!("/{family}/{ip}/tcp/{port}"),
        ],
        bootstrap,
        mdns: settings.mdns,
        observer: false,
    }
}

/// A data plane bound to "any address" is reachable at the addresses at which
/// the control plane listens.
fn announce_reachable(ctx: &NodeContext, data: &DataPlane, control: &ControlPlane) {
    let bound = data.addresses();
    let mut reachable = Vec::new();
    for address in bound {
        if !address.ip().is_unspecified() {
            reachable.push(address);
            continue;
        }
        let ips = control
            .swarm()
            .listeners()
            .into_iter()
            .filter_map(|text| ip_of(&text));
        for ip in ips.filter(|ip| ip.is_ipv4() == address.is_ipv4()) {
            let expanded = SocketAddr::new(ip, address.port());
            if !reachable.contains(&expanded) {
                reachable.push(expanded);
            }
        }
    }
    data.set_addresses(reachable.clone());
    *ctx.data_addresses
        .write()
        .unwrap_or_else(PoisonError::into_inner) = reachable;
    control.announce_now();
}

/// The address part of a multiaddr text such as `/ip4/10.0.0.1/udp/1/quic-v1`.
fn ip_of(multiaddr: &str) -> Option<IpAddr> {
    multiaddr.split('/').nth(2)?.parse().ok()
}
