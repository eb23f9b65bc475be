//! `talkoot up`: starts a node in this home and keeps it running.
//!
//! Order: settings, lock, identity, network; then HTTP answers (`/livez`, and
//! "starting" for the rest), then the node starts. `api.json` appears when it
//! has, and goes at an orderly stop; then layers load, which `status` shows, and
//! the last line says `ready`. SIGINT, SIGTERM, `talkoot down` and, where
//! asked for, the end of stdin all stop it the same way.

pub mod banner;
mod stop;

use super::{join, output};
use crate::api::{ConfigView, SCHEMA, SettingView, StatusView};
use crate::cli::{GenesisArgs, UpArgs};
use crate::clock;
use crate::config;
use crate::exit::{Exit, Failure};
use crate::home::{self, ApiFile, Home};
use crate::http::{self, LateNode, PortSettings};
use crate::keys::KeyRing;
use crate::models::store::Store;
use crate::node::{self, NodeHandle, NodeParts};
use crate::settings::{self, SOLO_LINE_UGFT, Settings};
use crate::telemetry;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use stop::StopSignals;
use talkoot_protocol::{Founder, Genesis, Wallet};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How long an orderly stop may take.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const RUNTIME_STOP: Duration = Duration::from_secs(2);

/// Says where a wrong setting stands when it was not typed just now.
fn with_origin(mut failure: Failure, in_effect: &[SettingView]) -> Failure {
    let named = |setting: &&SettingView| {
        let rest = failure.message.strip_prefix("--");
        let rest = rest.and_then(|rest| rest.strip_prefix(setting.key.as_str()));
        rest.is_some_and(|rest| rest.starts_with([':', ' ']))
    };
    let source = in_effect
        .iter()
        .find(named)
        .and_then(|setting| setting.source.clone());
    if let Some(source) = source {
        failure.message = format!("{} ({source})", failure.message);
    }
    failure
}

