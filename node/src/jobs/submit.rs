//! The submitter's side of one job: offers, reservation, opening, running.
//!
//! The money rules come first: nothing is asked of any stage before the own
//! available credit covers the cap. From the reservation on, every way out
//! tells all stages what was received, so that their holds end.

mod errors;
mod quote;
mod record;
mod run;
mod types;

pub use quote::quote;
pub use types::{JobObserver, JobReport, JobRequest, RouteStage, TokenEvent};

use crate::api::{AskError, ErrorCode};
use crate::core::job::JobShape;
use crate::core::offers::{OfferWish, cap_ugft, check_offer};
use crate::data::plane::{DataPlane, Host};
use crate::data::wire::{ControlReader, Outbox, StreamHello, control_bytes};
use crate::jobs::ledger::{LedgerError, Reserved};
use errors::{ledger_failure, refused, stage_error};
use futures::future::try_join_all;
use std::sync::Arc;
use std::time::Duration;
use talkoot_ledger::kinds::Reserve;
use talkoot_protocol::control::{
    ControlMessage, FreeJob, JobOrder, OfferRequest, Open, SamplingParams, StageAddress,
};
use talkoot_protocol::{Offer, Signed, Verified, limits};
use tokio::sync::{oneshot, watch};

/// How long a stage may take to answer a request for an offer.
const OFFER_WAIT: Duration = Duration::from_secs(8);
/// How long a reservation lasts at least, and for each token that it may come
/// to: its stages stop then, and a little later what it holds is free.
const RESERVE_MS: u64 = 3_600_000;
const RESERVE_MS_PER_TOKEN: u64 = 2_000;

/// A stage with its control stream.
#[derive(Debug)]
struct Link {
    stage: RouteStage,
    reader: ControlReader,
    control: Outbox,
}

/// Runs one job. `cancel` ends it when it becomes true or its sender is
/// dropped; so does dropping the returned future.
///
/// # Errors
/// [`AskError`]: its code says what kind of failure, its message which stage
/// and layers, and what to do.
pub async fn submit(
    data: DataPlane,
    request: JobRequest,
    observer: Box<dyn JobObserver>,
    mut cancel: watch::Receiver<bool>,
) -> Result<JobReport, AskError> {
    let host = Arc::clone(data.host());
    // Dropping this future drops the guard, which the job takes as a cancel.
    let (guard, dropped) = oneshot::channel::<()>();
    let job = async move {
        let cancelled = async {
            tokio::select! {
                _ = cancel.wait_for(|is_cancelled| *is_cancelled) => {}
                _ = dropped => {}
            }
        };
        run_job(&host, request, observer, cancelled).await
    };
    let result = data.spawn(job).await.map_err(|_| errors::gone());
    drop(guard);
    result?
}

async fn run_job(
    host: &Arc<Host>,
    request: JobRequest,
    observer: Box<dyn JobObserver>,
    cancelled: impl Future<Output = ()> + Send,
) -> Result<JobReport, AskError> {
    let begun_us = host.now_us();
    let mut cancelled = Box::pin(cancelled);
    check_request(&request)?;
    let prepared = tokio::select! {
        biased;
        () = &mut cancelled => return Err(errors::cancelled()),
        prepared = prepare(host, &request) => prepared?,
    };
    let Prepared { links, offers } = prepared;
    // From here on a cancel must not drop the work half done.
    let (order, shape, held_ugft) = place_order(host, &request, offers).await?;
    let reserved = matches!(order, JobOrder::Reserved(_));
    let job = shape.job;
    let observer = record::Recorded::begin(host, &request, &shape, held_ugft, observer);
    let opened = run::Opening {
        host,
        request: &request,
        shape,
        order,
        links,
        begun_us,
    };
    let report = opened.run(observer, held_ugft, cancelled).await;
    record::ended(host, job, report.as_ref().err());
    Ok(JobReport {
        reserved,
        ..report?
    })
}

/// What stands before anything is reserved.
struct Prepared {
    links: Vec<Link>,
    offers: Option<Vec<Verified<Offer>>>,
}

async fn prepare(host: &Host, request: &JobRequest) -> Result<Prepared, AskError> {
    let is_free = is_free(host, request);
    if !is_free {
        check_credit(host, request).await?;
    }
    let connect = request
        .route
        .iter()
        .cloned()
        .map(|stage| connect(host, stage));
    let mut links = try_join_all(connect).await?;
    let offers = if is_free {
        None
    } else {
        let asked = links.iter_mut().map(|link| ask_offer(host, request, link));
        Some(try_join_all(asked).await?)
    };
    Ok(Prepared { links, offers })
}

