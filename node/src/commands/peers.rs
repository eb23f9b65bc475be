//! `talkoot peers`: who is connected and what they serve; who is not, and why.

use super::output::{self, Align, Table};
use crate::api::{BannedView, PeerView, PeersView, UnreachedAddressView, UnreachedView};
use crate::cli::PeersArgs;
use crate::client::Client;
use crate::clock;
use crate::exit::Failure;
use crate::home::Home;
use crate::units;

/// Prints the table, or what `--why` asks for.
///
/// # Errors
/// When no node runs.
pub fn run(args: &PeersArgs, home: &Home) -> Result<(), Failure> {
    let client = Client::connect(home)?;
    if args.why {
        let view: UnreachedView = client.get("peers/why")?;
        if args.json {
            return output::print_json(&view);
        }
        return output::print(&why(&view, clock::now_ms()));
    }
    let view: PeersView = client.get("peers")?;
    if args.json {
        return output::print_json(&view);
    }
    if view.peers.is_empty() {
        output::note(
            "alone: `talkoot invite` prints a ticket for another machine, where `talkoot up \
             --join TICKET` uses it; `talkoot peers --why` lists who did not answer\n",
        );
        return Ok(());
    }
    output::print(&table(&view.peers).render())?;
    // Who has not said what it is may only be asking for the genesis.
    let newcomers = view.peers.iter().filter(|peer| peer.software.is_some());
    for newcomer in newcomers.filter(|peer| !peer.is_member) {
        let wallet = output::short(&newcomer.wallet);
        output::note(&format!(
            "{wallet} may only look: nobody has named it; `talkoot welcome {wallet}` does\n"
        ));
    }
    Ok(())
}

fn table(peers: &[PeerView]) -> Table {
    let mut table = Table::new(&[
        ("WALLET", Align::Left),
        ("LABEL", Align::Left),
        ("RTT", Align::Right),
        ("WAY", Align::Left),
        ("MARKS", Align::Right),
        ("VERSION", Align::Left),
        ("SERVES", Align::Left),
        ("ADDRESS", Align::Left),
    ]);
    for peer in peers {
        let serves: Vec<String> = peer
            .serving
            .iter()
            .map(|served| format!("{} {}", served.name, output::layers(served.layers)))
            .collect();
        let way = if peer.is_relayed { "relayed" } else { "direct" };
        let arrow = if peer.direction == "inbound" {
            "in"
        } else {
            "out"
        };
        table.row(vec![
            output::id(&peer.wallet),
            peer.label.clone().unwrap_or_else(|| "-".to_owned()),
            peer.rtt_us.map_or_else(|| "-".to_owned(), output::micros),
            format!("{way}, {arrow}"),
            peer.marks.to_string(),
            peer.software.clone().unwrap_or_else(|| "-".to_owned()),
            if serves.is_empty() {
                "-".to_owned()
            } else {
                serves.join(", ")
            },
            peer.address.clone(),
        ]);
    }
    table
}

/// Each address and each banned peer, with what to do.
fn why(view: &UnreachedView, now_ms: u64) -> String {
    if view.unreached.is_empty() && view.banned.is_empty() {
        return "every address that was dialled answers, and nobody is kept out\n".to_owned();
    }
    let mut text = String::new();
    for unreached in &view.unreached {
        text.push_str(&unreached_text(unreached, now_ms));
    }
    for banned in &view.banned {
        text.push_str(&banned_text(banned));
    }
    text
}

fn unreached_text(unreached: &UnreachedAddressView, now_ms: u64) -> String {
    let whose = match (&unreached.label, &unreached.wallet) {
        (Some(label), _) => format!("  {label}"),
        (None, Some(wallet)) => format!("  {}", output::id(wallet)),
        (None, None) => String::new(),
    };
    let seconds = |ms: u64| ms.div_ceil(1000);
    let next = unreached.next_ms.map_or_else(String::new, |next_ms| {
        format!(", again in {} s", seconds(next_ms.saturating_sub(now_ms)))
    });
    format!(
        "{}{whose}\n    {}; tried {} times, last {} s ago{next}\n    {}\n",
        unreached.address,
        unreached.reason,
        unreached.attempts,
        seconds(now_ms.saturating_sub(unreached.tried_ms)),
        unreached.advice
    )
}

fn banned_text(banned: &BannedView) -> String {
    let wallet = output::id(&banned.wallet);
    let name = banned
        .label
        .clone()
        .map_or_else(|| wallet.clone(), |label| format!("{label} ({wallet})"));
    let reason = if banned.reason.is_empty() {
        "no reason given"
    } else {
        &banned.reason
    };
    let end = match (banned.by.as_str(), banned.until_ms) {
        ("owner", Some(until_ms)) => format!(
            "until {} UTC, or `talkoot unban {}`",
            units::utc(until_ms),
            output::short(&banned.wallet)
        ),
        ("owner", None) => format!("until `talkoot unban {}`", output::short(&banned.wallet)),
        _ => "for what it sent; that ends by itself within ten minutes".to_owned(),
    };
    format!("{name}\n    banned: {reason}\n    {end}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_comes_with_what_to_do() {
        let view = UnreachedView {
            schema: 1,
            unreached: vec![UnreachedAddressView {
                address: "/ip4/1.2.3.4/udp/7470/quic-v1".to_owned(),
                wallet: None,
                label: Some("anna".to_owned()),
                reason: "no answer".to_owned(),
                advice: "is the node up?".to_owned(),
                attempts: 3,
                tried_ms: 10_000,
                next_ms: Some(14_000),
            }],
            banned: vec![BannedView {
                wallet: "cd".repeat(32),
                label: None,
                by: "owner".to_owned(),
                reason: String::new(),
                until_ms: None,
            }],
        };
        let text = why(&view, 12_000);
        for part in [
            "anna",
            "no answer; tried 3 times, last 2 s ago, again in 2 s",
            "is the node up?",
            "talkoot unban cdcdcdcd",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let nobody = UnreachedView {
            schema: 1,
            unreached: Vec::new(),
            banned: Vec::new(),
        };
        assert!(why(&nobody, 0).starts_with("every address"));
    }
}
