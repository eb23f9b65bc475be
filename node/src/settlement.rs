//! The books as jobs need them: reservations, orders, frontiers, acks.
//!
//! Translates between the words of jobs and those of the ledger thread. No rule
//! stands here: what is available, what has effect and what is confirmed was
//! decided by the ledger.

use crate::books::{AdmitError, BooksHandle, WriteError};
use crate::clock;
use crate::jobs::ledger::{JobLedger, LedgerError, OrderView, Reserved};
use futures::future::BoxFuture;
use std::collections::BTreeSet;
use std::time::Duration;
use talkoot_ledger::books::AuthorError;
use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_ledger::{Admission, Draft, Entry, Outcome, Payload, Reason, id_of};
use talkoot_protocol::{Ack, Attestation, Hash, JobId, NetworkId, Signed, Verified, Wallet};
use tokio::sync::broadcast::error::RecvError;

/// How long a stage waits for what an order cites.
const PARENTS_WAIT: Duration = Duration::from_secs(5);

/// The node's own books.
#[derive(Debug, Clone)]
pub struct BookedJobs {
    books: BooksHandle,
    network: NetworkId,
    me: Wallet,
}

impl BookedJobs {
    /// Jobs are written into these books.
    #[must_use]
    pub const fn new(books: BooksHandle, network: NetworkId, me: Wallet) -> Self {
        Self { books, network, me }
    }

    async fn admit(&self, entry: Verified<Entry>) -> Result<(), LedgerError> {
        let (id, from) = (id_of(&entry), entry.author);
        let admissions = self
            .books
            .admit(vec![entry], Some(from))
            .await
            .map_err(|error| match error {
                AdmitError::Gone(_) => LedgerError::Closed,
                AdmitError::Journal(error) => LedgerError::Refused(error.to_string()),
            })?;
        match admissions.first() {
            Some(Admission::Refused(refusal)) => Err(LedgerError::Refused(refusal.to_string())),
            // Known is also said of an entry that waits for its parents.
            _ if !self.books.wait_known(id, Some(from), PARENTS_WAIT).await => {
                Err(LedgerError::Missing)
            }
            _ => Ok(()),
        }
    }

    /// Nobody who is proven to fork its log is worked with.
    async fn check_honest(&self, wallets: BTreeSet<Wallet>) -> Result<(), LedgerError> {
        let forked = self
            .books
            .with(|books| books.ledger().forked_authors())
            .await
            .map_err(|_| LedgerError::Closed)?;
        match wallets.intersection(&forked).next() {
            None => Ok(()),
            Some(wallet) => Err(LedgerError::Refused(format!(
                "{} has signed two entries at one number of its log",
                wallet.short()
            ))),
        }
    }

    async fn look(&self, id: Hash, submitter: Wallet) -> Result<(Outcome, u128), LedgerError> {
        let seen = self.books.with(move |books| {
            let ledger = books.ledger();
            let outcome = ledger.view(&id).map(|view| view.outcome);
            (outcome, u128::from(ledger.unconfirmed_holds(submitter).0))
        });
        match seen.await.map_err(|_| LedgerError::Closed)? {
            (Some(outcome), exposure_ugft) => Ok((outcome, exposure_ugft)),
            (None, _) => Err(LedgerError::Missing),
        }
    }
}

fn workers(reserve: &Reserve) -> BTreeSet<Wallet> {
    let offers = reserve.offers.iter();
    offers.map(|offer| offer.claimed().worker).collect()
}

fn refused(error: WriteError) -> LedgerError {
    match error {
        WriteError::Gone(_) => LedgerError::Closed,
        WriteError::Author(AuthorError::Inert {
            reason: Reason::TooLittle,
            asked: Some(asked),
            available: Some(available),
        }) => LedgerError::TooLittle {
            available_ugft: available.0,
            needed_ugft: u128::from(asked.0),
        },
        WriteError::Author(AuthorError::NotSigning(state)) => {
            LedgerError::NotSigning(format!("{state:?}"))
        }
        WriteError::Author(error) => LedgerError::Refused(error.to_string()),
    }
}

/// Jobs of earlier runs for which an acknowledgement is held that our log has
/// not used to the end.
pub async fn leftovers(books: &BooksHandle) -> Vec<Frontier> {
    let found = books.with(|books| {
        let (me, ledger) = (books.wallet(), books.ledger());
        let is_open = |job: &JobId| {
            ledger.job(*job).is_some_and(|job| {
                let mut own = job
                    .stages
                    .iter()
                    .filter(|stage| stage.worker == me && !stage.is_own);
                own.any(|stage| !stage.is_final)
            })
        };
        let open = books.acks_held().filter(|(job, _)| is_open(job));
        let frontier = |(job, held): (&JobId, &talkoot_ledger::books::HeldAck)| Frontier {
            job: *job,
            attestation: held.attestation.clone(),
            ack: held.ack.clone(),
            is_final: true,
            // What passed through before the crash is not known any more.
            received: Hash::ZERO,
            sent: Hash::ZERO,
        };
        open.map(frontier).collect()
    });
    found.await.unwrap_or_default()
}

