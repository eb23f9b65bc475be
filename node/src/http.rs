//! The HTTP side of a node: one port for `/v1` (OpenAI's shapes), `/api/v1` (the
//! node's own), metrics and probes. The only folder that knows axum.
//!
//! It translates and guards; it decides nothing about jobs or money. It is
//! generic over [`NodeApi`], so tests drive it with a node made of plain data.

mod admission;
mod asking;
mod chat;
mod completions;
mod cors;
mod dashboard;
mod errors;
mod gate;
mod guard;
mod keys;
mod ledger;
mod live;
mod metrics;
mod models;
mod native;
mod node_api;
mod openapi;
mod probes;
mod refusal;
mod request_id;
mod responses;
mod sampling;
mod several;
mod shapes;
mod sse;
#[cfg(test)]
pub(crate) mod tests;
mod tokenize;
mod tools;
mod visit;

pub use admission::AdmissionLimits;
pub use gate::PortSettings;
pub use node_api::{LateNode, NodeApi};

use crate::api::{
    ArrivalsQuestion, BalancesQuestion, CreditsQuestion, EarningsQuestion, EntriesQuestion,
    ForksQuestion, GenesisQuestion, StatementQuestion,
};
use crate::clock;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use gate::Gate;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Bytes of a request body: a prompt of the longest context and more.
const BODY_BYTES_MAX: usize = 8 << 20;

/// What every handler can reach.
#[derive(Debug)]
struct Shared<N> {
    node: N,
    gate: Gate,
    feed: live::Feed,
    /// When the port was opened, seconds since 1970: models have no other date.
    since: u64,
}

impl<N> Shared<N> {
    fn new(node: N, settings: PortSettings) -> Self {
        Self {
            node,
            gate: Gate::new(settings),
            feed: live::Feed::new(),
            since: clock::now_ms() / 1000,
        }
    }
}

type App<N> = Arc<Shared<N>>;

/// Serves at all listeners until `stop` completes; then open answers are given
/// up, and what keys have burned is written.
///
/// # Errors
/// When a listener fails.
pub async fn serve<N: NodeApi>(
    listeners: Vec<TcpListener>,
    node: N,
    settings: PortSettings,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let app: App<N> = Arc::new(Shared::new(node, settings));
    let servers = listeners.into_iter().map(|listener| {
        let router = router(&app).into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, router).into_future()
    });
    let result = tokio::select! {
        result = futures::future::try_join_all(servers) => result.map(drop),
        () = Arc::clone(&app.gate.accounts).keep_written() => Ok(()),
        () = live::keep_fed(Arc::clone(&app)) => Ok(()),
        () = stop => Ok(()),
    };
    let write = move || app.gate.accounts.write();
    // It only fails when the runtime is going down, and then nothing is left to do.
    drop(tokio::task::spawn_blocking(write).await);
    result
}

/// All routes.
fn router<N: NodeApi>(app: &App<N>) -> Router {
    Router::new()
        .route("/", get(dashboard::page::<N>))
        .route("/assets/{*path}", get(dashboard::asset::<N>))
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready::<N>))
        .route("/health", get(probes::ready::<N>))
        .route("/metrics", get(metrics::scrape::<N>))
        .merge(native_routes::<N>(app))
        .route("/v1/models", get(models::list::<N>))
        .route("/v1/models/{*id}", get(models::show::<N>))
        .route("/v1/chat/completions", post(chat::complete::<N>))
        .route("/v1/completions", post(completions::complete::<N>))
        .route("/v1/responses", post(responses::respond::<N>))
        .route("/openapi.json", get(openapi::document))
        .route("/v1/embeddings", post(tokenize::embeddings))
        .route("/tokenize", post(tokenize::tokenize::<N>))
        .route("/detokenize", post(tokenize::detokenize::<N>))
        .route("/tokenizer_info", get(tokenize::info::<N>))
        .fallback(errors::no_such_path)
        .layer(axum::middleware::map_response(errors::no_such_method))
        .layer(from_fn_with_state(Arc::clone(app), guard::enter::<N>))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(app), request_id::track::<N>))
        .with_state(Arc::clone(app))
}

fn native_routes<N: NodeApi>(app: &App<N>) -> Router<App<N>> {
    let writes = Router::new()
        .route("/api/v1/ping", post(native::ping::<N>))
        .route("/api/v1/welcome", post(native::welcome::<N>))
        .route("/api/v1/contacts", post(native::take_contacts::<N>))
        .route("/api/v1/invite", post(native::invite::<N>))
        .route("/api/v1/ask", post(native::ask::<N>))
        .route("/api/v1/pause", post(native::pause::<N>))
        .route("/api/v1/resume", post(native::resume::<N>))
        .route("/api/v1/shutdown", post(native::shutdown::<N>))
        .route_layer(from_fn_with_state(Arc::clone(app), guard::cookie::<N>));
    Router::new()
        .route("/api/v1/state", get(live::state::<N>))
        .route("/api/v1/events", get(live::events::<N>))
        .route("/api/v1/status", get(native::status::<N>))
        .route("/api/v1/jobs", get(native::jobs::<N>))
        .route("/api/v1/jobs/{id}", get(native::job::<N>))
        .route("/api/v1/peers", get(native::peers::<N>))
        .route("/api/v1/peers/why", get(native::unreached::<N>))
        .route("/api/v1/models", get(native::models::<N>))
        // It reads, whatever its method: only offers are asked for.
        .route("/api/v1/ledger/quote", post(native::quote::<N>))
        .merge(ledger_routes::<N>())
        .merge(writes)
}

fn ledger_routes<N: NodeApi>() -> Router<App<N>> {
    let books = Router::new()
        .route("/entries", get(ledger::query::<N, EntriesQuestion>))
        .route("/entries/{id}", get(ledger::entry::<N>))
        .route("/arrivals", get(ledger::query::<N, ArrivalsQuestion>))
        .route("/authors/{wallet}", get(ledger::author::<N>))
        .route("/jobs/{id}", get(ledger::job::<N>))
        .route("/balances", get(ledger::query::<N, BalancesQuestion>))
        .route("/credits", get(ledger::of_wallet::<N, CreditsQuestion>))
        .route("/statement", get(ledger::of_wallet::<N, StatementQuestion>))
        .route("/earnings", get(ledger::of_wallet::<N, EarningsQuestion>))
        .route("/forks", get(ledger::plain::<N, ForksQuestion>))
        .route("/genesis", get(ledger::plain::<N, GenesisQuestion>));
    Router::new().nest("/api/v1/ledger", books)
}
