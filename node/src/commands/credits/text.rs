//! The money of a wallet as people read it: an equation whose terms name their
//! jobs, a history with a running balance, a line of bars.

use crate::api::{
    CreditsView, EarningsBucket, EarningsView, HoldView, LineView, PendingView, StatementView,
};
use crate::commands::output::{self, Align, Table};
use crate::commands::status::gft_of;
use crate::units;

/// Jobs or entries that are named below a term.
const NAMED_MAX: usize = 5;
/// Bars, from the least to the most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// The term that is taken away even when it is nothing.
const BURNED: &str = "burned";
/// What to look at next.
pub(super) const NEXT: &str = "\
\n`talkoot credits --history` lists the jobs, `talkoot ledger job ID` explains one\n";

/// One term of the equation.
struct Term {
    name: &'static str,
    amount_ugft: i128,
    /// What it is the sum of, or why it counts.
    notes: Vec<String>,
}

/// What is available and the terms that it is the sum of.
#[must_use]
pub(in crate::commands) fn explained(view: &CreditsView) -> String {
    let account = &view.account;
    let mut text = format!(
        "wallet     {}\nbalance    {} GFT: what was earned less what was burned\n\
         available  {} GFT: what the next question may hold, the sum of\n",
        output::wallet(&view.wallet),
        units::gft(account.balance_ugft),
        units::gft(account.available_ugft),
    );
    let terms = terms(view);
    let amounts: Vec<String> = terms.iter().map(signed).collect();
    let width = amounts.iter().map(String::len).max().unwrap_or(0);
    for (term, amount) in terms.iter().zip(amounts) {
        text.push_str(&format!("  {amount:>width$}  {}\n", term.name));
        for note in &term.notes {
            text.push_str(&format!("  {:width$}    {note}\n", ""));
        }
    }
    if view.left_out > 0 {
        text.push_str(&format!("{} rows are not listed\n", view.left_out));
    }
    text
}

fn terms(view: &CreditsView) -> Vec<Term> {
    let minus = |amount: u128| -i128::try_from(amount).unwrap_or(i128::MAX);
    let account = &view.account;
    let term = |name, amount_ugft, notes| Term {
        name,
        amount_ugft,
        notes,
    };
    let mut terms = vec![
        term("earned", -minus(view.earned_total_ugft), Vec::new()),
        term(BURNED, minus(view.burned_total_ugft), Vec::new()),
        term("credit line", account.line_ugft, line_notes(view)),
    ];
    let rest = [
        term(
            "held by open jobs",
            minus(account.held_ugft),
            notes(&view.holds, hold),
        ),
        term(
            "earned, not confirmed by founders yet",
            minus(account.pending_ugft),
            notes(&view.pending, |part| pending(part, view.founders)),
        ),
        term(
            "left over of ended jobs, not confirmed by founders yet",
            minus(view.freed_unconfirmed_ugft),
            notes(&view.freed, |part| {
                format!(
                    "{} GFT of job {}",
                    gft_of(part.amount_ugft.into()),
                    output::id(&part.job)
                )
            }),
        ),
        term(
            "lines received, not confirmed by founders yet",
            minus(view.line_unconfirmed_ugft),
            Vec::new(),
        ),
        term(
            "counted otherwise: a fork, or the newest entries",
            view.other_ugft.saturating_neg(),
            Vec::new(),
        ),
    ];
    terms.extend(rest.into_iter().filter(|term| term.amount_ugft != 0));
    terms
}

fn signed(term: &Term) -> String {
    let is_taken = term.amount_ugft < 0 || term.name == BURNED;
    let sign = if is_taken { '-' } else { '+' };
    format!("{sign} {}", gft_of(term.amount_ugft.unsigned_abs()))
}

/// The first rows in words, and how many more there are.
fn notes<T>(rows: &[T], note: impl Fn(&T) -> String) -> Vec<String> {
    let mut notes: Vec<String> = rows.iter().take(NAMED_MAX).map(note).collect();
    if rows.len() > NAMED_MAX {
        notes.push(format!("and {} more (--json)", rows.len() - NAMED_MAX));
    }
    notes
}

fn hold(part: &HoldView) -> String {
    format!(
        "{} GFT by job {} ({}), until it ends; what no stage claims can be taken back from {} UTC",
        gft_of(part.amount_ugft.into()),
        output::id(&part.job),
        part.model_name.as_deref().unwrap_or("model without a card"),
        units::utc(part.over_from_ms),
    )
}

fn pending(part: &PendingView, founders: u64) -> String {
    format!(
        "{} GFT of job {}: {} of {founders} founders have seen entry {}",
        gft_of(part.amount_ugft.into()),
        output::id(&part.job),
        part.seen_by.len(),
        output::id(&part.entry),
    )
}

