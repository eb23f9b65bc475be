//! What the books look like from outside: ledger types become API views.
//!
//! Read-only, and without any rule: what an entry came to was decided by the
//! ledger. Works on the books of a running node and on those read from disk.

use crate::api::{
    AskError, BalanceView, BalancesView, ChainView, EntriesView, EntryView, ErrorCode, SCHEMA,
};
use serde_json::{Value, json};
use talkoot_ledger::kinds::{self, Payload};
use talkoot_ledger::views::AccountView;
use talkoot_ledger::{Ledger, Outcome};
use talkoot_protocol::{Hash, ModelCard, Wallet};

/// Entries of one answer.
pub const ENTRIES_MAX: usize = 1000;

/// Length and tip.
#[must_use]
pub fn chain(ledger: &Ledger) -> ChainView {
    ChainView {
        length: ledger.length(),
        tip: ledger.tip().to_string(),
    }
}

/// One wallet's books.
#[must_use]
pub fn balance(ledger: &Ledger, wallet: Wallet) -> BalanceView {
    balance_of(ledger, &ledger.account(wallet))
}

fn balance_of(ledger: &Ledger, account: &AccountView) -> BalanceView {
    BalanceView {
        wallet: account.wallet.to_string(),
        balance_ugft: account.balance.0,
        available_ugft: ledger.available(account.wallet).0,
        held_ugft: u128::try_from(account.held.0).unwrap_or(0),
        pending_ugft: u128::from(account.pending.0),
        line_ugft: account.line.0,
    }
}

/// Everybody's books.
#[must_use]
pub fn balances(ledger: &Ledger) -> BalancesView {
    BalancesView {
        schema: SCHEMA,
        balances: ledger
            .accounts()
            .iter()
            .map(|account| balance_of(ledger, account))
            .collect(),
        commons_ugft: u128::try_from(ledger.commons().0).unwrap_or(0),
        sum_ugft: ledger.sum().0,
        chain: chain(ledger),
    }
}

/// The `count` entries before position `before` (or the end), oldest first.
#[must_use]
pub fn entries(ledger: &Ledger, before: Option<u64>, count: usize) -> EntriesView {
    let length = usize::try_from(ledger.length()).unwrap_or(usize::MAX);
    let end = before.map_or(length, |before| {
        usize::try_from(before).unwrap_or(usize::MAX).min(length)
    });
    let start = end.saturating_sub(count.min(ENTRIES_MAX));
    let views = ledger
        .entries(start)
        .zip(ledger.links(start))
        .zip(start..end);
    EntriesView {
        schema: SCHEMA,
        entries: views
            .map(|((entry, link), index)| entry_view(&entry, link.link, index))
            .collect(),
        chain: chain(ledger),
    }
}

/// One entry by its id or a unique beginning of it, with its bytes.
///
/// # Errors
/// [`AskError`] when no entry, or more than one, is meant.
pub fn entry(ledger: &Ledger, asked: &str) -> Result<EntryView, AskError> {
    let asked = asked.trim().to_ascii_lowercase();
    if asked.is_empty() || !asked.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let message =
            format!("\"{asked}\" is no entry id: give its hexadecimal digits, or the first few");
        return Err(AskError::new(ErrorCode::InvalidRequest, message));
    }
    let mut found = ledger
        .links(0)
        .enumerate()
        .filter(|(_, link)| link.id.to_string().starts_with(&asked));
    let (first, second) = (found.next(), found.next());
    let Some((index, link)) = first else {
        let message = format!("no entry {asked} is held here (`talkoot ledger ls`)");
        return Err(AskError::new(ErrorCode::NotFound, message));
    };
    if second.is_some() {
        let message = format!("several entries begin with {asked}; give more digits");
        return Err(AskError::new(ErrorCode::InvalidRequest, message));
    }
    let held = ledger
        .view(&link.id)
        .ok_or_else(|| AskError::new(ErrorCode::Internal, "the chain lost an entry"))?;
    let mut view = entry_view(&held, link.link, index);
    view.bytes = Some(hex(&held.entry.to_bytes()));
    Ok(view)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entry_view(held: &talkoot_ledger::views::EntryView<'_>, link: Hash, index: usize) -> EntryView {
    let entry = held.entry;
    let payload = Payload::decode(entry.kind, &entry.payload);
    let (summary, fields) = match &payload {
        Ok(Some(payload)) => describe(entry.author, payload, &held.outcome),
        Ok(None) => (
            format!("{} says something of a later version", entry.author.short()),
            Value::Null,
        ),
        Err(error) => (
            format!("{} says something malformed", entry.author.short()),
            json!(error.to_string()),
        ),
    };
    EntryView {
        id: held.id.to_string(),
        index: index as u64,
        link: link.to_string(),
        author: entry.author.to_string(),
        seq: entry.seq,
        prev: (entry.seq > 0).then(|| entry.prev.to_string()),
        refs: entry.refs.iter().map(ToString::to_string).collect(),
        lamport: entry.lamport,
        time_ms: entry.time_ms,
        names: entry.names.iter().map(ToString::to_string).collect(),
        kind: kinds::name(entry.kind).to_owned(),
        summary,
        effect: effect(&held.outcome),
        confirmed: held.is_confirmed,
        fields,
        bytes: None,
    }
}

/// What an entry came to, in words.
fn effect(outcome: &Outcome) -> String {
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
    }
}

fn describe(author: Wallet, payload: &Payload, outcome: &Outcome) -> (String, Value) {
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
        Payload::Reserve(reserve) => {
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
        Payload::Equivocation(_) => (
            format!("{author} shows two entries of one number"),
            json!({}),
        ),
        Payload::Model(model) => match ModelCard::decode(&model.card) {
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
        },
    }
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
