//! The arguments of verbs about a home itself: its settings, its files, its
//! log, and what a shell should know of the program.

use super::ReadArgs;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Arguments of `config`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot config edit                every key, what it is for and its default
  talkoot config show --origin       which value holds, and where it came from
  talkoot config set max-mem 4GiB    changes one line; nothing is written if it is wrong
  talkoot config set model demo tiny a list, where an option may repeat
  talkoot config unset max-mem       also what is wrong or mistyped there
  talkoot config check               9 when something cannot be used

Keys are the long options of `talkoot up`, such as max-mem = \"4GiB\".")]
pub struct ConfigArgs {
    /// What to do with the settings.
    #[command(subcommand)]
    pub verb: ConfigVerb,
}

/// The verbs of `config`.
#[derive(Debug, Clone, Subcommand)]
pub enum ConfigVerb {
    /// The settings of the running node, or else of the next start
    Show {
        /// Where each came from: default, file, environment or command line
        #[arg(long)]
        origin: bool,
        /// One JSON object on stdout
        #[arg(long)]
        json: bool,
    },
    /// Set one key, if the next start could use it; everything else stays as written
    Set {
        /// The key: a long option of `up`
        key: String,
        /// Its value; true or false for a switch, several for an option that may repeat
        #[arg(required = true, allow_hyphen_values = true)]
        values: Vec<String>,
    },
    /// Take one key out of the file, also one that it should not have
    Unset {
        /// The key
        key: String,
    },
    /// Whether the next start could use the file; every wrong value and its line at once
    Check,
    /// Open the file in $VISUAL or $EDITOR, and check it afterwards
    Edit,
    /// Where the file is
    Path,
}

/// Arguments of `logs`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot logs -n 50
  talkoot logs -f                    what comes, over restarts too; Ctrl-C ends
  talkoot logs --level warn
  talkoot logs --json | jq -r .fields.message")]
pub struct LogsArgs {
    /// The newest lines to begin with
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub lines: usize,
    /// Go on with what comes
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Only lines of this level and above
    #[arg(long, default_value = "trace")]
    pub level: LevelArg,
    /// One JSON object a line: timestamp, level, fields.message
    #[arg(long)]
    pub json: bool,
}

/// `--level`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum LevelArg {
    /// Something is broken.
    Error,
    /// Something is not as it should be.
    Warn,
    /// What happens.
    Info,
    /// Why it happens.
    Debug,
    /// Everything.
    Trace,
}

/// Arguments of `completions`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot completions bash > ~/.local/share/bash-completion/completions/talkoot
  talkoot completions zsh > ~/.zfunc/_talkoot
  talkoot completions fish > ~/.config/fish/completions/talkoot.fish")]
pub struct CompletionsArgs {
    /// For which shell
    pub shell: ShellArg,
}

/// A shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ShellArg {
    /// bash.
    Bash,
    /// elvish.
    Elvish,
    /// fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// zsh.
    Zsh,
}

/// Arguments of `man`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  talkoot man | man -l -             read the main page
  talkoot man ~/.local/share/man/man1    then: man talkoot-up")]
pub struct ManArgs {
    /// Where to write a page for each verb; without it the main page goes to stdout
    pub directory: Option<PathBuf>,
}

/// Arguments of `paths`.
pub type PathsArgs = ReadArgs;
