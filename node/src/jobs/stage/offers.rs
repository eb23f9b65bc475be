//! Offers this node makes: each with a number that is signed once.
//!
//! An offer keeps a session's place until it is used, ends or its asker hangs
//! up, so that a job whose money is held already is not refused for want of a
//! place.

use crate::core::offers::share_kflop;
use crate::data::plane::Host;
use crate::jobs::stage::Refusal;
use crate::jobs::worker::SessionSlot;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use talkoot_protocol::control::{FailCode, OfferRequest};
use talkoot_protocol::{DType, LayerRange, ModelShape, Offer, Verified, Wallet};

/// For how long an offer stands.
const OFFER_WAIT: Duration = Duration::from_secs(20);
/// Parts per million that make one.
const ONE_PPM: u32 = 1_000_000;

#[derive(Debug)]
struct Made {
    submitter: Wallet,
    slot: SessionSlot,
}

#[derive(Debug, Default)]
struct Book {
    last: u64,
    made: BTreeMap<u64, Made>,
}

/// The offers that stand; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Nonces(Arc<Mutex<Book>>);

impl Nonces {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A number that no offer of this wallet ever had: time above, a counter
    /// below, always above the one before.
    #[must_use]
    pub fn fresh(&self, now_ms: u64) -> u64 {
        let mut book = self.book();
        book.last = (now_ms << 20).max(book.last.saturating_add(1));
        book.last
    }

    /// Numbers up to this one count as used: the ledger has seen them.
    pub fn raise(&self, used: u64) {
        let mut book = self.book();
        book.last = book.last.max(used);
    }

    fn keep(&self, nonce: u64, made: Made) {
        self.book().made.insert(nonce, made);
        let nonces = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(OFFER_WAIT).await;
            nonces.book().made.remove(&nonce);
        });
    }

    /// Ends offers before their time: whoever asked for them is gone.
    pub(super) fn forget(&self, nonces: &[u64]) {
        let mut book = self.book();
        for nonce in nonces {
            book.made.remove(nonce);
        }
    }

    /// Whether an offer still keeps a place.
    pub(super) fn stands(&self, nonce: u64) -> bool {
        self.book().made.contains_key(&nonce)
    }

    /// Uses an offer up; it stands only once and only for its submitter.
    pub(super) fn take(&self, nonce: u64, submitter: Wallet) -> Option<SessionSlot> {
        let mut book = self.book();
        if book.made.get(&nonce)?.submitter != submitter {
            return None;
        }
        book.made.remove(&nonce).map(|made| made.slot)
    }
}

/// Whether the numbers of a request fit the model.
pub(super) fn check_size(
    shape: &ModelShape,
    prompt_tokens: u32,
    completion_tokens_max: u32,
) -> Result<(), Refusal> {
    let tokens = u64::from(prompt_tokens).saturating_add(u64::from(completion_tokens_max));
    if prompt_tokens == 0 || completion_tokens_max == 0 {
        return Err(Refusal::new(
            FailCode::Protocol,
            "a job needs at least one prompt and one completion token",
        ));
    }
    if tokens > u64::from(shape.context) {
        return Err(Refusal::new(
            FailCode::TooLong,
            format!(
                "{prompt_tokens} prompt and {completion_tokens_max} completion tokens exceed the context of {}",
                shape.context
            ),
        ));
    }
    Ok(())
}

/// What this node offers a submitter.
pub(super) async fn make_offer(
    host: &Host,
    submitter: Wallet,
    request: &OfferRequest,
) -> Result<Verified<Offer>, Refusal> {
    super::check_lending(host, submitter)?;
    let served = super::served(host, request.model, request.range)?;
    let card = &served.card;
    check_size(
        &card.shape,
        request.prompt_tokens,
        request.completion_tokens_max,
    )?;
    if !matches!(request.hidden_dtype, DType::F32 | DType::Bf16) {
        let reason = format!("hidden states in {} are not served", request.hidden_dtype);
        return Err(Refusal::new(FailCode::NotServed, reason));
    }
    let policy = &host.genesis.policy;
    if !policy.accounting {
        let reason = "accounting is off in this network; order the job free";
        return Err(Refusal::new(FailCode::Order, reason));
    }
    let (Some(price), Some(share)) = (
        policy.price_ugft_per_token(card),
        share_kflop(card, request.range),
    ) else {
        return Err(Refusal::new(FailCode::NotServed, "the model has no price"));
    };
    let slot = served.worker.reserve()?;
    let own = host.wallet();
    let service_rate = host
        .ledger
        .service_rate(own)
        .await
        .map_err(|error| Refusal::new(FailCode::Order, error.to_string()))?;
    let now_ms = crate::clock::now_ms();
    let nonce = host.nonces.fresh(now_ms);
    let wait_ms = u64::try_from(OFFER_WAIT.as_millis()).unwrap_or(u64::MAX);
    let offer = Offer {
        worker: own,
        submitter,
        nonce,
        model: request.model,
        range: request.range,
        shard_bytes: part_bytes(served.shard_bytes, request.range, served.range),
        arithmetic: served.arithmetic,
        price_ugft_per_token: price,
        prompt_tokens_max: request.prompt_tokens,
        completion_tokens_max: request.completion_tokens_max,
        window_tokens: policy.window_tokens,
        share_kflop: share,
        service_rate,
        hardware_ppm: ONE_PPM,
        reliability_ppm: ONE_PPM,
        memory_bytes: host.limits.memory_bytes.max(1),
        expires_ms: now_ms.saturating_add(wait_ms),
    };
    let signed = Verified::sign(offer, &host.key, host.network)
        .map_err(|error| Refusal::new(FailCode::Compute, error.to_string()))?;
    host.nonces.keep(nonce, Made { submitter, slot });
    Ok(signed)
}

/// The weights of a part of the held layers, by their number.
fn part_bytes(bytes: u64, part: LayerRange, held: LayerRange) -> u64 {
    let scaled = u128::from(bytes).saturating_mul(u128::from(part.count()));
    u64::try_from(scaled / u128::from(held.count().max(1))).unwrap_or(u64::MAX)
}
