//! The arguments of `credits`: whose money, and how it is broken up.

use clap::{Args, ValueEnum};

/// What a row of a history is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HistoryBy {
    /// A job.
    Job,
    /// An hour of the authors' clocks.
    Hour,
    /// A day of the authors' clocks (UTC).
    Day,
}

/// Arguments of `credits`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Asks the running node, or reads the journal on disk when none answers.
Every amount is a sum of jobs: `talkoot ledger job ID` shows one with every factor.

Examples:
  talkoot credits                        what is available, and why not more
  talkoot credits --history              the newest jobs, with a running balance
  talkoot credits --history --by day -n 14
  talkoot credits --of 3f9a --json")]
pub struct CreditsArgs {
    /// Another wallet: its id, the first digits, or the peer id of a connected peer
    #[arg(long, value_name = "PEER")]
    pub of: Option<String>,
    /// A table of what was earned and burned, with a running balance
    #[arg(long)]
    pub history: bool,
    /// What a row of the history is
    #[arg(long, value_name = "WHAT", default_value = "job", requires = "history")]
    pub by: HistoryBy,
    /// Rows of the history, the newest
    #[arg(
        long,
        short = 'n',
        value_name = "N",
        default_value_t = 20,
        requires = "history"
    )]
    pub count: usize,
    /// Read the journal on disk even if a node runs
    #[arg(long)]
    pub offline: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