fn line_notes(view: &CreditsView) -> Vec<String> {
    let genesis = view
        .founder_line_ugft
        .map(|line| format!("{} GFT by the genesis", gft_of(line.into())));
    let parts = notes(&view.lines, line);
    let mut all: Vec<String> = genesis.into_iter().chain(parts).collect();
    if all.is_empty() {
        all.push("nobody has passed a line on to this wallet".to_owned());
    }
    all
}

fn line(part: &LineView) -> String {
    let (sign, way) = if part.received {
        ("+", "received from")
    } else {
        ("-", "passed on to")
    };
    let state = if part.confirmed {
        ""
    } else {
        ", not confirmed"
    };
    format!(
        "{sign} {} GFT {way} {} in entry {}{state}",
        gft_of(part.line_ugft.into()),
        output::wallet(&part.with),
        output::id(&part.entry),
    )
}

/// What the newest buckets came to, by the hour.
pub(super) fn lately(view: &EarningsView) -> String {
    let sum =
        |amount: fn(&EarningsBucket) -> u128| -> u128 { view.buckets.iter().map(amount).sum() };
    let (earned, burned) = (sum(|row| row.earned_ugft), sum(|row| row.burned_ugft));
    let hours = (view.buckets.len() as u128).max(1);
    let worked: u64 = view.buckets.iter().map(|row| row.jobs_worked).sum();
    let asked: u64 = view.buckets.iter().map(|row| row.jobs_asked).sum();
    let bars = |amount: fn(&EarningsBucket) -> u128| {
        bars(&view.buckets.iter().map(amount).collect::<Vec<u128>>())
    };
    format!(
        "lately     {} GFT earned in {hours} hours ({} GFT/h) by {worked} jobs  {}\n\
         {:11}{} GFT burned in {hours} hours ({} GFT/h) by {asked} jobs  {}\n",
        gft_of(earned),
        gft_of(earned / hours),
        bars(|row| row.earned_ugft),
        "",
        gft_of(burned),
        gft_of(burned / hours),
        bars(|row| row.burned_ugft),
    )
}

/// One bar for each amount, the highest for the most; a dot for nothing.
pub(super) fn bars(amounts: &[u128]) -> String {
    let most = amounts.iter().copied().max().unwrap_or(0).max(1);
    let last = BARS.len() as u128 - 1;
    let bar = |amount: u128| {
        if amount == 0 {
            return '·';
        }
        // A share of at most one, in whole steps; amounts are far below 2^125.
        let step = amount.saturating_mul(last) / most;
        let step = usize::try_from(step).unwrap_or(0);
        BARS.get(step).copied().unwrap_or('█')
    };
    amounts.iter().map(|amount| bar(*amount)).collect()
}

/// The jobs with a running balance.
pub(super) fn statement(view: &StatementView) -> String {
    if view.rows.is_empty() {
        return "no job has moved this wallet's money yet\n".to_owned();
    }
    let mut table = Table::new(&[
        ("TIME UTC", Align::Left),
        ("JOB", Align::Left),
        ("AS", Align::Left),
        ("MODEL", Align::Left),
        ("TOKENS", Align::Right),
        ("EARNED GFT", Align::Right),
        ("BURNED GFT", Align::Right),
        ("NOT CONFIRMED", Align::Right),
        ("BALANCE GFT", Align::Right),
    ]);
    let or_dash = |amount: u128| match amount {
        0 => "-".to_owned(),
        amount => gft_of(amount),
    };
    for row in &view.rows {
        table.row(vec![
            units::utc(row.time_ms),
            output::id(&row.job),
            row.role.clone(),
            row.model_name
                .clone()
                .unwrap_or_else(|| output::short(&row.model)),
            format!("{}+{}", row.prompt_tokens, row.completion_tokens),
            or_dash(row.earned_ugft),
            or_dash(row.burned_ugft),
            or_dash(row.pending_ugft.into()),
            units::gft(row.balance_ugft),
        ]);
    }
    format!(
        "{}{} of {} jobs; times are the authors' claims; `talkoot ledger job ID` explains one\n",
        table.render(),
        view.rows.len(),
        view.total
    )
}

