//! How the money of one wallet comes about: every amount with the jobs and the
//! entries that it is the sum of, and a statement of the jobs.
//!
//! The parts and `available` come from different paths through the ledger; what
//! does not add up is shown as `other`, never hidden.

use super::accounts::balance;
use super::chain;
use super::earnings::{burned, earned};
use super::entries::wallet;
use crate::api::{
    AskError, CreditsQuestion, CreditsView, ErrorCode, HoldView, LineView, PendingView, SCHEMA,
    StatementQuestion, StatementRow, StatementView,
};
use std::collections::BTreeMap;
use talkoot_ledger::Ledger;
use talkoot_ledger::statement::{JobAmount, LinePart, Payment};
use talkoot_protocol::{JobId, Wallet};

/// Rows of each list of [`CreditsView`].
const LISTED_MAX: usize = 100;
/// Rows of one statement.
pub const STATEMENT_ROWS_MAX: usize = 1000;
/// Rows of a statement when nothing is said.
const ROWS_DEFAULT: usize = 20;

/// Every part of what is available to a wallet.
pub(super) fn credits(
    ledger: &Ledger,
    question: &CreditsQuestion,
) -> Result<CreditsView, AskError> {
    let owner = wallet(ledger, question.wallet.as_deref().unwrap_or_default())?;
    let payments = ledger.payments(owner);
    let account = balance(ledger, owner);
    let pending = ledger.earnings_unconfirmed(owner);
    let holds: Vec<JobAmount> = ledger.open_holds(owner).collect();
    let freed = ledger.freed_unconfirmed(owner);
    let lines = ledger.line_parts(owner);
    let rows = [pending.len(), holds.len(), freed.len(), lines.len()];
    let left_out: usize = rows.iter().map(|len| len.saturating_sub(LISTED_MAX)).sum();
    let line_unconfirmed_ugft = lines
        .iter()
        .filter(|part| part.to == owner && !part.is_confirmed)
        .map(|part| u128::from(part.line.0))
        .sum();
    let freed_unconfirmed_ugft = freed.iter().map(|part| u128::from(part.amount.0)).sum();
    let founders = &ledger.genesis().founders;
    let founder = founders.iter().find(|founder| founder.wallet == owner);
    let mut view = CreditsView {
        schema: SCHEMA,
        wallet: owner.to_string(),
        earned_total_ugft: payments.iter().map(|row| u128::from(earned(row))).sum(),
        burned_total_ugft: payments.iter().map(|row| u128::from(burned(row))).sum(),
        founder_line_ugft: founder.map(|founder| founder.line_ugft),
        line_unconfirmed_ugft,
        freed_unconfirmed_ugft,
        other_ugft: 0,
        pending: pending_rows(ledger, &pending, &payments),
        holds: hold_rows(ledger, &holds),
        freed: hold_rows(ledger, &freed),
        lines: line_rows(owner, &lines),
        left_out: left_out as u64,
        founders: founders.len() as u64,
        chain: chain(ledger),
        account,
    };
    view.other_ugft = sum(&view) - view.account.available_ugft;
    Ok(view)
}

/// What the parts come to, without `other`.
fn sum(view: &CreditsView) -> i128 {
    let signed = |amount: u128| i128::try_from(amount).unwrap_or(i128::MAX);
    let plus = [signed(view.earned_total_ugft), view.account.line_ugft];
    let minus = [
        view.burned_total_ugft,
        view.account.held_ugft,
        view.account.pending_ugft,
        view.line_unconfirmed_ugft,
        view.freed_unconfirmed_ugft,
    ];
    let plus = plus.into_iter().fold(0, i128::saturating_add);
    let minus = minus.into_iter().map(signed);
    minus.fold(plus, i128::saturating_sub)
}

fn pending_rows(ledger: &Ledger, pending: &[JobAmount], payments: &[Payment]) -> Vec<PendingView> {
    let worked = payments.iter().filter(|payment| payment.is_worker);
    // Later ones replace earlier ones.
    let newest: BTreeMap<JobId, &Payment> = worked.map(|payment| (payment.job, payment)).collect();
    let rows = pending.iter().take(LISTED_MAX).filter_map(|part| {
        let entry = newest.get(&part.job)?.id;
        let seen_by = ledger.view(&entry).map(|view| view.confirmed_by);
        let seen_by = seen_by.unwrap_or_default();
        Some(PendingView {
            job: part.job.to_string(),
            entry: entry.to_string(),
            amount_ugft: part.amount.0,
            seen_by: seen_by.iter().map(ToString::to_string).collect(),
        })
    });
    rows.collect()
}

