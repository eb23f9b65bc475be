//! Small histories written by hand: a ledger that the oracle agrees with.

use super::oracle::Oracle;
use super::{E, Kit};
use talkoot_ledger::{Ledger, Outcome, Source, id_of};

/// A ledger of these entries, and the oracle's agreement with it.
pub fn books(kit: &Kit, entries: &[&E]) -> Ledger {
    let mut ledger = Ledger::new(kit.genesis.clone());
    let all: Vec<E> = entries.iter().map(|entry| (*entry).clone()).collect();
    ledger.admit_batch(all, Source::Own, 0);
    assert_eq!(ledger.length(), entries.len() as u64, "an entry is missing");
    let mut oracle = Oracle::new(kit.genesis.clone());
    let mut order: Vec<&&E> = entries.iter().collect();
    order.sort_by_key(|entry| entry.lamport);
    for entry in order {
        oracle.add((*entry).clone());
    }
    let fold = oracle.fold(oracle.all());
    assert_eq!(ledger.tip(), oracle.tip(oracle.all(), &fold));
    ledger
}

pub fn outcome(ledger: &Ledger, entry: &E) -> Outcome {
    ledger.view(&id_of(entry)).unwrap().outcome
}

pub fn is_confirmed(ledger: &Ledger, entry: &E) -> bool {
    ledger.is_confirmed(&id_of(entry))
}
