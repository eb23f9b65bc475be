//! `ledger ls`: a page of the chain, and what comes in after it.

use super::reader::Reader;
use crate::api::{ArrivalsQuestion, ArrivalsView, EntriesQuestion, EntriesView, EntryView};
use crate::cli::LedgerLsArgs;
use crate::commands::output::{self, Align, Table};
use crate::exit::{Exit, Failure};
use crate::units;
use crate::views::ENTRIES_MAX;
use std::collections::BTreeSet;
use std::time::Duration;

/// Between two looks for new entries.
const LOOK: Duration = Duration::from_millis(300);

/// Prints entries; with `--follow` until it is interrupted.
///
/// # Errors
/// When the books cannot be read, or a filter names nothing.
pub(super) fn run(args: &LedgerLsArgs, books: &Reader) -> Result<(), Failure> {
    if args.follow {
        return follow(args, books);
    }
    let view = page(args, books)?;
    if args.json {
        return output::print_json(&view);
    }
    output::print(&table(&view.entries, true))?;
    output::note(&closing(args, &view));
    Ok(())
}

fn closing(args: &LedgerLsArgs, view: &EntriesView) -> String {
    let chain = format!(
        "{} of {} entries, tip {}\n",
        view.entries.len(),
        view.chain.length,
        output::short(&view.chain.tip)
    );
    if view.chain.length == 0 {
        return "the books are empty: the first paid question writes into them \
                (`talkoot ask \"…\"` on a node that has no layers of its own)\n"
            .to_owned();
    }
    if view.entries.is_empty() && is_filtered(args) {
        return format!("{chain}nothing matches; `talkoot ledger ls` shows all\n");
    }
    chain
}

const fn is_filtered(args: &LedgerLsArgs) -> bool {
    args.author.is_some() || args.kind.is_some() || args.job.is_some() || args.effect.is_some()
}

/// As many as asked for, from as many pages as that takes.
fn page(args: &LedgerLsArgs, books: &Reader) -> Result<EntriesView, Failure> {
    let mut question = EntriesQuestion {
        from: args.from,
        before: args.before,
        count: Some(args.count.min(ENTRIES_MAX)),
        author: args.author.clone(),
        kind: args.kind.clone(),
        job: args.job.clone(),
        effect: args.effect.clone(),
        bytes: false,
    };
    let mut view = books.ask(&question)?;
    loop {
        let missing = args.count.saturating_sub(view.entries.len());
        let end = args.before.unwrap_or(u64::MAX).min(view.chain.length);
        let is_over = if args.from.is_some() {
            question.from = Some(view.before);
            view.before >= end
        } else {
            question.before = Some(view.from);
            view.from == 0
        };
        if missing == 0 || is_over {
            return Ok(view);
        }
        question.count = Some(missing.min(ENTRIES_MAX));
        let more = books.ask(&question)?;
        if args.from.is_some() {
            view.entries.extend(more.entries);
            view.before = more.before;
        } else {
            view.entries.splice(0..0, more.entries);
            view.from = more.from;
        }
        view.chain = more.chain;
    }
}

fn follow(args: &LedgerLsArgs, books: &Reader) -> Result<(), Failure> {
    if !books.is_live() {
        return Err(Failure::new(
            Exit::NotRunning,
            "a journal on disk does not grow: --follow needs a running node",
        )
        .hint("`talkoot up` starts one; `talkoot ledger inspect` watches a network from outside"));
    }
    // Where the end is comes first, so that nothing falls between.
    let mut next = books.ask(&ArrivalsQuestion::default())?.next;
    let view = page(args, books)?;
    let mut shown: BTreeSet<String> = BTreeSet::new();
    show(args, &view.entries, true)?;
    shown.extend(view.entries.into_iter().map(|entry| entry.id));
    loop {
        let arrived: ArrivalsView = books.ask(&ArrivalsQuestion { from: Some(next) })?;
        let new: Vec<EntryView> = arrived
            .entries
            .into_iter()
            .filter(|entry| !shown.contains(&entry.id) && takes(args, entry))
            .collect();
        show(args, &new, false)?;
        if arrived.next == next {
            // What was shown before can come no more.
            shown.clear();
            std::thread::sleep(LOOK);
        }
        // Lower after the node was started anew: its count begins again.
        next = arrived.next;
    }
}

