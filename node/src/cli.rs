//! The command line: verbs, arguments and their help. The only place that knows
//! clap; commands take the plain structs defined here.
//!
//! Nothing is decided here beyond the syntax. Arguments come from the line,
//! then from `TALKOOT_*`, then from the defaults.

mod bench;
mod key;
mod ledger;
mod models;

pub use bench::BenchArgs;
pub use key::{KeyArgs, KeyNewArgs, KeyVerb};
pub use ledger::{
    ExportFormat, InspectArgs, InspectVerb, LedgerArgs, LedgerAuthorArgs, LedgerCommand,
    LedgerExportArgs, LedgerJobArgs, LedgerLsArgs, LedgerQuoteArgs, LedgerRead, LedgerShowArgs,
    LedgerVerifyArgs,
};

pub use models::{
    EstimateArgs, ImportArgs, ModelDirsArgs, ModelsArgs, ModelsCommand, RmArgs, ShowArgs,
};

use crate::exit::{Exit, Failure};
use crate::settings::Backend;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::net::IpAddr;
use std::path::PathBuf;
use talkoot_inference::kernels::PackedFormat;

const ABOUT: &str = "Pool machines to run language models, and keep fair books.";

const EXAMPLES: &str = "\
First steps:
  talkoot up                         start a node; alone, it serves the demo model
  talkoot ask \"Tell me a story.\"     ask it (in another terminal)
  talkoot invite                     print a ticket for a second machine
  talkoot up --join TICKET           on that machine: join and lend
  talkoot ledger balances            who earned and who spent";

/// Kademlia warns that it knows nobody, which is how every first node begins.
const DEFAULT_LOG: &str = "warn,libp2p_kad=error,talkoot=info";

/// The whole line.
#[derive(Debug, Parser)]
#[command(name = "talkoot", version, about = ABOUT, after_help = EXAMPLES)]
pub struct Cli {
    /// Which node of this machine: home and ports of its own for each number
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "TALKOOT_INSTANCE",
        default_value_t = 0
    )]
    pub instance: u16,
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a node and keep it running (Ctrl-C stops it)
    Up(Box<UpArgs>),
    /// Stop the running node
    Down,
    /// Ask a question; the answer streams to stdout, route and bill to stderr
    Ask(AskArgs),
    /// One page about the running node
    Status(ReadArgs),
    /// Connected peers and what they serve
    Peers(ReadArgs),
    /// Who this node is (needs no running node)
    Id(ReadArgs),
    /// Models of this machine and of the network, their coverage and price
    Models(ModelsArgs),
    /// Check a model's files and give it a name here (needs no running node)
    Import(ImportArgs),
    /// Everything about one model: card, sizes, price, files, who serves it
    Show(ShowArgs),
    /// Forget an imported model; without --yes only says what would go
    Rm(RmArgs),
    /// Print a ticket with which another machine joins this network
    Invite(InviteArgs),
    /// Join the network of a ticket (while the books hold only own entries)
    Join(JoinArgs),
    /// Keys for programs that ask over HTTP from other machines (needs no running node)
    Key(KeyArgs),
    /// Read the books
    Ledger(LedgerArgs),
    /// How fast this machine computes a model (needs no running node)
    Bench(BenchArgs),
    /// Start an asker and workers on this machine, ask once, show the books
    Testnet(TestnetArgs),
}

/// Arguments of verbs that only read.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadArgs {
    /// One JSON object on stdout: raw integers, full ids
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `up`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot up
  talkoot up --model ~/models/Llama-3.2-1B --layers 0..8
  talkoot up --model ~/models/Llama-3.2-1B --quantize q8_0
  talkoot up --join talkoot1… --no-serve
  talkoot up --instance 1            a second node beside the first")]
