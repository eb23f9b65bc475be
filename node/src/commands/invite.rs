//! `talkoot invite`: a ticket for another machine.

mod qr;

use super::output;
use crate::api::{InviteRequest, InviteView};
use crate::cli::InviteArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::units;
use talkoot_protocol::ticket;

/// Prints the ticket, and only the ticket, to stdout.
///
/// # Errors
/// When no node runs, or the line is more than we may pass on.
pub fn run(args: &InviteArgs, home: &Home) -> Result<(), Failure> {
    let usage = |error: units::UnitError| Failure::new(Exit::Usage, error.to_string());
    let ttl = units::parse_duration(&args.ttl).map_err(usage)?;
    let request = InviteRequest {
        ttl_ms: u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX),
        line_ugft: units::parse_gft(&args.line).map_err(usage)?,
    };
    let view: InviteView = Client::connect(home)?.post("invite", &request)?;
    if args.json {
        return output::print_json(&view);
    }
    let drawn = args.qr.then(|| qr::draw(&view.ticket)).transpose()?;
    output::note(&format!(
        "on the other machine: talkoot up --join TICKET\n\
         good once, until {} UTC; passes on a line of {} GFT\n",
        units::utc(view.expires_ms),
        units::gft(view.line_ugft.into())
    ));
    let (ticket, _) = ticket::from_text(&view.ticket, 0)
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    if ticket.addresses.iter().all(|address| is_loopback(address)) {
        output::note(
            "warning: this node listens on this machine alone, so only nodes of this machine \
             can use the ticket; `talkoot up --listen 0.0.0.0` listens to others\n",
        );
    }
    if let Some(drawn) = drawn {
        output::note(&drawn);
    }
    output::print(&format!("{}\n", view.ticket))
}

fn is_loopback(address: &str) -> bool {
    address.contains("/127.") || address.contains("/::1/")
}
