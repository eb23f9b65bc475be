//! Arguments of `talkoot key`: what may be said of a key on the command line.

use super::ReadArgs;
use clap::{Args, Subcommand};

/// Arguments of `key`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot key new alice --max-concurrent 4 --gft-per-day 100
  talkoot key ls
  talkoot key rm alice")]
pub struct KeyArgs {
    /// What to do with keys.
    #[command(subcommand)]
    pub verb: KeyVerb,
}

/// The verbs of `key`.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyVerb {
    /// Make a key and print it; it is shown this once
    New(KeyNewArgs),
    /// Keys, their caps and what they burned today
    Ls(ReadArgs),
    /// Remove a key; a running node refuses it from then on
    Rm {
        /// Name of the key
        name: String,
    },
}

/// Arguments of `key new`.
#[derive(Debug, Clone, Args)]
pub struct KeyNewArgs {
    /// Whose key it is: letters, digits, '.', '_', '-'
    pub name: String,
    /// Answers at the same time, waiting ones included
    #[arg(long, value_name = "N")]
    pub max_concurrent: Option<u32>,
    /// Requests in a minute
    #[arg(long, value_name = "N")]
    pub requests_per_minute: Option<u32>,
    /// Credits that may be burned in a day of UTC, e.g. 100
    #[arg(long, value_name = "AMOUNT")]
    pub gft_per_day: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
