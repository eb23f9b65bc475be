//! `talkoot down`: asks the node to stop and waits until it has.

use super::output;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use std::time::Duration;

const WAIT: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(50);

/// Stops the node.
///
/// # Errors
/// When none runs, or it does not stop in time.
pub fn run(home: &Home) -> Result<(), Failure> {
    let client = Client::connect(home)?;
    let _: serde_json::Value = client.post("shutdown", &serde_json::json!({}))?;
    let mut waited = Duration::ZERO;
    while home.is_locked() {
        if waited >= WAIT {
            let pid = client.api().pid;
            return Err(Failure::new(
                Exit::TimedOut,
                format!(
                    "the node (process {pid}) has not stopped after {} s",
                    WAIT.as_secs()
                ),
            )
            .hint(format!("`kill {pid}` ends it; its books survive that")));
        }
        std::thread::sleep(STEP);
        waited += STEP;
    }
    output::print("stopped\n")
}
