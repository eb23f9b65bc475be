//! Forked logs: both entries, and the proofs that everybody holds.

use super::chain;
use super::entries::by_id;
use crate::api::{ForkView, ForksView, SCHEMA};
use std::collections::BTreeMap;
use talkoot_ledger::Ledger;
use talkoot_ledger::kinds::Payload;
use talkoot_protocol::{Hash, Wallet};

/// Forked logs that are shown.
const FORKS_MAX: usize = 200;
/// Entries and proofs of one fork that are shown.
const TWINS_MAX: usize = 16;

/// All forked logs, by what is held and by what is proven.
pub(super) fn forks(ledger: &Ledger) -> ForksView {
    let held: BTreeMap<Wallet, _> = ledger
        .forks()
        .into_iter()
        .map(|fork| (fork.author, fork))
        .collect();
    let mut proofs = ledger.proofs();
    let authors = ledger.forked_authors();
    let view = |author: &Wallet| {
        let proofs = proofs.remove(author).unwrap_or_default();
        let fork = held.get(author);
        let entries = fork.map_or_else(Vec::new, |fork| fork.entries.clone());
        ForkView {
            author: author.to_string(),
            seq: fork
                .map(|fork| fork.seq)
                .or_else(|| proofs.iter().filter_map(|id| proven_seq(ledger, id)).min()),
            entries: entries
                .iter()
                .take(TWINS_MAX)
                .filter_map(|id| by_id(ledger, id, false))
                .collect(),
            proofs: proofs
                .iter()
                .take(TWINS_MAX)
                .map(ToString::to_string)
                .collect(),
        }
    };
    ForksView {
        schema: SCHEMA,
        total: authors.len() as u64,
        forks: authors.iter().take(FORKS_MAX).map(view).collect(),
        authors: ledger.wallets().len() as u64,
        chain: chain(ledger),
    }
}

fn proven_seq(ledger: &Ledger, proof: &Hash) -> Option<u64> {
    let entry = ledger.entry(proof)?;
    match Payload::decode(entry.kind, &entry.payload) {
        Ok(Some(Payload::Equivocation(pair))) => {
            pair.proof(ledger.network()).ok().map(|proof| proof.seq)
        }
        _ => None,
    }
}
