//! Balances, lines and holds of wallets, and the commons.
//!
//! Law: the sum of all balances and the commons is 0, always: every change here
//! moves an amount from one place to another.

use crate::amount::{Balance, Ugft};
use std::collections::BTreeMap;
use talkoot_protocol::{Genesis, Wallet};

/// The books of one wallet.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) balance: Balance,
    pub(crate) line: Balance,
    pub(crate) held: Balance,
}

/// Which way an effect is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Apply,
    Undo,
}

impl Direction {
    fn of(self, amount: Ugft) -> Balance {
        match self {
            Self::Apply => Balance::from(amount),
            Self::Undo => Balance::ZERO.minus(amount),
        }
    }
}

/// All accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Accounts {
    wallets: BTreeMap<Wallet, Account>,
    commons: Balance,
}

impl Accounts {
    pub(crate) fn new(genesis: &Genesis) -> Self {
        let line = |line_ugft| Account {
            line: Balance::from(Ugft(line_ugft)),
            ..Account::default()
        };
        let wallets = genesis
            .founders
            .iter()
            .map(|founder| (founder.wallet, line(founder.line_ugft)))
            .collect();
        Self {
            wallets,
            commons: Balance::ZERO,
        }
    }

    pub(crate) fn get(&self, wallet: &Wallet) -> Account {
        self.wallets.get(wallet).copied().unwrap_or_default()
    }

    /// Those with anything in their books. A wallet whose only effects were
    /// undone is as if it had never had any.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Wallet, &Account)> {
        let blank = Account::default();
        self.wallets
            .iter()
            .filter(move |(_, account)| **account != blank)
    }

    pub(crate) const fn commons(&self) -> Balance {
        self.commons
    }

    /// Σ balances + commons.
    pub(crate) fn sum(&self) -> Balance {
        self.wallets
            .values()
            .fold(self.commons, |sum, account| sum.join(account.balance))
    }

    /// Moves `burned` from the submitter: `earned` to the worker, the rest to
    /// the commons.
    pub(crate) fn pay(
        &mut self,
        from: Wallet,
        to: Wallet,
        amounts: (Ugft, Ugft),
        direction: Direction,
    ) {
        let burned = direction.of(amounts.0);
        let earned = direction.of(amounts.1);
        let payer = self.wallets.entry(from).or_default();
        payer.balance = payer.balance.without(burned);
        let worker = self.wallets.entry(to).or_default();
        worker.balance = worker.balance.join(earned);
        self.commons = self.commons.join(burned.without(earned));
    }

    /// Moves a part of a line.
    pub(crate) fn pass_on(&mut self, from: Wallet, to: Wallet, line: Ugft, direction: Direction) {
        let line = direction.of(line);
        let giver = self.wallets.entry(from).or_default();
        giver.line = giver.line.without(line);
        let receiver = self.wallets.entry(to).or_default();
        receiver.line = receiver.line.join(line);
    }

    /// Changes what is held of a submitter's money.
    pub(crate) fn change_held(&mut self, submitter: Wallet, before: Ugft, after: Ugft) {
        let account = self.wallets.entry(submitter).or_default();
        account.held = account.held.plus(after).minus(before);
    }
}
