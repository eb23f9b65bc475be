//! `talkoot peers`: who is connected and what they serve.

use super::output::{self, Align, Table};
use crate::api::PeersView;
use crate::cli::ReadArgs;
use crate::client::Client;
use crate::exit::Failure;
use crate::home::Home;

/// Prints the table.
///
/// # Errors
/// When no node runs.
pub fn run(args: &ReadArgs, home: &Home) -> Result<(), Failure> {
    let view: PeersView = Client::connect(home)?.get("peers")?;
    if args.json {
        return output::print_json(&view);
    }
    if view.peers.is_empty() {
        output::note(
            "alone: `talkoot invite` prints a ticket for another machine, \
             where `talkoot up --join TICKET` uses it\n",
        );
        return Ok(());
    }
    let mut table = Table::new(&[
        ("WALLET", Align::Left),
        ("RTT", Align::Right),
        ("MARKS", Align::Right),
        ("VERSION", Align::Left),
        ("SERVES", Align::Left),
        ("ADDRESS", Align::Left),
    ]);
    for peer in &view.peers {
        let serves: Vec<String> = peer
            .serving
            .iter()
            .map(|served| format!("{} {}", served.name, output::layers(served.layers)))
            .collect();
        table.row(vec![
            output::id(&peer.wallet),
            peer.rtt_us
                .map_or_else(|| "-".to_owned(), |us| format!("{us} µs")),
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
    output::print(&table.render())
}
