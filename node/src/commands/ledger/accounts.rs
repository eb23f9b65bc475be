//! `ledger balances` and `ledger author`: what wallets have, and one of them
//! with its log and its jobs.

use super::list;
use super::reader::Reader;
use crate::api::{AuthorJobView, AuthorQuestion, AuthorView, BalancesQuestion, BalancesView};
use crate::cli::{LedgerAuthorArgs, ReadArgs};
use crate::commands::output::{self, Align, Table};
use crate::commands::status::gft_of;
use crate::exit::{Exit, Failure};
use crate::units;

/// Prints all balances.
///
/// # Errors
/// [`Exit::VerifyFailed`] when they do not sum to zero.
pub(super) fn balances(args: &ReadArgs, books: &Reader) -> Result<(), Failure> {
    let view = all(books)?;
    if args.json {
        output::print_json(&view)?;
    } else {
        output::print(&table(&view))?;
    }
    if view.sum_ugft == 0 {
        return Ok(());
    }
    let message = format!("balances and commons sum to {} µGFT", view.sum_ugft);
    Err(Failure::new(Exit::VerifyFailed, message))
}

/// All pages in one; read again from the start if the chain moves in between.
fn all(books: &Reader) -> Result<BalancesView, Failure> {
    loop {
        let mut view = books.ask(&BalancesQuestion::default())?;
        let chain = view.chain.clone();
        while let Some(after) = view.next_after.take() {
            let page = books.ask(&BalancesQuestion { after: Some(after) })?;
            view.balances.extend(page.balances);
            view.next_after = page.next_after;
            view.chain = page.chain;
        }
        if view.chain == chain {
            return Ok(view);
        }
    }
}

fn table(view: &BalancesView) -> String {
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
            output::wallet(&row.wallet),
            units::gft(row.balance_ugft),
            units::gft(row.available_ugft),
            gft_of(row.held_ugft),
            gft_of(row.pending_ugft),
            units::gft(row.line_ugft),
        ]);
    }
    format!(
        "{}commons {} GFT; Σ balances + commons = {} GFT; {} entries, tip {}\n",
        table.render(),
        gft_of(view.commons_ugft),
        units::gft(view.sum_ugft),
        view.chain.length,
        output::id(&view.chain.tip),
    )
}

/// Prints one wallet.
///
/// # Errors
/// When the books cannot be read, or none or several wallets are meant.
pub(super) fn author(args: &LedgerAuthorArgs, books: &Reader) -> Result<(), Failure> {
    let wallet = args.wallet.clone();
    let view = books.ask(&AuthorQuestion { wallet })?;
    if args.json {
        return output::print_json(&view);
    }
    output::print(&page(&view))
}

fn page(view: &AuthorView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10}{value}\n"));
    line("wallet", output::whole_wallet(&view.wallet));
    match (view.founder_line_ugft, &view.named_by, &view.named_in) {
        (Some(founder), _, _) => {
            let weight = units::gft(founder.into());
            line("member", format!("founder, line {weight} GFT"));
        }
        (None, Some(by), Some(entry)) => {
            let (by, entry) = (output::wallet(by), output::id(entry));
            line("member", format!("named by {by} in entry {entry}"));
        }
        _ => line("member", "no: nobody has named it".to_owned()),
    }
    match view.forked_at {
        Some(seq) => line(
            "fork",
            format!("FORKED at number {seq} (`talkoot ledger forks`)"),
        ),
        None if view.proofs.is_empty() => line("fork", "none seen".to_owned()),
        None => line("fork", "PROVEN (`talkoot ledger forks`)".to_owned()),
    }
    let account = &view.account;
    line(
        "account",
        format!(
            "{} GFT; available {}, held {}, pending {}, line {}",
            units::gft(account.balance_ugft),
            units::gft(account.available_ugft),
            gft_of(account.held_ugft),
            gft_of(account.pending_ugft),
            units::gft(account.line_ugft),
        ),
    );
    if view.service_rate > 0 {
        let rate = units::thousands(view.service_rate.into());
        line("speed", format!("{rate} kFLOP/ms, median of attested work"));
    }
    line(
        "jobs",
        format!(
            "{} ordered, {} worked on",
            view.submitted_total, view.worked_total
        ),
    );
    line("entries", view.entries_total.to_string());
    if !view.jobs.is_empty() {
        text.push_str(&format!("\nnewest jobs\n{}", jobs(&view.jobs)));
    }
    if !view.entries.is_empty() {
        let log = list::table(&view.entries, true);
        text.push_str(&format!("\nnewest entries of its log\n{log}"));
    }
    text
}

fn jobs(jobs: &[AuthorJobView]) -> String {
    let mut table = Table::new(&[
        ("JOB", Align::Left),
        ("AS", Align::Left),
        ("BURNED GFT", Align::Right),
        ("EARNED BY IT", Align::Right),
        ("HELD", Align::Right),
        ("STATE", Align::Left),
        ("EFFECT", Align::Left),
    ]);
    for job in jobs {
        let state = if job.confirmed {
            "confirmed"
        } else {
            "pending"
        };
        table.row(vec![
            output::id(&job.job),
            job.role.clone(),
            units::gft(job.burned_ugft.into()),
            units::gft(job.earned_ugft.into()),
            units::gft(job.held_ugft.into()),
            state.to_owned(),
            job.effect.clone(),
        ]);
    }
    table.render()
}
