//! What an entry says: one sentence, its fields, and what it came to.

use crate::api::OutcomeView;
use serde_json::{Value, json};
use talkoot_ledger::kinds::{self, Payload};
use talkoot_ledger::{Entry, Outcome, id_of};
use talkoot_protocol::{Hash, ModelCard, Signed, Wallet};

/// What an entry came to, in words.
pub(super) fn effect(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Inert(reason) => format!("inert: {reason}"),
        Outcome::Noted => "ok".to_owned(),
        Outcome::Admitted { line, .. } => format!("passes on {line}"),
        Outcome::Reserved { held } => format!("holds {held}"),
        Outcome::Paid {
            burned,
            earned,
            is_final,
        } => {
            let last = if *is_final { ", final" } else { "" };
            format!("burns {burned}, earns {earned}{last}")
        }
        Outcome::Released { freed } => format!("frees {freed}"),
    }
}

/// The name of what an entry came to.
pub(super) const fn outcome_name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Inert(_) => "inert",
        Outcome::Noted => "noted",
        Outcome::Admitted { .. } => "admitted",
        Outcome::Reserved { .. } => "reserved",
        Outcome::Paid { .. } => "paid",
        Outcome::Released { .. } => "released",
    }
}

/// What an entry came to, in parts.
pub(super) fn outcome(outcome: &Outcome) -> OutcomeView {
    let mut view = OutcomeView {
        name: outcome_name(outcome).to_owned(),
        ..OutcomeView::default()
    };
    match outcome {
        Outcome::Inert(reason) => {
            view.reason = Some(reason.code());
            view.why = Some(reason.to_string());
        }
        Outcome::Noted => {}
        Outcome::Admitted { wallet, line } => {
            view.wallet = Some(wallet.to_string());
            view.line_ugft = Some(line.0);
        }
        Outcome::Reserved { held } => view.held_ugft = Some(held.0),
        Outcome::Paid {
            burned,
            earned,
            is_final,
        } => {
            view.burned_ugft = Some(burned.0);
            view.earned_ugft = Some(earned.0);
            view.is_final = Some(*is_final);
        }
        Outcome::Released { freed } => view.freed_ugft = Some(freed.0),
    }
    view
}

/// What an entry says: a sentence and its fields.
pub(super) fn describe(entry: &Entry, outcome: &Outcome) -> (String, Value) {
    match Payload::decode(entry.kind, &entry.payload) {
        Ok(Some(payload)) => describe_payload(entry.author, &payload, outcome),
        Ok(None) => (
            format!("{} says something of a later version", entry.author.short()),
            Value::Null,
        ),
        Err(error) => (
            format!("{} says something malformed", entry.author.short()),
            json!(error.to_string()),
        ),
    }
}

fn describe_payload(author: Wallet, payload: &Payload, outcome: &Outcome) -> (String, Value) {
    let author = author.short();
    match payload {
        Payload::Admit(admit) => (
            format!(
                "{author} passes on a line of {} to {}",
                admit.line_ugft,
                admit.wallet.short()
            ),
            json!({ "wallet": admit.wallet.to_string(), "line_ugft": admit.line_ugft.0 }),
        ),
        Payload::Reserve(reserve) => describe_reserve(&author, reserve),
        Payload::Frontier(frontier) => {
            let ack = frontier.ack.claimed();
            let paid = match outcome {
                Outcome::Paid { earned, .. } => format!(" and earns {earned}"),
                _ => String::new(),
            };
            let summary = format!(
                "{author} reached {} prompt and {} completion tokens of job {}{paid}",
                ack.prompt_done,
                ack.completion_done,
                frontier.job.short()
            );
            (summary, frontier_fields(frontier))
        }
        Payload::Witness => (format!("{author} has seen what it cites"), json!({})),
        Payload::Equivocation(pair) => describe_pair(&author, pair),
        Payload::Model(model) => describe_model(&author, model),
        Payload::Release(release) => (
            format!(
                "{author} ends the holds of job {}, whose deadline has passed",
                release.job.short()
            ),
            json!({ "job": release.job.to_string() }),
        ),
    }
}

