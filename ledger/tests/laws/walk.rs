//! Random histories with cheaters, admitted entry by entry in a random order,
//! parents first: a law looks at the books before and after each.

use crate::common::history::{self, History};
use crate::common::oracle::{Set, bits};
use crate::common::{Rng, SeedGuard, seed_list, wallet};
use std::collections::BTreeMap;
use talkoot_ledger::views::AccountView;
use talkoot_ledger::{Admission, Balance, Ledger, Outcome, Source, id_of};
use talkoot_protocol::Wallet;

/// Lines of the four founders, of whom the first cheats: always less than a
/// third of all.
pub(crate) const LINES: [[u64; 4]; 4] = [
    [100, 100, 100, 100],
    [99, 100, 100, 1],
    [0, 150, 100, 50],
    [130, 90, 90, 90],
];

/// What a ledger says of money and entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Books {
    /// By the entry's place in the oracle: what it came to, whether it is
    /// confirmed.
    pub(crate) entries: BTreeMap<usize, (Outcome, bool)>,
    pub(crate) accounts: BTreeMap<Wallet, AccountView>,
    pub(crate) commons: Balance,
}

impl Books {
    pub(crate) fn of(ledger: &Ledger, history: &History, set: Set) -> Self {
        let entry = |i: usize| {
            let view = ledger.view(&id_of(&history.oracle.entries[i])).unwrap();
            (i, (view.outcome, view.is_confirmed))
        };
        let accounts = ledger.accounts().into_iter();
        Self {
            entries: bits(set).map(entry).collect(),
            // A wallet that was only named has no books yet.
            accounts: accounts
                .filter(|account| !is_blank(account))
                .map(|account| (account.wallet, account))
                .collect(),
            commons: ledger.commons(),
        }
    }
}

fn is_blank(account: &AccountView) -> bool {
    let zero = Balance::ZERO;
    (account.balance, account.line, account.held) == (zero, zero, zero) && account.pending.0 == 0
}

/// A step: `newest` was added to `set_before`.
pub(crate) struct Step<'a> {
    pub(crate) history: &'a History,
    pub(crate) ledger: &'a Ledger,
    pub(crate) newest: usize,
    pub(crate) set_before: Set,
    pub(crate) set: Set,
    pub(crate) before: &'a Books,
    pub(crate) after: &'a Books,
}

/// A random order of a history's entries with parents first.
pub(crate) fn linear_order(history: &History, random: &mut Rng) -> Vec<usize> {
    let mut left: Vec<usize> = bits(history.oracle.all()).collect();
    let (mut order, mut set): (Vec<usize>, Set) = (Vec::new(), 0);
    while !left.is_empty() {
        let ready: Vec<usize> = (0..left.len())
            .filter(|&k| history.oracle.past[left[k]] & !set == 0)
            .collect();
        let i = left.swap_remove(random.pick(&ready));
        set |= 1 << i;
        order.push(i);
    }
    order
}

/// Adds one entry whose parents are held.
pub(crate) fn add(ledger: &mut Ledger, history: &History, i: usize) {
    let entry = history.oracle.entries[i].clone();
    let admission = ledger.admit(entry, Source::Peer(wallet("peer")), 0);
    assert!(
        matches!(admission, Admission::Added { .. }),
        "{admission:?}"
    );
}

/// Walks one history of each seed.
pub(crate) fn walk(default_seeds: u64, length: usize, mut look: impl FnMut(&Step<'_>)) {
    for seed in seed_list(default_seeds) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let lines = random.pick(&LINES);
        let history = history::write_with(&mut random, lines, 1, length);
        walk_one(&history, &mut random, &mut look);
    }
}

/// Walks one history in one random order.
pub(crate) fn walk_one(history: &History, random: &mut Rng, look: &mut impl FnMut(&Step<'_>)) {
    let mut ledger = Ledger::new(history.kit.genesis.clone());
    let mut set: Set = 0;
    let mut before = Books::of(&ledger, history, set);
    for newest in linear_order(history, random) {
        add(&mut ledger, history, newest);
        let set_before = set;
        set |= 1 << newest;
        let after = Books::of(&ledger, history, set);
        look(&Step {
            history,
            ledger: &ledger,
            newest,
            set_before,
            set,
            before: &before,
            after: &after,
        });
        before = after;
    }
}
