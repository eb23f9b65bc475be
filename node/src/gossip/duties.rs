//! What this node writes by itself: the duties core, driven by the books.
//!
//! After something changed, and when a pause or a deadline is over, the ledger
//! is asked what is due, and that is written: proofs of forks and witnesses by
//! a founder, releases by everybody. Nothing is decided here.

use crate::books::{BooksEvent, WriteError};
use crate::clock;
use crate::context::NodeContext;
use std::sync::Arc;
use std::time::Duration;
use talkoot_ledger::duties::{Duties, WITNESS_PAUSE_MS};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// After a change, so that what comes together is confirmed together.
const GATHER: Duration = Duration::from_millis(200);
/// After something could not be written.
const RETRY: Duration = Duration::from_millis(WITNESS_PAUSE_MS);

/// Runs until the books close.
pub(super) async fn run(ctx: Arc<NodeContext>) {
    let mut events = ctx.books.subscribe();
    let mut duties = Duties::new(ctx.wallet());
    // What the journal held may be due already.
    let mut due_at = Some(clock::timer());
    loop {
        let event = tokio::select! {
            event = events.recv() => Some(event),
            () = wait_until(due_at) => None,
        };
        match event {
            Some(Ok(
                BooksEvent::Authored { .. }
                | BooksEvent::Admitted { .. }
                | BooksEvent::SigningBegan,
            ))
            | Some(Err(RecvError::Lagged(_))) => {
                let soon = clock::timer() + GATHER;
                due_at = Some(due_at.map_or(soon, |at| at.min(soon)));
            }
            Some(Ok(BooksEvent::MissingParents { .. } | BooksEvent::SigningLost(_))) => {}
            Some(Err(RecvError::Closed)) => return,
            None => match perform(&ctx, &mut duties).await {
                Ok(wake) => due_at = wake.map(|wait| clock::timer() + wait),
                Err(WriteError::Gone(_)) => return,
                Err(WriteError::Author(error)) => {
                    tracing::debug!(%error, "what was due was not written");
                    due_at = Some(clock::timer() + RETRY);
                }
            },
        }
    }
}

async fn wait_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Writes what is due; gives the time until the next look.
async fn perform(ctx: &NodeContext, duties: &mut Duties) -> Result<Option<Duration>, WriteError> {
    let now_ms = clock::now_ms();
    let mut asked = duties.clone();
    let (after, drafts, wake_ms) = ctx
        .books
        .with(move |books| {
            let drafts = if books.signing().is_active() {
                asked.due(books.ledger(), now_ms)
            } else {
                Vec::new()
            };
            let wake_ms = asked.wake_ms(books.ledger(), now_ms);
            (asked, drafts, wake_ms)
        })
        .await?;
    *duties = after;
    for draft in drafts {
        ctx.books.author(draft).await?;
    }
    Ok(wake_ms.map(|at_ms| Duration::from_millis(at_ms.saturating_sub(now_ms))))
}