/// Whether the job costs nothing and leaves no entry: among stages of our own
/// wallet, or in a network without accounting.
fn is_free(host: &Host, request: &JobRequest) -> bool {
    let own = host.wallet();
    !host.genesis.policy.accounting || request.route.iter().all(|stage| stage.wallet == own)
}

fn check_request(request: &JobRequest) -> Result<(), AskError> {
    let invalid = |message: &str| Err(AskError::new(ErrorCode::InvalidRequest, message));
    let shape = &request.card.shape;
    if request.prompt_ids.is_empty() || request.completion_tokens_max == 0 {
        return invalid("a job needs at least one prompt and one completion token");
    }
    if request.prompt_ids.iter().any(|&id| id >= shape.vocabulary) {
        return invalid("a prompt token is not in the model's vocabulary");
    }
    let tokens =
        (request.prompt_ids.len() as u64).saturating_add(u64::from(request.completion_tokens_max));
    if tokens > u64::from(shape.context) {
        let message = format!(
            "{} prompt tokens and {} completion tokens exceed the context of {} tokens; shorten the prompt or ask for fewer",
            request.prompt_ids.len(),
            request.completion_tokens_max,
            shape.context
        );
        return Err(AskError::new(ErrorCode::ContextLengthExceeded, message));
    }
    if let Err(error) = request.sampling.check() {
        return invalid(&error.to_string());
    }
    let mut next = 0;
    for stage in &request.route {
        if stage.range.start() != next {
            return invalid("the route does not tile the layers of the model");
        }
        next = stage.range.end();
    }
    let is_tiled = next == shape.layers && request.route.len() <= limits::STAGES_MAX;
    if !is_tiled || request.stop_ids.len() > limits::STOP_IDS_MAX {
        return invalid("the route does not tile the layers, or there are too many stop ids");
    }
    Ok(())
}

fn prompt_tokens(request: &JobRequest) -> u32 {
    u32::try_from(request.prompt_ids.len()).unwrap_or(u32::MAX)
}

fn price(host: &Host, request: &JobRequest) -> Result<u64, AskError> {
    let price = host.genesis.policy.price_ugft_per_token(&request.card);
    price.ok_or_else(|| {
        let message = "the model has no price: its numbers are out of range";
        AskError::new(ErrorCode::InvalidRequest, message)
    })
}

async fn check_credit(host: &Host, request: &JobRequest) -> Result<(), AskError> {
    let price = price(host, request)?;
    let needed_ugft = cap_ugft(prompt_tokens(request), request.completion_tokens_max, price);
    let available_ugft = host
        .ledger
        .available_ugft()
        .await
        .map_err(|error| ledger_failure(&error))?;
    if u128::try_from(available_ugft).is_ok_and(|available| available >= needed_ugft) {
        return Ok(());
    }
    Err(ledger_failure(&LedgerError::TooLittle {
        available_ugft,
        needed_ugft,
    }))
}

async fn connect(host: &Host, stage: RouteStage) -> Result<Link, AskError> {
    let opened = host.link.open(stage.wallet, stage.addresses.clone()).await;
    let stream = opened.map_err(|error| {
        // Nothing is ordered yet, so the asker may try again: the peer may have
        // moved, or leave the routes.
        let reason = format!("{error}; ask again to route around it");
        stage_error(ErrorCode::Busy, &stage, &reason)
    })?;
    let mut control = Outbox::new(stream.writer);
    control.push(StreamHello::Control.to_bytes());
    Ok(Link {
        stage,
        reader: ControlReader::new(stream.reader),
        control,
    })
}

async fn ask_offer(
    host: &Host,
    request: &JobRequest,
    link: &mut Link,
) -> Result<Verified<Offer>, AskError> {
    let question = ControlMessage::OfferRequest(OfferRequest {
        model: request.card.id(),
        range: link.stage.range,
        prompt_tokens: prompt_tokens(request),
        completion_tokens_max: request.completion_tokens_max,
        hidden_dtype: request.hidden_dtype,
    });
    link.control.push(control_bytes(&question));
    let exchange = async {
        link.control.flush().await?;
        link.reader.next().await
    };
    let stage = &link.stage;
    let failed = |reason: &str| stage_error(ErrorCode::StageFailed, stage, reason);
    let answer = tokio::time::timeout(OFFER_WAIT, exchange)
        .await
        .map_err(|_| stage_error(ErrorCode::Timeout, stage, "no offer in time"))?
        .map_err(|error| failed(&error.to_string()))?;
    match answer {
        ControlMessage::Offer(offer) => {
            let wish = OfferWish {
                policy: &host.genesis.policy,
                card: &request.card,
                submitter: host.wallet(),
                worker: stage.wallet,
                range: stage.range,
                prompt_tokens: prompt_tokens(request),
                completion_tokens_max: request.completion_tokens_max,
            };
            let offer = offer
                .verify(host.network)
                .map_err(|error| failed(&error.to_string()))?;
            check_offer(&offer, &wish).map_err(|error| {
                host.marks.add(stage.wallet, &error.to_string());
                failed(&error.to_string())
            })?;
            Ok(offer)
        }
        ControlMessage::Refused { code, reason } => Err(refused(stage, code, &reason)),
        _ => Err(failed("it answered something else than an offer")),
    }
}

