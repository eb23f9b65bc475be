//! `/api/v1/ledger/…`: each path is one question about the books.

use super::native::{invalid, reply};
use super::{App, NodeApi};
use crate::api::{
    AuthorQuestion, CreditsQuestion, EarningsQuestion, EntryQuestion, JobQuestion,
    StatementQuestion,
};
use crate::clock;
use crate::views::LedgerQuestion;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use serde::de::DeserializeOwned;

/// A question whose parts stand in the query.
pub(crate) async fn query<N: NodeApi, Q: LedgerQuestion + DeserializeOwned>(
    State(app): State<App<N>>,
    question: Result<Query<Q>, QueryRejection>,
) -> Response {
    match question {
        Ok(Query(question)) => reply(app.node.ledger(question).await),
        Err(rejection) => invalid(rejection.body_text()),
    }
}

/// A question without parts.
pub(crate) async fn plain<N: NodeApi, Q: LedgerQuestion + Default>(
    State(app): State<App<N>>,
) -> Response {
    reply(app.node.ledger(Q::default()).await)
}

pub(crate) async fn entry<N: NodeApi>(
    State(app): State<App<N>>,
    Path(id): Path<String>,
) -> Response {
    reply(app.node.ledger(EntryQuestion { id }).await)
}

pub(crate) async fn author<N: NodeApi>(
    State(app): State<App<N>>,
    Path(wallet): Path<String>,
) -> Response {
    reply(app.node.ledger(AuthorQuestion { wallet }).await)
}

pub(crate) async fn job<N: NodeApi>(State(app): State<App<N>>, Path(id): Path<String>) -> Response {
    reply(app.node.ledger(JobQuestion { id }).await)
}

/// A question about one wallet's money.
pub(crate) trait OfWallet {
    /// Fills in what was not said: the node's own wallet, the time now.
    fn complete(&mut self, own: Option<String>);
    /// Whether a wallet is named.
    fn has_wallet(&self) -> bool;
}

impl OfWallet for EarningsQuestion {
    fn complete(&mut self, own: Option<String>) {
        self.wallet = self.wallet.take().or(own);
        self.until_ms.get_or_insert_with(clock::now_ms);
    }
    fn has_wallet(&self) -> bool {
        self.wallet.is_some()
    }
}

impl OfWallet for CreditsQuestion {
    fn complete(&mut self, own: Option<String>) {
        self.wallet = self.wallet.take().or(own);
    }
    fn has_wallet(&self) -> bool {
        self.wallet.is_some()
    }
}

impl OfWallet for StatementQuestion {
    fn complete(&mut self, own: Option<String>) {
        self.wallet = self.wallet.take().or(own);
    }
    fn has_wallet(&self) -> bool {
        self.wallet.is_some()
    }
}

/// One wallet's money; the node's own unless another wallet is named.
pub(crate) async fn of_wallet<N, Q>(
    State(app): State<App<N>>,
    question: Result<Query<Q>, QueryRejection>,
) -> Response
where
    N: NodeApi,
    Q: LedgerQuestion + OfWallet + DeserializeOwned,
{
    let Query(mut question) = match question {
        Ok(question) => question,
        Err(rejection) => return invalid(rejection.body_text()),
    };
    let own = if question.has_wallet() {
        None
    } else {
        match app.node.status().await {
            Ok(status) => Some(status.wallet),
            Err(error) => return reply::<()>(Err(error)),
        }
    };
    question.complete(own);
    reply(app.node.ledger(question).await)
}
