//! `talkoot resume`: ends a pause by hand. One by the limits of `up` stays, and
//! is shown.

use super::pause::show;
use crate::api::LendingView;
use crate::cli::ResumeArgs;
use crate::client::Client;
use crate::exit::Failure;
use crate::home::Home;

/// Resumes, and says whether layers are lent.
///
/// # Errors
/// When no node runs.
pub fn run(args: &ResumeArgs, home: &Home) -> Result<(), Failure> {
    let client = Client::connect(home)?;
    let view: LendingView = client.post("resume", &serde_json::json!({}))?;
    show(&view, args.json)
}