fn lasts_ms(request: &JobRequest) -> u64 {
    let tokens =
        u64::from(prompt_tokens(request)).saturating_add(u64::from(request.completion_tokens_max));
    RESERVE_MS.saturating_add(tokens.saturating_mul(RESERVE_MS_PER_TOKEN))
}

/// Signs the order: a `Reserve` in the ledger, or a free job.
async fn place_order(
    host: &Host,
    request: &JobRequest,
    offers: Option<Vec<Verified<Offer>>>,
) -> Result<(JobOrder, JobShape, u128), AskError> {
    let now_ms = crate::clock::now_ms();
    let (job, order, held_ugft) = if let Some(offers) = offers {
        let reserve = Reserve {
            model: request.card.id(),
            layers: request.card.shape.layers,
            prompt_tokens: prompt_tokens(request),
            completion_tokens_max: request.completion_tokens_max,
            price_ugft_per_token: price(host, request)?,
            deadline_ms: now_ms.saturating_add(lasts_ms(request)),
            continues: None,
            offers: offers.into_iter().map(Signed::from).collect(),
        };
        let Reserved {
            job,
            entry,
            held_ugft,
        } = host
            .ledger
            .reserve(reserve)
            .await
            .map_err(|error| ledger_failure(&error))?;
        (job, JobOrder::Reserved(entry), held_ugft)
    } else {
        let order = FreeJob {
            submitter: host.wallet(),
            nonce: host.nonces.fresh(now_ms),
            model: request.card.id(),
            layers: request.card.shape.layers,
            prompt_tokens: prompt_tokens(request),
            completion_tokens_max: request.completion_tokens_max,
            issued_ms: now_ms,
        };
        let signed = Verified::sign(order, &host.key, host.network)
            .map_err(|error| AskError::new(ErrorCode::Internal, error.to_string()))?;
        (signed.id(), JobOrder::Free(signed.into()), 0)
    };
    let shape = JobShape {
        job,
        epoch: 0,
        submitter: host.wallet(),
        stages: request
            .route
            .iter()
            .map(|stage| (stage.wallet, stage.range))
            .collect(),
        prompt_tokens: prompt_tokens(request),
        completion_tokens_max: request.completion_tokens_max,
        hidden: request.card.shape.hidden,
        vocabulary: request.card.shape.vocabulary,
        hidden_dtype: request.hidden_dtype,
        policy: host.genesis.policy.clone(),
    };
    Ok((order, shape, held_ugft))
}

/// The `Open` message of one stage.
fn open_message(
    host: &Host,
    request: &JobRequest,
    order: &JobOrder,
    index: usize,
) -> ControlMessage {
    let text = |addresses: &[std::net::SocketAddr]| {
        let addresses = addresses.iter().take(limits::ADDRESSES_MAX);
        addresses.map(ToString::to_string).collect::<Vec<_>>()
    };
    let is_last = index.saturating_add(1) == request.route.len();
    let stages = request.route.iter().map(|stage| StageAddress {
        wallet: stage.wallet,
        range: stage.range,
        addresses: text(&stage.addresses),
    });
    ControlMessage::Open(Box::new(Open {
        order: order.clone(),
        model: request.card.id(),
        epoch: 0,
        stages: stages.collect(),
        index: u16::try_from(index).unwrap_or(u16::MAX),
        submitter_addresses: text(&host.addresses()),
        hidden_dtype: request.hidden_dtype,
        sampling: SamplingParams {
            grammar: request.sampling.grammar.clone().filter(|_| is_last),
            ..request.sampling.clone()
        },
        prompt_ids: if is_last {
            request.prompt_ids.clone()
        } else {
            Vec::new()
        },
        stop_ids: request.stop_ids.clone(),
        prompt_tokens: prompt_tokens(request),
        completion_tokens_max: request.completion_tokens_max,
        request_id: request.request_id.clone(),
    }))
}
