//! Whether an `Open` entitles to work: checked before a session is opened.

use super::offers::check_size;
use super::{Refusal, check_lending, served};
use crate::context::ServedModel;
use crate::core::job::JobShape;
use crate::core::offers::{OfferWish, check_offer, check_rate};
use crate::data::plane::Host;
use crate::jobs::ledger::{LedgerError, OrderView};
use crate::jobs::worker::SessionSlot;
use std::sync::Arc;
use std::time::Duration;
use talkoot_ledger::split::check_price;
use talkoot_protocol::control::{FailCode, FreeJob, JobOrder, Open};
use talkoot_protocol::{JobId, Offer, Signed, Verified, Wallet};

/// How often, and how many times, an offer's rate is compared again with a
/// ledger that may be a moment behind.
const RATE_RETRY: Duration = Duration::from_millis(200);
const RATE_TRIES: u32 = 10;
/// A reserve's deadline is farther away than this when a stage begins.
const DEADLINE_MS_MIN: u64 = 60_000;
/// A free job's order is younger than this.
const FREE_AGE_MS: u64 = 60_000;

/// A job that may begin.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) shape: JobShape,
    pub(super) index: usize,
    pub(super) served: Arc<ServedModel>,
    pub(super) slot: SessionSlot,
    /// For a job with a `Reserve`: when it is over, milliseconds since 1970.
    pub(super) deadline_ms: Option<u64>,
}

/// Judges an `Open` from `submitter`.
pub(super) async fn accept(
    host: &Host,
    submitter: Wallet,
    open: &Open,
) -> Result<Accepted, Refusal> {
    let index = usize::from(open.index);
    let own = open.stages.get(index);
    let range = own
        .filter(|stage| stage.wallet == host.wallet())
        .map(|stage| stage.range)
        .ok_or_else(|| Refusal::new(FailCode::Protocol, "the stage is another wallet"))?;
    let served = served(host, open.model, range)?;
    check_numbers(open, &served)?;
    let (job, slot, deadline_ms) = match &open.order {
        JobOrder::Free(order) => {
            check_lending(host, submitter)?;
            let job = accept_free(host, submitter, open, order)?;
            (job, served.worker.reserve()?, None)
        }
        JobOrder::Reserved(_) if !host.genesis.policy.accounting => {
            let reason = "accounting is off in this network; order the job free";
            return Err(Refusal::new(FailCode::Order, reason));
        }
        JobOrder::Reserved(entry) => {
            let view = host.ledger.order(entry.clone()).await?;
            let slot = accept_reserved(host, submitter, open, &view)?;
            check_colleagues(host, open, &served, &view).await?;
            (view.job, slot, Some(view.reserve.deadline_ms))
        }
    };
    let shape = JobShape {
        job,
        epoch: open.epoch,
        submitter,
        stages: open
            .stages
            .iter()
            .map(|stage| (stage.wallet, stage.range))
            .collect(),
        prompt_tokens: open.prompt_tokens,
        completion_tokens_max: open.completion_tokens_max,
        hidden: served.card.shape.hidden,
        vocabulary: served.card.shape.vocabulary,
        hidden_dtype: open.hidden_dtype,
        policy: host.genesis.policy.clone(),
    };
    Ok(Accepted {
        shape,
        index,
        served,
        slot,
        deadline_ms,
    })
}

fn check_numbers(open: &Open, served: &ServedModel) -> Result<(), Refusal> {
    let protocol = |reason: &str| Err(Refusal::new(FailCode::Protocol, reason));
    let shape = &served.card.shape;
    check_size(shape, open.prompt_tokens, open.completion_tokens_max)?;
    if open.stages.last().map(|stage| stage.range.end()) != Some(shape.layers) {
        return protocol("the stages do not tile the layers of the model");
    }
    let is_last = usize::from(open.index).saturating_add(1) == open.stages.len();
    let ids_due = if is_last {
        open.prompt_tokens as usize
    } else {
        0
    };
    if open.prompt_ids.len() != ids_due {
        return protocol("the last stage gets all prompt ids, the others none");
    }
    if open.prompt_ids.iter().any(|&id| id >= shape.vocabulary) {
        return protocol("a prompt id is not in the vocabulary");
    }
    Ok(())
}

