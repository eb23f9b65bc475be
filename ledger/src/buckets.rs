//! Token buckets: how fast authors who are no founders may write here.
//!
//! Local policy, never part of the rules: an entry that finds no token is not
//! refused but left for later. An entry takes a token from its author and from
//! everybody along the line of who named whom, up to the founder; each may use
//! half of what the one above may. So a thousand wallets named by one share
//! what that one has, and cannot crowd out its siblings.

use std::collections::BTreeMap;
use talkoot_protocol::Wallet;

/// Tokens a founder's whole tree may save up.
const BURST: u64 = 8192;
/// Tokens a founder's whole tree gets each second.
const PER_SECOND: u64 = 128;
/// The least that any author gets to save up.
const BURST_MIN: u64 = 32;
/// How far a line is followed.
const DEPTH_MAX: usize = 64;
const MILLI: u64 = 1000;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    milli_tokens: u64,
    at_ms: u64,
}

/// The buckets of all authors that were named.
#[derive(Debug, Default)]
pub(crate) struct Buckets {
    sponsors: BTreeMap<Wallet, Wallet>,
    buckets: BTreeMap<Wallet, Bucket>,
}

const fn halved(value: u64, depth: usize, least: u64) -> u64 {
    let halved = if depth < 64 { value >> depth } else { 0 };
    if halved > least { halved } else { least }
}

impl Buckets {
    /// Notes who named an author; the first one counts.
    pub(crate) fn named(&mut self, author: Wallet, sponsor: Wallet) {
        self.sponsors.entry(author).or_insert(sponsor);
    }

    /// The author and those above it, the founder last.
    fn line(&self, author: Wallet, sponsor: Option<Wallet>) -> Vec<Wallet> {
        let mut line = vec![author];
        let mut next = self.sponsors.get(&author).copied().or(sponsor);
        while let Some(above) = next.filter(|above| line.len() < DEPTH_MAX && !line.contains(above))
        {
            line.push(above);
            next = self.sponsors.get(&above).copied();
        }
        line
    }

    /// Takes a token from everybody along the line, or from nobody.
    pub(crate) fn take(&mut self, author: Wallet, sponsor: Option<Wallet>, now_ms: u64) -> bool {
        let line = self.line(author, sponsor);
        let mut filled = Vec::with_capacity(line.len());
        for (depth, wallet) in line.iter().rev().enumerate() {
            let full = halved(BURST, depth, BURST_MIN).saturating_mul(MILLI);
            let before = self.buckets.get(wallet).copied().unwrap_or(Bucket {
                milli_tokens: full,
                at_ms: now_ms,
            });
            let elapsed_ms = now_ms.saturating_sub(before.at_ms);
            // Tokens per second are millitokens per millisecond.
            let gained = halved(PER_SECOND, depth, 1).saturating_mul(elapsed_ms);
            let milli_tokens = before.milli_tokens.saturating_add(gained).min(full);
            let Some(rest) = milli_tokens.checked_sub(MILLI) else {
                return false;
            };
            filled.push((
                *wallet,
                Bucket {
                    milli_tokens: rest,
                    at_ms: now_ms.max(before.at_ms),
                },
            ));
        }
        self.buckets.extend(filled);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wallet(byte: u8) -> Wallet {
        Wallet::from_bytes([byte; 32])
    }

    #[test]
    fn a_crowd_shares_what_its_sponsor_has_and_leaves_the_sibling_its_part() {
        let mut buckets = Buckets::default();
        let (founder, spammer, honest) = (wallet(0), wallet(1), wallet(2));
        buckets.named(spammer, founder);
        buckets.named(honest, founder);
        let mut admitted = 0_u64;
        for byte in 10..=250 {
            buckets.named(wallet(byte), spammer);
            while buckets.take(wallet(byte), None, 0) {
                admitted += 1;
            }
        }
        assert_eq!(
            admitted,
            BURST / 2,
            "the crowd gets the spammer's part, not more"
        );
        for _ in 0..1000 {
            assert!(buckets.take(honest, None, 0));
        }
    }

    #[test]
    fn tokens_come_back_with_time_and_never_above_the_burst() {
        let mut buckets = Buckets::default();
        let author = wallet(1);
        buckets.named(author, wallet(0));
        while buckets.take(author, None, 0) {}
        assert!(!buckets.take(author, None, 10));
        assert!(buckets.take(author, None, 100));
        let mut after_a_day = 0;
        while buckets.take(author, None, 86_400_000) {
            after_a_day += 1;
        }
        assert_eq!(after_a_day, BURST / 2);
    }
}