fn hold_rows(ledger: &Ledger, holds: &[JobAmount]) -> Vec<HoldView> {
    let rows = holds.iter().take(LISTED_MAX).filter_map(|part| {
        let job = ledger.job(part.job)?;
        Some(HoldView {
            job: part.job.to_string(),
            amount_ugft: part.amount.0,
            model_name: ledger.card(job.terms.model).map(|card| card.name.clone()),
            over_from_ms: job.over_from_ms,
        })
    });
    rows.collect()
}

fn line_rows(owner: Wallet, lines: &[LinePart]) -> Vec<LineView> {
    let row = |part: &LinePart| {
        let received = part.to == owner;
        let with = if received { part.from } else { part.to };
        LineView {
            entry: part.id.to_string(),
            with: with.to_string(),
            received,
            line_ugft: part.line.0,
            time_ms: part.time_ms,
            confirmed: part.is_confirmed,
        }
    };
    lines.iter().take(LISTED_MAX).map(row).collect()
}

/// What one job did to a wallet.
#[derive(Debug, Default, Clone, Copy)]
struct JobSum {
    earned: u128,
    burned: u128,
    is_worker: bool,
    time_ms: u64,
    tokens: (u32, u32),
    /// Number of its last payment.
    last: usize,
}

/// A page of the jobs that moved a wallet's money.
pub(super) fn statement(
    ledger: &Ledger,
    question: &StatementQuestion,
) -> Result<StatementView, AskError> {
    let count = question.count.unwrap_or(ROWS_DEFAULT);
    if !(1..=STATEMENT_ROWS_MAX).contains(&count) {
        let message = format!("count is 1 to {STATEMENT_ROWS_MAX}; page on with `before`");
        return Err(AskError::new(ErrorCode::InvalidRequest, message));
    }
    let owner = wallet(ledger, question.wallet.as_deref().unwrap_or_default())?;
    let jobs = by_job(&ledger.payments(owner));
    let before = question
        .before
        .and_then(|before| usize::try_from(before).ok());
    let end = before.map_or(jobs.len(), |before| before.min(jobs.len()));
    let start = end.saturating_sub(count);
    let pending: BTreeMap<JobId, u64> = ledger
        .earnings_unconfirmed(owner)
        .into_iter()
        .map(|part| (part.job, part.amount.0))
        .collect();
    let signed = |amount: u128| i128::try_from(amount).unwrap_or(i128::MAX);
    let mut balance_ugft: i128 = 0;
    let mut rows = Vec::new();
    for (number, (job, sum)) in jobs.iter().enumerate().take(end) {
        balance_ugft = balance_ugft
            .saturating_add(signed(sum.earned))
            .saturating_sub(signed(sum.burned));
        if number < start {
            continue;
        }
        let terms = ledger.job(*job).map(|job| job.terms);
        let model = terms.map(|terms| terms.model);
        rows.push(StatementRow {
            number: number as u64,
            job: job.to_string(),
            time_ms: sum.time_ms,
            role: if sum.is_worker { "worker" } else { "asker" }.to_owned(),
            model: model.map_or_else(String::new, |model| model.to_string()),
            model_name: model
                .and_then(|model| ledger.card(model))
                .map(|card| card.name.clone()),
            prompt_tokens: sum.tokens.0,
            completion_tokens: sum.tokens.1,
            earned_ugft: sum.earned,
            burned_ugft: sum.burned,
            pending_ugft: pending.get(job).copied().unwrap_or(0),
            balance_ugft,
        });
    }
    Ok(StatementView {
        schema: SCHEMA,
        wallet: owner.to_string(),
        rows,
        total: jobs.len() as u64,
        chain: chain(ledger),
    })
}