/// The buckets with a running balance.
pub(super) fn by_time(view: &EarningsView) -> String {
    let signed = |amount: u128| i128::try_from(amount).unwrap_or(i128::MAX);
    let change = |row: &EarningsBucket| signed(row.earned_ugft) - signed(row.burned_ugft);
    let shown: i128 = view.buckets.iter().map(change).sum();
    let total = signed(view.earned_total_ugft) - signed(view.burned_total_ugft);
    let mut balance = total - shown;
    let earned: Vec<u128> = view.buckets.iter().map(|row| row.earned_ugft).collect();
    let mut table = Table::new(&[
        ("FROM UTC", Align::Left),
        ("WORKED", Align::Right),
        ("ASKED", Align::Right),
        ("EARNED GFT", Align::Right),
        ("BURNED GFT", Align::Right),
        ("BALANCE GFT", Align::Right),
        ("", Align::Left),
    ]);
    for (row, bar) in view.buckets.iter().zip(bars(&earned).chars()) {
        balance += change(row);
        table.row(vec![
            units::utc(row.from_ms),
            row.jobs_worked.to_string(),
            row.jobs_asked.to_string(),
            gft_of(row.earned_ugft),
            gft_of(row.burned_ugft),
            units::gft(balance),
            bar.to_string(),
        ]);
    }
    format!(
        "{}in all: earned {} - burned {} = {} GFT; times are the authors' claims\n",
        table.render(),
        gft_of(view.earned_total_ugft),
        gft_of(view.burned_total_ugft),
        units::gft(total),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{BalanceView, ChainView, StatementRow};

    fn chain() -> ChainView {
        ChainView {
            length: 1,
            tip: "t".to_owned(),
        }
    }

    fn view() -> CreditsView {
        CreditsView {
            schema: 1,
            wallet: "aa".repeat(32),
            account: BalanceView {
                wallet: "aa".repeat(32),
                balance_ugft: 3_000_000,
                available_ugft: 9_500_000,
                held_ugft: 1_000_000,
                pending_ugft: 2_500_000,
                line_ugft: 10_000_000,
            },
            earned_total_ugft: 5_000_000,
            burned_total_ugft: 2_000_000,
            founder_line_ugft: None,
            line_unconfirmed_ugft: 0,
            freed_unconfirmed_ugft: 0,
            other_ugft: 0,
            pending: vec![PendingView {
                job: "b1".repeat(32),
                entry: "e1".repeat(32),
                amount_ugft: 2_500_000,
                seen_by: vec!["f".to_owned()],
            }],
            holds: vec![HoldView {
                job: "c1".repeat(32),
                amount_ugft: 1_000_000,
                model_name: Some("demo".to_owned()),
                over_from_ms: 0,
            }],
            freed: Vec::new(),
            lines: vec![LineView {
                entry: "d1".repeat(32),
                with: "ff".repeat(32),
                received: true,
                line_ugft: 10_000_000,
                time_ms: 0,
                confirmed: true,
            }],
            left_out: 0,
            founders: 3,
            chain: chain(),
        }
    }

    #[test]
    fn the_terms_add_up_and_name_where_they_come_from() {
        let view = view();
        let sum: i128 = terms(&view).iter().map(|term| term.amount_ugft).sum();
        assert_eq!(sum, view.account.available_ugft);
        let text = explained(&view);
        assert!(text.contains("available  9.500000 GFT"), "{text}");
        assert!(
            text.contains("-  1.000000  held") || text.contains("- 1.000000  held"),
            "{text}"
        );
        assert!(
            text.contains("1 of 3 founders have seen entry e1e1"),
            "{text}"
        );
        assert!(text.contains("received from ffff"), "{text}");
        assert!(!text.contains("counted otherwise"), "{text}");
        let odd = CreditsView {
            other_ugft: 7,
            ..view
        };
        assert!(explained(&odd).contains("- 0.000007  counted otherwise"));
    }

    #[test]
    fn bars_show_nothing_as_nothing_and_little_as_little() {
        assert_eq!(bars(&[0, 1, 500, 1000]), "·▁▄█");
        assert_eq!(bars(&[0, 0]), "··");
        assert_eq!(bars(&[]), "");
        assert_eq!(bars(&[u128::from(u64::MAX)]), "█");
    }

    #[test]
    fn histories_end_with_the_balance() {
        let row = |number, earned, burned, balance| StatementRow {
            number,
            job: "ab".repeat(32),
            time_ms: 0,
            role: "worker".to_owned(),
            model: "cd".repeat(32),
            model_name: None,
            prompt_tokens: 4,
            completion_tokens: 20,
            earned_ugft: earned,
            burned_ugft: burned,
            pending_ugft: 0,
            balance_ugft: balance,
        };
        let view = StatementView {
            schema: 1,
            wallet: "aa".to_owned(),
            rows: vec![row(3, 5_000_000, 0, 6_000_000), row(4, 0, 1, 5_999_999)],
            total: 5,
            chain: chain(),
        };
        let text = statement(&view);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[1].ends_with("4+20    5.000000           -              -     6.000000"),
            "{text}"
        );
        assert!(
            lines[2].ends_with("5.999999") && lines[3].starts_with("2 of 5 jobs"),
            "{text}"
        );
        let buckets = EarningsView {
            schema: 1,
            wallet: "aa".to_owned(),
            bucket_ms: 3_600_000,
            earned_total_ugft: 10,
            burned_total_ugft: 4,
            buckets: vec![EarningsBucket {
                earned_ugft: 3,
                burned_ugft: 1,
                ..EarningsBucket::default()
            }],
            chain: chain(),
        };
        let text = by_time(&buckets);
        assert!(
            text.lines().nth(1).unwrap().contains("0.000006  █"),
            "{text}"
        );
        assert!(
            lately(&buckets).contains("0.000003 GFT earned in 1 hours"),
            "{}",
            lately(&buckets)
        );
    }
}
