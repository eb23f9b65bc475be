//! The HTTP side of a node: one loopback port for `/v1` (OpenAI's shapes),
//! `/api/v1` (the node's own) and the probes. The only folder that knows axum.
//!
//! It translates and guards; it decides nothing about jobs or money. It is
//! generic over [`NodeApi`], so tests drive it with a node made of plain data.

mod chat;
mod errors;
mod guard;
mod ledger;
mod models;
mod native;
mod node_api;
mod openai;
mod probes;
mod sse;
#[cfg(test)]
mod tests;

pub use node_api::{LateNode, NodeApi};

use crate::api::{
    ArrivalsQuestion, BalancesQuestion, EntriesQuestion, ForksQuestion, GenesisQuestion,
};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use std::future::Future;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Bytes of a request body: a prompt of the longest context and more.
const BODY_BYTES_MAX: usize = 8 << 20;

/// What every handler can reach.
#[derive(Debug)]
struct Shared<N> {
    node: N,
    token: String,
}

type App<N> = Arc<Shared<N>>;

/// Serves until `stop` completes; then open answers are given up.
///
/// # Errors
/// When the listener fails.
pub async fn serve<N: NodeApi>(
    listener: TcpListener,
    node: N,
    token: String,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let server = axum::serve(listener, router(node, token)).into_future();
    tokio::select! {
        result = server => result,
        () = stop => Ok(()),
    }
}

/// All routes.
fn router<N: NodeApi>(node: N, token: String) -> Router {
    let app: App<N> = Arc::new(Shared { node, token });
    Router::new()
        .route("/livez", get(probes::live))
        .route("/readyz", get(probes::ready::<N>))
        .route("/health", get(probes::ready::<N>))
        .merge(native_routes::<N>(&app))
        .route("/v1/models", get(models::list::<N>))
        .route("/v1/models/{*id}", get(models::show::<N>))
        .route("/v1/chat/completions", post(chat::complete::<N>))
        .fallback(errors::no_such_path)
        .layer(axum::middleware::map_response(errors::no_such_method))
        .layer(axum::middleware::from_fn(guard::local_only))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(app)
}

fn native_routes<N: NodeApi>(app: &App<N>) -> Router<App<N>> {
    let writes = Router::new()
        .route("/api/v1/invite", post(native::invite::<N>))
        .route("/api/v1/ledger/quote", post(native::quote::<N>))
        .route("/api/v1/ask", post(native::ask::<N>))
        .route("/api/v1/shutdown", post(native::shutdown::<N>))
        .route_layer(axum::middleware::from_fn_with_state(
            Arc::clone(app),
            guard::cookie::<N>,
        ));
    Router::new()
        .route("/api/v1/status", get(native::status::<N>))
        .route("/api/v1/peers", get(native::peers::<N>))
        .route("/api/v1/models", get(native::models::<N>))
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
        .route("/forks", get(ledger::plain::<N, ForksQuestion>))
        .route("/genesis", get(ledger::plain::<N, GenesisQuestion>));
    Router::new().nest("/api/v1/ledger", books)
}
