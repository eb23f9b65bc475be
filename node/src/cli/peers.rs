//! The arguments of verbs about peers: who is there, why others are not, names
//! for them, and whom to keep out.

use super::ReadArgs;
use clap::{Args, Subcommand};

/// Arguments of `peers`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot peers
  talkoot peers --why                who is not connected, why, and what to do
  talkoot peers --json | jq '.peers[].wallet'")]
pub struct PeersArgs {
    /// Addresses that gave no connection and peers that are kept out, with the reason
    #[arg(long)]
    pub why: bool,
    /// One JSON object on stdout: raw integers, full ids
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ping`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
A peer is named by its label, or by the first digits of its wallet or peer id.
Ends with 8 when nothing came back.")]
pub struct PingArgs {
    /// Whom
    #[arg(value_name = "PEER")]
    pub peer: String,
    /// Round trips
    #[arg(short = 'n', long, value_name = "N", default_value_t = 5)]
    pub count: u32,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `welcome`.
#[derive(Debug, Clone, Args)]
pub struct WelcomeArgs {
    /// Whom: a label, the first digits of a connected peer's wallet, or a whole wallet id
    #[arg(value_name = "PEER")]
    pub peer: String,
    /// Credit line passed on to the newcomer, out of our own
    #[arg(long, value_name = "AMOUNT", default_value = "10GFT")]
    pub line: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `bootstrap`.
#[derive(Debug, Clone, Args)]
pub struct BootstrapArgs {
    /// What to do with first contacts.
    #[command(subcommand)]
    pub verb: BootstrapVerb,
}

/// The verbs of `bootstrap`.
#[derive(Debug, Clone, Subcommand)]
pub enum BootstrapVerb {
    /// Dial this address whenever it is not connected, now and at every start
    Add {
        /// Such as /ip4/192.0.2.7/udp/7470/quic-v1/p2p/12D3Koo…
        address: String,
    },
    /// Forget an address; a running node keeps to it until it stops
    Rm {
        /// As it was added, or a part of it that no other has
        address: String,
    },
    /// The addresses of this home
    Ls(ReadArgs),
}

/// Arguments of `ban`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot ban 3f9a --for 24h --reason \"wrong answers\"
  talkoot ban ls
  talkoot unban 3f9a

A banned peer is disconnected at once and in every later run; no route goes
through it. It stays in the books: those are everybody's.")]
#[command(args_conflicts_with_subcommands = true)]
pub struct BanArgs {
    /// See who is banned.
    #[command(subcommand)]
    pub verb: Option<BanVerb>,
    /// Whom: a label, the first digits of a connected peer's wallet, or a whole wallet id
    #[arg(value_name = "PEER", required = true)]
    pub peer: Option<String>,
    /// For how long, e.g. 24h, 7d [default: until `talkoot unban`]
    #[arg(long = "for", value_name = "TIME")]
    pub duration: Option<String>,
    /// Why, for yourself
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub reason: String,
}

/// The verbs of `ban`.
#[derive(Debug, Clone, Subcommand)]
pub enum BanVerb {
    /// Who is banned, why and until when
    Ls(ReadArgs),
}

/// Arguments of `unban`.
#[derive(Debug, Clone, Args)]
pub struct UnbanArgs {
    /// Whom: a label, or the first digits of the wallet
    #[arg(value_name = "PEER")]
    pub peer: String,
}

/// Arguments of `label`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot label 3f9a anna            then: talkoot ping anna
  talkoot label --rm anna
  talkoot label                      all labels")]
pub struct LabelArgs {
    /// Whom: the first digits of a connected peer's wallet, or a whole wallet id
    #[arg(value_name = "PEER", requires = "label")]
    pub peer: Option<String>,
    /// The name: letters of a to z, digits, '.', '_', '-'
    #[arg(value_name = "LABEL")]
    pub label: Option<String>,
    /// Forget a label
    #[arg(long, value_name = "LABEL", conflicts_with = "peer")]
    pub rm: Option<String>,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
