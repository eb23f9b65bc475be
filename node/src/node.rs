//! A running node: the parts it is made of, and what its owner can ask of it.
//!
//! [`start`] builds the parts in the order in which they need each other; a
//! [`NodeHandle`] answers for all of them and stops them in the reverse order.
//! Decisions stand elsewhere.

mod acquaintances;
mod loading;
mod runs;
mod serving;
mod start;
mod welcome;

pub use start::{NodeParts, start};

use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{
    AskError, AskEvent, AskRequest, ErrorCode, InviteRequest, InviteView, LendingView, ModelView,
    PauseRequest, SCHEMA, ServedView, StatusView, TokenizeRequest, TokenizeView, TokenizerView,
};
use crate::ask::Asker;
use crate::books::{BooksGone, BooksHandle};
use crate::clock;
use crate::context::{NodeContext, ServedModel};
use crate::core::route;
use crate::data::DataPlane;
use crate::exit::{Exit, Failure};
use crate::gossip::ControlPlane;
use crate::models::Models;
use crate::settings::Settings;
use crate::views::LedgerQuestion;
use crate::{invites, swarm, views};
use acquaintances::Acquaintances;
use loading::Loading;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use talkoot_inference::kernels::InstructionSet;
use talkoot_ledger::Ledger;
use talkoot_ledger::signer::SigningState;
use talkoot_protocol::ModelId;
use talkoot_protocol::announce::Served;
use tokio::sync::{mpsc, watch};

/// Addresses in a ticket: enough for both transports on a few interfaces.
const TICKET_ADDRESSES: usize = 6;

/// The handle that HTTP and the command line speak to; cheap to clone.
#[derive(Debug, Clone)]
pub struct NodeHandle(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    ctx: Arc<NodeContext>,
    control: Arc<ControlPlane>,
    data: DataPlane,
    models: Models,
    asker: Asker,
    began: Instant,
    /// Where what can be made again is kept.
    cache: PathBuf,
    loading: Loading,
    acquaintances: Acquaintances,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
}

type Answer<T> = Result<T, AskError>;

impl From<BooksGone> for AskError {
    fn from(error: BooksGone) -> Self {
        Self::new(ErrorCode::Internal, error.to_string())
    }
}

