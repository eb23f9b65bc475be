//! `talkoot status`: one page about the running node.

use super::output;
use crate::api::{NeighbourNetworkView, PausedView, ServedView, StatusView, SyncView};
use crate::cli::StatusArgs;
use crate::client::Client;
use crate::clock;
use crate::exit::Failure;
use crate::home::Home;
use crate::units;
use std::time::Duration;

/// Between two looks of `--watch`.
const LOOK: Duration = Duration::from_secs(1);
/// Home, and away with what stood there.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
/// All of the time, in parts per million.
const WHOLE_PPM: u32 = 1_000_000;

/// Prints the page.
///
/// # Errors
/// When no node runs.
pub fn run(args: &StatusArgs, home: &Home) -> Result<(), Failure> {
    let client = Client::connect(home)?;
    let look = || client.get::<StatusView>("status");
    if args.json {
        return output::print_json(&look()?);
    }
    let page = |status: &StatusView| page(status, &client.api().url);
    if !args.watch {
        return output::print(&page(&look()?));
    }
    loop {
        output::print(&format!("{CLEAR}{}", page(&look()?)))?;
        std::thread::sleep(LOOK);
    }
}

fn page(status: &StatusView, url: &str) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10}{value}\n"));
    let ready = if status.ready { "ready" } else { "not ready" };
    line("state", with_reasons(ready, &status.reasons));
    line("wallet", output::id(&status.wallet));
    line("peer id", status.peer_id.clone());
    line(
        "network",
        format!("{} ({})", status.network, output::id(&status.network_id)),
    );
    line("peers", status.peers.to_string());
    for (name, value) in lent(status) {
        line(name, value);
    }
    line(
        "compute",
        format!("{}, {}", status.instruction_set, threads(status.threads)),
    );
    for model in &status.models {
        let gaps = output::gaps(&model.coverage);
        let state = if gaps.is_empty() {
            "every layer covered".to_owned()
        } else {
            format!("layers {gaps} covered by nobody")
        };
        line("model", format!("{}: {state}", model.name));
    }
    let balance = &status.balance;
    if !status.accounting {
        line("jobs", "free: accounting is off in this network".to_owned());
    }
    line(
        "balance",
        format!(
            "{} GFT; available {}, held {}, pending {}, line {}",
            units::gft(balance.balance_ugft),
            units::gft(balance.available_ugft),
            gft_of(balance.held_ugft),
            gft_of(balance.pending_ugft),
            units::gft(balance.line_ugft),
        ),
    );
    line(
        "chain",
        format!(
            "{} entries, tip {}",
            status.chain.length,
            output::id(&status.chain.tip)
        ),
    );
    if status.sync.catching_up {
        line("sync", catching_up(&status.sync));
    }
    line("signing", status.signing.clone());
    for (name, value) in where_it_is(status) {
        line(name, value);
    }
    line("http", url.to_owned());
    line("up", duration(status.uptime_ms));
    text
}

/// The addresses, and what else is near them.
fn where_it_is(status: &StatusView) -> Vec<(&'static str, String)> {
    let near = status
        .neighbours
        .iter()
        .map(|near| ("nearby", nearby(near)));
    let control = status.addresses.iter();
    let control = control.map(|address| ("address", address.clone()));
    let data = status.data_addresses.iter();
    let data = data.map(|address| ("data", address.clone()));
    near.chain(control).chain(data).collect()
}

/// What is lent, loaded and paused, line by line.
fn lent(status: &StatusView) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if status.serving.is_empty() && status.loading.is_none() {
        lines.push(("serving", "nothing".to_owned()));
    }
    for served in &status.serving {
        lines.push(("serving", serving(served)));
        lines.push(("memory", memory(served)));
    }
    if let Some(loading) = &status.loading {
        lines.push(("loading", loading.to_string()));
    }
    if let Some(paused) = &status.paused {
        lines.push(("lending", pause(paused)));
    }
    lines
}

/// Why and until when nothing is lent, in words.
#[must_use]
pub fn pause(paused: &PausedView) -> String {
    let since = clock::local_text(paused.since_ms);
    let end = match (paused.until_ms, paused.kind.as_str()) {
        (Some(until), _) => format!("until {}", clock::local_text(until)),
        (None, "by_hand") => "until `talkoot resume`".to_owned(),
        (None, _) => "until that changes".to_owned(),
    };
    format!("paused since {since} {end}: {}", paused.reason)
}

fn catching_up(sync: &SyncView) -> String {
    let number = |value: u64| units::thousands(value.into());
    let peers = if sync.peers == 1 { "peer" } else { "peers" };
    format!(
        "catching up: {} entries fetched, {} to come, from {} {peers}, {} entries/s",
        number(sync.fetched),
        number(sync.to_fetch),
        sync.peers,
        number(sync.entries_per_second),
    )
}

/// Another network of this local network, and how to come into it.
#[must_use]
pub fn nearby(near: &NeighbourNetworkView) -> String {
    format!(
        "network {} ({}) is on this local network: `talkoot join --lan {}`, or a ticket from there",
        near.network,
        output::short(&near.network_id),
        near.network
    )
}

/// An unsigned amount as GFT.
#[must_use]
pub fn gft_of(ugft: u128) -> String {
    units::gft(i128::try_from(ugft).unwrap_or(i128::MAX))
}

/// One served range in words.
#[must_use]
pub fn serving(served: &ServedView) -> String {
    let mut text = format!(
        "{} layers {} of {}",
        served.name,
        output::layers(served.layers),
        served.layers_total
    );
    if served.layers_per_second > 0 {
        let speed = units::thousands(served.layers_per_second.into());
        text.push_str(&format!(", {speed} layers/s"));
    }
    if (1..WHOLE_PPM).contains(&served.duty_ppm) {
        let share = served.duty_ppm.div_ceil(WHOLE_PPM / 100);
        text.push_str(&format!(" (computes {share} % of the time)"));
    }
    if served.bytes > 0 {
        text.push_str(&format!(", {}", units::bytes(served.bytes)));
    }
    text
}

/// How a served range is stored and what it takes.
fn memory(served: &ServedView) -> String {
    format!(
        "{} weights {}, sessions {} of {}, arithmetic {}",
        served.dtype,
        units::bytes(served.bytes),
        units::bytes(served.session_bytes),
        units::bytes(served.session_bytes_max),
        served.arithmetic,
    )
}

fn threads(count: usize) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} thread{plural}")
}

fn with_reasons(state: &str, reasons: &[String]) -> String {
    if reasons.is_empty() {
        state.to_owned()
    } else {
        format!("{state}: {}", reasons.join("; "))
    }
}

fn duration(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}