pub struct UpArgs {
    /// Model to serve: a name from `talkoot models`, a directory or a .gguf file; may repeat
    #[arg(
        long,
        value_name = "MODEL",
        env = "TALKOOT_MODEL",
        value_delimiter = ':'
    )]
    pub model: Vec<PathBuf>,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// Layers to serve, first and one past the last, e.g. 0..8 [default: the least covered that fit]
    #[arg(long, value_name = "A..B", env = "TALKOOT_LAYERS")]
    pub layers: Option<String>,
    /// Lend nothing: only ask
    #[arg(long, env = "TALKOOT_NO_SERVE")]
    pub no_serve: bool,
    /// Join the network of this ticket
    #[arg(long, value_name = "TICKET", env = "TALKOOT_JOIN")]
    pub join: Option<String>,
    /// Address on which libp2p and the data plane listen
    #[arg(
        long,
        value_name = "IP",
        env = "TALKOOT_LISTEN",
        default_value = "0.0.0.0"
    )]
    pub listen: IpAddr,
    /// Port of libp2p, udp and tcp; 0 = any [default: 7470 + 10 N]
    #[arg(long, value_name = "PORT", env = "TALKOOT_P2P_PORT")]
    pub p2p_port: Option<u16>,
    /// Port of the data plane, udp; 0 = any [default: 7471 + 10 N]
    #[arg(long, value_name = "PORT", env = "TALKOOT_DATA_PORT")]
    pub data_port: Option<u16>,
    /// Port of the HTTP API; 0 = any [default: 7472 + 10 N]
    #[arg(long, value_name = "PORT", env = "TALKOOT_HTTP_PORT")]
    pub http_port: Option<u16>,
    /// Address of the HTTP API; beyond loopback it needs a key (`talkoot key new`)
    #[arg(
        long,
        value_name = "IP",
        env = "TALKOOT_HTTP_LISTEN",
        default_value = "127.0.0.1"
    )]
    pub http_listen: IpAddr,
    /// A name in `Host` to answer to, besides those of this machine; may repeat
    #[arg(
        long,
        value_name = "NAME",
        env = "TALKOOT_HTTP_HOST",
        value_delimiter = ','
    )]
    pub http_host: Vec<String>,
    /// A web page's origin that may ask, such as `https://app.example.org`; may repeat
    #[arg(
        long,
        value_name = "ORIGIN",
        env = "TALKOOT_CORS_ORIGIN",
        value_delimiter = ','
    )]
    pub cors_origin: Vec<String>,
    /// Answers that HTTP works on at once [default: as many as --sessions]
    #[arg(long, value_name = "N", env = "TALKOOT_MAX_ANSWERS")]
    pub max_answers: Option<u16>,
    /// Answers that may wait for a place
    #[arg(
        long,
        value_name = "N",
        env = "TALKOOT_MAX_QUEUE",
        default_value_t = 256
    )]
    pub max_queue: u16,
    /// Address of a peer to dial first, with its peer id; may repeat
    #[arg(
        long,
        value_name = "ADDR",
        env = "TALKOOT_BOOTSTRAP",
        value_delimiter = ','
    )]
    pub bootstrap: Vec<String>,
    /// Do not look for peers on the local network
    #[arg(long, env = "TALKOOT_NO_MDNS")]
    pub no_mdns: bool,
    /// Memory to lend at most, e.g. 4GiB [default: half of what is free]
    #[arg(long, value_name = "SIZE", env = "TALKOOT_MAX_MEM")]
    pub max_mem: Option<String>,
    /// Answers to work on at the same time
    #[arg(long, value_name = "N", env = "TALKOOT_SESSIONS", default_value_t = 16)]
    pub sessions: u16,
    /// Unconfirmed spending of one asker that this node works for
    #[arg(
        long,
        value_name = "AMOUNT",
        env = "TALKOOT_EXPOSURE",
        default_value = "1000GFT"
    )]
    pub exposure: String,
    /// How layers are computed
    #[arg(long, env = "TALKOOT_BACKEND", default_value = "kernels")]
    pub backend: BackendArg,
    /// Pack the weights as they are loaded: another model, with an id of its own
    #[arg(long, env = "TALKOOT_QUANTIZE", default_value = "none")]
    pub quantize: QuantizeArg,
    /// Threads that compute together [default: as many as the processor runs at once]
    #[arg(long, value_name = "N", env = "TALKOOT_THREADS")]
    pub threads: Option<u16>,
    /// What the genesis says, when this start founds a network.
    #[command(flatten)]
    pub genesis: GenesisArgs,
    /// What to log on stderr, e.g. debug or warn,talkoot::jobs=trace
    #[arg(
        long,
        value_name = "FILTER",
        env = "TALKOOT_LOG",
        default_value = DEFAULT_LOG
    )]
    pub log: String,
    /// How to log
    #[arg(long, env = "TALKOOT_LOG_FORMAT", default_value = "auto")]
    pub log_format: LogFormat,
    /// Stop when stdin ends: a parent that dies takes this node along
    #[arg(long, hide = true)]
    pub stop_with_stdin: bool,
}

