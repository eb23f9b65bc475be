//! `talkoot welcome`: lets a connected newcomer write, without a ticket.

use super::output;
use crate::api::{WelcomeRequest, WelcomedView};
use crate::cli::WelcomeArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::units;

/// Names the newcomer and passes on a line.
///
/// # Errors
/// When nobody is meant, it may write already, or the line is more than we have.
pub fn run(args: &WelcomeArgs, home: &Home) -> Result<(), Failure> {
    let request = WelcomeRequest {
        peer: args.peer.clone(),
        line_ugft: units::parse_gft(&args.line)
            .map_err(|error| Failure::new(Exit::Usage, format!("--line: {error}")))?,
    };
    let view: WelcomedView = Client::connect(home)?.post("welcome", &request)?;
    if args.json {
        return output::print_json(&view);
    }
    output::print(&format!(
        "{} may write now, with a line of {} GFT\n",
        view.wallet,
        units::gft(view.line_ugft.into())
    ))
}
