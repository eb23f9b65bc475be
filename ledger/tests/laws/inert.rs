//! Law: an inert entry moves nothing. At its place it does what an empty
//! `Witness` would do: it may fork its author's log, and a founder's confirms
//! what it has seen. Apart from that, all books are what they were.

use crate::common::history::History;
use crate::common::{E, is_enough};
use crate::walk::{Step, walk};
use talkoot_ledger::{Ledger, Payload, Source, id_of, kinds};
use talkoot_protocol::Verified;

/// The same entry, but it says nothing.
fn silent(history: &History, entry: &E) -> E {
    let mut entry = entry.clone().into_inner();
    (entry.kind, entry.payload) = (kinds::WITNESS, Payload::Witness.to_bytes());
    // Another entry than any witness held, and no claim that a job is over.
    entry.time_ms = 1;
    let key = history.kit.key(entry.author).clone();
    Verified::sign(entry, &key, history.kit.network).unwrap()
}

fn check(step: &Step<'_>, ledger: &Ledger) {
    let oracle = &step.history.oracle;
    let entry = &oracle.entries[step.newest];
    let forks_before = oracle.fork_seq(entry.author, step.set_before);
    let is_founder = step.history.kit.genesis.line_ugft(entry.author) > 0;
    if !is_founder && oracle.fork_seq(entry.author, step.set) == forks_before {
        assert_eq!(step.before.accounts, step.after.accounts);
        assert_eq!(step.before.commons, step.after.commons);
        for (i, was) in &step.before.entries {
            assert_eq!(was, &step.after.entries[i], "entry {i}");
        }
    }
    for account in step.after.accounts.values() {
        assert_eq!(&ledger.account(account.wallet), account);
    }
    assert_eq!(ledger.commons(), step.after.commons);
    for wallet in step.ledger.wallets() {
        assert_eq!(ledger.available(wallet), step.ledger.available(wallet));
    }
    for (&i, &(outcome, is_confirmed)) in &step.before.entries {
        let view = ledger.view(&id_of(&oracle.entries[i])).unwrap();
        let (with, with_confirmed) = step.after.entries[&i];
        assert_eq!((view.outcome, view.is_confirmed), (with, with_confirmed));
        assert!(is_confirmed <= with_confirmed, "{outcome:?}");
    }
}

#[test]
fn an_inert_entry_does_what_an_empty_witness_does() {
    let mut inert = 0_u64;
    let mut held: Vec<E> = Vec::new();
    walk(30, 60, |step| {
        let entry = &step.history.oracle.entries[step.newest];
        if step.set_before == 0 {
            held.clear();
        }
        let (outcome, _) = step.after.entries[&step.newest];
        if outcome.reason().is_some() && entry.kind != kinds::WITNESS {
            inert += 1;
            let mut ledger = Ledger::new(step.history.kit.genesis.clone());
            let twin = silent(step.history, entry);
            ledger.admit_batch(held.iter().cloned().chain([twin]).collect(), Source::Own, 0);
            assert_eq!(ledger.length(), held.len() as u64 + 1);
            check(step, &ledger);
        }
        held.push(entry.clone());
    });
    assert!(is_enough([inert], 30), "only {inert} inert entries");
}
