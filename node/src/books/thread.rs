//! The loop of the ledger thread.
//!
//! Notes are made durable together, [`FLUSH_AFTER`] the first of them: one wait
//! for the disk for all that came in between.

use super::BooksEvent;
use crate::clock;
use std::sync::Arc;
use std::time::Duration;
use talkoot_ledger::books::{AuthorError, Books};
use talkoot_ledger::journal::JournalError;
use talkoot_ledger::signer::SigningState;
use talkoot_ledger::{Admission, Draft, Entry, Source, id_of};
use talkoot_protocol::{Hash, Keypair, Verified, Wallet};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::Instant;

/// How long a note may wait for the disk.
const FLUSH_AFTER: Duration = Duration::from_millis(20);
/// How often waiting entries are looked at.
const TICK: Duration = Duration::from_secs(1);

type Closure = Box<dyn FnOnce(&mut Books) + Send>;

/// One thing to do.
pub(super) enum Work {
    Read(Closure),
    Note(Closure),
    Author {
        draft: Draft,
        reply: oneshot::Sender<Result<Verified<Entry>, AuthorError>>,
    },
    Admit {
        entries: Vec<Verified<Entry>>,
        from: Option<Wallet>,
        reply: oneshot::Sender<Result<Vec<Admission>, JournalError>>,
    },
    Close(oneshot::Sender<()>),
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Read(_) => "Read",
            Self::Note(_) => "Note",
            Self::Author { .. } => "Author",
            Self::Admit { .. } => "Admit",
            Self::Close(_) => "Close",
        })
    }
}

struct Keeper {
    books: Books,
    key: Keypair,
    events: broadcast::Sender<BooksEvent>,
    signing: SigningState,
    /// When notes that are not durable yet must be.
    flush_at: Option<Instant>,
}

async fn wait_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Starts the thread.
pub(super) fn spawn(
    books: Books,
    key: Keypair,
    work: mpsc::Receiver<Work>,
    events: broadcast::Sender<BooksEvent>,
) -> std::io::Result<()> {
    // A timer is all this runtime is for.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()?;
    let keeper = Keeper {
        signing: books.signing().clone(),
        books,
        key,
        events,
        flush_at: None,
    };
    std::thread::Builder::new()
        .name("books".to_owned())
        .spawn(move || runtime.block_on(keeper.run(work)))?;
    Ok(())
}

impl Keeper {
    async fn run(mut self, mut work: mpsc::Receiver<Work>) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut closed = None;
        loop {
            let flush_at = self.flush_at;
            tokio::select! {
                next = work.recv() => match next {
                    None => break,
                    Some(Work::Close(done)) => {
                        closed = Some(done);
                        break;
                    }
                    Some(next) => self.do_work(next),
                },
                _ = tick.tick() => self.books.tick(clock::now_ms()),
                () = wait_until(flush_at) => self.flush(),
            }
            self.watch_signing();
        }
        self.flush();
        self.books.settle_index();
        drop(work);
        drop(self);
        if let Some(done) = closed {
            done.send(()).ok();
        }
    }

    fn do_work(&mut self, work: Work) {
        match work {
            Work::Read(read) => read(&mut self.books),
            Work::Note(write) => {
                write(&mut self.books);
                self.flush_at
                    .get_or_insert_with(|| clock::timer() + FLUSH_AFTER);
            }
            Work::Author { draft, reply } => {
                let authored = self.books.author(&self.key, draft);
                if let Ok(entry) = &authored {
                    self.tell(BooksEvent::Authored {
                        id: id_of(entry),
                        bytes: Arc::from(entry.to_bytes()),
                    });
                }
                reply.send(authored).ok();
            }
            Work::Admit {
                entries,
                from,
                reply,
            } => {
                reply.send(self.admit(entries, from)).ok();
            }
            Work::Close(_) => {}
        }
    }

    fn admit(
        &mut self,
        entries: Vec<Verified<Entry>>,
        from: Option<Wallet>,
    ) -> Result<Vec<Admission>, JournalError> {
        let source = from.map_or(Source::Own, Source::Peer);
        let admissions = self.books.admit_batch(entries, source, clock::now_ms())?;
        let mut newly: Vec<Hash> = Vec::new();
        let mut parents: Vec<Hash> = Vec::new();
        for admission in &admissions {
            match admission {
                Admission::Added { newly: ids } => newly.extend(ids),
                Admission::Pending { missing } => parents.extend(missing),
                Admission::Known | Admission::Later | Admission::Refused(_) => {}
            }
        }
        // An entry later in the batch may have brought a parent.
        parents.retain(|id| !self.books.ledger().holds(id));
        if !newly.is_empty() {
            self.tell(BooksEvent::Admitted {
                ids: Arc::from(newly),
            });
        }
        if let (Some(from), false) = (from, parents.is_empty()) {
            let ids = Arc::from(parents);
            self.tell(BooksEvent::MissingParents { ids, from });
        }
        Ok(admissions)
    }

    fn flush(&mut self) {
        self.flush_at = None;
        if let Err(error) = self.books.flush() {
            tracing::error!(%error, "the journal cannot be written");
        }
    }

    fn watch_signing(&mut self) {
        let now = self.books.signing();
        if *now == self.signing {
            return;
        }
        self.signing = now.clone();
        match &self.signing {
            SigningState::Active => {
                tracing::info!("this node signs entries now");
                self.tell(BooksEvent::SigningBegan);
            }
            SigningState::Ended(reason) => {
                tracing::error!(%reason, "this node signs no more entries until it is restarted");
                self.tell(BooksEvent::SigningLost(reason.to_string()));
            }
            SigningState::AwaitingEntry(_) | SigningState::AwaitingPeers { .. } => {}
        }
    }

    /// Nobody listening is fine.
    fn tell(&self, event: BooksEvent) {
        self.events.send(event).ok();
    }
}