/// Runs a node until it is stopped.
///
/// # Errors
/// When a setting, the home or the network cannot be used, or a port is taken.
pub fn run(
    args: &UpArgs,
    instance: u16,
    home: &Home,
    in_effect: Vec<SettingView>,
) -> Result<(), Failure> {
    let store = Store::new(home, &args.directories.model_dirs);
    let from = |failure| with_origin(failure, &in_effect);
    let args = &UpArgs {
        model: store.resolve_all(&args.model).map_err(from)?,
        ..args.clone()
    };
    let settings = Settings::new(args, instance).map_err(from)?;
    home.create()?;
    let _lock = home.lock()?;
    // Only who has the home writes its log.
    let log_file = telemetry::chosen_log_path(args.log_file.as_deref(), home);
    telemetry::start(&args.log, args.log_format, log_file.as_deref())?;
    tell_file(home, &in_effect);
    let keys = KeyRing::open(home)?;
    check_keys(&settings, &keys)?;
    // Left by a process that was killed.
    home.remove_api();
    let is_first_start = !home.seed_path().exists();
    let key = home.identity()?;
    let genesis = network(
        home,
        args.reach.join.as_deref(),
        key.wallet(),
        &args.genesis,
    )?;
    settings::check_policy(&args.genesis, &genesis)?;
    if is_first_start {
        home.mark_new(genesis.id())?;
    }
    let parts = NodeParts {
        ticket: join::stored_ticket(home, &genesis),
        is_new: home.is_new(genesis.id()),
        home: home.clone(),
        key,
        genesis,
        settings,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let result = runtime.block_on(serve(parts, keys, in_effect, args.stop_with_stdin));
    runtime.shutdown_timeout(RUNTIME_STOP);
    home.remove_api();
    result
}

/// Says which file settings were read from.
fn tell_file(home: &Home, in_effect: &[SettingView]) {
    let from_file = in_effect.iter().filter(|one| one.origin == "file");
    let count = from_file.count();
    if count > 0 {
        let file = config::path(home);
        tracing::info!(file = %file.display(), count, "settings of the file hold");
    }
}

/// The network to start in: the ticket's, the pending one's, the current one,
/// or a new one of our own.
fn network(
    home: &Home,
    ticket: Option<&str>,
    wallet: Wallet,
    wanted: &GenesisArgs,
) -> Result<Genesis, Failure> {
    if let Some(text) = ticket {
        return join::adopt(home, text);
    }
    if let Ok(text) = std::fs::read_to_string(home.pending_join_path()) {
        match join::adopt(home, &text) {
            Ok(genesis) => return Ok(genesis),
            // It must not keep the node from starting for ever.
            Err(failure) => {
                tracing::warn!("the ticket given to `join` is not used: {failure}");
                let _ = std::fs::remove_file(home.pending_join_path());
            }
        }
    }
    if let Some(genesis) = home.current_genesis()? {
        return Ok(genesis);
    }
    let founder = Founder {
        wallet,
        line_ugft: SOLO_LINE_UGFT,
    };
    let policy = settings::policy(wanted);
    let genesis = Genesis::new("solo", clock::now_ms(), policy, vec![founder])
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    home.set_network(&genesis)?;
    home.mark_new(genesis.id())?;
    Ok(genesis)
}

/// Beyond this machine nobody may ask without a key.
fn check_keys(settings: &Settings, keys: &KeyRing) -> Result<(), Failure> {
    if settings.http_listen.is_loopback() || !keys.is_empty() {
        return Ok(());
    }
    let message = format!(
        "--http-listen {}: other machines could ask, and there is no key yet",
        settings.http_listen
    );
    Err(Failure::new(Exit::BadConfig, message)
        .hint("`talkoot key new NAME` makes one; without --http-listen only this machine asks"))
}

fn port_settings(parts: &NodeParts, keys: KeyRing, token: String) -> PortSettings {
    PortSettings {
        token,
        keys,
        config: None,
        usage_path: Some(parts.home.key_usage_path()),
        hosts: parts.settings.http_host_names(),
        locals: parts.settings.http_locals.clone(),
        origins: parts.settings.cors_origins.clone(),
        dashboard: parts.settings.dashboard,
        limits: parts.settings.admission,
    }
}

async fn serve(
    parts: NodeParts,
    keys: KeyRing,
    in_effect: Vec<SettingView>,
    stop_with_stdin: bool,
) -> Result<(), Failure> {
    let mut stop = StopSignals::new(stop_with_stdin)?;
    let (listeners, address) = bind(&parts.settings).await?;
    let token = new_token()?;
    let late = LateNode::<NodeHandle>::default();
    let (end_http, http_ended) = oneshot::channel::<()>();
    let config = ConfigView {
        schema: SCHEMA,
        file: config::path(&parts.home).display().to_string(),
        settings: in_effect,
    };
    let port = PortSettings {
        config: Some(config),
        ..port_settings(&parts, keys, token.clone())
    };
    let mut server = tokio::spawn(http::serve(listeners, late.clone(), port, async {
        let _ = http_ended.await;
    }));
    let (home, settings) = (parts.home.clone(), parts.settings.clone());
    let network = parts.genesis.id();
    let expects_peers = parts.ticket.is_some() || !parts.settings.bootstrap.is_empty();
    let handle = tokio::select! {
        started = node::start(parts) => started?,
        () = stop.any() => return Ok(()),
        () = late.stop_requested() => return Ok(()),
    };
    home.clear_new(network);
    late.set(handle.clone());
    let url = format!("http://{address}");
    home.write_api(&api_file(&handle.status().await?, &url, token))?;
    let outcome = tokio::select! {
        failed = lend(&handle, settings, &url, expects_peers) => failed,
        () = stop.any() => Ok(()),
        () = late.stop_requested() => Ok(()),
        () = handle.stopped() => Err(Failure::new(Exit::Failure, "the node stopped by itself; see the log")),
        ended = &mut server => Err(Failure::new(Exit::Failure, format!("HTTP ended: {ended:?}"))),
    };
    tracing::info!("stopping");
    handle.shutdown();
    tokio::select! {
        () = handle.stopped() => {}
        () = tokio::time::sleep(STOP_TIMEOUT) => tracing::warn!("gave up waiting for an orderly stop"),
        () = stop.any() => tracing::warn!("asked twice: stopping at once"),
    }
    let _ = end_http.send(());
    // It writes what keys have burned; a second is plenty.
    if !server.is_finished() {
        drop(tokio::time::timeout(RUNTIME_STOP, server).await);
    }
    outcome
}

fn api_file(status: &StatusView, url: &str, token: String) -> ApiFile {
    ApiFile {
        schema: SCHEMA,
        url: url.to_owned(),
        token,
        pid: std::process::id(),
        version: status.version.clone(),
        wallet: status.wallet.clone(),
        peer_id: status.peer_id.clone(),
        network_id: status.network_id.clone(),
        addresses: status.addresses.clone(),
        data_addresses: status.data_addresses.clone(),
    }
}

/// Loads what is served, says that the node is ready, and ends only when one of
/// the two fails.
async fn lend(
    handle: &NodeHandle,
    settings: Settings,
    url: &str,
    expects_peers: bool,
) -> Result<(), Failure> {
    let port = banner::Port {
        url,
        has_dashboard: settings.dashboard,
    };
    handle.lend(settings).await?;
    output::print(&banner::text(&handle.status().await?, &port, expects_peers))?;
    std::future::pending().await
}

/// The listeners, and the address at which programs of this machine ask.
async fn bind(settings: &Settings) -> Result<(Vec<TcpListener>, SocketAddr), Failure> {
    let mut listeners = Vec::new();
    let mut port = settings.http_port;
    let mut here = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for ip in settings.http_addresses() {
        let wanted = SocketAddr::from((ip, port));
        let bound = async {
            let listener = TcpListener::bind(wanted).await?;
            let address = listener.local_addr()?;
            Ok::<_, std::io::Error>((listener, address))
        };
        let (listener, address) = bound.await.map_err(|error| {
            Failure::new(
                Exit::BadConfig,
                format!("cannot listen for HTTP on {wanted}: {error}"),
            )
            .hint("--http-port takes another port (0 any); --instance N shifts all ports")
        })?;
        // Any port is chosen once; the others take the same.
        port = address.port();
        if listeners.is_empty() {
            let ip = match address.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
                ip => ip,
            };
            here = SocketAddr::from((ip, port));
        }
        listeners.push(listener);
    }
    Ok((listeners, here))
}

