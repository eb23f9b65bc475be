//! Whose books are read: a running node's, over its API, or a ledger that is
//! held in this process. Every verb works on either.

use super::offline;
use crate::api::{GenesisQuestion, GenesisView, VerifyView};
use crate::client::Client;
use crate::commands::output;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::observe::Observer;
use crate::views::{self, LedgerQuestion};
use talkoot_ledger::Ledger;

/// Books that can be asked.
#[derive(Debug)]
pub(in crate::commands) enum Reader {
    /// A running node's.
    Node(Box<Client>),
    /// Read from a journal: they do not change.
    Held(Box<Ledger>),
    /// A network's, from outside.
    Observed(Box<Observer>),
}

impl Reader {
    /// The books of a home: of its node if one runs, else those on disk.
    ///
    /// # Errors
    /// When there are neither, or they cannot be read.
    pub(in crate::commands) fn open(home: &Home, offline: bool) -> Result<Self, Failure> {
        if offline {
            return Ok(Self::Held(Box::new(offline::ledger(home)?)));
        }
        match running(home) {
            Ok(client) => Ok(Self::Node(Box::new(client))),
            Err(failure) if failure.exit == Exit::NotRunning && offline::has_books(home) => {
                output::note("no node answers here: reading the journal on disk\n");
                Ok(Self::Held(Box::new(offline::ledger(home)?)))
            }
            Err(failure) => Err(failure),
        }
    }

    /// Asks one question.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(in crate::commands) fn ask<Q: LedgerQuestion>(
        &self,
        question: &Q,
    ) -> Result<Q::Answer, Failure> {
        match self {
            Self::Node(client) => client.get(&format!("ledger/{}", question.path())),
            Self::Held(ledger) => Ok(question.answer(ledger)?),
            Self::Observed(observer) => {
                let question = question.clone();
                Ok(observer.look(move |ledger| question.answer(ledger))??)
            }
        }
    }

    /// Whether these books will ever hold more than now.
    pub(super) const fn is_live(&self) -> bool {
        !matches!(self, Self::Held(_))
    }

    /// Checks what is held, every signature included.
    ///
    /// # Errors
    /// When this is a node's: its journal is checked from disk instead.
    pub(super) fn verify(&self) -> Result<VerifyView, Failure> {
        match self {
            Self::Held(ledger) => Ok(views::verify(ledger)),
            Self::Observed(observer) => observer.verify(),
            Self::Node(_) => Err(Failure::new(
                Exit::Usage,
                "a node's books are checked from its journal",
            )),
        }
    }
}

fn running(home: &Home) -> Result<Client, Failure> {
    let client = Client::connect(home)?;
    // A node that was killed leaves its address behind.
    client.get::<GenesisView>(&format!("ledger/{}", GenesisQuestion.path()))?;
    Ok(client)
}
