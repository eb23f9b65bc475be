//! The lines that `talkoot up` prints when it runs; the last begins with
//! `ready`.

use crate::api::StatusView;
use crate::commands::output;
use crate::commands::status::{nearby, pause, serving};
use crate::units;

/// The HTTP port as it is told.
#[derive(Debug, Clone, Copy)]
pub struct Port<'a> {
    /// Its base address.
    pub url: &'a str,
    /// Whether the dashboard is there.
    pub has_dashboard: bool,
}

/// The banner; `expects_peers` where a ticket or an address names some.
#[must_use]
pub fn text(status: &StatusView, port: &Port<'_>, expects_peers: bool) -> String {
    let mut text = format!("talkoot {}\n", status.version);
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9}{value}\n"));
    line("wallet", &output::id(&status.wallet));
    line(
        "network",
        &format!("{} ({})", status.network, output::id(&status.network_id)),
    );
    let served: Vec<String> = status.serving.iter().map(serving).collect();
    line(
        "serving",
        &if served.is_empty() {
            "nothing; this node only asks".to_owned()
        } else {
            served.join("; ")
        },
    );
    if let Some(paused) = &status.paused {
        line("lending", &pause(paused));
    }
    let available = units::gft(status.balance.available_ugft);
    line(
        "credits",
        &if status.accounting {
            format!("{available} GFT available")
        } else {
            "accounting is off: nothing is paid here".to_owned()
        },
    );
    let first = |list: &[String]| list.first().cloned().unwrap_or_else(|| "none".to_owned());
    line(
        "listens",
        &format!(
            "{}, data {} (`talkoot status` lists all)",
            first(&status.addresses),
            first(&status.data_addresses)
        ),
    );
    if status.peers == 0 && expects_peers {
        line(
            "peers",
            "none yet; dialling (`talkoot peers` shows who answers)",
        );
    } else if status.peers == 0 {
        line(
            "alone",
            "`talkoot invite` prints a ticket; on the next machine: `talkoot up --join TICKET`",
        );
    } else {
        line("peers", &status.peers.to_string());
    }
    for near in &status.neighbours {
        line("nearby", &nearby(near));
    }
    let url = port.url;
    let page = if port.has_dashboard {
        format!("dashboard {url}, ")
    } else {
        String::new()
    };
    line(
        "ready",
        &format!("{page}OpenAI {url}/v1; try: talkoot chat"),
    );
    text
}
