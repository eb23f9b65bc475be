//! What a wallet earned and burned, in buckets of the authors' claimed times.
//!
//! One pass over the wallet's own payments and orders. The totals are over all
//! of them, so that earned less burned is the balance to the last unit; the
//! buckets are bounded and show a part.

use super::chain;
use super::entries::wallet;
use crate::api::{AskError, EarningsBucket, EarningsQuestion, EarningsView, ErrorCode, SCHEMA};
use std::collections::BTreeSet;
use talkoot_ledger::Ledger;
use talkoot_ledger::statement::{Order, Payment};
use talkoot_protocol::JobId;

/// Buckets of one answer.
pub const EARNINGS_BUCKETS_MAX: usize = 1000;
/// Buckets when nothing is said: a day of hours.
const BUCKETS_DEFAULT: usize = 24;
/// The shortest bucket, milliseconds.
const BUCKET_MIN_MS: u64 = 1_000;
/// The longest bucket, milliseconds: a leap year.
const BUCKET_MAX_MS: u64 = 366 * 24 * BUCKET_DEFAULT_MS;
/// The length of a bucket when nothing is said, milliseconds: an hour.
const BUCKET_DEFAULT_MS: u64 = 3_600_000;

/// The buckets and totals of one wallet.
pub(super) fn earnings(
    ledger: &Ledger,
    question: &EarningsQuestion,
) -> Result<EarningsView, AskError> {
    let bucket_ms = question.bucket_ms.unwrap_or(BUCKET_DEFAULT_MS);
    if !(BUCKET_MIN_MS..=BUCKET_MAX_MS).contains(&bucket_ms) {
        let message = format!("bucket_ms is {BUCKET_MIN_MS} to {BUCKET_MAX_MS}");
        return Err(AskError::new(ErrorCode::InvalidRequest, message));
    }
    let count = question.count.unwrap_or(BUCKETS_DEFAULT);
    if !(1..=EARNINGS_BUCKETS_MAX).contains(&count) {
        let message = format!("count is 1 to {EARNINGS_BUCKETS_MAX}");
        return Err(AskError::new(ErrorCode::InvalidRequest, message));
    }
    let wallet = wallet(ledger, question.wallet.as_deref().unwrap_or_default())?;
    let payments = ledger.payments(wallet);
    let orders: Vec<Order> = ledger.orders(wallet).collect();
    let times = payments.iter().map(|payment| payment.time_ms);
    let newest = || times.chain(orders.iter().map(|order| order.time_ms)).max();
    let until_ms = question.until_ms.or_else(newest);
    let until_ms = until_ms.unwrap_or_else(|| ledger.genesis().created_ms);
    let mut buckets = Buckets::new(bucket_ms, count, until_ms);
    buckets.fill(&payments, &orders);
    let total = |amount: fn(&Payment) -> u64| payments.iter().map(amount).map(u128::from).sum();
    Ok(EarningsView {
        schema: SCHEMA,
        wallet: wallet.to_string(),
        bucket_ms,
        earned_total_ugft: total(earned),
        burned_total_ugft: total(burned),
        buckets: buckets.rows,
        chain: chain(ledger),
    })
}

/// What the wallet itself earned by a payment, µGFT.
pub(super) const fn earned(payment: &Payment) -> u64 {
    if payment.is_worker {
        payment.earned.0
    } else {
        0
    }
}

/// What the wallet itself burned by a payment, µGFT.
pub(super) const fn burned(payment: &Payment) -> u64 {
    if payment.is_worker {
        0
    } else {
        payment.burned.0
    }
}

/// Stretches of time of one length, each beginning at a multiple of it.
struct Buckets {
    bucket_ms: u64,
    first: u64,
    rows: Vec<EarningsBucket>,
}

impl Buckets {
    /// `count` buckets, of which the last holds `until_ms`; fewer where that
    /// would be before 1970. `bucket_ms` is not 0.
    fn new(bucket_ms: u64, count: usize, until_ms: u64) -> Self {
        let last = until_ms / bucket_ms;
        let before = u64::try_from(count.saturating_sub(1)).unwrap_or(u64::MAX);
        let first = last.saturating_sub(before);
        let row = |number: u64| EarningsBucket {
            from_ms: number.saturating_mul(bucket_ms),
            ..EarningsBucket::default()
        };
        Self {
            bucket_ms,
            first,
            rows: (first..=last).map(row).collect(),
        }
    }

    fn at(&mut self, time_ms: u64) -> Option<&mut EarningsBucket> {
        let number = (time_ms / self.bucket_ms).checked_sub(self.first)?;
        self.rows.get_mut(usize::try_from(number).ok()?)
    }

