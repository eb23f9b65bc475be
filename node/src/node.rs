//! A running node: builds the parts, spawns the tasks, owns the shutdown.
//! (interface; the lead is filling it in)

use crate::api::{
    AskError, AskEvent, AskRequest, BalancesView, EntriesView, EntryView, ErrorCode, InviteRequest,
    InviteView, ModelView, PeerView, StatusView,
};
use tokio::sync::mpsc;

/// The handle that HTTP and the command line speak to; cheap to clone.
#[derive(Debug, Clone)]
pub struct NodeHandle;

type Answer<T> = Result<T, AskError>;

fn not_yet<T>() -> Answer<T> {
    Err(AskError::new(ErrorCode::Internal, "not wired yet"))
}

#[expect(clippy::unused_async, reason = "signatures come before bodies")]
impl NodeHandle {
    /// `status`.
    pub async fn status(&self) -> Answer<StatusView> {
        not_yet()
    }
    /// `peers`.
    pub async fn peers(&self) -> Answer<Vec<PeerView>> {
        not_yet()
    }
    /// `models`.
    pub async fn models(&self) -> Answer<Vec<ModelView>> {
        not_yet()
    }
    /// Makes a ticket.
    pub async fn invite(&self, _request: InviteRequest) -> Answer<InviteView> {
        not_yet()
    }
    /// Entries of the chain, newest `count` before index `before` (or the end), oldest first.
    pub async fn entries(&self, _before: Option<u64>, _count: usize) -> Answer<EntriesView> {
        not_yet()
    }
    /// One entry by its id or a unique prefix of it.
    pub async fn entry(&self, _id: &str) -> Answer<EntryView> {
        not_yet()
    }
    /// All balances.
    pub async fn balances(&self) -> Answer<BalancesView> {
        not_yet()
    }
    /// Answers a question. Events end with `Done` or `Failed`; dropping the
    /// receiver cancels the job on all stages.
    pub async fn ask(&self, _request: AskRequest) -> Answer<mpsc::Receiver<AskEvent>> {
        not_yet()
    }
    /// Begins an orderly stop of the whole node.
    pub fn shutdown(&self) {}
}
