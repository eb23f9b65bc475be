//! What HTTP needs of a node, as a trait; and the node that is still starting.

use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{
    AskError, AskEvent, AskRequest, ContactsView, ErrorCode, InviteRequest, InviteView,
    LendingView, ModelView, PauseRequest, PeerView, PingRequest, PingView, RunDetailView, RunView,
    StatusView, TokenizeRequest, TokenizeView, TokenizerView, UnreachedView, WelcomeRequest,
    WelcomedView,
};
use crate::node::NodeHandle;
use crate::views::LedgerQuestion;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, mpsc};

/// The answer of a node, or why there is none.
pub(crate) type Answer<T> = Result<T, AskError>;

/// The requests of [`crate::api`]; see `NodeHandle` for what each does.
pub trait NodeApi: Clone + Send + Sync + 'static {
    /// `status`.
    fn status(&self) -> impl Future<Output = Answer<StatusView>> + Send;
    /// `peers`.
    fn peers(&self) -> impl Future<Output = Answer<Vec<PeerView>>> + Send;
    /// `models`.
    fn models(&self) -> impl Future<Output = Answer<Vec<ModelView>>> + Send;
    /// Makes a ticket.
    fn invite(&self, request: InviteRequest) -> impl Future<Output = Answer<InviteView>> + Send;
    /// The newest jobs.
    fn jobs(&self) -> impl Future<Output = Answer<Vec<RunView>>> + Send;
    /// One of them with its times.
    fn job(&self, id: &str) -> impl Future<Output = Answer<RunDetailView>> + Send;
    /// Who is not connected, and why.
    fn unreached(&self) -> impl Future<Output = Answer<UnreachedView>> + Send;
    /// Round trips to a peer.
    fn ping(&self, request: &PingRequest) -> impl Future<Output = Answer<PingView>> + Send;
    /// Names a wallet and passes on a line.
    fn welcome(
        &self,
        request: &WelcomeRequest,
    ) -> impl Future<Output = Answer<WelcomedView>> + Send;
    /// Takes over what the owner's file says of peers.
    fn take_contacts(&self) -> impl Future<Output = Answer<ContactsView>> + Send;
    /// A question about the books.
    fn ledger<Q: LedgerQuestion>(
        &self,
        question: Q,
    ) -> impl Future<Output = Answer<Q::Answer>> + Send;
    /// What a job would cost.
    fn quote(&self, request: &QuoteRequest) -> impl Future<Output = Answer<QuoteView>> + Send;
    /// Answers a question; dropping the receiver cancels.
    fn ask(
        &self,
        request: AskRequest,
    ) -> impl Future<Output = Answer<mpsc::Receiver<AskEvent>>> + Send;
    /// The tokens of a text.
    fn tokenize(
        &self,
        request: TokenizeRequest,
    ) -> impl Future<Output = Answer<TokenizeView>> + Send;
    /// The text of tokens, special ones left out.
    fn detokenize(
        &self,
        model: Option<String>,
        ids: Vec<u32>,
    ) -> impl Future<Output = Answer<String>> + Send;
    /// What is known of a model's tokenizer.
    fn tokenizer(
        &self,
        model: Option<String>,
    ) -> impl Future<Output = Answer<TokenizerView>> + Send;
    /// Lends nothing to others until told otherwise.
    fn pause(&self, request: PauseRequest) -> impl Future<Output = Answer<LendingView>> + Send;
    /// Ends a pause by hand.
    fn resume(&self) -> impl Future<Output = Answer<LendingView>> + Send;
    /// Begins an orderly stop.
    fn shutdown(&self);
}

