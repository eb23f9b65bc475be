//! `talkoot ledger`: looks into the books of a running node, into those on
//! disk, or into a network from outside. What it prints was computed elsewhere;
//! what can be checked here is computed again.

mod accounts;
mod check;
mod export;
mod forks;
mod inspect;
mod job;
mod list;
pub mod offline;
pub(super) mod quote;
pub(super) mod reader;
mod show;

use super::{contacts, output};
use crate::api::{GenesisQuestion, GenesisView, VerifyView};
use crate::cli::{
    LedgerArgs, LedgerAuthorArgs, LedgerCommand, LedgerRead, LedgerVerifyArgs, ReadArgs,
};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::units;
use reader::Reader;

/// Runs one of its verbs.
///
/// # Errors
/// When there are no books to read, what is asked for is not there, or
/// something does not verify.
pub fn run(args: LedgerArgs, home: &Home) -> Result<(), Failure> {
    match args.command {
        // Always from disk: it trusts no node.
        LedgerCommand::Read(LedgerRead::Verify(args)) => {
            verdict(&args, &offline::verify(home, args.full)?)
        }
        LedgerCommand::Read(verb) => {
            read(by_label(verb, home)?, &Reader::open(home, args.offline)?)
        }
        LedgerCommand::Quote(_) if args.offline => Err(Failure::new(
            Exit::Usage,
            "a quote asks the stages of a route: it needs a running node",
        )),
        LedgerCommand::Quote(args) => quote::run(&args, home),
        LedgerCommand::Inspect(_) if args.offline => Err(Failure::new(
            Exit::Usage,
            "a network is looked at from outside, a journal on disk: not both",
        )),
        LedgerCommand::Inspect(args) => inspect::run(*args),
    }
}

/// A label of the owner's stands for a wallet.
fn by_label(verb: LedgerRead, home: &Home) -> Result<LedgerRead, Failure> {
    Ok(match verb {
        LedgerRead::Author(args) => LedgerRead::Author(LedgerAuthorArgs {
            wallet: contacts::wallet_or_text(home, &args.wallet)?,
            ..args
        }),
        LedgerRead::Ls(mut args) => {
            let author = args.author.as_deref();
            args.author = author
                .map(|author| contacts::wallet_or_text(home, author))
                .transpose()?;
            LedgerRead::Ls(args)
        }
        verb => verb,
    })
}

/// Runs a verb on any books.
fn read(verb: LedgerRead, books: &Reader) -> Result<(), Failure> {
    match verb {
        LedgerRead::Ls(args) => list::run(&args, books),
        LedgerRead::Show(args) => show::run(&args, books),
        LedgerRead::Author(args) => accounts::author(&args, books),
        LedgerRead::Job(args) => job::run(&args, books),
        LedgerRead::Balances(args) => accounts::balances(&args, books),
        LedgerRead::Forks(args) => forks::run(&args, books),
        LedgerRead::Genesis(args) => genesis(&args, books),
        LedgerRead::Verify(args) => verdict(&args, &books.verify()?),
        LedgerRead::Export(args) => export::run(&args, books),
    }
}

/// Prints the outcome of a check; ends with its exit code.
fn verdict(args: &LedgerVerifyArgs, view: &VerifyView) -> Result<(), Failure> {
    if args.json {
        output::print_json(view)?;
    } else {
        output::print(&verdict_text(view))?;
    }
    if view.ok {
        return Ok(());
    }
    Err(Failure::new(
        Exit::VerifyFailed,
        format!("{} problems", view.problems.len()),
    ))
}

fn verdict_text(view: &VerifyView) -> String {
    let signatures = if view.signatures == 0 && view.entries > 0 {
        "signatures not looked at (--full does)".to_owned()
    } else {
        format!("{} signatures", view.signatures)
    };
    let mut text = format!(
        "{}: {} entries, {signatures}, Σ balances + commons = {} GFT\n\
         chain: {} entries, tip {}\n",
        if view.ok { "ok" } else { "NOT OK" },
        view.entries,
        units::gft(view.sum_ugft),
        view.chain.length,
        view.chain.tip,
    );
    for problem in &view.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text
}

fn genesis(args: &ReadArgs, books: &Reader) -> Result<(), Failure> {
    let view: GenesisView = books.ask(&GenesisQuestion)?;
    if args.json {
        return output::print_json(&view);
    }
    let mut text = format!(
        "network  {} ({})\nwritten  {} UTC (a claim)\nentries  {}, tip {}\n",
        view.name,
        view.id,
        units::utc(view.created_ms),
        view.chain.length,
        output::id(&view.chain.tip)
    );
    text.push_str(&format!("jobs     {}\n", paid(&view)));
    for founder in &view.founders {
        let line = units::gft(founder.line_ugft.into());
        let wallet = output::whole_wallet(&founder.wallet);
        text.push_str(&format!("founder  {wallet}, line {line} GFT\n"));
    }
    output::print(&text)
}

/// What the genesis says of prices.
fn paid(view: &GenesisView) -> String {
    if !view.accounting {
        return "free: accounting is off".to_owned();
    }
    if view.pricing != "flops" {
        return format!("paid by {}", view.pricing);
    }
    let [f32, f16, int8, int4] = view.precision_ppm.map(job::factor);
    format!("paid by flops, times {f32} for 32 bits, {f16} for 16, {int8} for 8, {int4} for 4")
}
