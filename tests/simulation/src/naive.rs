//! Compares a node's books with two others that keep nothing: the naive oracle
//! of the ledger's own tests, and this crate's recount.
//!
//! The recount takes a node's whole set, whatever stands in it. The oracle holds
//! at most 128 entries and does not read malformed ones: what it cannot hold is
//! left out with all that builds on it, and a fresh ledger of the rest is
//! compared.

#[expect(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "the tests of the ledger share this file"
)]
#[path = "../../../ledger/tests/common/oracle.rs"]
mod oracle;

use crate::craft::E;
use crate::invariants::Violation;
use crate::random::Random;
use crate::recount::Recount;
use oracle::{Oracle, bits};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_ledger::{Balance, Ledger, Payload, Source, entry, id_of};
use talkoot_protocol::{Hash, NetworkId, Wallet};

/// Entries that the oracle can hold.
const ORACLE_MAX: usize = 128;

/// Sets that are counted again in whole; a recount takes the square of it.
const RECOUNT_MAX: usize = 1500;

/// Compares a node's whole books with a recount; tells how many entries were
/// compared: none, when there are too many.
pub(crate) fn recount(ledger: &Ledger) -> Result<u64, Violation> {
    let all: Vec<E> = ledger.entries(0).map(|view| view.entry.clone()).collect();
    if all.len() > RECOUNT_MAX {
        return Ok(0);
    }
    let recount = Recount::new(ledger.genesis(), &all);
    for (id, outcome, is_confirmed) in &recount.outcomes {
        let found = ledger
            .view(id)
            .map(|view| (view.outcome, view.is_confirmed));
        if found != Some((*outcome, *is_confirmed)) {
            let expected = (outcome, is_confirmed);
            return Err(Violation(format!(
                "a recount makes {} {expected:?}, the ledger {found:?}",
                id.short()
            )));
        }
    }
    let books = (&recount.balances, &recount.lines, &recount.held);
    accounts(ledger, books)?;
    if ledger.commons() != Balance(recount.commons) || ledger.tip() != recount.tip() {
        return Err(Violation(
            "a recount comes to another commons or tip".into(),
        ));
    }
    Ok(all.len() as u64)
}

type Amounts = BTreeMap<Wallet, i128>;

fn accounts(
    ledger: &Ledger,
    (balances, lines, held): (&Amounts, &Amounts, &Amounts),
) -> Result<(), Violation> {
    let of = |map: &Amounts, wallet: &Wallet| Balance(map.get(wallet).copied().unwrap_or(0));
    for account in ledger.accounts() {
        let wallet = account.wallet;
        let found = (account.balance, account.line, account.held);
        let expected = (of(balances, &wallet), of(lines, &wallet), of(held, &wallet));
        if found != expected {
            let who = wallet.short();
            return Err(Violation(format!(
                "counted plainly {who} has {expected:?}, in the ledger {found:?}"
            )));
        }
    }
    Ok(())
}

/// Compares with the oracle; tells how many entries were.
pub(crate) fn compare(ledger: &Ledger, random: &mut Random) -> Result<u64, Violation> {
    let all: Vec<E> = ledger.entries(0).map(|view| view.entry.clone()).collect();
    let plain = plain(&all, ledger.network());
    let chosen = if plain.len() > ORACLE_MAX {
        some(&plain, random)
    } else {
        plain
    };
    if chosen.len() == all.len() {
        return against(ledger, &chosen);
    }
    let mut part = Ledger::new(ledger.genesis().clone());
    let mut shuffled = chosen.clone();
    random.shuffle(&mut shuffled);
    part.admit_batch(shuffled, Source::Own, 0);
    against(&part, &chosen)
}

fn against(ledger: &Ledger, entries: &[E]) -> Result<u64, Violation> {
    let mut oracle = Oracle::new(ledger.genesis().clone());
    for entry in entries {
        oracle.add(entry.clone());
    }
    let set = oracle.all();
    let fold = oracle.fold(set);
    for i in bits(set) {
        let id = id_of(&oracle.entries[i]);
        let view = ledger
            .view(&id)
            .ok_or_else(|| Violation(format!("{} is not held", id.short())))?;
        let expected = (fold.outcomes[&i], oracle.confirmed(i, set));
        if (view.outcome, view.is_confirmed) != expected {
            let found = (view.outcome, view.is_confirmed);
            return Err(Violation(format!(
                "the oracle makes {} {expected:?}, the ledger {found:?}",
                id.short()
            )));
        }
    }
    accounts(ledger, (&fold.balances, &fold.lines, &fold.held))?;
    if ledger.commons() != Balance(fold.commons) || ledger.tip() != oracle.tip(set, &fold) {
        return Err(Violation(
            "the oracle comes to another commons or tip".into(),
        ));
    }
    Ok(entries.len() as u64)
}

