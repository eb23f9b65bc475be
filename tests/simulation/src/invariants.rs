//! The invariants: what must hold in every run, whoever lies.
//!
//! | law | where it is looked at | source |
//! |---|---|---|
//! | equal sets have equal chains, on every node, at every moment | after each admission | LEDGER.md 3 |
//! | membership never flips: what one honest node refuses none holds | after each admission | LEDGER.md 2 |
//! | an honest wallet signs one entry at one number, whatever its disk does | each own entry, each admission | LEDGER.md 5 |
//! | what a node has admitted is there after a crash | each restart | LEDGER.md 6 |
//! | Σ balances + commons = 0 | each inspection | LEDGER.md 4 |
//! | Σ lines = Σ founders' lines | each inspection | LEDGER.md 4 |
//! | of a job: Σ earned + commons = burned ≤ cap; of a stage: earned ≤ burned ≤ hold | each inspection | LEDGER.md 4 |
//! | no wallet that did not fork has less than nothing available | each inspection, minority | LEDGER.md 4 |
//! | no balance, with what is held, is below its line | each inspection, minority | LEDGER.md 4 |
//! | cheaters together never gain: what they owe is covered by their lines | each inspection, minority | LEDGER.md 8 |
//! | what is confirmed keeps its outcome, on every node | each inspection, minority | LEDGER.md 4 |
//! | no honest wallet is convicted of a fork | each inspection | LEDGER.md 5 |
//! | an honest peer is never marked by an honest one | each mark | LEDGER.md 7 |
//! | what was acknowledged to an honest stage is paid, if the order has effect | the end, minority | LEDGER.md 4 |
//! | connected honest nodes converge, know the same forks, and may sign | the end | LEDGER.md 7 |
//! | a restarted node has the tip it had | the end | LEDGER.md 6 |
//!
//! *Minority*: while cheating founders hold less than a third of the lines.
//! Above it these, and only these, may fail. That nothing panics is looked at
//! by whoever starts a run.

use crate::craft::E;
use std::collections::{BTreeMap, BTreeSet};
use talkoot_ledger::{Balance, Ledger, Outcome, id_of};
use talkoot_protocol::{Hash, Wallet};

/// A law that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

pub(crate) type Lawful = Result<(), Violation>;

fn law(holds: bool, broken: impl FnOnce() -> String) -> Lawful {
    if holds {
        Ok(())
    } else {
        Err(Violation(broken()))
    }
}

/// What must stay true from one moment to the next.
#[derive(Debug, Default)]
pub(crate) struct Invariants {
    pub(crate) honest: BTreeSet<Wallet>,
    pub(crate) cheaters: BTreeSet<Wallet>,
    /// Whether cheating founders hold less than a third of the lines.
    pub(crate) is_minority: bool,
    tips: BTreeMap<(u64, [u8; 32]), Hash>,
    numbers: BTreeMap<(Wallet, u64), Hash>,
    confirmed: BTreeMap<Hash, Outcome>,
    held: BTreeSet<Hash>,
    refused: BTreeSet<Hash>,
}

impl Invariants {
    /// A set that some honest node holds, by length and xor of ids.
    pub(crate) fn equal_sets(&mut self, print: [u8; 32], ledger: &Ledger) -> Lawful {
        let tip = *self
            .tips
            .entry((ledger.length(), print))
            .or_insert_with(|| ledger.tip());
        law(tip == ledger.tip(), || {
            format!("equal sets of {} entries have other tips", ledger.length())
        })
    }

    /// An entry that an honest node holds or has signed.
    pub(crate) fn entry(&mut self, entry: &E) -> Lawful {
        let id = id_of(entry);
        if self.honest.contains(&entry.author) {
            let known = *self.numbers.entry((entry.author, entry.seq)).or_insert(id);
            law(known == id, || {
                let author = entry.author.short();
                format!(
                    "honest {author} has signed two entries at number {}",
                    entry.seq
                )
            })?;
        }
        self.held.insert(id);
        law(!self.refused.contains(&id), || {
            format!("{} is held here and was refused there", id.short())
        })
    }

    pub(crate) fn refused(&mut self, id: Hash) -> Lawful {
        self.refused.insert(id);
        law(!self.held.contains(&id), || {
            format!("{} is refused here and was held there", id.short())
        })
    }

    /// Everything that one honest node's books say.
    pub(crate) fn inspect(&mut self, ledger: &Ledger) -> Lawful {
        law(ledger.sum() == Balance::ZERO, || {
            format!("balances and commons sum to {}", ledger.sum())
        })?;
        let accounts = ledger.accounts();
        let lines: i128 = accounts.iter().map(|account| account.line.0).sum();
        let founded = i128::try_from(ledger.genesis().lines_ugft()).unwrap_or(i128::MAX);
        law(lines == founded, || {
            format!("lines sum to {lines}, founded were {founded}")
        })?;
        jobs(ledger)?;
        let forked = ledger.forked_authors();
        if let Some(convicted) = forked.intersection(&self.honest).next() {
            return Err(Violation(format!(
                "honest {} is convicted",
                convicted.short()
            )));
        }
        if !self.is_minority {
            return Ok(());
        }
        let mut cartel = 0;
        for account in &accounts {
            let worth = account.balance.0 + account.line.0;
            let who = account.wallet.short();
            if self.cheaters.contains(&account.wallet) {
                cartel += worth;
            }
            law(worth >= account.held.0, || {
                format!("{who} holds {} and has {worth}", account.held.0)
            })?;
            // Who never had anything cannot have less.
            let has_money = (account.balance, account.line, account.held) != Default::default();
            if has_money && !forked.contains(&account.wallet) {
                let available = ledger.available(account.wallet);
                law(available >= Balance::ZERO, || {
                    format!("{who} has {available} available")
                })?;
            }
        }
        law(cartel >= 0, || {
            format!("the cheaters together have gained {}", -cartel)
        })?;
        self.keep_confirmed(ledger)
    }

