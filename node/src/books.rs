//! The ledger thread: one OS thread owns the books, everybody else asks it.
//!
//! Journal and signer file wait for the disk, so they have a thread of their
//! own. What [`BooksHandle::admit`] and [`BooksHandle::author`] return is
//! durable; what happened is told to all subscribers afterwards, so nothing
//! leaves this node that a crash could take back.

mod thread;

use std::sync::Arc;
use std::time::Duration;
use talkoot_ledger::books::{AuthorError, Books};
use talkoot_ledger::{Admission, Draft, Entry, Payload};
use talkoot_protocol::{Hash, Keypair, Verified, Wallet};
use thread::Work;
use tokio::sync::{broadcast, mpsc, oneshot};

/// Requests that may wait.
const WORK_MAX: usize = 1024;
/// Events that a slow subscriber may have waiting.
const EVENTS_MAX: usize = 1024;

/// What happened in the books.
#[derive(Debug, Clone)]
pub enum BooksEvent {
    /// An own entry was written and may leave.
    Authored {
        /// Its id.
        id: Hash,
        /// Its signed form.
        bytes: Arc<[u8]>,
    },
    /// Entries of others are in the set now.
    Admitted {
        /// Their ids.
        ids: Arc<[Hash]>,
    },
    /// Entries wait for these, which a peer should have.
    MissingParents {
        /// The ids.
        ids: Arc<[Hash]>,
        /// Who sent the entries.
        from: Wallet,
    },
    /// This node may sign entries from now on: peers have shown its newest.
    SigningBegan,
    /// This node signs no more entries in this run; why.
    SigningLost(String),
}

/// The ledger thread has ended: the node is stopping.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the books are closed")]
pub struct BooksGone;

/// Why an own entry was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The node is stopping.
    #[error(transparent)]
    Gone(#[from] BooksGone),
    /// The books say no.
    #[error(transparent)]
    Author(#[from] AuthorError),
}

/// Why entries were not admitted.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    /// The node is stopping.
    #[error(transparent)]
    Gone(#[from] BooksGone),
    /// The journal failed; signing has ended.
    #[error(transparent)]
    Journal(#[from] talkoot_ledger::journal::JournalError),
}

/// The way to the ledger thread; cheap to clone. The thread ends, with
/// everything durable, when the last handle is gone or on [`Self::close`].
#[derive(Debug, Clone)]
pub struct BooksHandle {
    work: mpsc::Sender<Work>,
    events: broadcast::Sender<BooksEvent>,
}

impl BooksHandle {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's, when no thread can be made.
    pub fn start(books: Books, key: Keypair) -> std::io::Result<Self> {
        let (work, work_in) = mpsc::channel(WORK_MAX);
        let (events, _) = broadcast::channel(EVENTS_MAX);
        thread::spawn(books, key, work_in, events.clone())?;
        Ok(Self { work, events })
    }

    /// Runs `read` on the ledger thread: for looking. Entries go through
    /// [`Self::author`] and [`Self::admit`], so that subscribers hear of them.
    ///
    /// # Errors
    /// [`BooksGone`].
    pub async fn with<R, F>(&self, read: F) -> Result<R, BooksGone>
    where
        R: Send + 'static,
        F: FnOnce(&mut Books) -> R + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = move |books: &mut Books| {
            reply.send(read(books)).ok();
        };
        self.send(Work::Read(Box::new(job))).await?;
        answer.await.map_err(|_| BooksGone)
    }

    /// Runs `write` on the ledger thread some time soon, without waiting: for
    /// notes like acks. They are made durable together, within milliseconds.
    /// `false` when the thread is gone or has too much to do.
    pub fn note<F>(&self, write: F) -> bool
    where
        F: FnOnce(&mut Books) + Send + 'static,
    {
        self.work.try_send(Work::Note(Box::new(write))).is_ok()
    }

    /// Writes the next own entry. It is durable when this returns.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn author(&self, draft: Draft) -> Result<Verified<Entry>, WriteError> {
        let (reply, answer) = oneshot::channel();
        self.send(Work::Author { draft, reply }).await?;
        Ok(answer.await.map_err(|_| BooksGone)??)
    }

    /// Writes the next own entry with nothing but this payload, now.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn author_payload(&self, payload: &Payload) -> Result<Verified<Entry>, WriteError> {
        self.author(Draft::new(payload, crate::clock::now_ms()))
            .await
    }

    /// Hands entries in; one answer for each. What is admitted is durable when
    /// this returns. Missing parents are looked for at `from`.
    ///
    /// # Errors
    /// [`AdmitError`].
    pub async fn admit(
        &self,
        entries: Vec<Verified<Entry>>,
        from: Option<Wallet>,
    ) -> Result<Vec<Admission>, AdmitError> {
        let (reply, answer) = oneshot::channel();
        let work = Work::Admit {
            entries,
            from,
            reply,
        };
        self.send(work).await?;
        Ok(answer.await.map_err(|_| BooksGone)??)
    }

    /// What happens from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<BooksEvent> {
        self.events.subscribe()
    }

    /// Waits until an entry is in the set; `false` when it is not in time. What
    /// is missing is asked for at `from`, if named.
    pub async fn wait_known(&self, id: Hash, from: Option<Wallet>, timeout: Duration) -> bool {
        tokio::time::timeout(timeout, self.known(id, from))
            .await
            .unwrap_or(false)
    }

    async fn known(&self, id: Hash, from: Option<Wallet>) -> bool {
        let mut events = self.subscribe();
        let look = move |books: &mut Books| {
            let ledger = books.ledger();
            (ledger.holds(&id), ledger.is_pending(&id))
        };
        let mut is_asked = false;
        loop {
            match self.with(look).await {
                Ok((true, _)) => return true,
                Ok((false, is_pending)) => {
                    if let (Some(from), false, false) = (from, is_pending, is_asked) {
                        let ids = Arc::from([id]);
                        self.events
                            .send(BooksEvent::MissingParents { ids, from })
                            .ok();
                        is_asked = true;
                    }
                }
                Err(BooksGone) => return false,
            }
            // Any change may have brought it; lagging means many changes.
            if matches!(
                events.recv().await,
                Err(broadcast::error::RecvError::Closed)
            ) {
                return false;
            }
        }
    }

    /// Makes everything durable and ends the thread. Handles that are left get
    /// [`BooksGone`].
    pub async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.send(Work::Close(done)).await.is_ok() {
            ended.await.ok();
        }
    }

    async fn send(&self, work: Work) -> Result<(), BooksGone> {
        self.work.send(work).await.map_err(|_| BooksGone)
    }
}
