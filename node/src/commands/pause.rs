//! `talkoot pause`: the running node lends nothing to others for a while.

use super::{output, status};
use crate::api::{LendingView, PauseRequest};
use crate::cli::PauseArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::units;

/// Pauses, and says until when.
///
/// # Errors
/// When no node runs, or the time is no duration.
pub fn run(args: &PauseArgs, home: &Home) -> Result<(), Failure> {
    let time = args.time.as_deref().map(units::parse_duration).transpose();
    let time = time.map_err(|error| Failure::new(Exit::Usage, format!("--for: {error}")))?;
    let request = PauseRequest {
        for_ms: time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        reason: args.reason.clone(),
    };
    let view: LendingView = Client::connect(home)?.post("pause", &request)?;
    show(&view, args.json)
}

/// Prints whether layers are lent.
///
/// # Errors
/// When stdout is gone.
pub(super) fn show(view: &LendingView, is_json: bool) -> Result<(), Failure> {
    if is_json {
        return output::print_json(view);
    }
    output::print(&match &view.paused {
        None => "lending\n".to_owned(),
        Some(paused) => format!("{}\n", status::pause(paused)),
    })
}