impl NodeHandle {
    async fn ledger<R: Send + 'static>(
        &self,
        read: impl FnOnce(&Ledger) -> R + Send + 'static,
    ) -> Answer<R> {
        Ok(self
            .0
            .ctx
            .books
            .with(move |books| read(books.ledger()))
            .await?)
    }

    /// Loads the layers that the owner or the network wants, and serves them.
    /// Ends when they are served, or at once where the owner lends nothing.
    ///
    /// # Errors
    /// When a model cannot be opened or does not fit.
    pub async fn lend(&self, settings: Settings) -> Result<(), Failure> {
        if settings.serve {
            serving::start(self, settings).await?;
        }
        Ok(())
    }

    /// `status`.
    ///
    /// # Errors
    /// [`AskError`] when the node is stopping.
    pub async fn status(&self) -> Answer<StatusView> {
        let ctx = &self.0.ctx;
        let wallet = ctx.wallet();
        let read = ctx.books.with(move |books| {
            let ledger = books.ledger();
            (
                views::balance(ledger, wallet),
                views::chain(ledger),
                views::wallets(ledger),
                signing(books.signing()),
            )
        });
        let (balance, chain, wallets, signing) = read.await?;
        let models = self.model_views();
        let mut reasons = readiness(&models);
        let loading = self.0.loading.view();
        if let Some(loading) = loading.as_ref().filter(|_| !reasons.is_empty()) {
            reasons.insert(0, loading.to_string());
        }
        let served = ctx.served.list();
        Ok(StatusView {
            schema: SCHEMA,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            wallet: wallet.to_string(),
            peer_id: swarm::identity::peer_id_of(&wallet)
                .map_or_else(String::new, |peer| peer.to_string()),
            network: ctx.genesis.name.clone(),
            network_id: ctx.network.to_string(),
            ready: models.iter().any(is_covered),
            reasons,
            peers: self.0.control.swarm().peers().len(),
            serving: served.iter().map(|model| own_view(ctx, model)).collect(),
            loading,
            paused: ctx.served.lending().paused().map(Into::into),
            twin_ms: self
                .0
                .control
                .directory()
                .read(|directory, _| directory.twin_ms()),
            instruction_set: InstructionSet::best().name().to_owned(),
            threads: ctx.limits.threads,
            models,
            balance,
            chain,
            books: wallets,
            sync: self.0.control.sync_progress().into(),
            signing,
            accounting: ctx.genesis.policy.accounting,
            pricing: ctx.genesis.policy.pricing.name().to_owned(),
            addresses: self.0.control.swarm().listeners(),
            data_addresses: self.data_addresses(),
            neighbours: self.neighbours(),
            uptime_ms: u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }

    fn data_addresses(&self) -> Vec<String> {
        let addresses = self
            .0
            .ctx
            .data_addresses
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        addresses.iter().map(ToString::to_string).collect()
    }

    /// `models`.
    ///
    /// # Errors
    /// None now; the signature is the same for all requests.
    #[expect(clippy::unused_async, reason = "all requests are alike to HTTP")]
    pub async fn models(&self) -> Answer<Vec<ModelView>> {
        Ok(self.model_views())
    }

    fn model_views(&self) -> Vec<ModelView> {
        let mut ranges: BTreeMap<ModelId, Vec<Served>> = BTreeMap::new();
        for (_, served) in self.0.asker.served() {
            ranges.entry(served.model).or_default().push(served);
        }
        for local in self.0.models.locals() {
            ranges.entry(local.id).or_default();
        }
        let mut views: Vec<ModelView> = ranges
            .iter()
            .map(|(id, served)| self.model_view(*id, served))
            .collect();
        views.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        views
    }

    /// What is known of a model: by its card where we have it, else by what its
    /// workers announce.
    fn model_view(&self, id: ModelId, served: &[Served]) -> ModelView {
        let card = self.0.models.known(id).map(|model| model.card);
        let announced = served.first();
        let layers = card.as_ref().map_or_else(
            || announced.map_or(0, |one| one.layers),
            |card| card.shape.layers,
        );
        let policy = &self.0.ctx.genesis.policy;
        let price = card
            .as_ref()
            .filter(|_| policy.accounting)
            .and_then(|card| policy.price_ugft_per_token(card));
        ModelView {
            id: id.to_string(),
            name: card.as_ref().map_or_else(
                || announced.map_or_else(String::new, |one| one.name.clone()),
                |card| card.name.clone(),
            ),
            layers,
            dtype: card
                .as_ref()
                .map_or_else(String::new, |card| card.dtype.name().to_owned()),
            context: card.as_ref().map_or_else(
                || announced.map_or(0, |one| one.context),
                |card| card.shape.context,
            ),
            coverage: route::coverage(layers, served.iter().map(|one| one.range)),
            price_ugft_per_token: price.unwrap_or(0),
            local: self.0.models.local(id).is_some(),
        }
    }

    /// Makes a ticket.
    ///
    /// # Errors
    /// [`AskError`] when we cannot pass on such a line, or listen nowhere.
    pub async fn invite(&self, request: InviteRequest) -> Answer<InviteView> {
        let ctx = &self.0.ctx;
        let wallet = ctx.wallet();
        let available = self
            .ledger(move |ledger| ledger.available(wallet).0)
            .await?;
        if i128::from(request.line_ugft) > available {
            let message = format!(
                "a line of {} µGFT cannot be passed on: {available} µGFT are available (`talkoot status`)",
                request.line_ugft
            );
            return Err(AskError::new(ErrorCode::InsufficientCredits, message));
        }
        let mut addresses = self.0.control.swarm().listeners();
        // A loopback address is of use on this machine only.
        addresses
            .sort_by_key(|address| address.contains("/127.0.0.1/") || address.contains("/::1/"));
        addresses.truncate(TICKET_ADDRESSES);
        let expires_ms = clock::now_ms().saturating_add(request.ttl_ms);
        let mut nonce = [0_u8; 8];
        crate::home::fill_random(&mut nonce)
            .map_err(|error| AskError::new(ErrorCode::Internal, error.to_string()))?;
        let ticket = invites::make_ticket(
            &ctx.key,
            &ctx.genesis,
            addresses,
            expires_ms,
            u64::from_le_bytes(nonce),
            request.line_ugft,
        )
        .map_err(|error| AskError::new(ErrorCode::Internal, error.to_string()))?;
        Ok(InviteView {
            schema: SCHEMA,
            ticket,
            expires_ms,
            line_ugft: request.line_ugft,
        })
    }

    /// A question about the books.
    ///
    /// # Errors
    /// [`AskError`] when what is asked for is not there, or the node is stopping.
    pub async fn ask_ledger<Q: LedgerQuestion>(&self, question: Q) -> Answer<Q::Answer> {
        self.ledger(move |ledger| question.answer(ledger)).await?
    }

    /// What a job of this size would cost now.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model, no route, a stage without an offer.
    pub async fn quote(&self, request: &QuoteRequest) -> Answer<QuoteView> {
        self.0.asker.quote(request).await
    }

    /// Answers a question. Events end with `Done` or `Failed`; dropping the
    /// receiver cancels the job on all stages.
    ///
    /// # Errors
    /// [`AskError`] for what is known before any work.
    pub async fn ask(&self, request: AskRequest) -> Answer<mpsc::Receiver<AskEvent>> {
        self.0.asker.ask(request).await
    }

    /// The tokens of a text or of a chat.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model, a text that cannot be tokenized.
    pub async fn tokenize(&self, request: TokenizeRequest) -> Answer<TokenizeView> {
        self.0.asker.tokenize(&request).await
    }

    /// The text of tokens, special ones left out.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model, an id outside its vocabulary.
    pub async fn detokenize(&self, model: Option<String>, ids: Vec<u32>) -> Answer<String> {
        self.0.asker.detokenize(model.as_deref(), &ids).await
    }

    /// What is known of a model's tokenizer.
    ///
    /// # Errors
    /// [`AskError`]: an unknown model.
    pub async fn tokenizer(&self, model: Option<String>) -> Answer<TokenizerView> {
        self.0.asker.tokenizer(model.as_deref()).await
    }

    /// Lends nothing to others until told otherwise; jobs that run go on.
    ///
    /// # Errors
    /// [`AskError`] when the reason is too long, or the pause cannot be kept.
    pub fn pause(&self, request: PauseRequest) -> Answer<LendingView> {
        let lending = self.0.ctx.served.lending();
        lending
            .pause(request.reason, request.for_ms)
            .map_err(refused)?;
        self.0.control.announce_now();
        Ok(self.lending())
    }

    /// Ends a pause by hand; one by the owner's rules stays.
    ///
    /// # Errors
    /// [`AskError`] when the file of the pause cannot be removed.
    pub fn resume(&self) -> Answer<LendingView> {
        self.0.ctx.served.lending().resume().map_err(refused)?;
        self.0.control.announce_now();
        Ok(self.lending())
    }

    fn lending(&self) -> LendingView {
        LendingView {
            schema: SCHEMA,
            paused: self.0.ctx.served.lending().paused().map(Into::into),
        }
    }

    /// Begins an orderly stop of the whole node.
    pub fn shutdown(&self) {
        self.0.stop.send_replace(true);
    }

    /// Completes when the node has stopped: jobs ended, peers told, journal
    /// closed.
    pub async fn stopped(&self) {
        let mut stopped = self.0.stopped.clone();
        // An error means that the stopping task is gone, which is an end too.
        drop(stopped.wait_for(|stopped| *stopped).await);
    }

    /// Waits for the stop and takes the parts down in order.
    async fn run_until_stopped(
        self,
        mut stop: watch::Receiver<bool>,
        stopped: watch::Sender<bool>,
    ) {
        drop(stop.wait_for(|stop| *stop).await);
        self.0.data.begin_shutdown();
        self.0.control.shutdown().await;
        let books: &BooksHandle = &self.0.ctx.books;
        books.close().await;
        let runs = self.0.data.host().runs.clone();
        if let Err(error) = tokio::task::spawn_blocking(move || runs.flush()).await {
            tracing::warn!(%error, "the newest jobs may not be kept");
        }
        stopped.send_replace(true);
    }
}

/// One of our own ranges.
fn own_view(ctx: &NodeContext, model: &ServedModel) -> ServedView {
    ServedView {
        model: model.id.to_string(),
        name: model.card.name.clone(),
        layers: [model.range.start(), model.range.end()],
        layers_total: model.card.shape.layers,
        layers_per_second: model.layers_per_second(),
        measured_layers_per_second: model.measured_layers_per_second,
        duty_ppm: model.duty.ppm(),
        bytes: model.shard_bytes,
        session_bytes: model.session_bytes.load(Ordering::Relaxed),
        session_bytes_max: model.session_bytes_max,
        sessions: ctx
            .limits
            .sessions_max
            .saturating_sub(model.worker.free_sessions()),
        sessions_max: ctx.limits.sessions_max,
        dtype: model.card.dtype.name().to_owned(),
        arithmetic: model.arithmetic.to_string(),
    }
}

fn refused(failure: Failure) -> AskError {
    let code = match failure.exit {
        Exit::Usage => ErrorCode::InvalidRequest,
        _ => ErrorCode::Internal,
    };
    AskError::new(code, failure.message)
}

fn served_view(served: &Served) -> ServedView {
    ServedView {
        model: served.model.to_string(),
        name: served.name.clone(),
        layers: [served.range.start(), served.range.end()],
        layers_total: served.layers,
        layers_per_second: served.layers_per_second,
        measured_layers_per_second: 0,
        duty_ppm: 0,
        bytes: 0,
        session_bytes: 0,
        session_bytes_max: 0,
        sessions: 0,
        sessions_max: 0,
        dtype: String::new(),
        arithmetic: served.arithmetic.to_string(),
    }
}

fn is_covered(model: &ModelView) -> bool {
    !model.coverage.is_empty() && model.coverage.iter().all(|count| *count > 0)
}

/// Why no question could be answered now, in words that say what to do.
fn readiness(models: &[ModelView]) -> Vec<String> {
    if models.iter().any(is_covered) {
        return Vec::new();
    }
    if models.is_empty() {
        return vec![
            "nobody serves a model yet: start a node that does, or wait for one".to_owned(),
        ];
    }
    let gaps = |model: &ModelView| {
        let missing = route::list(&route::gaps(&model.coverage));
        format!("{}: nobody serves layers {missing}", model.name)
    };
    models.iter().map(gaps).collect()
}

/// Whether we may sign, in words.
fn signing(state: &SigningState) -> String {
    if state.is_active() {
        "active".to_owned()
    } else {
        format!("not now: {state:?}")
    }
}