fn describe_model(author: &str, model: &kinds::Model) -> (String, Value) {
    match ModelCard::decode(&model.card) {
        Ok(card) => (
            format!(
                "{author} describes model {} ({})",
                card.name,
                card.id().short()
            ),
            json!({ "model": card.id().to_string(), "name": card.name, "family": card.family,
                    "layers": card.shape.layers, "dtype": card.dtype.name() }),
        ),
        Err(error) => (
            format!("{author} describes no model"),
            json!(error.to_string()),
        ),
    }
}

fn describe_reserve(author: &str, reserve: &kinds::Reserve) -> (String, Value) {
    let offers: Vec<Value> = reserve
        .offers
        .iter()
        .map(|offer| offer_fields(offer.claimed()))
        .collect();
    let summary = format!(
        "{author} orders {} prompt and up to {} completion tokens of model {} from {} stages",
        reserve.prompt_tokens,
        reserve.completion_tokens_max,
        reserve.model.short(),
        offers.len()
    );
    let fields = json!({
        "model": reserve.model.to_string(),
        "layers": reserve.layers,
        "prompt_tokens": reserve.prompt_tokens,
        "completion_tokens_max": reserve.completion_tokens_max,
        "price_ugft_per_token": reserve.price_ugft_per_token,
        "deadline_ms": reserve.deadline_ms,
        "continues": reserve.continues.map(|job| job.to_string()),
        "offers": offers,
    });
    (summary, fields)
}

fn offer_fields(offer: &talkoot_protocol::Offer) -> Value {
    json!({
        "worker": offer.worker.to_string(),
        "layers": [offer.range.start(), offer.range.end()],
        "nonce": offer.nonce,
        "share_kflop": offer.share_kflop,
        "service_rate": offer.service_rate,
        "shard_bytes": offer.shard_bytes,
        "memory_bytes": offer.memory_bytes,
        "hardware_ppm": offer.hardware_ppm,
        "reliability_ppm": offer.reliability_ppm,
        "window_tokens": offer.window_tokens,
        "arithmetic": offer.arithmetic.0,
        "expires_ms": offer.expires_ms,
    })
}

fn frontier_fields(frontier: &kinds::Frontier) -> Value {
    let (ack, attestation) = (frontier.ack.claimed(), frontier.attestation.claimed());
    json!({
        "job": frontier.job.to_string(),
        "final": frontier.is_final,
        "acked": { "prompt": ack.prompt_done, "completion": ack.completion_done, "final": ack.is_final },
        "attested": {
            "by": attestation.stage.to_string(),
            "number": attestation.number,
            "prompt": attestation.prompt_done,
            "completion": attestation.completion_done,
            "transcript": attestation.transcript.to_string(),
            "stage_compute_us": attestation.stage_compute_us,
        },
        "received": frontier.received.to_string(),
        "sent": frontier.sent.to_string(),
    })
}

/// A pair of signed entries: whose, at which number, and their ids.
fn describe_pair(author: &str, pair: &kinds::Equivocation) -> (String, Value) {
    let read = |bytes: &[u8]| Signed::<Entry>::decode(bytes).ok();
    let side = |entry: &Signed<Entry>| {
        let claimed = entry.claimed();
        json!({ "id": signed_id(entry).to_string(), "author": claimed.author.to_string(),
                "seq": claimed.seq, "kind": kinds::name(claimed.kind), "time_ms": claimed.time_ms })
    };
    match (read(&pair.first), read(&pair.second)) {
        (Some(first), Some(second)) => (
            format!(
                "{author} shows that {} signed two entries at number {}",
                first.claimed().author.short(),
                first.claimed().seq
            ),
            json!({ "first": side(&first), "second": side(&second) }),
        ),
        _ => (
            format!("{author} shows two entries that do not decode"),
            json!({}),
        ),
    }
}

/// The id of an entry whose signature was not looked at.
pub(super) fn signed_id(entry: &Signed<Entry>) -> Hash {
    let bytes = entry.to_bytes();
    talkoot_protocol::Verified::<Entry>::from_trusted_bytes(&bytes)
        .map_or(Hash::ZERO, |entry| id_of(&entry))
}