/// A free order is for stages that are all the submitter's own wallet; anybody
/// may give one only where the genesis turns accounting off.
fn accept_free(
    host: &Host,
    submitter: Wallet,
    open: &Open,
    order: &Signed<FreeJob>,
) -> Result<JobId, Refusal> {
    let refused = |reason: &str| Refusal::new(FailCode::Order, reason);
    let own = host.wallet();
    let is_all_own = open.stages.iter().all(|stage| stage.wallet == own);
    let is_paid = host.genesis.policy.accounting;
    if is_paid && (submitter != own || !is_all_own) {
        return Err(refused(
            "a free job is one whose stages are all the submitter's own wallet; reserve this one",
        ));
    }
    let order = order
        .clone()
        .verify(host.network)
        .map_err(|error| refused(&error.to_string()))?;
    let age_ms = crate::clock::now_ms().abs_diff(order.issued_ms);
    let fits = order.submitter == submitter
        && order.model == open.model
        && order.prompt_tokens == open.prompt_tokens
        && order.completion_tokens_max == open.completion_tokens_max
        && age_ms <= FREE_AGE_MS;
    if fits {
        Ok(order.id())
    } else {
        Err(refused("the free order is for another job"))
    }
}

fn accept_reserved(
    host: &Host,
    submitter: Wallet,
    open: &Open,
    view: &OrderView,
) -> Result<SessionSlot, Refusal> {
    let refused = |reason: &str| Refusal::new(FailCode::Order, reason);
    let reserve = &view.reserve;
    if view.submitter != submitter {
        return Err(refused("the reserve is another wallet's"));
    }
    let is_same_size = reserve.model == open.model
        && reserve.prompt_tokens == open.prompt_tokens
        && reserve.completion_tokens_max == open.completion_tokens_max;
    if !is_same_size || open.epoch != 0 {
        return Err(refused("the reserve is for another job"));
    }
    let is_same_route = reserve.offers.len() == open.stages.len()
        && reserve
            .offers
            .iter()
            .zip(&open.stages)
            .all(|(offer, stage)| {
                offer.claimed().worker == stage.wallet && offer.claimed().range == stage.range
            });
    if !is_same_route {
        return Err(refused("the route is not the reserve's"));
    }
    if submitter != host.wallet() && view.exposure_ugft > u128::from(host.limits.exposure_ugft) {
        let reason = format!(
            "unconfirmed holds of this submitter come to {} µGFT, this stage works for at most {}; wait for confirmation",
            view.exposure_ugft, host.limits.exposure_ugft
        );
        return Err(Refusal::new(FailCode::Credit, reason));
    }
    if reserve.deadline_ms < crate::clock::now_ms().saturating_add(DEADLINE_MS_MIN) {
        return Err(refused(
            "the reserve's deadline is too near: founders may say that the job is over before it is paid",
        ));
    }
    let own = reserve.offers.get(usize::from(open.index));
    own.and_then(|offer| host.nonces.take(offer.claimed().nonce, submitter))
        .ok_or_else(|| refused("our offer has ended or is used; ask for another"))
}

/// Checks all offers against card, policy and our own view of the ledger: each
/// decides how much of the price is ours.
async fn check_colleagues(
    host: &Host,
    open: &Open,
    served: &ServedModel,
    view: &OrderView,
) -> Result<(), Refusal> {
    let policy = &host.genesis.policy;
    if !check_price(&served.card, policy, view.reserve.price_ugft_per_token) {
        return Err(Refusal::new(
            FailCode::Order,
            "the reserve's price is not the card's",
        ));
    }
    for (offer, stage) in view.reserve.offers.iter().zip(&open.stages) {
        let wish = OfferWish {
            policy: &host.genesis.policy,
            card: &served.card,
            submitter: view.submitter,
            worker: stage.wallet,
            range: stage.range,
            prompt_tokens: open.prompt_tokens,
            completion_tokens_max: open.completion_tokens_max,
        };
        let of_stage = |reason: String| {
            let range = stage.range;
            Refusal::new(
                FailCode::Order,
                format!("the offer for layers {range}: {reason}"),
            )
        };
        let offer: Verified<Offer> = offer
            .clone()
            .verify(host.network)
            .map_err(|error| of_stage(error.to_string()))?;
        check_offer(&offer, &wish).map_err(|error| of_stage(error.to_string()))?;
        check_shown_rate(host, &offer)
            .await
            .map_err(|error| of_stage(error.to_string()))?;
    }
    Ok(())
}

async fn check_shown_rate(
    host: &Host,
    offer: &Offer,
) -> Result<(), crate::core::offers::OfferProblem> {
    let mut tries: u32 = 0;
    loop {
        let shown = host.ledger.service_rate(offer.worker).await.unwrap_or(0);
        let checked = check_rate(offer.service_rate, shown);
        tries = tries.saturating_add(1);
        if checked.is_ok() || tries >= RATE_TRIES {
            return checked;
        }
        tokio::time::sleep(RATE_RETRY).await;
    }
}

impl From<LedgerError> for Refusal {
    fn from(error: LedgerError) -> Self {
        let code = match error {
            LedgerError::TooLittle { .. } => FailCode::Credit,
            _ => FailCode::Order,
        };
        Self::new(code, error.to_string())
    }
}
