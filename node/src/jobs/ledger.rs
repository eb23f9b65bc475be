//! What jobs ask of the books: the one seam between them.
//!
//! The node's books implement it; tests put a small fake in their place. It
//! speaks in the ledger's own entry kinds.

use futures::future::BoxFuture;
use std::fmt::Debug;
use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_protocol::{Ack, Attestation, JobId, Signed, Wallet};

/// Why the books do not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The node may not sign entries now.
    #[error("this node signs no entries now: {0}")]
    NotSigning(String),
    /// Less is available than asked for.
    #[error("{available_ugft} µGFT available, {needed_ugft} needed")]
    TooLittle {
        /// What there is.
        available_ugft: i128,
        /// What it takes.
        needed_ugft: u128,
    },
    /// The entry is wrong, or has no effect here.
    #[error("{0}")]
    Refused(String),
    /// What it cites did not arrive in time.
    #[error("entries it cites are missing here")]
    Missing,
    /// The books are closed.
    #[error("the books are closed")]
    Closed,
}

/// Our own `Reserve`, as it stands in the ledger.
#[derive(Debug, Clone)]
pub struct Reserved {
    /// The job's id.
    pub job: JobId,
    /// The bytes of the signed entry.
    pub entry: Vec<u8>,
    /// Held for all foreign stages, µGFT.
    pub held_ugft: u128,
}

/// Somebody's `Reserve` that has effect in our view.
#[derive(Debug, Clone)]
pub struct OrderView {
    /// The job's id.
    pub job: JobId,
    /// Who ordered it.
    pub submitter: Wallet,
    /// What it says.
    pub reserve: Reserve,
    /// Unconfirmed holds of this submitter, this one included, µGFT.
    pub exposure_ugft: u128,
}

/// The books, as far as jobs need them.
pub trait JobLedger: Send + Sync + Debug {
    /// What a reservation of ours could hold now, µGFT.
    fn available_ugft(&self) -> BoxFuture<'_, Result<i128, LedgerError>>;

    /// Signs, keeps and spreads a `Reserve` of ours that has effect.
    fn reserve(&self, reserve: Reserve) -> BoxFuture<'_, Result<Reserved, LedgerError>>;

    /// Admits the signed bytes of a `Reserve`, waits a few seconds for what it
    /// cites, and says what it orders; an entry without effect is refused.
    fn order(&self, entry: Vec<u8>) -> BoxFuture<'_, Result<OrderView, LedgerError>>;

    /// The service rate the ledger shows for a worker, kFLOP per millisecond;
    /// 0 without history.
    fn service_rate(&self, worker: Wallet) -> BoxFuture<'_, Result<u32, LedgerError>>;

    /// Signs, keeps and spreads a `Frontier` of ours.
    fn frontier(&self, frontier: Frontier) -> BoxFuture<'_, Result<(), LedgerError>>;

    /// Keeps the highest acknowledgement held, durably, without waiting.
    fn hold_ack(&self, attestation: Signed<Attestation>, ack: Signed<Ack>);

    /// Keeps an acknowledgement that we send, without waiting.
    fn sent_ack(&self, attestation: Signed<Attestation>, ack: Signed<Ack>);
}
