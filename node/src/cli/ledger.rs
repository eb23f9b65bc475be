//! The verbs of `talkoot ledger`: the same views of a running node's books, of
//! those on disk, and of a network that is only looked at.

use super::ReadArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `ledger`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot ledger ls -f                      watch entries come in
  talkoot ledger ls --kind reserve          the jobs
  talkoot ledger job 3f9a                   one job: split, frontier, confirmations
  talkoot ledger verify --full              recompute everything, check every signature
  talkoot ledger export > books.jsonl
  talkoot ledger inspect --bootstrap 192.0.2.7:7470   a network from outside")]
pub struct LedgerArgs {
    /// Read the journal on disk even if a node runs
    #[arg(long, global = true)]
    pub offline: bool,
    /// What to look at.
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// Verbs of `ledger`.
#[derive(Debug, Clone, Subcommand)]
pub enum LedgerCommand {
    /// A view of the books.
    #[command(flatten)]
    Read(LedgerRead),
    /// What a question would cost by today's route, and who would earn it
    Quote(LedgerQuoteArgs),
    /// Look into a network from outside: joins nothing, serves nothing, needs no home
    Inspect(Box<InspectArgs>),
}

/// Arguments of `ledger inspect`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Without a verb: what was found and whether it verifies. Exit 7 if it does not.
Examples:
  talkoot ledger inspect --bootstrap 192.0.2.7:7470
  talkoot ledger inspect --bootstrap /ip4/192.0.2.7/udp/7470/quic-v1 follow
  talkoot ledger inspect --bootstrap talkoot1… --network 249c…8c45 job 3f9a --json")]
pub struct InspectArgs {
    /// A node of the network: multiaddr, HOST:PORT or a ticket; may repeat
    #[arg(
        long,
        value_name = "ADDR",
        env = "TALKOOT_BOOTSTRAP",
        value_delimiter = ',',
        required = true
    )]
    pub bootstrap: Vec<String>,
    /// The id of the network that is meant; another one is refused
    #[arg(long, value_name = "ID")]
    pub network: Option<String>,
    /// How long to wait for an answer, and then for the whole books
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub wait: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
    /// What to look at
    #[command(subcommand)]
    pub verb: Option<InspectVerb>,
}

/// Verbs of `ledger inspect`.
#[derive(Debug, Clone, Subcommand)]
pub enum InspectVerb {
    /// A view of the books.
    #[command(flatten)]
    Read(LedgerRead),
    /// Entries as they come in, until Ctrl-C
    Follow(ReadArgs),
}

/// Views of any books.
#[derive(Debug, Clone, Subcommand)]
pub enum LedgerRead {
    /// Entries of the chain, oldest first
    Ls(LedgerLsArgs),
    /// One entry: what it does, its fields, its bytes, its hash computed again
    Show(LedgerShowArgs),
    /// One wallet: its log, who named it, its account, its jobs
    Author(LedgerAuthorArgs),
    /// One job: terms, split with every factor, frontier, confirmations
    Job(LedgerJobArgs),
    /// What every wallet earned, burned and holds
    Balances(ReadArgs),
    /// Logs with two entries at one number, and the proofs
    Forks(ReadArgs),
    /// The founding document: id, founders, lines
    Genesis(ReadArgs),
    /// Check every hash, link and sum (needs no running node)
    Verify(LedgerVerifyArgs),
    /// Every entry with what it came to, in the chain's order
    Export(LedgerExportArgs),
}

/// Arguments of `ledger ls`.
#[derive(Debug, Clone, Args)]
pub struct LedgerLsArgs {
    /// How many
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
    pub count: usize,
    /// Only entries before this index [default: the end]
    #[arg(long, value_name = "INDEX")]
    pub before: Option<u64>,
    /// Only entries from this index on; the oldest of them first
    #[arg(long, value_name = "INDEX")]
    pub from: Option<u64>,
    /// Only of this wallet (its id, or the first digits)
    #[arg(long, value_name = "WALLET")]
    pub author: Option<String>,
    /// Only of this kind: admit, reserve, frontier, witness, equivocation, model, …
    #[arg(long, value_name = "KIND")]
    pub kind: Option<String>,
    /// Only about this job (its id, or the first digits)
    #[arg(long, value_name = "JOB")]
    pub job: Option<String>,
    /// Only with this effect: ok, inert, noted, admitted, reserved, paid or released
    #[arg(long, value_name = "EFFECT")]
    pub effect: Option<String>,
    /// Go on with what comes in, in the order in which it comes, until Ctrl-C
    #[arg(long, short = 'f', conflicts_with_all = ["before", "from"])]
    pub follow: bool,
    /// One JSON object on stdout; with --follow one per entry
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ledger show`.
#[derive(Debug, Clone, Args)]
pub struct LedgerShowArgs {
    /// Id of the entry, or its first digits
    pub id: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ledger author`.
#[derive(Debug, Clone, Args)]
pub struct LedgerAuthorArgs {
    /// The wallet, or its first digits
    pub wallet: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ledger job`.
#[derive(Debug, Clone, Args)]
pub struct LedgerJobArgs {
    /// Id of the job (of its `reserve` entry), or its first digits
    pub id: String,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `ledger verify`.
#[derive(Debug, Clone, Default, Args)]
pub struct LedgerVerifyArgs {
    /// Check every signature too
    #[arg(long)]
    pub full: bool,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}

/// How `ledger export` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportFormat {
    /// One JSON object per line.
    Jsonl,
}

/// Arguments of `ledger export`.
#[derive(Debug, Clone, Args)]
pub struct LedgerExportArgs {
    /// How to write
    #[arg(long, default_value = "jsonl")]
    pub format: ExportFormat,
    /// Write to this file [default: stdout]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Arguments of `ledger quote`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Stages of the route are asked for offers and let go; nothing is reserved.

Example:
  talkoot ledger quote demo -p 16 -n 256")]
pub struct LedgerQuoteArgs {
    /// Name, id or unique prefix of an id
    pub model: String,
    /// Tokens of the prompt
    #[arg(long, short, value_name = "N")]
    pub prompt_tokens: u32,
    /// Tokens of the answer at most
    #[arg(long, short = 'n', value_name = "M")]
    pub max_tokens: u32,
    /// One JSON object on stdout
    #[arg(long)]
    pub json: bool,
}
