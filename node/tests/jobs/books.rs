//! The real ledger, shared by all nodes of a test: gossip that takes no time.

use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, MutexGuard};
use talkoot::jobs::ledger::{JobLedger, LedgerError, OrderView, Reserved};
use talkoot_ledger::kinds::{Frontier, Reserve};
use talkoot_ledger::ledger::{Admission, Source};
use talkoot_ledger::{Draft, Entry, Ledger, Payload, id_of};
use talkoot_protocol::{Ack, Attestation, Genesis, JobId, Keypair, Signed, Verified, Wallet};

/// The books that all nodes see.
pub(crate) type Shared = Arc<Mutex<Ledger>>;

pub(crate) fn shared(genesis: &Genesis) -> Shared {
    Arc::new(Mutex::new(Ledger::new(genesis.clone())))
}

/// One node's way to write into them.
#[derive(Debug, Clone)]
pub(crate) struct SharedBooks {
    ledger: Shared,
    key: Keypair,
    pub(crate) acks_sent: Arc<Mutex<Vec<Ack>>>,
    pub(crate) acks_held: Arc<Mutex<Vec<Ack>>>,
}

impl SharedBooks {
    pub(crate) fn new(ledger: &Shared, key: &Keypair) -> Self {
        Self {
            ledger: Arc::clone(ledger),
            key: key.clone(),
            acks_sent: Arc::default(),
            acks_held: Arc::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    fn write(&self, draft: Draft) -> Result<Verified<Entry>, LedgerError> {
        let refused = |error: String| LedgerError::Refused(error);
        let mut ledger = self.lock();
        let entry = ledger
            .compose(self.key.wallet(), draft)
            .map_err(|error| refused(error.to_string()))?;
        let signed = Verified::sign(entry, &self.key, ledger.network())
            .map_err(|error| refused(error.to_string()))?;
        match ledger.admit(signed.clone(), Source::Own, 0) {
            Admission::Added { .. } => Ok(signed),
            other => Err(refused(format!("{other:?}"))),
        }
    }

    fn view(&self, entry: &Verified<Entry>) -> Result<OrderView, LedgerError> {
        let ledger = self.lock();
        let job = JobId(id_of(entry));
        let view = ledger.job(job).ok_or(LedgerError::Missing)?;
        if let Some(reason) = view.outcome.reason() {
            return Err(LedgerError::Refused(reason.to_string()));
        }
        let Ok(Some(Payload::Reserve(reserve))) = Payload::decode(entry.kind, &entry.payload)
        else {
            return Err(LedgerError::Refused("no reserve".to_owned()));
        };
        Ok(OrderView {
            job,
            submitter: entry.author,
            reserve: *reserve,
            exposure_ugft: u128::from(view.held.0),
        })
    }
}

impl JobLedger for SharedBooks {
    fn available_ugft(&self) -> BoxFuture<'_, Result<i128, LedgerError>> {
        async { Ok(self.lock().available(self.key.wallet()).0) }.boxed()
    }

    fn reserve(&self, reserve: Reserve) -> BoxFuture<'_, Result<Reserved, LedgerError>> {
        async move {
            let payload = Payload::Reserve(Box::new(reserve));
            let entry = self.write(Draft::new(&payload, 1))?;
            let job = JobId(id_of(&entry));
            let held = self.lock().job(job).map_or(0, |view| view.held.0);
            self.view(&entry)?;
            Ok(Reserved {
                job,
                entry: entry.to_bytes(),
                held_ugft: u128::from(held),
            })
        }
        .boxed()
    }

    fn order(&self, entry: Vec<u8>) -> BoxFuture<'_, Result<OrderView, LedgerError>> {
        async move {
            let network = self.lock().network();
            let entry = Verified::<Entry>::from_bytes(&entry, network)
                .map_err(|error| LedgerError::Refused(error.to_string()))?;
            self.view(&entry)
        }
        .boxed()
    }

    fn service_rate(&self, worker: Wallet) -> BoxFuture<'_, Result<u32, LedgerError>> {
        async move { Ok(self.lock().service_rate(worker)) }.boxed()
    }

    fn frontier(&self, frontier: Frontier) -> BoxFuture<'_, Result<(), LedgerError>> {
        async move {
            let job = frontier.job;
            let payload = Payload::Frontier(Box::new(frontier));
            let entry = self.write(Draft::new(&payload, 2).citing(job.0))?;
            let ledger = self.lock();
            match ledger.view(&id_of(&entry)).unwrap().outcome.reason() {
                None => Ok(()),
                Some(reason) => Err(LedgerError::Refused(reason.to_string())),
            }
        }
        .boxed()
    }

    fn hold_ack(&self, _attestation: Signed<Attestation>, ack: Signed<Ack>) {
        self.acks_held.lock().unwrap().push(ack.claimed().clone());
    }

    fn sent_ack(&self, _attestation: Signed<Attestation>, ack: Signed<Ack>) {
        self.acks_sent.lock().unwrap().push(ack.claimed().clone());
    }
}
