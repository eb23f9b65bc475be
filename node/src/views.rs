//! What the books look like from outside: ledger types become API views.
//!
//! Read-only, and without any rule: what an entry came to was decided by the
//! ledger. Every answer is a pure function of a [`Ledger`], so it is the same
//! for the books of a running node, for those read from disk and for those that
//! an observer holds in memory. Answers are bounded; what is longer has pages.

mod accounts;
mod credits;
mod describe;
mod earnings;
mod entries;
mod forks;
mod jobs;
mod prefix;
mod question;
#[cfg(test)]
pub(crate) mod tests;
mod verify;

pub use accounts::{BALANCES_MAX, balance};
pub use credits::STATEMENT_ROWS_MAX;
pub use earnings::EARNINGS_BUCKETS_MAX;
pub use entries::{BYTES_ENTRIES_MAX, ENTRIES_MAX};
pub use question::LedgerQuestion;
pub use verify::verify;

use crate::api::{BooksView, ChainView, FounderView, GenesisView, SCHEMA};
use talkoot_ledger::Ledger;

/// Length and tip.
#[must_use]
pub fn chain(ledger: &Ledger) -> ChainView {
    ChainView {
        length: ledger.length(),
        tip: ledger.tip().to_string(),
    }
}

/// How many wallets are in the books, and how many of them cheated.
#[must_use]
pub fn wallets(ledger: &Ledger) -> BooksView {
    BooksView {
        wallets: ledger.wallets().len() as u64,
        forked_wallets: ledger.forked_authors().len() as u64,
    }
}

/// The founding document.
#[must_use]
pub fn genesis(ledger: &Ledger) -> GenesisView {
    let genesis = ledger.genesis();
    let policy = &genesis.policy;
    GenesisView {
        schema: SCHEMA,
        id: ledger.network().to_string(),
        name: genesis.name.clone(),
        created_ms: genesis.created_ms,
        pricing: policy.pricing.name().to_owned(),
        precision_ppm: [
            policy.f32_ppm,
            policy.f16_ppm,
            policy.int8_ppm,
            policy.int4_ppm,
        ],
        hardware_multiplier: policy.hardware_multiplier,
        accounting: policy.accounting,
        founders: genesis
            .founders
            .iter()
            .map(|founder| FounderView {
                wallet: founder.wallet.to_string(),
                line_ugft: founder.line_ugft,
            })
            .collect(),
        chain: chain(ledger),
        bytes: hex(&genesis.to_bytes()),
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}