/// Payments joined by job, in the order of each job's last one.
fn by_job(payments: &[Payment]) -> Vec<(JobId, JobSum)> {
    let mut sums: BTreeMap<JobId, JobSum> = BTreeMap::new();
    for (number, payment) in payments.iter().enumerate() {
        let sum = sums.entry(payment.job).or_default();
        sum.earned += u128::from(earned(payment));
        sum.burned += u128::from(burned(payment));
        sum.is_worker = payment.is_worker;
        sum.time_ms = payment.time_ms;
        // Stages may differ while a job runs: what the furthest acknowledges.
        sum.tokens = sum.tokens.max(payment.tokens);
        sum.last = number;
    }
    let mut jobs: Vec<(JobId, JobSum)> = sums.into_iter().collect();
    jobs.sort_by_key(|(_, sum)| sum.last);
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::LedgerQuestion;
    use crate::views::tests::{books, empty, wallet};
    use talkoot_ledger::Source;

    fn credits_of(ledger: &Ledger, byte: u8) -> CreditsView {
        let wallet = Some(wallet(byte).to_string());
        CreditsQuestion { wallet }.answer(ledger).unwrap()
    }

    fn statement_of(ledger: &Ledger, byte: u8, before: Option<u64>) -> StatementView {
        let question = StatementQuestion {
            wallet: Some(wallet(byte).to_string()),
            before,
            count: Some(1),
        };
        question.answer(ledger).unwrap()
    }

    /// The books of [`books`] up to a position.
    fn early(entries: usize) -> Ledger {
        let (ledger, _) = books(true);
        let mut early = empty();
        for placed in ledger.placed(0..entries) {
            early.admit(placed.entry.clone(), Source::Own, 0);
        }
        early
    }

    #[test]
    fn parts_add_up_at_every_moment_and_name_their_jobs() {
        let (whole, job) = books(true);
        for entries in 0..=usize::try_from(whole.length()).unwrap() {
            let ledger = early(entries);
            for byte in [1, 2, 3, 9] {
                if !ledger.wallets().contains(&wallet(byte)) {
                    continue;
                }
                let view = credits_of(&ledger, byte);
                let account = &view.account;
                assert_eq!(view.other_ugft, 0, "{byte} after {entries}: {view:?}");
                let pending: u64 = view.pending.iter().map(|part| part.amount_ugft).sum();
                assert_eq!(u128::from(pending), account.pending_ugft);
                let held: u64 = view.holds.iter().map(|part| part.amount_ugft).sum();
                assert_eq!(u128::from(held), account.held_ugft);
            }
        }
        // The worker has said its last word, no founder has seen it.
        let ledger = early(3);
        let worker = credits_of(&ledger, 9);
        assert_eq!(worker.earned_total_ugft, 72);
        assert_eq!(worker.pending[0].job, job.to_string());
        assert_eq!(
            (worker.pending[0].amount_ugft, worker.account.available_ugft),
            (72, 0)
        );
        assert_eq!((worker.pending[0].seen_by.len(), worker.founders), (0, 3));
        let asker = credits_of(&ledger, 1);
        assert_eq!(asker.burned_total_ugft, 80);
        assert_eq!(
            (asker.holds[0].amount_ugft, asker.freed[0].amount_ugft),
            (693, 346 - 80)
        );
        assert_eq!(asker.founder_line_ugft, Some(1_000_000));
    }

    #[test]
    fn a_statement_has_a_row_per_job_and_ends_with_the_balance() {
        let (ledger, job) = books(true);
        let worker = statement_of(&ledger, 9, None);
        assert_eq!((worker.rows.len(), worker.total), (1, 1));
        let row = &worker.rows[0];
        assert_eq!(
            (row.role.as_str(), row.job.clone()),
            ("worker", job.to_string())
        );
        assert_eq!(
            (row.earned_ugft, row.burned_ugft, row.balance_ugft),
            (72, 0, 72)
        );
        assert_eq!((row.prompt_tokens, row.completion_tokens), (4, 20));
        assert_eq!(row.pending_ugft, 0);
        assert_eq!(statement_of(&early(3), 9, None).rows[0].pending_ugft, 72);
        let asker = statement_of(&ledger, 1, None);
        assert_eq!(
            (asker.rows[0].role.as_str(), asker.rows[0].balance_ugft),
            ("asker", -240)
        );
        assert_eq!(
            asker.rows[0].balance_ugft,
            credits_of(&ledger, 1).account.balance_ugft
        );
        assert!(statement_of(&ledger, 1, Some(0)).rows.is_empty());
        let question = StatementQuestion {
            wallet: Some(wallet(1).to_string()),
            before: None,
            count: Some(STATEMENT_ROWS_MAX + 1),
        };
        let error = question.answer(&ledger).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidRequest);
    }
}