    fn keep_confirmed(&mut self, ledger: &Ledger) -> Lawful {
        for view in ledger.entries(0).filter(|view| view.is_confirmed) {
            let before = *self.confirmed.entry(view.id).or_insert(view.outcome);
            law(before == view.outcome, || {
                let id = view.id.short();
                format!("{id} was confirmed as {before:?} and is {:?}", view.outcome)
            })?;
        }
        Ok(())
    }

    pub(crate) fn confirmed_count(&self) -> u64 {
        self.confirmed.len() as u64
    }

    pub(crate) fn held_count(&self) -> u64 {
        self.held.len() as u64
    }
}

fn jobs(ledger: &Ledger) -> Lawful {
    for job in ledger.jobs().filter_map(|id| ledger.job(id)) {
        let id = job.id.short();
        let parts = job.earned.0.checked_add(job.commons.0);
        law(parts == Some(job.burned.0) && job.burned <= job.cap, || {
            let (earned, commons, burned) = (job.earned, job.commons, job.burned);
            format!(
                "job {id}: {earned} + {commons}, {burned} burned of {}",
                job.cap
            )
        })?;
        for stage in &job.stages {
            let in_order = stage.earned <= stage.burned
                && stage.burned <= stage.hold
                && stage.held <= stage.hold;
            law(in_order, || format!("job {id}: {stage:?}"))?;
        }
    }
    Ok(())
}

/// What connected honest nodes must have in common when all is quiet.
pub(crate) fn converged(ledgers: &[(&str, &Ledger)]) -> Lawful {
    let Some(((_, first), rest)) = ledgers.split_first() else {
        return Ok(());
    };
    for (name, ledger) in rest {
        let same = ledger.tip() == first.tip() && ledger.length() == first.length();
        law(same, || {
            let (here, there) = (ledger.length(), first.length());
            format!("{name} holds {here} entries, others {there}, and nothing brings them together")
        })?;
        law(ledger.forked_authors() == first.forked_authors(), || {
            format!("{name} knows other forks")
        })?;
    }
    Ok(())
}

/// What an honest node held must be there after its machine stopped.
pub(crate) fn survived(held: &[Hash], ledger: &Ledger) -> Lawful {
    match held.iter().find(|id| !ledger.holds(id)) {
        Some(lost) => Err(Violation(format!(
            "{} was durable and is lost",
            lost.short()
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::craft::{self, Words};
    use talkoot_ledger::{Payload, Source};
    use talkoot_protocol::{Founder, Genesis, Keypair, Policy};

    fn founder() -> (Genesis, Keypair) {
        let key = Keypair::from_seed(&[7; 32]);
        let founder = Founder {
            wallet: key.wallet(),
            line_ugft: 10,
        };
        let genesis = Genesis::new("laws", 1, Policy::default(), vec![founder]).unwrap();
        (genesis, key)
    }

    fn witness(genesis: &Genesis, key: &Keypair, time_ms: u64) -> E {
        let words = Words::new(&Payload::Witness, time_ms);
        craft::entry(genesis.id(), key, None, &[], words)
    }

    #[test]
    fn two_entries_at_one_number_are_seen() {
        let (genesis, key) = founder();
        let mut laws = Invariants::default();
        let (first, second) = (witness(&genesis, &key, 1), witness(&genesis, &key, 2));
        laws.entry(&first).unwrap();
        laws.entry(&second).unwrap();
        laws.honest.insert(key.wallet());
        laws.entry(&first).unwrap();
        assert!(laws.entry(&second).is_err());
    }

    #[test]
    fn what_was_refused_is_not_held_and_what_was_held_is_not_refused() {
        let (genesis, key) = founder();
        let mut laws = Invariants::default();
        let entry = witness(&genesis, &key, 1);
        laws.refused(id_of(&entry)).unwrap();
        assert!(laws.entry(&entry).is_err());
        let mut laws = Invariants::default();
        laws.entry(&entry).unwrap();
        assert!(laws.refused(id_of(&entry)).is_err());
    }

    #[test]
    fn other_tips_lost_entries_and_convictions_are_seen() {
        let (genesis, key) = founder();
        let entries = [witness(&genesis, &key, 1), witness(&genesis, &key, 2)];
        let ledgers = entries.clone().map(|entry| {
            let mut ledger = Ledger::new(genesis.clone());
            ledger.admit(entry, Source::Own, 0);
            ledger
        });
        let mut laws = Invariants::default();
        laws.equal_sets([1; 32], &ledgers[0]).unwrap();
        assert!(laws.equal_sets([1; 32], &ledgers[1]).is_err());
        assert!(converged(&[("a", &ledgers[0]), ("b", &ledgers[1])]).is_err());
        assert!(survived(&[id_of(&entries[1])], &ledgers[0]).is_err());
        survived(&[id_of(&entries[0])], &ledgers[0]).unwrap();
        let [mut both, _] = ledgers;
        both.admit(entries[1].clone(), Source::Own, 0);
        laws.inspect(&both).unwrap();
        laws.honest.insert(key.wallet());
        assert!(laws.inspect(&both).is_err());
    }
}
