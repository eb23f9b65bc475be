//! What one wallet earned and burned, by time: the question and the answer of
//! `/api/v1/ledger/earnings`.
//!
//! Plain data. Totals have 128 bits, so they must not go through a JSON `Value`.

use super::ChainView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks what a wallet earned and burned, by time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EarningsQuestion {
    /// Whose: a wallet, or a beginning that no other has. A node that is asked
    /// over HTTP takes its own when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// Length of a bucket, milliseconds; an hour when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_ms: Option<u64>,
    /// How many buckets; 24 when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// The last bucket holds this time, milliseconds since 1970. A node that is
    /// asked over HTTP takes its clock; books on disk the time of the wallet's
    /// newest payment or order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// What a wallet earned and burned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EarningsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whose.
    pub wallet: String,
    /// Length of a bucket, milliseconds.
    pub bucket_ms: u64,
    /// Earned in all held entries, µGFT.
    pub earned_total_ugft: u128,
    /// Burned in all held entries, µGFT. Earned less burned is the balance.
    pub burned_total_ugft: u128,
    /// Buckets of the authors' claimed times, oldest first. What is claimed to
    /// be later than the last counts in the totals only.
    pub buckets: Vec<EarningsBucket>,
    /// The chain these were read at.
    pub chain: ChainView,
}

/// What a wallet earned and burned in one stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EarningsBucket {
    /// Where it begins, milliseconds since 1970: a multiple of its length.
    pub from_ms: u64,
    /// Earned, µGFT.
    pub earned_ugft: u128,
    /// Burned, µGFT.
    pub burned_ugft: u128,
    /// Jobs in which the wallet's first effective frontier is of this time.
    pub jobs_worked: u64,
    /// Jobs whose effective `Reserve` of the wallet is of this time.
    pub jobs_asked: u64,
}
