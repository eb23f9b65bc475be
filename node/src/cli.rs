//! The command line: verbs, arguments and their help. The only place that knows
//! clap; commands take the plain structs defined here.
//!
//! Nothing is decided here beyond the syntax. Arguments come from the line,
//! then from `TALKOOT_*`, then from the defaults.

mod ask;
mod bench;
mod chat;
mod config;
mod credits;
mod doctor;
mod effective;
mod jobs;
mod join;
mod key;
mod ledger;
mod models;
mod pages;
mod pause;
mod peers;
mod quote;
mod reach;
mod testnet;
mod up;

pub use ask::AskArgs;
pub use bench::BenchArgs;
pub use chat::ChatArgs;
pub use config::{
    CompletionsArgs, ConfigArgs, ConfigVerb, LevelArg, LogsArgs, ManArgs, PathsArgs, ShellArg,
};
pub use credits::{CreditsArgs, HistoryBy};
pub use doctor::DoctorArgs;
pub use effective::{as_arguments, keys, parse_with};
pub use jobs::{JobsArgs, JobsVerb};
pub use join::{InviteArgs, JoinArgs};
pub use key::{KeyArgs, KeyNewArgs, KeyVerb};
pub use ledger::{
    ExportFormat, InspectArgs, InspectVerb, LedgerArgs, LedgerAuthorArgs, LedgerCommand,
    LedgerExportArgs, LedgerJobArgs, LedgerLsArgs, LedgerQuoteArgs, LedgerRead, LedgerShowArgs,
    LedgerVerifyArgs,
};
pub use pages::{completions, main_page, manual_to};

pub use models::{
    EstimateArgs, ImportArgs, ModelDirsArgs, ModelsArgs, ModelsCommand, RmArgs, ShowArgs,
};
pub use pause::{PauseArgs, ResumeArgs};
pub use peers::{
    BanArgs, BanVerb, BootstrapArgs, BootstrapVerb, LabelArgs, PeersArgs, PingArgs, UnbanArgs,
    WelcomeArgs,
};
pub use quote::QuoteArgs;
pub use reach::ReachArgs;
pub use testnet::TestnetArgs;
pub use up::{BackendArg, GenesisArgs, LogFormat, PricingArg, QuantizeArg, Switch, UpArgs};

use crate::api::SettingView;
use crate::exit::{Exit, Failure};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

const ABOUT: &str = "Pool machines to run language models, and keep fair books.";

const EXAMPLES: &str = "\
First steps:
  talkoot up                         start a node; alone, it serves the demo model
  talkoot ask \"Tell me a story.\"     ask it (in another terminal)
  talkoot chat                       talk with it
  talkoot credits                    what is available, and why
  talkoot invite                     print a ticket for a second machine
  talkoot up --join TICKET           on that machine: join and lend
  talkoot ledger balances            who earned and who spent";

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
    /// For `up`: every setting, and where it came from.
    #[arg(skip)]
    pub settings: Vec<SettingView>,
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
    /// Talk with a model: a conversation at the terminal, with its costs
    Chat(Box<ChatArgs>),
    /// What is available to spend, why not more, and which jobs it comes from
    Credits(CreditsArgs),
    /// What a question would cost at most, and who would earn it
    Quote(QuoteArgs),
    /// One page about the running node
    Status(StatusArgs),
    /// Connected peers and what they serve; --why: who is not connected, and why
    Peers(PeersArgs),
    /// Round trips to a peer
    Ping(PingArgs),
    /// Addresses to dial first, at every start
    Bootstrap(BootstrapArgs),
    /// Keep a peer out
    Ban(BanArgs),
    /// Let a banned peer in again
    Unban(UnbanArgs),
    /// Give a peer a name of your own
    Label(LabelArgs),
    /// Let a connected newcomer without a ticket write into the ledger
    Welcome(WelcomeArgs),
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
    /// Try a ticket, then join its network (while the books hold only own entries)
    Join(JoinArgs),
    /// Keys for programs that ask over HTTP from other machines (needs no running node)
    Key(KeyArgs),
    /// Lend nothing to others for a while; jobs that run go on
    Pause(PauseArgs),
    /// Lend again after `pause`
    Resume(ResumeArgs),
    /// Check this node and its surroundings: what is wrong, by what evidence, what to do
    Doctor(DoctorArgs),
    /// The newest jobs of this node: how far, how fast, and where the time goes
    Jobs(JobsArgs),
    /// Settings: show them and where they come from, check or edit the file
    Config(ConfigArgs),
    /// Where everything of this home lies, and what must be kept (needs no running node)
    Paths(PathsArgs),
    /// The log of this home
    Logs(LogsArgs),
    /// Completions for a shell
    Completions(CompletionsArgs),
    /// Manual pages
    Man(ManArgs),
    /// Read the books
    Ledger(LedgerArgs),
    /// How fast this machine computes a model (needs no running node)
    Bench(BenchArgs),
    /// Start an asker and workers on this machine, ask once, show the books
    Testnet(TestnetArgs),
}

/// Arguments of `status`.
#[derive(Debug, Clone, Default, Args)]
pub struct StatusArgs {
    /// Look again every second, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    pub watch: bool,
    /// One JSON object on stdout: raw integers, full ids
    #[arg(long)]
    pub json: bool,
}

/// Arguments of verbs that only read.
#[derive(Debug, Clone, Default, Args)]
pub struct ReadArgs {
    /// One JSON object on stdout: raw integers, full ids
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
         directories are used. Every option of `up` can be given as TALKOOT_<OPTION>, and in\n\
         the file that `talkoot config path` names.\n\
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
