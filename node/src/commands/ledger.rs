//! `talkoot ledger`: reads the books, from a running node or, for `verify`,
//! from disk. What it prints was computed elsewhere.

pub mod offline;

use super::output::{self, Align, Table};
use super::status::gft_of;
use crate::api::{BalancesView, EntriesView, EntryView, VerifyView};
use crate::cli::{LedgerCommand, LedgerLsArgs, LedgerShowArgs, ReadArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::units;

/// Runs one of its verbs.
///
/// # Errors
/// When no node runs (`verify` needs none), or what is asked for is not there.
pub fn run(command: LedgerCommand, home: &Home) -> Result<(), Failure> {
    match command {
        LedgerCommand::Ls(args) => ls(&args, home),
        LedgerCommand::Show(args) => show(&args, home),
        LedgerCommand::Verify(args) => verify(&args, home),
        LedgerCommand::Balances(args) => balances(&args, home),
    }
}

fn ls(args: &LedgerLsArgs, home: &Home) -> Result<(), Failure> {
    let before = args
        .before
        .map_or_else(String::new, |index| format!("&before={index}"));
    let view: EntriesView =
        Client::connect(home)?.get(&format!("ledger/entries?count={}{before}", args.count))?;
    if args.json {
        return output::print_json(&view);
    }
    let mut table = Table::new(&[
        ("INDEX", Align::Right),
        ("ID", Align::Left),
        ("TIME (UTC)", Align::Left),
        ("AUTHOR", Align::Left),
        ("SEQ", Align::Right),
        ("EFFECT", Align::Left),
        ("STATE", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for entry in &view.entries {
        table.row(vec![
            entry.index.to_string(),
            output::id(&entry.id),
            units::utc(entry.time_ms),
            output::id(&entry.author),
            entry.seq.to_string(),
            entry.effect.clone(),
            confirmed(entry).to_owned(),
            entry.summary.clone(),
        ]);
    }
    output::print(&table.render())?;
    output::note(&format!(
        "{} of {} entries, tip {}\n",
        view.entries.len(),
        view.chain.length,
        output::short(&view.chain.tip)
    ));
    Ok(())
}

fn confirmed(entry: &EntryView) -> &'static str {
    if entry.confirmed {
        "confirmed"
    } else {
        "pending"
    }
}

fn show(args: &LedgerShowArgs, home: &Home) -> Result<(), Failure> {
    if args.id.is_empty() || !args.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(Failure::new(
            Exit::Usage,
            format!("{:?} is not the beginning of an id (hexadecimal)", args.id),
        ));
    }
    let entry: EntryView = Client::connect(home)?.get(&format!("ledger/entries/{}", args.id))?;
    if args.json {
        return output::print_json(&entry);
    }
    let mut text = format!("{}\n\n", entry.summary);
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<9}{value}\n"));
    line("id", &entry.id);
    line("kind", &entry.kind);
    line("author", &entry.author);
    line("seq", &entry.seq.to_string());
    line("prev", entry.prev.as_deref().unwrap_or("none"));
    for reference in &entry.refs {
        line("cites", reference);
    }
    for name in &entry.names {
        line("names", name);
    }
    line("lamport", &entry.lamport.to_string());
    line(
        "time",
        &format!("{} UTC (a claim)", units::utc(entry.time_ms)),
    );
    line("effect", &entry.effect);
    line("state", confirmed(&entry));
    line("index", &entry.index.to_string());
    line("link", &entry.link);
    let fields = serde_json::to_string_pretty(&entry.fields).unwrap_or_default();
    text.push_str(&format!("\n{fields}\n"));
    if let Some(bytes) = &entry.bytes {
        text.push_str(&format!("\nsigned bytes\n{bytes}\n"));
    }
    output::print(&text)
}

fn verify(args: &ReadArgs, home: &Home) -> Result<(), Failure> {
    let view = offline::verify(home)?;
    if args.json {
        output::print_json(&view)?;
    } else {
        output::print(&verdict(&view))?;
    }
    if view.ok {
        return Ok(());
    }
    Err(Failure::new(
        Exit::VerifyFailed,
        format!("{} problems", view.problems.len()),
    ))
}

fn verdict(view: &VerifyView) -> String {
    let mut text = format!(
        "{}: {} entries, {} signatures, Σ balances + commons = {} GFT\n\
         chain: {} entries, tip {}\n",
        if view.ok { "ok" } else { "NOT OK" },
        view.entries,
        view.signatures,
        units::gft(view.sum_ugft),
        view.chain.length,
        view.chain.tip,
    );
    for problem in &view.problems {
        text.push_str(&format!("problem: {problem}\n"));
    }
    text
}

fn balances(args: &ReadArgs, home: &Home) -> Result<(), Failure> {
    let view: BalancesView = Client::connect(home)?.get("ledger/balances")?;
    if args.json {
        return output::print_json(&view);
    }
    let mut table = Table::new(&[
        ("WALLET", Align::Left),
        ("BALANCE GFT", Align::Right),
        ("AVAILABLE", Align::Right),
        ("HELD", Align::Right),
        ("PENDING", Align::Right),
        ("LINE", Align::Right),
    ]);
    for row in &view.balances {
        table.row(vec![
            output::id(&row.wallet),
            units::gft(row.balance_ugft),
            units::gft(row.available_ugft),
            gft_of(row.held_ugft),
            gft_of(row.pending_ugft),
            units::gft(row.line_ugft),
        ]);
    }
    output::print(&table.render())?;
    output::print(&format!(
        "commons {} GFT; Σ balances + commons = {} GFT; {} entries, tip {}\n",
        gft_of(view.commons_ugft),
        units::gft(view.sum_ugft),
        view.chain.length,
        output::id(&view.chain.tip),
    ))
}
