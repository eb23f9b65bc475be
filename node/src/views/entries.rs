//! Entries: pages of the chain, entries as they come, one entry by its id.
//!
//! A page looks through at most [`SCAN_MAX`] positions and says which; a caller
//! that wants more asks on from there.

use super::describe::{describe, effect, outcome, outcome_name};
use super::{chain, hex, prefix};
use crate::api::{
    ArrivalsView, AskError, EntriesQuestion, EntriesView, EntryView, ErrorCode, SCHEMA,
};
use std::ops::Range;
use talkoot_ledger::explore::Placed;
use talkoot_ledger::{Ledger, kinds};
use talkoot_protocol::{Hash, JobId, Wallet};

/// Entries of one page.
pub const ENTRIES_MAX: usize = 1000;
/// Entries of one page with their bytes.
pub const BYTES_ENTRIES_MAX: usize = 250;
/// Entries of one page when nothing is said.
const ENTRIES_DEFAULT: usize = 100;
/// Positions that one page looks through.
const SCAN_MAX: usize = 100_000;
/// Kinds that have a name stand below this number.
const KINDS_MAX: u16 = 64;

/// Which entries are meant.
#[derive(Debug, Default)]
struct Filter {
    author: Option<Wallet>,
    kind: Option<u16>,
    job: Option<JobId>,
    effect: Option<Effect>,
}

#[derive(Debug, PartialEq, Eq)]
enum Effect {
    Effective,
    Named(&'static str),
}

impl Filter {
    fn new(ledger: &Ledger, question: &EntriesQuestion) -> Result<Self, AskError> {
        let author = question.author.as_deref();
        let job = question.job.as_deref();
        Ok(Self {
            author: author.map(|asked| wallet(ledger, asked)).transpose()?,
            kind: question.kind.as_deref().map(kind).transpose()?,
            job: job.map(|asked| job_id(ledger, asked)).transpose()?,
            effect: question.effect.as_deref().map(effect_of).transpose()?,
        })
    }

    fn takes(&self, placed: &Placed<'_>) -> bool {
        self.author
            .is_none_or(|author| placed.entry.author == author)
            && self.kind.is_none_or(|kind| placed.entry.kind == kind)
            && self.job.is_none_or(|job| placed.job == Some(job))
            && self.effect.as_ref().is_none_or(|effect| match effect {
                Effect::Effective => placed.outcome.is_effective(),
                Effect::Named(name) => outcome_name(&placed.outcome) == *name,
            })
    }
}

/// A wallet known here by the beginning of its id.
pub(super) fn wallet(ledger: &Ledger, asked: &str) -> Result<Wallet, AskError> {
    let wallets = ledger.wallets().into_iter();
    let ids = wallets.map(|wallet| *wallet.as_bytes());
    prefix::resolve("wallet", "talkoot ledger balances", asked, ids).map(Wallet::from_bytes)
}

/// A job by the beginning of its id.
pub(super) fn job_id(ledger: &Ledger, asked: &str) -> Result<JobId, AskError> {
    let ids = ledger.jobs().map(|job| *job.0.as_bytes());
    prefix::resolve("job", "talkoot ledger ls --kind reserve", asked, ids)
        .map(|id| JobId(Hash::from_bytes(id)))
}

fn kind(asked: &str) -> Result<u16, AskError> {
    let named = || (0..KINDS_MAX).filter(|kind| kinds::name(*kind) != "unknown");
    named()
        .find(|kind| kinds::name(*kind) == asked)
        .or_else(|| asked.parse().ok())
        .ok_or_else(|| {
            let names: Vec<&str> = named().map(kinds::name).collect();
            let message = format!(
                "\"{asked}\" is no kind of entry; kinds are {} (or a number)",
                names.join(", ")
            );
            AskError::new(ErrorCode::InvalidRequest, message)
        })
}

fn effect_of(asked: &str) -> Result<Effect, AskError> {
    const NAMES: [&str; 6] = ["inert", "noted", "admitted", "reserved", "paid", "released"];
    if asked == "ok" {
        return Ok(Effect::Effective);
    }
    let named = NAMES.into_iter().find(|name| *name == asked);
    named.map(Effect::Named).ok_or_else(|| {
        let message = format!(
            "\"{asked}\" is no effect; give ok (any effect) or one of {}",
            NAMES.join(", ")
        );
        AskError::new(ErrorCode::InvalidRequest, message)
    })
}

/// A page of the chain: see [`EntriesQuestion`].
pub(super) fn page(ledger: &Ledger, question: &EntriesQuestion) -> Result<EntriesView, AskError> {
    let most = if question.bytes {
        BYTES_ENTRIES_MAX
    } else {
        ENTRIES_MAX
    };
    let count = question.count.unwrap_or_else(|| ENTRIES_DEFAULT.min(most));
    if count > most {
        let message = format!("count is at most {most} here; page on with `before` or `from`");
        return Err(AskError::new(ErrorCode::InvalidRequest, message));
    }
    let filter = Filter::new(ledger, question)?;
    let length = usize::try_from(ledger.length()).unwrap_or(usize::MAX);
    let position = |index: u64| usize::try_from(index).unwrap_or(usize::MAX).min(length);
    let end = question.before.map_or(length, position);
    let start = question.from.map_or(0, position).min(end);
    let (found, looked_at) = match question.from {
        Some(_) => oldest(ledger, &filter, start..end, count),
        None => newest(ledger, &filter, start..end, count),
    };
    let view = |placed: &Placed<'_>| entry_view(ledger, placed, question.bytes);
    Ok(EntriesView {
        schema: SCHEMA,
        entries: found.iter().map(view).collect(),
        from: looked_at.start as u64,
        before: looked_at.end as u64,
        chain: chain(ledger),
    })
}

/// The first `count` that the filter takes, and what was looked at.
fn oldest<'a>(
    ledger: &'a Ledger,
    filter: &Filter,
    range: Range<usize>,
    count: usize,
) -> (Vec<Placed<'a>>, Range<usize>) {
    let end = range.end.min(range.start.saturating_add(SCAN_MAX));
    let taken = |placed: &Placed<'_>| filter.takes(placed);
    let found: Vec<_> = ledger
        .placed(range.start..end)
        .filter(taken)
        .take(count)
        .collect();
    let last = found.last().filter(|_| found.len() == count);
    let end = last.map_or(end, |placed| placed.position + 1);
    (found, range.start..end)
}

