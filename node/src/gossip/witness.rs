//! A founder's witness entries: they confirm what others wrote, and alarms.
//!
//! After something changed, a founder that may sign posts one empty entry if
//! the ledger says that one is due, and at most one in [`PAUSE`]. A log that is
//! seen to fork is shown to all in an `Equivocation` entry first.

use crate::books::{BooksEvent, WriteError};
use crate::clock;
use crate::context::NodeContext;
use std::sync::Arc;
use std::time::Duration;
use talkoot_ledger::Payload;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

/// Between two witnesses.
const PAUSE: Duration = Duration::from_secs(2);
/// After a change, so that what comes together is confirmed together.
const GATHER: Duration = Duration::from_millis(200);

/// Runs until the books close; at once over when we are no founder.
pub(super) async fn run(ctx: Arc<NodeContext>) {
    let own = ctx.wallet();
    let is_founder = ctx
        .genesis
        .founders
        .iter()
        .any(|founder| founder.wallet == own);
    if !is_founder {
        return;
    }
    let mut events = ctx.books.subscribe();
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
                due_at.get_or_insert_with(|| clock::timer() + GATHER);
            }
            Some(Ok(BooksEvent::MissingParents { .. } | BooksEvent::SigningLost(_))) => {}
            Some(Err(RecvError::Closed)) => return,
            None => match post(&ctx).await {
                // Not before the pause is over; its own event asks again.
                Ok(true) => due_at = Some(clock::timer() + PAUSE),
                Ok(false) => due_at = None,
                Err(WriteError::Gone(_)) => return,
                Err(WriteError::Author(error)) => {
                    tracing::debug!(%error, "no witness posted");
                    due_at = Some(clock::timer() + PAUSE);
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

/// Posts a witness if one is due; tells whether it did.
async fn post(ctx: &NodeContext) -> Result<bool, WriteError> {
    let own = ctx.wallet();
    let (proofs, is_due) = ctx
        .books
        .with(move |books| {
            let ledger = books.ledger();
            if books.signing().is_active() {
                (
                    ledger.equivocations_due(),
                    !ledger.witness_due(own).is_empty(),
                )
            } else {
                (Vec::new(), false)
            }
        })
        .await?;
    for proof in proofs {
        ctx.books.author_payload(&proof).await?;
    }
    if is_due {
        ctx.books.author_payload(&Payload::Witness).await?;
    }
    Ok(is_due)
}
