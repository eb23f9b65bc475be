//! Joining, both sides: presenting the ticket by which we came, and honouring
//! those that we gave.
//!
//! The inviter names the newcomer and passes on the ticket's line in one entry
//! of its own log. The newcomer asks until it gets an answer; a ticket without
//! a line only names.

use super::NodeHandle;
use crate::clock;
use crate::exchange::Protocol;
use crate::invites::Invites;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use talkoot_ledger::kinds::Admit;
use talkoot_ledger::{Draft, Payload, Ugft};
use talkoot_protocol::join::{JoinRequest, JoinResponse};
use talkoot_protocol::ticket::{self, Ticket};
use talkoot_protocol::{Verified, Wallet};

/// Between two attempts to present a ticket.
const PAUSE: Duration = Duration::from_secs(1);
/// How long one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers newcomers from now on.
pub(super) fn serve(node: &NodeHandle, invites: Invites) {
    let invites = Arc::new(Mutex::new(invites));
    // The desk is held by the control plane that the node owns: it must not own
    // the node in turn.
    let weak = Arc::downgrade(&node.0);
    node.0
        .control
        .welcome_with(Box::new(move |newcomer, request| {
            let (weak, invites) = (weak.clone(), Arc::clone(&invites));
            Box::pin(async move {
                match weak.upgrade() {
                    Some(parts) => answer(&NodeHandle(parts), &invites, newcomer, &request).await,
                    None => JoinResponse::Later,
                }
            })
        }));
}

async fn answer(
    node: &NodeHandle,
    invites: &Mutex<Invites>,
    newcomer: Wallet,
    request: &JoinRequest,
) -> JoinResponse {
    let ctx = &node.0.ctx;
    let able = ctx.books.with(|books| books.signing().is_active()).await;
    if !matches!(able, Ok(true)) {
        return JoinResponse::Later;
    }
    let judged = {
        let mut invites = invites.lock().unwrap_or_else(PoisonError::into_inner);
        invites.redeem(
            &request.ticket,
            newcomer,
            ctx.wallet(),
            &ctx.genesis,
            clock::now_ms(),
        )
    };
    let welcome = match judged {
        Ok(welcome) => welcome,
        Err(error) => {
            return JoinResponse::Refused {
                reason: error.to_string(),
            };
        }
    };
    if welcome.is_repeat {
        let named = ctx
            .books
            .with(move |books| books.ledger().is_member(&newcomer));
        if matches!(named.await, Ok(true)) {
            return JoinResponse::Welcome;
        }
    }
    match name(node, newcomer, welcome.line_ugft).await {
        Ok(()) => JoinResponse::Welcome,
        Err(reason) => JoinResponse::Refused { reason },
    }
}

/// Names a newcomer in our own log and passes on a line in the same entry.
///
/// # Errors
/// Why the entry cannot be written, in words.
pub(super) async fn name(
    node: &NodeHandle,
    newcomer: Wallet,
    line_ugft: u64,
) -> Result<(), String> {
    let payload = if line_ugft == 0 {
        Payload::Witness
    } else {
        Payload::Admit(Admit {
            wallet: newcomer,
            line_ugft: Ugft(line_ugft),
        })
    };
    let draft = Draft::new(&payload, clock::now_ms()).naming([newcomer]);
    match node.0.ctx.books.author(draft).await {
        Ok(_) => {
            tracing::info!(newcomer = %newcomer.short(), line_ugft, "a newcomer is welcome");
            Ok(())
        }
        Err(error) => {
            tracing::warn!(newcomer = %newcomer.short(), %error, "a newcomer could not be named");
            Err(error.to_string())
        }
    }
}

/// Presents the ticket until the inviter has answered.
pub(super) async fn present(node: NodeHandle, ticket: Verified<Ticket>) {
    let me = node.0.ctx.wallet();
    if ticket.inviter == me {
        return;
    }
    let request = JoinRequest {
        ticket: ticket::to_text(&ticket),
    }
    .to_bytes();
    loop {
        let named = node
            .0
            .ctx
            .books
            .with(move |books| books.ledger().is_member(&me))
            .await;
        if !matches!(named, Ok(false)) {
            return;
        }
        let swarm = node.0.control.swarm();
        let answer = swarm
            .request(
                ticket.inviter,
                Protocol::Join,
                request.clone(),
                ANSWER_TIMEOUT,
            )
            .await;
        match answer.map(|bytes| JoinResponse::decode(&bytes)) {
            Ok(Ok(JoinResponse::Welcome)) => tracing::info!("the inviter has welcomed us"),
            Ok(Ok(JoinResponse::Refused { reason })) => {
                tracing::error!(
                    reason,
                    "the inviter refuses our ticket; this node can look but not write"
                );
                return;
            }
            Ok(Ok(JoinResponse::Later)) => tracing::debug!("the inviter cannot write now"),
            Ok(Err(error)) => tracing::warn!(%error, "the inviter's answer is malformed"),
            Err(error) => tracing::debug!(%error, "the inviter is not reached yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
