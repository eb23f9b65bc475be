//! How the money of one wallet comes about: what is available and why not more,
//! and its jobs one by one. For `/api/v1/ledger/credits` and `…/statement`.
//!
//! Plain data. Sums have 128 bits, so they must not go through a JSON `Value`.

use super::{BalanceView, ChainView};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Asks how the money of a wallet comes about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreditsQuestion {
    /// Whose: a wallet, or a beginning that no other has. A node that is asked
    /// over HTTP takes its own when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
}

/// How the money of a wallet comes about:
///
/// available = earned − burned + line − held − pending − line not confirmed −
/// freed not confirmed − other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CreditsView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whose.
    pub wallet: String,
    /// Balance, available, held, pending and line, as everywhere.
    pub account: BalanceView,
    /// Earned in all held entries, µGFT.
    pub earned_total_ugft: u128,
    /// Burned in all held entries, µGFT.
    pub burned_total_ugft: u128,
    /// Its line in the genesis, if it is a founder, µGFT.
    pub founder_line_ugft: Option<u64>,
    /// Parts of the line that founders have not confirmed, µGFT.
    pub line_unconfirmed_ugft: u128,
    /// What stages left over of holds with a last word that founders have not
    /// confirmed, µGFT.
    pub freed_unconfirmed_ugft: u128,
    /// What the rules count otherwise than the rows here, µGFT: not 0 where a
    /// log is forked, or while the newest entries are not cited yet.
    pub other_ugft: i128,
    /// What was earned and is not confirmed, by job; the sum is `pending_ugft`.
    pub pending: Vec<PendingView>,
    /// What open jobs hold, by job; the sum is `held_ugft`.
    pub holds: Vec<HoldView>,
    /// What is freed and not confirmed, by job; the sum is
    /// `freed_unconfirmed_ugft`.
    pub freed: Vec<HoldView>,
    /// Parts of lines received and passed on; with the line of the genesis they
    /// are `line_ugft`.
    pub lines: Vec<LineView>,
    /// Rows of these four lists that were left out: each shows the first 100.
    pub left_out: u64,
    /// How many founders there are: those with more than two thirds of the lines
    /// confirm an entry.
    pub founders: u64,
    /// The chain these were read at.
    pub chain: ChainView,
}

/// An earning that is not confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PendingView {
    /// The job.
    pub job: String,
    /// The wallet's newest frontier in it.
    pub entry: String,
    /// How much, µGFT.
    pub amount_ugft: u64,
    /// Founders that have seen that entry.
    pub seen_by: Vec<String>,
}

/// What a job of the wallet's own keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldView {
    /// The job.
    pub job: String,
    /// How much, µGFT.
    pub amount_ugft: u64,
    /// The job's model, by name where a card is held.
    pub model_name: Option<String>,
    /// From when on founders say that the job is over, so that the wallet may
    /// release what is held, milliseconds since 1970.
    pub over_from_ms: u64,
}

/// A part of a line that changed hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LineView {
    /// The entry.
    pub entry: String,
    /// The other wallet.
    pub with: String,
    /// Whether it came from that wallet; else it went there.
    pub received: bool,
    /// How much, µGFT.
    pub line_ugft: u64,
    /// The giver's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// Whether founders have confirmed it.
    pub confirmed: bool,
}

/// Asks for the jobs that moved a wallet's money.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatementQuestion {
    /// As in [`CreditsQuestion`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wallet: Option<String>,
    /// Only rows before this number; the newest when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// How many; 20 when nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
}

/// Jobs that moved a wallet's money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatementView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Whose.
    pub wallet: String,
    /// One row per job, in the order of its last payment in the chain, oldest
    /// first.
    pub rows: Vec<StatementRow>,
    /// All rows there are. The balance after the last is the wallet's.
    pub total: u64,
    /// The chain these were read at.
    pub chain: ChainView,
}

/// What one job did to a wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct StatementRow {
    /// Its number, from 0: ask on with `before` the first.
    pub number: u64,
    /// The job.
    pub job: String,
    /// Time of its last payment by the stage's clock, milliseconds since 1970.
    pub time_ms: u64,
    /// `worker` if the wallet earned, `asker` if it burned.
    pub role: String,
    /// Model id.
    pub model: String,
    /// Its name, if an entry carries its card.
    pub model_name: Option<String>,
    /// Prompt tokens paid.
    pub prompt_tokens: u32,
    /// Completion tokens paid.
    pub completion_tokens: u32,
    /// Earned by the wallet, µGFT.
    pub earned_ugft: u128,
    /// Burned by the wallet, µGFT.
    pub burned_ugft: u128,
    /// Of what was earned, what founders have not confirmed, µGFT.
    pub pending_ugft: u64,
    /// The wallet's balance after this row and all before it, µGFT.
    pub balance_ugft: i128,
}
