//! The arguments of `invite` and `join`: a ticket made, and a ticket used.

use clap::Args;

/// Arguments of `invite`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot invite                     a ticket for one machine, good for a day
  talkoot invite --line 100GFT --ttl 7d
  talkoot invite --qr                also as a picture, for a camera")]
pub struct InviteArgs {
    /// For how long the ticket is good, e.g. 30m, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "24h")]
    pub ttl: String,
    /// Credit line passed on to the newcomer, out of our own
    #[arg(long, value_name = "AMOUNT", default_value = "10GFT")]
    pub line: String,
    /// Draw the ticket as a QR code too, on stderr
    #[arg(long)]
    pub qr: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `join`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot join talkoot1…             check the ticket, see who answers, join
  talkoot join - < ticket.txt        a ticket from a file
  talkoot join --lan village         a network of this local network, without a ticket

A ticket is tried before it is used: each of its addresses is dialled, and what
answers there is compared with what the ticket says.")]
pub struct JoinArgs {
    /// The ticket that `talkoot invite` printed; `-` reads it from stdin
    #[arg(required_unless_present = "lan", conflicts_with = "lan")]
    pub ticket: Option<String>,
    /// Join a network that the running node has found on this local network: its name, or the
    /// beginning of its id. Without a ticket its owners must still let this node write
    #[arg(long, value_name = "NETWORK")]
    pub lan: Option<String>,
    /// Believe the ticket without dialling anybody
    #[arg(long)]
    pub no_dial: bool,
    /// How long an address may take to answer
    #[arg(long, value_name = "TIME", default_value = "5s")]
    pub wait: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