fn show(args: &LedgerLsArgs, entries: &[EntryView], is_first: bool) -> Result<(), Failure> {
    if args.json {
        return entries.iter().try_for_each(output::print_json);
    }
    if entries.is_empty() && !is_first {
        return Ok(());
    }
    output::print(&table(entries, is_first))
}

/// Whether an entry that came in passes the filters.
fn takes(args: &LedgerLsArgs, entry: &EntryView) -> bool {
    let begins = |asked: &Option<String>, text: Option<&str>| match asked {
        None => true,
        Some(asked) => text.is_some_and(|text| text.starts_with(&asked.to_ascii_lowercase())),
    };
    begins(&args.author, Some(&entry.author))
        && begins(&args.job, entry.job.as_deref())
        && args.kind.as_ref().is_none_or(|kind| *kind == entry.kind)
        && args.effect.as_ref().is_none_or(|effect| {
            *effect == entry.outcome.name || (effect == "ok" && entry.outcome.name != "inert")
        })
}

/// Columns of fixed width, so that what follows later lines up.
pub(super) fn table(entries: &[EntryView], with_heading: bool) -> String {
    let mut table = Table::new(&[
        ("INDEX", Align::Right),
        ("ID", Align::Left),
        ("TIME (UTC)", Align::Left),
        ("AUTHOR", Align::Left),
        ("SEQ", Align::Right),
        ("KIND", Align::Left),
        ("STATE", Align::Left),
        ("EFFECT", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for entry in entries {
        table.row(vec![
            format!("{:>5}", entry.index),
            output::id(&entry.id),
            units::utc(entry.time_ms),
            output::wallet(&entry.author),
            format!("{:>3}", entry.seq),
            format!("{:<8}", entry.kind),
            format!("{:<9}", confirmed(entry)),
            format!("{:<42}", entry.effect),
            entry.summary.clone(),
        ]);
    }
    let text = table.render();
    if with_heading {
        return text;
    }
    text.split_once('\n')
        .map_or_else(String::new, |(_, rows)| rows.to_owned())
}

/// Whether founders have confirmed an entry, in a word.
pub(super) const fn confirmed(entry: &EntryView) -> &'static str {
    if entry.confirmed {
        "confirmed"
    } else {
        "pending"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::OutcomeView;

    fn args() -> LedgerLsArgs {
        LedgerLsArgs {
            count: 20,
            before: None,
            from: None,
            author: None,
            kind: None,
            job: None,
            effect: None,
            follow: true,
            json: false,
        }
    }

    fn entry() -> EntryView {
        let text = r#"{"schema":1,"id":"e1","index":0,"link_before":"","link":"","effect_hash":"",
            "author":"abcd","seq":0,"prev":null,"refs":[],"lamport":1,"time_ms":0,"names":[],
            "kind":"frontier","job":"77ff","summary":"s","effect":"ok","outcome":{"name":"paid"},
            "confirmed":true,"confirmed_by":[],"fields":null}"#;
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_comes_in_passes_the_same_filters() {
        let some = |text: &str| Some(text.to_owned());
        let with = |change: fn(&mut LedgerLsArgs, Option<String>), value: &str| {
            let mut args = args();
            change(&mut args, some(value));
            takes(&args, &entry())
        };
        assert!(takes(&args(), &entry()));
        assert!(with(|args, value| args.author = value, "AB"));
        assert!(!with(|args, value| args.author = value, "b"));
        assert!(with(|args, value| args.job = value, "77"));
        assert!(!with(|args, value| args.job = value, "78"));
        assert!(with(|args, value| args.kind = value, "frontier"));
        assert!(!with(|args, value| args.kind = value, "front"));
        assert!(with(|args, value| args.effect = value, "ok"));
        assert!(with(|args, value| args.effect = value, "paid"));
        assert!(!with(|args, value| args.effect = value, "inert"));
        let mut inert = entry();
        inert.outcome = OutcomeView {
            name: "inert".to_owned(),
            ..OutcomeView::default()
        };
        let mut asked = args();
        asked.effect = some("ok");
        assert!(!takes(&asked, &inert));
    }

    #[test]
    fn the_heading_is_printed_once() {
        let with = table(&[entry()], true);
        let without = table(&[entry()], false);
        assert!(with.starts_with("INDEX"));
        assert!(with.ends_with(&without) && !without.contains("INDEX"));
        assert_eq!(table(&[], false), "");
    }
}