/// `--backend`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// Our kernels for this processor.
    Kernels,
    /// Stock burn operations.
    Burn,
    /// Stock burn operations on an NVIDIA card (built with the feature `cuda`).
    Cuda,
}

impl From<BackendArg> for Backend {
    fn from(arg: BackendArg) -> Self {
        match arg {
            BackendArg::Kernels => Self::Kernels,
            BackendArg::Burn => Self::Burn,
            BackendArg::Cuda => Self::Cuda,
        }
    }
}

/// `--quantize`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum QuantizeArg {
    /// As stored, in memory as in the file.
    #[default]
    None,
    /// 16-bit brain floats.
    Bf16,
    /// 8 bits, blocks of 32 with a scale: half the memory of 16 bits.
    #[value(name = "q8_0")]
    Q8,
    /// 4 bits, blocks of 32 with a scale: a quarter, and less exact.
    #[value(name = "q4_0")]
    Q4,
}

impl From<QuantizeArg> for Option<PackedFormat> {
    fn from(arg: QuantizeArg) -> Self {
        match arg {
            QuantizeArg::None => None,
            QuantizeArg::Bf16 => Some(PackedFormat::Bf16),
            QuantizeArg::Q8 => Some(PackedFormat::Q8_0),
            QuantizeArg::Q4 => Some(PackedFormat::Q4_0),
        }
    }
}

/// What a new network's genesis says for ever.
#[derive(Debug, Clone, Copy, Default, Args)]
#[command(next_help_heading = "A new network (its genesis cannot be changed)")]
pub struct GenesisArgs {
    /// What the price of a token follows [default: flops]
    #[arg(long, env = "TALKOOT_PRICING")]
    pub pricing: Option<PricingArg>,
    /// Whether fewer bits per weight lower prices by FLOPs [default: on]
    #[arg(long, env = "TALKOOT_PRECISION_FACTORS")]
    pub precision_factors: Option<Switch>,
    /// Whether jobs are paid; off, everybody works for nothing [default: on]
    #[arg(long, env = "TALKOOT_ACCOUNTING")]
    pub accounting: Option<Switch>,
}

/// `--pricing`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PricingArg {
    /// The operations it takes: 1 GFT for 10^9.
    Flops,
    /// The size of the model: 1 GFT, and more above 32 GiB at 16 bits.
    Size,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// `--log-format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people, with colours where stderr is a terminal.
    #[value(alias = "text")]
    Auto,
    /// Lines for people, with colours.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Arguments of `ask`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot ask \"Tell me a story about a fox who lost a drum.\"
  echo \"Who helps the hare?\" | talkoot ask
  talkoot ask --temperature 0.8 --seed 7 --max-tokens 200 \"Tell me a story.\"
  talkoot ask --json \"Tell me a story.\" | jq .stages")]
pub struct AskArgs {
    /// The question; without it stdin is read
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Name, id or unique prefix of an id [default: the first with a full route]
    #[arg(long, short)]
    pub model: Option<String>,
    /// Tokens of the answer at most [default: 512, or what the context holds]
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// 0 takes the most likely token every time
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub temperature: f32,
    /// Only the N most likely tokens; 0 = all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub top_k: u32,
    /// Only the most likely tokens that together have probability P
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub top_p: f32,
    /// Only tokens at least P times as likely as the most likely one
    #[arg(long, value_name = "P", default_value_t = 0.0)]
    pub min_p: f32,
    /// Random seed; the same seed on the same route gives the same answer
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// A text that ends the answer; may repeat
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// An instruction before the question
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Continue the text as it is, without the model's chat template
    #[arg(long)]
    pub raw: bool,
    /// Print one JSON object at the end instead of streaming
    #[arg(long)]
    pub json: bool,
}

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

