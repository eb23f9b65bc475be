//! Logs: to stderr, never to stdout; prompts and answers are never logged.

use crate::cli::LogFormat;
use crate::exit::{Exit, Failure};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts logging for this process.
///
/// # Errors
/// When the filter cannot be read, or logging was started before.
pub fn start(filter: &str, format: LogFormat) -> Result<(), Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::BadConfig, format!("--log {filter}: {error}"))
            .hint("for example --log debug, or --log warn,talkoot=info")
    };
    let filter = EnvFilter::try_new(filter).map_err(|error| bad(&error))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // Elsewhere than on a terminal escapes are rubbish: a journal would store the
    // lines as bytes.
    let colours = format == LogFormat::Pretty || std::io::stderr().is_terminal();
    match format {
        LogFormat::Auto | LogFormat::Pretty => {
            builder.with_ansi(colours).with_target(false).try_init()
        }
        LogFormat::Json => builder.json().try_init(),
    }
    .map_err(|error| bad(&error))
}