/// Posts the last frontiers that a crash kept us from posting, as soon as this
/// node may sign. Jobs of this run are not touched: `open` was read before any.
pub async fn settle(jobs: BookedJobs, open: Vec<Frontier>) {
    let mut events = jobs.books.subscribe();
    for frontier in open {
        let job = frontier.job;
        loop {
            match jobs.frontier(frontier.clone()).await {
                Ok(()) => tracing::info!(%job, "settled a job of an earlier run"),
                Err(LedgerError::NotSigning(_)) => {
                    if matches!(events.recv().await, Err(RecvError::Closed)) {
                        return;
                    }
                    continue;
                }
                Err(error) => tracing::warn!(%job, %error, "a job of an earlier run stays open"),
            }
            break;
        }
    }
}

impl JobLedger for BookedJobs {
    fn available_ugft(&self) -> BoxFuture<'_, Result<i128, LedgerError>> {
        let me = self.me;
        Box::pin(async move {
            let available = self.books.with(move |books| books.ledger().available(me).0);
            available.await.map_err(|_| LedgerError::Closed)
        })
    }

    fn reserve(&self, reserve: Reserve) -> BoxFuture<'_, Result<Reserved, LedgerError>> {
        Box::pin(async move {
            self.check_honest(workers(&reserve)).await?;
            let payload = Payload::Reserve(Box::new(reserve));
            let entry = self.books.author_payload(&payload).await.map_err(refused)?;
            let id = id_of(&entry);
            let held_ugft = match self.look(id, self.me).await? {
                (Outcome::Reserved { held }, _) => u128::from(held.0),
                (other, _) => {
                    return Err(LedgerError::Refused(format!(
                        "the reservation came to {other:?}"
                    )));
                }
            };
            Ok(Reserved {
                job: JobId(id),
                entry: entry.to_bytes(),
                held_ugft,
            })
        })
    }

    fn order(&self, entry: Vec<u8>) -> BoxFuture<'_, Result<OrderView, LedgerError>> {
        Box::pin(async move {
            let entry = Verified::<Entry>::from_bytes(&entry, self.network)
                .map_err(|error| LedgerError::Refused(error.to_string()))?;
            let reserve = match Payload::decode(entry.kind, &entry.payload) {
                Ok(Some(Payload::Reserve(reserve))) => *reserve,
                Ok(_) => {
                    return Err(LedgerError::Refused(
                        "the order is no reservation".to_owned(),
                    ));
                }
                Err(error) => return Err(LedgerError::Refused(error.to_string())),
            };
            let (id, submitter) = (id_of(&entry), entry.author);
            self.admit(entry).await?;
            let mut parties = workers(&reserve);
            parties.insert(submitter);
            self.check_honest(parties).await?;
            match self.look(id, submitter).await? {
                (Outcome::Reserved { .. }, exposure_ugft) => Ok(OrderView {
                    job: JobId(id),
                    submitter,
                    reserve,
                    exposure_ugft,
                }),
                (Outcome::Inert(reason), _) => Err(LedgerError::Refused(reason.to_string())),
                (other, _) => Err(LedgerError::Refused(format!("the order came to {other:?}"))),
            }
        })
    }

    fn service_rate(&self, worker: Wallet) -> BoxFuture<'_, Result<u32, LedgerError>> {
        Box::pin(async move {
            let rate = self
                .books
                .with(move |books| books.ledger().service_rate(worker));
            rate.await.map_err(|_| LedgerError::Closed)
        })
    }

    fn frontier(&self, frontier: Frontier) -> BoxFuture<'_, Result<(), LedgerError>> {
        Box::pin(async move {
            let job = frontier.job.0;
            let draft =
                Draft::new(&Payload::Frontier(Box::new(frontier)), clock::now_ms()).citing(job);
            self.books.author(draft).await.map(drop).map_err(refused)
        })
    }

    fn hold_ack(&self, attestation: Signed<Attestation>, ack: Signed<Ack>) {
        let network = self.network;
        let noted = self.books.note(move |books| {
            if let (Ok(attestation), Ok(ack)) = (attestation.verify(network), ack.verify(network))
                && let Err(error) = books.record_ack_held(&attestation, &ack)
            {
                tracing::error!(%error, "an acknowledgement was not kept");
            }
        });
        if !noted {
            tracing::warn!("the ledger thread is behind: an acknowledgement was not kept");
        }
    }

    fn sent_ack(&self, _attestation: Signed<Attestation>, ack: Signed<Ack>) {
        let network = self.network;
        let noted = self.books.note(move |books| {
            if let Ok(ack) = ack.verify(network)
                && let Err(error) = books.record_ack_sent(&ack)
            {
                tracing::error!(%error, "a sent acknowledgement was not kept");
            }
        });
        if !noted {
            tracing::warn!("the ledger thread is behind: a sent acknowledgement was not kept");
        }
    }
}
