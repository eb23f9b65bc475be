//! The node as a request sees it: asking it takes a place, and is counted.
//!
//! Every answer that is begun over HTTP goes through [`Asking`], whatever shape
//! it gets later. In this order: the key's requests of this minute, its answers
//! and its spending, a place, the node. From then on a task carries the events
//! from the node to the handler, counts them, and holds the place until the
//! answer has ended or its reader is gone. The channel holds a whole answer, so
//! a slow reader keeps no place.

use super::App;
use super::admission::Place;
use super::node_api::{Answer, NodeApi};
use super::refusal::Refusal;
use super::visit::Visit;
use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{
    AskError, AskEvent, AskRequest, ContactsView, ErrorCode, InviteRequest, InviteView,
    LendingView, ModelView, PauseRequest, PeerView, PingRequest, PingView, RunDetailView, RunView,
    StatusView, TokenizeRequest, TokenizeView, TokenizerView, UnreachedView, WelcomeRequest,
    WelcomedView,
};
use crate::clock;
use crate::metrics::Metrics;
use crate::views::LedgerQuestion;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use std::convert::Infallible;
use std::time::Instant;
use tokio::sync::mpsc;
use tracing::Instrument;

/// The node, for one request.
pub(crate) struct Asking<N> {
    app: App<N>,
    visit: Visit,
}

impl<N> std::fmt::Debug for Asking<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asking")
            .field("visit", &self.visit)
            .finish_non_exhaustive()
    }
}

impl<N> Clone for Asking<N> {
    fn clone(&self) -> Self {
        Self {
            app: App::clone(&self.app),
            visit: self.visit.clone(),
        }
    }
}

impl<N: NodeApi> FromRequestParts<App<N>> for Asking<N> {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App<N>) -> Result<Self, Infallible> {
        let visit = parts.extensions.get::<Visit>().cloned();
        Ok(Self {
            app: App::clone(app),
            visit: visit.unwrap_or_else(|| super::request_id::visit(&parts.headers)),
        })
    }
}

impl<N: NodeApi> Asking<N> {
    /// A place, or why there is none.
    async fn enter(&self) -> Result<Place, Refusal> {
        let gate = &self.app.gate;
        let key = self.visit.noted().key;
        if let Some(key) = key.as_ref().filter(|_| self.visit.takes_rate()) {
            let (left, taken) = gate.accounts.request(key);
            self.visit.note_rate(left);
            taken?;
        }
        gate.admission.enter(key.as_ref()).await
    }

    async fn begin(&self, mut request: AskRequest) -> Answer<mpsc::Receiver<AskEvent>> {
        let asked = clock::monotonic();
        let place = self.enter().await.map_err(|refusal| {
            self.visit.note_refusal(&refusal);
            refusal.error
        })?;
        let metrics = &self.app.gate.metrics;
        metrics.queued(asked.elapsed());
        // What a client writes there has not been looked at.
        request.request_id = Some(self.visit.id().0.clone());
        let events = self.app.node.ask(request).await?;
        let (sender, receiver) = mpsc::channel(events.max_capacity());
        let answer = Carried {
            node: self.app.node.clone(),
            metrics: metrics.clone(),
            visit: self.visit.clone(),
            place,
            meter: Meter::new(asked),
        };
        let carrying = answer.carry(events, sender);
        tokio::spawn(carrying.instrument(tracing::Span::current()));
        Ok(receiver)
    }
}

/// What is known of an answer so far.
#[derive(Debug)]
struct Meter {
    asked: Instant,
    last_token: Option<Instant>,
    model: String,
    prompt_tokens: u64,
    tokens: u64,
    held_ugft: u64,
}

impl Meter {
    fn new(asked: Instant) -> Self {
        Self {
            asked,
            last_token: None,
            model: String::new(),
            prompt_tokens: 0,
            tokens: 0,
            held_ugft: 0,
        }
    }
}

/// An answer under way.
struct Carried<N> {
    node: N,
    metrics: Metrics,
    visit: Visit,
    place: Place,
    meter: Meter,
}

impl<N: NodeApi> Carried<N> {
    async fn carry(mut self, mut events: mpsc::Receiver<AskEvent>, sender: mpsc::Sender<AskEvent>) {
        loop {
            let event = tokio::select! {
                // An end that is there counts, even when nobody reads it.
                biased;
                event = events.recv() => event,
                () = sender.closed() => {
                    drop(events);
                    return self.given_up(ErrorCode::Cancelled).await;
                }
            };
            // Dropping the sender tells the reader.
            let Some(event) = event else {
                return self.given_up(ErrorCode::Internal).await;
            };
            self.count(&event);
            let failed = match &event {
                AskEvent::Failed(error) => Some(error.code),
                _ => None,
            };
            let is_last = matches!(event, AskEvent::Done(_) | AskEvent::Failed(_));
            let is_gone = sender.send(event).await.is_err();
            if let Some(code) = failed {
                return self.given_up(code).await;
            }
            if is_last {
                return;
            }
            if is_gone {
                drop(events);
                return self.given_up(ErrorCode::Cancelled).await;
            }
        }
    }

