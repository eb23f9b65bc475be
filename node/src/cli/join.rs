//! The arguments of `invite` and `join`: a ticket made, and a ticket used.

use clap::Args;

/// Arguments of `invite`.
#[derive(Debug, Clone, Args)]
pub struct InviteArgs {
    /// For how long the ticket is good, e.g. 30m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub ttl: String,
    /// Credit line passed on to the newcomer, out of our own
    #[arg(long, value_name = "AMOUNT", default_value = "10GFT")]
    pub line: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `join`.
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    /// The ticket that `talkoot invite` printed
    pub ticket: String,
}