impl NodeApi for NodeHandle {
    async fn status(&self) -> Answer<StatusView> {
        Self::status(self).await
    }
    async fn peers(&self) -> Answer<Vec<PeerView>> {
        Self::peers(self).await
    }
    async fn models(&self) -> Answer<Vec<ModelView>> {
        Self::models(self).await
    }
    async fn invite(&self, request: InviteRequest) -> Answer<InviteView> {
        Self::invite(self, request).await
    }
    async fn jobs(&self) -> Answer<Vec<RunView>> {
        Self::jobs(self).await
    }
    async fn job(&self, id: &str) -> Answer<RunDetailView> {
        Self::job(self, id).await
    }
    async fn unreached(&self) -> Answer<UnreachedView> {
        Self::unreached(self).await
    }
    async fn ping(&self, request: &PingRequest) -> Answer<PingView> {
        Self::ping(self, request).await
    }
    async fn welcome(&self, request: &WelcomeRequest) -> Answer<WelcomedView> {
        Self::welcome(self, request).await
    }
    async fn take_contacts(&self) -> Answer<ContactsView> {
        Self::take_contacts(self).await
    }
    async fn ledger<Q: LedgerQuestion>(&self, question: Q) -> Answer<Q::Answer> {
        Self::ask_ledger(self, question).await
    }
    async fn quote(&self, request: &QuoteRequest) -> Answer<QuoteView> {
        Self::quote(self, request).await
    }
    async fn ask(&self, request: AskRequest) -> Answer<mpsc::Receiver<AskEvent>> {
        Self::ask(self, request).await
    }
    async fn tokenize(&self, request: TokenizeRequest) -> Answer<TokenizeView> {
        Self::tokenize(self, request).await
    }
    async fn detokenize(&self, model: Option<String>, ids: Vec<u32>) -> Answer<String> {
        Self::detokenize(self, model, ids).await
    }
    async fn tokenizer(&self, model: Option<String>) -> Answer<TokenizerView> {
        Self::tokenizer(self, model).await
    }
    async fn pause(&self, request: PauseRequest) -> Answer<LendingView> {
        Self::pause(self, request)
    }
    async fn resume(&self) -> Answer<LendingView> {
        Self::resume(self)
    }
    fn shutdown(&self) {
        Self::shutdown(self);
    }
}

/// A node that may not be there yet. HTTP answers before a large model is
/// loaded and before any peer was found; until then requests say so.
#[derive(Debug)]
pub struct LateNode<N> {
    inner: Arc<Late<N>>,
}

#[derive(Debug)]
struct Late<N> {
    node: OnceLock<N>,
    stop: Notify,
}

impl<N> Clone for LateNode<N> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<N> Default for LateNode<N> {
    fn default() -> Self {
        Self {
            inner: Arc::new(Late {
                node: OnceLock::new(),
                stop: Notify::new(),
            }),
        }
    }
}

impl<N: Clone> LateNode<N> {
    /// The node is there; only the first one counts.
    pub fn set(&self, node: N) {
        let _ = self.inner.node.set(node);
    }

    /// Completes when somebody asked for a stop over HTTP.
    pub async fn stop_requested(&self) {
        self.inner.stop.notified().await;
    }

    fn node(&self) -> Answer<N> {
        self.inner.node.get().cloned().ok_or_else(|| {
            AskError::new(
                ErrorCode::Starting,
                "the node is still starting; try again in a moment",
            )
        })
    }
}

impl<N: NodeApi> NodeApi for LateNode<N> {
    async fn status(&self) -> Answer<StatusView> {
        self.node()?.status().await
    }
    async fn peers(&self) -> Answer<Vec<PeerView>> {
        self.node()?.peers().await
    }
    async fn models(&self) -> Answer<Vec<ModelView>> {
        self.node()?.models().await
    }
    async fn invite(&self, request: InviteRequest) -> Answer<InviteView> {
        self.node()?.invite(request).await
    }
    async fn jobs(&self) -> Answer<Vec<RunView>> {
        self.node()?.jobs().await
    }
    async fn job(&self, id: &str) -> Answer<RunDetailView> {
        self.node()?.job(id).await
    }
    async fn unreached(&self) -> Answer<UnreachedView> {
        self.node()?.unreached().await
    }
    async fn ping(&self, request: &PingRequest) -> Answer<PingView> {
        self.node()?.ping(request).await
    }
    async fn welcome(&self, request: &WelcomeRequest) -> Answer<WelcomedView> {
        self.node()?.welcome(request).await
    }
    async fn take_contacts(&self) -> Answer<ContactsView> {
        self.node()?.take_contacts().await
    }
    async fn ledger<Q: LedgerQuestion>(&self, question: Q) -> Answer<Q::Answer> {
        self.node()?.ledger(question).await
    }
    async fn quote(&self, request: &QuoteRequest) -> Answer<QuoteView> {
        self.node()?.quote(request).await
    }
    async fn ask(&self, request: AskRequest) -> Answer<mpsc::Receiver<AskEvent>> {
        self.node()?.ask(request).await
    }
    async fn tokenize(&self, request: TokenizeRequest) -> Answer<TokenizeView> {
        self.node()?.tokenize(request).await
    }
    async fn detokenize(&self, model: Option<String>, ids: Vec<u32>) -> Answer<String> {
        self.node()?.detokenize(model, ids).await
    }
    async fn tokenizer(&self, model: Option<String>) -> Answer<TokenizerView> {
        self.node()?.tokenizer(model).await
    }
    async fn pause(&self, request: PauseRequest) -> Answer<LendingView> {
        self.node()?.pause(request).await
    }
    async fn resume(&self) -> Answer<LendingView> {
        self.node()?.resume().await
    }
    fn shutdown(&self) {
        self.inner.stop.notify_one();
    }
}