    fn count(&mut self, event: &AskEvent) {
        let meter = &mut self.meter;
        match event {
            AskEvent::Routed {
                job,
                model,
                model_name,
                prompt_tokens,
                held_ugft,
                ..
            } => {
                meter.model.clone_from(model);
                meter.prompt_tokens = u64::from(*prompt_tokens);
                meter.held_ugft = u64::try_from(*held_ugft).unwrap_or(u64::MAX);
                self.metrics.prompt(*prompt_tokens);
                self.visit.note_job(job, model_name, *prompt_tokens);
            }
            AskEvent::Delta { tokens, .. } if !tokens.is_empty() => {
                let now = clock::monotonic();
                match meter.last_token.replace(now) {
                    None => self.metrics.first_token(now - meter.asked),
                    Some(before) => self.metrics.next_token(now - before),
                }
                self.more_tokens(tokens.len() as u64);
            }
            AskEvent::Done(done) => {
                // The token that ended the answer is no part of its text.
                let unseen = u64::from(done.completion_tokens).saturating_sub(meter.tokens);
                self.more_tokens(unseen);
                self.place.burned(done.burned_ugft);
                let took = self.meter.asked.elapsed();
                self.metrics.finished(&done.finish, took, done.burned_ugft);
            }
            AskEvent::Prompt { .. } | AskEvent::Delta { .. } | AskEvent::Failed(_) => {}
        }
    }

    fn more_tokens(&mut self, tokens: u64) {
        self.meter.tokens = self.meter.tokens.saturating_add(tokens);
        self.metrics.completion(tokens);
        self.visit.note_tokens(tokens);
    }

    /// An answer without a bill has burned something all the same: what its
    /// tokens cost, at most what was held. Else a client could go away before
    /// each end and never reach its cap.
    async fn given_up(self, code: ErrorCode) {
        self.metrics.failed(code);
        let meter = &self.meter;
        if meter.held_ugft == 0 || meter.tokens == 0 {
            return;
        }
        let models = self.node.models().await.unwrap_or_default();
        let model = models.iter().find(|model| model.id == meter.model);
        let price = model.map_or(meter.held_ugft, |model| model.price_ugft_per_token);
        let tokens = meter.prompt_tokens.saturating_add(meter.tokens);
        self.place
            .burned(price.saturating_mul(tokens).min(meter.held_ugft));
    }
}

impl<N: NodeApi> NodeApi for Asking<N> {
    async fn status(&self) -> Answer<StatusView> {
        self.app.node.status().await
    }
    async fn peers(&self) -> Answer<Vec<PeerView>> {
        self.app.node.peers().await
    }
    async fn models(&self) -> Answer<Vec<ModelView>> {
        self.app.node.models().await
    }
    async fn invite(&self, request: InviteRequest) -> Answer<InviteView> {
        self.app.node.invite(request).await
    }
    async fn jobs(&self) -> Answer<Vec<RunView>> {
        self.app.node.jobs().await
    }
    async fn job(&self, id: &str) -> Answer<RunDetailView> {
        self.app.node.job(id).await
    }
    async fn unreached(&self) -> Answer<UnreachedView> {
        self.app.node.unreached().await
    }
    async fn ping(&self, request: &PingRequest) -> Answer<PingView> {
        self.app.node.ping(request).await
    }
    async fn welcome(&self, request: &WelcomeRequest) -> Answer<WelcomedView> {
        self.app.node.welcome(request).await
    }
    async fn take_contacts(&self) -> Answer<ContactsView> {
        self.app.node.take_contacts().await
    }
    async fn ledger<Q: LedgerQuestion>(&self, question: Q) -> Answer<Q::Answer> {
        self.app.node.ledger(question).await
    }
    async fn quote(&self, request: &QuoteRequest) -> Answer<QuoteView> {
        self.app.node.quote(request).await
    }
    async fn ask(&self, request: AskRequest) -> Answer<mpsc::Receiver<AskEvent>> {
        let begun = self.begin(request).await;
        if let Err(AskError { code, .. }) = &begun {
            self.app.gate.metrics.failed(*code);
        }
        begun
    }
    async fn tokenize(&self, request: TokenizeRequest) -> Answer<TokenizeView> {
        self.app.node.tokenize(request).await
    }
    async fn detokenize(&self, model: Option<String>, ids: Vec<u32>) -> Answer<String> {
        self.app.node.detokenize(model, ids).await
    }
    async fn tokenizer(&self, model: Option<String>) -> Answer<TokenizerView> {
        self.app.node.tokenizer(model).await
    }
    async fn pause(&self, request: PauseRequest) -> Answer<LendingView> {
        self.app.node.pause(request).await
    }
    async fn resume(&self) -> Answer<LendingView> {
        self.app.node.resume().await
    }
    fn shutdown(&self) {
        self.app.node.shutdown();
    }
}
