//! Wallets: what each has, and everything about one.

use super::chain;
use super::describe::effect;
use super::entries::{by_id, wallet};
use crate::api::{
    AskError, AuthorJobView, AuthorView, BalanceView, BalancesView, ErrorCode, SCHEMA,
};
use talkoot_ledger::Ledger;
use talkoot_ledger::explore::JobPart;
use talkoot_ledger::views::AccountView;
use talkoot_protocol::Wallet;

/// Wallets of one page of balances.
pub const BALANCES_MAX: usize = 1000;
/// Entries and jobs of one wallet that are shown with it.
const SHOWN_MAX: usize = 20;

/// One wallet's books.
#[must_use]
pub fn balance(ledger: &Ledger, wallet: Wallet) -> BalanceView {
    balance_of(ledger, &ledger.account(wallet))
}

fn balance_of(ledger: &Ledger, account: &AccountView) -> BalanceView {
    BalanceView {
        wallet: account.wallet.to_string(),
        balance_ugft: account.balance.0,
        available_ugft: ledger.available(account.wallet).0,
        held_ugft: u128::try_from(account.held.0).unwrap_or(0),
        pending_ugft: u128::from(account.pending.0),
        line_ugft: account.line.0,
    }
}

/// A page of everybody's books.
pub(super) fn balances(ledger: &Ledger, after: Option<&str>) -> Result<BalancesView, AskError> {
    let after: Option<Wallet> = after.map(str::parse).transpose().map_err(|_| {
        let message = "`after` is the whole id of a wallet, as `next_after` gave it";
        AskError::new(ErrorCode::InvalidRequest, message)
    })?;
    let accounts = ledger.accounts();
    let mut later = accounts
        .iter()
        .filter(|account| after.is_none_or(|after| account.wallet > after));
    let page: Vec<BalanceView> = later
        .by_ref()
        .take(BALANCES_MAX)
        .map(|account| balance_of(ledger, account))
        .collect();
    let next_after = later
        .next()
        .and_then(|_| page.last())
        .map(|row| row.wallet.clone());
    Ok(BalancesView {
        schema: SCHEMA,
        balances: page,
        next_after,
        commons_ugft: u128::try_from(ledger.commons().0).unwrap_or(0),
        sum_ugft: ledger.sum().0,
        chain: chain(ledger),
    })
}

/// Everything about one wallet.
pub(super) fn author(ledger: &Ledger, asked: &str) -> Result<AuthorView, AskError> {
    let author = wallet(ledger, asked)?;
    let naming = ledger.naming(&author);
    let namer = naming
        .and_then(|id| ledger.entry(&id))
        .map(|entry| entry.author);
    let founder = ledger.genesis().founders.iter();
    let founder = founder.clone().find(|founder| founder.wallet == author);
    let log = ledger.log_entries(&author);
    let shown = log.get(log.len().saturating_sub(SHOWN_MAX)..);
    let fork = ledger
        .forks()
        .into_iter()
        .find(|fork| fork.author == author);
    let parts: Vec<JobPart> = ledger.jobs_with(author).collect();
    let count = |is: fn(&JobPart) -> bool| parts.iter().filter(|part| is(part)).count() as u64;
    Ok(AuthorView {
        schema: SCHEMA,
        wallet: author.to_string(),
        founder_line_ugft: founder.map(|founder| founder.line_ugft),
        named_in: naming.map(|id| id.to_string()),
        named_by: namer.map(|wallet| wallet.to_string()),
        forked_at: fork.map(|fork| fork.seq),
        proofs: ledger
            .proofs()
            .remove(&author)
            .iter()
            .flatten()
            .map(ToString::to_string)
            .collect(),
        account: balance(ledger, author),
        entries_total: log.len() as u64,
        entries: shown
            .unwrap_or_default()
            .iter()
            .filter_map(|id| by_id(ledger, id, false))
            .collect(),
        submitted_total: count(|part| part.is_submitter),
        worked_total: count(|part| part.is_worker),
        jobs: parts
            .iter()
            .take(SHOWN_MAX)
            .filter_map(|part| job_line(ledger, author, *part))
            .collect(),
        service_rate: ledger.service_rate(author),
        chain: chain(ledger),
    })
}

fn job_line(ledger: &Ledger, wallet: Wallet, part: JobPart) -> Option<AuthorJobView> {
    let job = ledger.job(part.job)?;
    let role = match (part.is_submitter, part.is_worker) {
        (true, true) => "both",
        (true, false) => "submitter",
        _ => "worker",
    };
    let own = job.stages.iter().filter(|stage| stage.worker == wallet);
    Some(AuthorJobView {
        job: job.id.to_string(),
        role: role.to_owned(),
        burned_ugft: job.burned.0,
        earned_ugft: own.map(|stage| stage.earned.0).fold(0, u64::saturating_add),
        held_ugft: job.held.0,
        confirmed: job.is_confirmed,
        effect: effect(&job.outcome),
    })
}