/// Arguments of `testnet`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Exit 0 only if the answer came, the bill adds up (with --accounting off: nothing
was burned), all balances and the commons sum to zero, and every node holds the
same chain.")]
pub struct TestnetArgs {
    /// What to ask
    #[arg(value_name = "PROMPT")]
    pub prompt: Vec<String>,
    /// Nodes that lend layers
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub workers: u32,
    /// Name, directory or .gguf file of the model [default: the demo model]
    #[arg(long, value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Where else models are.
    #[command(flatten)]
    pub directories: ModelDirsArgs,
    /// Tokens of the answer at most
    #[arg(long, value_name = "N")]
    pub max_tokens: Option<u32>,
    /// Credit line of each node
    #[arg(long, value_name = "AMOUNT", default_value = "1000GFT")]
    pub line: String,
    /// How the workers compute
    #[arg(long, default_value = "kernels")]
    pub backend: BackendArg,
    /// Pack the weights as the workers load them
    #[arg(long, default_value = "none")]
    pub quantize: QuantizeArg,
    /// Threads of each worker
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub threads: u16,
    /// What the genesis says.
    #[command(flatten)]
    pub genesis: GenesisArgs,
    /// Leave the nodes running and say how to use and stop them
    #[arg(long)]
    pub keep: bool,
    /// One JSON object as the last line of stdout
    #[arg(long)]
    pub json: bool,
}

/// What a line asks for.
#[derive(Debug)]
pub enum Parsed {
    /// Run this.
    Run(Cli),
    /// Print this text (help or version) and end with this code.
    Print(String, Exit),
}

/// Reads the command line of this process.
#[must_use]
pub fn parse(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Parsed {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => return parsed_error(&error),
    };
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => Parsed::Run(cli),
        Err(error) => parsed_error(&error),
    }
}

/// The short help, as `talkoot` alone shows it.
#[must_use]
pub fn short_help() -> String {
    command().render_help().to_string()
}

fn parsed_error(error: &clap::Error) -> Parsed {
    let exit = if error.use_stderr() {
        Exit::Usage
    } else {
        Exit::Done
    };
    Parsed::Print(error.render().to_string(), exit)
}

fn command() -> clap::Command {
    let mut codes = format!("{EXAMPLES}\n\nExit codes:\n");
    for (exit, meaning) in Exit::TABLE {
        codes.push_str(&format!("  {:>3}  {meaning}\n", exit.code()));
    }
    codes.push_str(
        "\nDirectories: TALKOOT_HOME moves everything a node owns; without it the XDG\n\
         directories are used. Every option of `up` can be given as TALKOOT_<OPTION>.\n\
         Results go to stdout, everything else to stderr.",
    );
    Cli::command().after_long_help(codes)
}

/// Reads a number between `low` and `high`, for arguments that commands check.
///
/// # Errors
/// [`Exit::Usage`] naming the argument.
pub fn within(name: &str, value: f32, low: f32, high: f32) -> Result<f32, Failure> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(Failure::new(
        Exit::Usage,
        format!("{name} is a number from {low} to {high}, not {value}"),
    ))
}

#[cfg(test)]
pub(crate) fn parse_up(line: &str) -> UpArgs {
    let arguments = ["talkoot", "up"]
        .into_iter()
        .chain(line.split_whitespace())
        .map(Into::into);
    match parse(arguments) {
        Parsed::Run(Cli {
            command: Some(Command::Up(args)),
            ..
        }) => *args,
        other => panic!("{line}: {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(line: &str) -> Parsed {
        parse(line.split_whitespace().map(Into::into))
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn long_help_lists_the_exit_codes_and_is_no_error() {
        let Parsed::Print(text, exit) = run("talkoot --help") else {
            panic!("help is printed");
        };
        assert_eq!(exit, Exit::Done);
        for (code, meaning) in Exit::TABLE {
            assert!(text.contains(&format!("{:>3}  {meaning}", code.code())));
        }
    }

    #[test]
    fn the_old_name_of_a_log_format_still_works() {
        assert_eq!(parse_up("").log_format, LogFormat::Auto);
        assert_eq!(parse_up("--log-format text").log_format, LogFormat::Auto);
        assert_eq!(parse_up("--log-format json").log_format, LogFormat::Json);
    }

    #[test]
    fn a_wrong_line_is_a_usage_error() {
        for line in [
            "talkoot ponder",
            "talkoot ask --top-k many x",
            "talkoot ledger",
        ] {
            assert!(matches!(run(line), Parsed::Print(_, Exit::Usage)), "{line}");
        }
        assert!(matches!(
            run("talkoot"),
            Parsed::Run(Cli { command: None, .. })
        ));
    }
}
