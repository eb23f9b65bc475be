//! The arguments of `jobs`: the newest jobs of this node, and one of them.

use super::ReadArgs;
use clap::{Args, Subcommand};

/// Arguments of `jobs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot jobs ls
  talkoot jobs show 3f9a             where the time of each token went
  talkoot ledger job 3f9a            the same job in the books: the split, the money

The node remembers its newest 256 jobs until it stops; the books keep the money.")]
pub struct JobsArgs {
    /// What to see.
    #[command(subcommand)]
    pub verb: JobsVerb,
}

/// The verbs of `jobs`.
#[derive(Debug, Clone, Subcommand)]
pub enum JobsVerb {
    /// Jobs that this node asked for or works in, newest first
    Ls(ReadArgs),
    /// One job: its route, the time of a token hop by hop, its money
    Show {
        /// Its id, or the first digits of it
        id: String,
        /// One JSON object on stdout: raw integers, full ids
        #[arg(long)]
        json: bool,
    },
}
