//! The arguments of `doctor`: what shall be looked at, and what `up` would be
//! given here.

use super::{ModelDirsArgs, ReachArgs};
use clap::Args;

/// Arguments of `doctor`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Works with and without a running node. Ports, addresses and tickets are those
that `up` would take: give them, or set the same TALKOOT_* variables. Nothing is
changed. Ends with 10 when a check fails; warnings alone end with 0.

Examples:
  talkoot doctor
  talkoot doctor --only ports,udp,bootstrap --bootstrap /ip4/192.0.2.7/udp/7470/quic-v1/p2p/12D3Koo…
  talkoot doctor --json --fast")]
pub struct DoctorArgs {
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
    /// Only these checks; may repeat
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Leave out what takes seconds: `processor`, `ledger`, `tips`, `answer`
    #[arg(long)]
    pub fast: bool,
    /// Check every signature of the ledger too
    #[arg(long, conflicts_with = "fast")]
    pub full: bool,
    /// Room on the disk below which `disk` fails
    #[arg(long, value_name = "SIZE", default_value = "512MiB")]
    pub min_free: String,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// What `up` would be given.
    #[command(flatten)]
    pub reach: ReachArgs,
}