    fn fill(&mut self, payments: &[Payment], orders: &[Order]) {
        let mut worked: BTreeSet<JobId> = BTreeSet::new();
        for payment in payments {
            let is_first = payment.is_worker && worked.insert(payment.job);
            if let Some(bucket) = self.at(payment.time_ms) {
                bucket.earned_ugft += u128::from(earned(payment));
                bucket.burned_ugft += u128::from(burned(payment));
                bucket.jobs_worked += u64::from(is_first);
            }
        }
        for order in orders {
            if let Some(bucket) = self.at(order.time_ms) {
                bucket.jobs_asked += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::LedgerQuestion;
    use crate::views::tests::{books, empty, wallet};

    fn ask(ledger: &Ledger, byte: u8, bucket_ms: u64, until_ms: Option<u64>) -> EarningsView {
        let question = EarningsQuestion {
            wallet: Some(wallet(byte).to_string()),
            bucket_ms: Some(bucket_ms),
            count: Some(3),
            until_ms,
        };
        question.answer(ledger).unwrap()
    }

    #[test]
    fn earned_less_burned_is_the_balance_of_every_wallet() {
        let (ledger, _) = books(true);
        for account in ledger.accounts() {
            let question = EarningsQuestion {
                wallet: Some(account.wallet.to_string()),
                ..EarningsQuestion::default()
            };
            let view = question.answer(&ledger).unwrap();
            let earned = i128::try_from(view.earned_total_ugft).unwrap();
            let burned = i128::try_from(view.burned_total_ugft).unwrap();
            assert_eq!(earned - burned, account.balance.0);
        }
        let asker = ask(&ledger, 1, 1_000, None);
        assert_eq!((asker.burned_total_ugft, asker.earned_total_ugft), (240, 0));
        let worker = ask(&ledger, 9, 1_000, None);
        assert_eq!(
            (worker.burned_total_ugft, worker.earned_total_ugft),
            (0, 72)
        );
    }

    #[test]
    fn buckets_hold_what_falls_into_them_and_each_job_once() {
        // Everything about the job is of the time 1000.
        let (ledger, _) = books(true);
        let view = ask(&ledger, 9, 1_000, Some(2_500));
        let starts: Vec<u64> = view.buckets.iter().map(|bucket| bucket.from_ms).collect();
        assert_eq!(starts, [0, 1_000, 2_000]);
        let expected = EarningsBucket {
            from_ms: 1_000,
            earned_ugft: 72,
            jobs_worked: 1,
            ..EarningsBucket::default()
        };
        assert_eq!(view.buckets[1], expected);
        assert_eq!(view.buckets[2].earned_ugft, 0);
        let asker = ask(&ledger, 1, 1_000, None);
        assert_eq!(asker.buckets.len(), 2, "none begins before 1970");
        let last = asker.buckets[1];
        assert_eq!(
            (last.burned_ugft, last.jobs_asked, last.jobs_worked),
            (240, 1, 0)
        );
        // Before and after the buckets: in the totals only.
        for until_ms in [0, 60_000, u64::MAX] {
            let view = ask(&ledger, 9, 1_000, Some(until_ms));
            assert!(view.buckets.iter().all(|bucket| bucket.earned_ugft == 0));
            assert_eq!(view.earned_total_ugft, 72);
        }
    }

    #[test]
    fn bounds_and_strangers_are_explained() {
        let ledger = empty();
        let whose = Some(wallet(1).to_string());
        for (wallet, bucket_ms, count, code) in [
            (whose.clone(), Some(999), None, ErrorCode::InvalidRequest),
            (
                whose.clone(),
                Some(u64::MAX),
                None,
                ErrorCode::InvalidRequest,
            ),
            (whose.clone(), None, Some(0), ErrorCode::InvalidRequest),
            (whose.clone(), None, Some(1_001), ErrorCode::InvalidRequest),
            (None, None, None, ErrorCode::InvalidRequest),
            (Some("00".repeat(32)), None, None, ErrorCode::NotFound),
        ] {
            let question = EarningsQuestion {
                wallet,
                bucket_ms,
                count,
                until_ms: None,
            };
            let error = question.answer(&ledger).unwrap_err();
            assert_eq!(error.code, code, "{question:?}");
        }
        let question = EarningsQuestion {
            wallet: whose,
            ..EarningsQuestion::default()
        };
        let view = question.answer(&ledger).unwrap();
        assert_eq!((view.buckets.len(), view.earned_total_ugft), (1, 0));
    }
}