/// The last `count` that the filter takes, oldest first, and what was looked at.
fn newest<'a>(
    ledger: &'a Ledger,
    filter: &Filter,
    range: Range<usize>,
    count: usize,
) -> (Vec<Placed<'a>>, Range<usize>) {
    let start = range.start.max(range.end.saturating_sub(SCAN_MAX));
    let taken = |placed: &Placed<'_>| filter.takes(placed);
    let mut found: Vec<_> = ledger
        .placed(start..range.end)
        .rev()
        .filter(taken)
        .take(count)
        .collect();
    found.reverse();
    let first = found.first().filter(|_| found.len() == count);
    let start = first.map_or(start, |placed| placed.position);
    (found, start..range.end)
}

/// Entries in the order in which they came; without `from` only where the end
/// is.
pub(super) fn arrivals(ledger: &Ledger, from: Option<u64>) -> ArrivalsView {
    let length = ledger.length();
    let from = from.unwrap_or(length).min(length);
    let start = usize::try_from(from).unwrap_or(usize::MAX);
    let entries: Vec<EntryView> = ledger
        .arrivals(start)
        .take(ENTRIES_MAX)
        .filter_map(|id| by_id(ledger, &id, false))
        .collect();
    ArrivalsView {
        schema: SCHEMA,
        next: from.saturating_add(entries.len() as u64),
        entries,
        chain: chain(ledger),
    }
}

/// One entry by its id or a unique beginning of it, with its bytes.
pub(super) fn entry(ledger: &Ledger, asked: &str) -> Result<EntryView, AskError> {
    let ids = ledger.links(0).map(|link| *link.id.as_bytes());
    let id = prefix::resolve("entry", "talkoot ledger ls", asked, ids).map(Hash::from_bytes)?;
    by_id(ledger, &id, true)
        .ok_or_else(|| AskError::new(ErrorCode::Internal, "the chain lost an entry"))
}

/// A held entry by its id.
pub(super) fn by_id(ledger: &Ledger, id: &Hash, with_bytes: bool) -> Option<EntryView> {
    let position = ledger.position(id)?;
    let placed = ledger.placed(position..position.saturating_add(1)).next()?;
    Some(entry_view(ledger, &placed, with_bytes))
}

fn entry_view(ledger: &Ledger, placed: &Placed<'_>, with_bytes: bool) -> EntryView {
    let entry = placed.entry;
    let (summary, fields) = describe(entry, &placed.outcome);
    let held = ledger.view(&placed.id);
    EntryView {
        schema: SCHEMA,
        id: placed.id.to_string(),
        index: placed.position as u64,
        link_before: ledger.link_before(placed.position).to_string(),
        link: placed.link.to_string(),
        effect_hash: placed.effect.to_string(),
        author: entry.author.to_string(),
        seq: entry.seq,
        prev: (entry.seq > 0).then(|| entry.prev.to_string()),
        refs: entry.refs.iter().map(ToString::to_string).collect(),
        lamport: entry.lamport,
        time_ms: entry.time_ms,
        names: entry.names.iter().map(ToString::to_string).collect(),
        kind: kinds::name(entry.kind).to_owned(),
        job: placed.job.map(|job| job.to_string()),
        summary,
        effect: effect(&placed.outcome),
        outcome: outcome(&placed.outcome),
        confirmed: held.as_ref().is_some_and(|held| held.is_confirmed),
        confirmed_by: held.as_ref().map_or_else(Vec::new, |held| {
            held.confirmed_by.iter().map(ToString::to_string).collect()
        }),
        available_ugft: held.and_then(|held| held.available).map(|amount| amount.0),
        fields,
        bytes: with_bytes.then(|| hex(&entry.to_bytes())),
    }
}