fn new_token() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    home::fill_random(&mut bytes)?;
    Ok(data_encoding::HEXLOWER.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Switch;

    #[test]
    fn a_wrong_setting_says_where_it_stands() {
        let setting = |key: &str, source: Option<&str>| SettingView {
            key: key.to_owned(),
            value: None,
            origin: String::new(),
            source: source.map(str::to_owned),
        };
        let in_effect = [
            setting("max", Some("/h/config.toml:9")),
            setting("max-mem", Some("/h/config.toml:3")),
            setting("hours", None),
        ];
        let told =
            |message: &str| with_origin(Failure::new(Exit::BadConfig, message), &in_effect).message;
        assert_eq!(
            told("--max-mem: \"lots\""),
            "--max-mem: \"lots\" (/h/config.toml:3)"
        );
        assert_eq!(told("--hours: no"), "--hours: no");
        assert_eq!(told("no room"), "no room");
    }

    #[test]
    fn alone_a_node_founds_a_network_of_its_own_and_returns_to_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        let wallet = home.identity().unwrap().wallet();
        let found = |args: &GenesisArgs| network(&home, None, wallet, args).unwrap();
        let unpaid = GenesisArgs {
            accounting: Some(Switch::Off),
            ..GenesisArgs::default()
        };
        let genesis = found(&unpaid);
        assert!(!genesis.policy.accounting);
        assert_eq!(genesis.line_ugft(wallet), SOLO_LINE_UGFT);
        assert_eq!(found(&GenesisArgs::default()), genesis);
        assert!(join::stored_ticket(&home, &genesis).is_none());
    }

    #[test]
    fn beyond_loopback_a_key_comes_first() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        let check = |line: &str| {
            let settings = Settings::new(&crate::cli::parse_up(line), 0).unwrap();
            check_keys(&settings, &KeyRing::open(&home).unwrap())
        };
        check("").unwrap();
        check("--http-listen ::1").unwrap();
        for open in ["0.0.0.0", "::", "192.0.2.1"] {
            let refused = check(&format!("--http-listen {open}")).unwrap_err();
            assert_eq!(refused.exit, Exit::BadConfig);
            assert!(refused.hint.unwrap().contains("talkoot key new NAME"));
        }
        crate::keys::create(&home, "alice", crate::keys::KeyCaps::default(), 1).unwrap();
        check("--http-listen 0.0.0.0").unwrap();
    }

    #[tokio::test]
    async fn programs_of_this_machine_find_the_port_wherever_it_listens() {
        for listen in ["127.0.0.1", "0.0.0.0"] {
            let line = format!("--http-port 0 --http-listen {listen}");
            let settings = Settings::new(&crate::cli::parse_up(&line), 0).unwrap();
            let (listeners, here) = bind(&settings).await.unwrap();
            assert_eq!(listeners.len(), 1);
            assert!(here.ip().is_loopback(), "{listen}: {here}");
            assert_eq!(here.port(), listeners[0].local_addr().unwrap().port());
        }
    }

    #[test]
    fn a_bad_pending_ticket_is_given_up() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        let wallet = home.identity().unwrap().wallet();
        std::fs::write(home.pending_join_path(), "talkoot1rubbish").unwrap();
        let plain = GenesisArgs::default();
        network(&home, None, wallet, &plain).unwrap();
        assert!(!home.pending_join_path().exists());
        assert!(network(&home, Some("talkoot1rubbish"), wallet, &plain).is_err());
    }
}