/// The entries that the oracle reads, parents before children.
fn plain(all: &[E], network: NetworkId) -> Vec<E> {
    let mut left: BTreeSet<Hash> = BTreeSet::new();
    let mut reserves: BTreeMap<Hash, (Wallet, Reserve)> = BTreeMap::new();
    let mut chosen = Vec::new();
    for view in all {
        let id = id_of(view);
        let payload = Payload::decode(view.kind, &view.payload);
        let is_plain = match &payload {
            Ok(Some(Payload::Reserve(reserve))) => is_plain_reserve(view, reserve, network),
            Ok(Some(Payload::Frontier(frontier))) => {
                is_plain_frontier(frontier, &reserves, network)
            }
            Ok(Some(Payload::Equivocation(pair))) => pair.proof(network).is_ok(),
            Ok(Some(Payload::Model(model))) => {
                talkoot_protocol::ModelCard::decode(&model.card).is_ok()
            }
            Ok(_) => true,
            Err(_) => false,
        };
        let is_whole = entry::parents(view).all(|parent| !left.contains(&parent));
        if !is_plain || !is_whole {
            left.insert(id);
            continue;
        }
        if let Ok(Some(Payload::Reserve(reserve))) = payload {
            reserves.insert(id, (view.author, *reserve));
        }
        chosen.push(view.clone());
    }
    chosen
}

fn is_plain_reserve(entry: &E, reserve: &Reserve, network: NetworkId) -> bool {
    let offers: Vec<_> = reserve.offers.iter().map(|offer| offer.claimed()).collect();
    let tiles = (0..)
        .zip(&offers)
        .all(|(layer, offer)| offer.range.start() == layer && offer.range.end() == layer + 1);
    let workers: BTreeSet<Wallet> = offers.iter().map(|offer| offer.worker).collect();
    let fits = |offer: &&talkoot_protocol::Offer| {
        offer.model == reserve.model
            && offer.price_ugft_per_token == reserve.price_ugft_per_token
            && offer.memory_bytes > 0
            && reserve.prompt_tokens <= offer.prompt_tokens_max
            && reserve.completion_tokens_max <= offer.completion_tokens_max
    };
    tiles
        && workers.len() == offers.len()
        && offers.len() == reserve.layers as usize
        && offers.iter().all(fits)
        && reserve.continues.is_none()
        && offers.iter().all(|offer| offer.submitter == entry.author)
        && reserve
            .offers
            .iter()
            .all(|offer| offer.clone().verify(network).is_ok())
}

fn is_plain_frontier(
    frontier: &Frontier,
    reserves: &BTreeMap<Hash, (Wallet, Reserve)>,
    network: NetworkId,
) -> bool {
    let pair = crate::world::pair_of(frontier, network);
    let job = reserves.get(&frontier.job.0);
    pair.zip(job)
        .is_some_and(|((attestation, ack), (submitter, reserve))| {
            let last = reserve.offers.last().map(|offer| offer.claimed().worker);
            attestation.job == frontier.job
                && ack.job == frontier.job
                && ack.attestation == attestation.id()
                && ack.prompt_done <= attestation.prompt_done
                && ack.completion_done <= attestation.completion_done
                && Some(attestation.stage) == last
                && ack.submitter == *submitter
        })
}

/// A closed part that fits: random entries with their pasts.
fn some(plain: &[E], random: &mut Random) -> Vec<E> {
    let by_id: BTreeMap<Hash, &E> = plain.iter().map(|entry| (id_of(entry), entry)).collect();
    let mut chosen: BTreeSet<Hash> = BTreeSet::new();
    for _ in 0..64 {
        let mut more = chosen.clone();
        let mut stack: Vec<Hash> = random.pick(plain).iter().map(id_of).collect();
        while let Some(id) = stack.pop() {
            if more.insert(id) {
                stack.extend(
                    by_id
                        .get(&id)
                        .into_iter()
                        .flat_map(|entry| entry::parents(entry)),
                );
            }
        }
        if more.len() <= ORACLE_MAX {
            chosen = more;
        }
    }
    plain
        .iter()
        .filter(|entry| chosen.contains(&id_of(entry)))
        .cloned()
        .collect()
}
