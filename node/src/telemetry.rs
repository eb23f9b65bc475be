//! Logs: to stderr, never to stdout, and to a file of bounded size; prompts and
//! answers are never logged.

mod file;

use crate::cli::LogFormat;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use file::LogFile;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

/// Where the log of a home is.
#[must_use]
pub fn log_path(home: &Home) -> PathBuf {
    home.state.join("log").join("talkoot.log")
}

/// Where the part before it is, once it has grown too large.
#[must_use]
pub fn older_log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

/// Which file `--log-file` means; none: no file.
#[must_use]
pub fn chosen_log_path(argument: Option<&Path>, home: &Home) -> Option<PathBuf> {
    match argument {
        None => Some(log_path(home)),
        Some(path) if path == Path::new("off") => None,
        Some(path) => Some(path.to_owned()),
    }
}

/// Starts logging for this process; with a path also to that file, without
/// colours.
///
/// # Errors
/// When the filter cannot be read, the file cannot be written, or logging was
/// started before.
pub fn start(filter: &str, format: LogFormat, path: Option<&Path>) -> Result<(), Failure> {
    let bad = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::BadConfig, format!("--log {filter}: {error}"))
            .hint("for example --log debug, or --log warn,talkoot=info")
    };
    let filter = EnvFilter::try_new(filter).map_err(|error| bad(&error))?;
    let file = path.map(LogFile::open).transpose().map_err(|error| {
        let shown = path.map(|path| path.display().to_string());
        let shown = shown.unwrap_or_default();
        Failure::new(Exit::BadConfig, format!("cannot log to {shown}: {error}"))
            .hint("--log-file takes another file, or `off`")
    })?;
    // Elsewhere than on a terminal escapes are rubbish: a journal would store the
    // lines as bytes.
    let colours = format == LogFormat::Pretty || std::io::stderr().is_terminal();
    let to_stderr = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let to_stderr = match format {
        LogFormat::Auto | LogFormat::Pretty => {
            to_stderr.with_ansi(colours).with_target(false).boxed()
        }
        LogFormat::Json => to_stderr.json().boxed(),
    };
    let to_file = file.map(|file| {
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(file)
            .with_ansi(false);
        match format {
            LogFormat::Json => layer.json().boxed(),
            LogFormat::Auto | LogFormat::Pretty => layer.with_target(false).boxed(),
        }
    });
    tracing_subscriber::registry()
        .with(filter)
        .with(to_stderr)
        .with(to_file)
        .try_init()
        .map_err(|error| bad(&error))
}
