//! One file for each verb of the command line.
//!
//! A command gets its arguments and its home, writes its result to stdout and
//! everything else to stderr, and ends with a [`Failure`] or none.

pub mod ask;
pub mod ban;
pub mod bench;
pub mod bootstrap;
pub mod chat;
pub mod config;
pub mod contacts;
pub mod credits;
pub mod doctor;
pub mod down;
pub mod id;
pub mod import;
pub mod invite;
pub mod jobs;
pub mod join;
pub mod key;
pub mod label;
pub mod ledger;
pub mod logs;
pub mod models;
pub mod output;
pub mod pages;
pub mod paths;
pub mod pause;
pub mod peers;
pub mod ping;
pub mod progress;
pub mod quote;
pub mod resume;
pub mod rm;
pub mod show;
pub mod status;
pub mod testnet;
pub mod up;
pub mod welcome;

use crate::cli::{self, Cli, Command, Parsed};
use crate::client::Client;
use crate::config::ConfigFile;
use crate::contacts::Contacts;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use std::ffi::OsString;

/// Runs one command line; the whole program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let read = |instance| ConfigFile::read(&Home::from_env(instance)?);
    let result = match cli::parse_with(arguments.into_iter().collect(), read) {
        Err(failure) => Err(failure),
        Ok(Parsed::Print(text, Exit::Done)) => output::print(&text),
        Ok(Parsed::Print(text, exit)) => {
            output::note(&text);
            return exit;
        }
        Ok(Parsed::Run(cli)) => run(cli),
    };
    match result {
        Ok(()) => Exit::Done,
        Err(failure) => {
            if !failure.is_closed_pipe() {
                output::note(&format!("error: {failure}\n"));
                if let Some(hint) = &failure.hint {
                    output::note(&format!("  what to do: {hint}\n"));
                }
            }
            failure.exit
        }
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    let home = Home::from_env(cli.instance)?;
    // A damaged file is told by the commands that need it.
    if let Ok(contacts) = Contacts::read(&home) {
        output::name_wallets(contacts.names());
    }
    match cli.command {
        None => bare(&home),
        Some(Command::Up(args)) => up::run(&args, cli.instance, &home, cli.settings),
        Some(Command::Down) => down::run(&home),
        Some(Command::Ask(args)) => ask::run(args, &home),
        Some(Command::Chat(args)) => chat::run(*args, &home),
        Some(Command::Credits(args)) => credits::run(&args, &home),
        Some(Command::Quote(args)) => quote::run(&args, &home),
        Some(Command::Status(args)) => status::run(&args, &home),
        Some(Command::Peers(args)) => peers::run(&args, &home),
        Some(Command::Ping(args)) => ping::run(&args, &home),
        Some(Command::Bootstrap(args)) => bootstrap::run(&args, &home),
        Some(Command::Ban(args)) => ban::run(&args, &home),
        Some(Command::Unban(args)) => ban::unban(&args, &home),
        Some(Command::Label(args)) => label::run(&args, &home),
        Some(Command::Welcome(args)) => welcome::run(&args, &home),
        Some(Command::Id(args)) => id::run(&args, &home),
        Some(Command::Models(args)) => models::run(&args, &home),
        Some(Command::Import(args)) => import::run(&args, &home),
        Some(Command::Show(args)) => show::run(&args, &home),
        Some(Command::Rm(args)) => rm::run(&args, &home),
        Some(Command::Invite(args)) => invite::run(&args, &home),
        Some(Command::Join(args)) => join::run(&args, &home),
        Some(Command::Key(args)) => key::run(args, &home),
        Some(Command::Pause(args)) => pause::run(&args, &home),
        Some(Command::Resume(args)) => resume::run(&args, &home),
        Some(Command::Doctor(args)) => doctor::run(&args, cli.instance, &home),
        Some(Command::Jobs(args)) => jobs::run(&args, &home),
        Some(Command::Config(args)) => config::run(&args, cli.instance, &home),
        Some(Command::Paths(args)) => paths::run(&args, &home),
        Some(Command::Logs(args)) => logs::run(&args, cli.instance, &home),
        Some(Command::Completions(args)) => pages::completions(&args),
        Some(Command::Man(args)) => pages::man(&args),
        Some(Command::Ledger(args)) => ledger::run(args, &home),
        Some(Command::Bench(args)) => bench::run(&args, &home),
        Some(Command::Testnet(args)) => testnet::run(args, &home),
    }
}

/// `talkoot` alone: help, and whether a node runs.
fn bare(home: &Home) -> Result<(), Failure> {
    let state = Client::connect(home)
        .and_then(|client| {
            client.get::<crate::api::StatusView>("status")?;
            Ok(format!("A node runs at {}.", client.api().url))
        })
        .unwrap_or_else(|failure| format!("{}: {failure}.", "No answer from a node here"));
    output::print(&format!("{}\n{state}\n", cli::short_help()))
}
