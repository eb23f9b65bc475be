//! Where data streams and the jobs that await them meet.
//!
//! A stream may arrive before its job is open here, or after. Both sides of the
//! meeting are bounded: early streams wait for a while and in limited number,
//! and only the wallet that the job names may bring a stream.

use super::Reader;
use super::wire::StreamKey;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use talkoot_protocol::Wallet;
use tokio::sync::oneshot;

/// Early streams of all peers.
const EARLY_MAX: usize = 512;
/// Early streams of one peer.
const EARLY_PER_PEER_MAX: usize = 128;
/// How long an early stream waits for its job.
const EARLY_WAIT: Duration = Duration::from_secs(10);

enum Slot {
    Awaited {
        from: Wallet,
        deliver: oneshot::Sender<Reader>,
    },
    Early {
        from: Wallet,
        reader: Reader,
    },
}

/// The meeting place; cheap to clone.
#[derive(Clone, Default)]
pub struct Expected(Arc<Mutex<BTreeMap<StreamKey, Slot>>>);

impl std::fmt::Debug for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Expected")
            .field("slots", &self.slots().len())
            .finish()
    }
}

/// A stream nobody may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unexpected {
    /// The job awaits this stream from somebody else.
    #[error("a data stream of a job that names another peer")]
    Stranger,
    /// The same stream is here already.
    #[error("a data stream that is open already")]
    Twice,
    /// Too many streams wait for jobs.
    #[error("too many data streams wait for their jobs")]
    Full,
}

/// The awaiting side; dropping it ends the wait.
pub struct Awaited {
    key: StreamKey,
    expected: Expected,
    receive: oneshot::Receiver<Reader>,
}

impl std::fmt::Debug for Awaited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Awaited").field(&self.key).finish()
    }
}

impl Awaited {
    /// Waits for the stream; `None` when it will not come. May be dropped and
    /// called again until it has given its answer.
    pub async fn ready(&mut self) -> Option<Reader> {
        (&mut self.receive).await.ok()
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let mut slots = self.expected.slots();
        if matches!(slots.get(&self.key), Some(Slot::Awaited { .. })) {
            slots.remove(&self.key);
        }
    }
}

impl Expected {
    fn slots(&self) -> MutexGuard<'_, BTreeMap<StreamKey, Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Awaits a stream from one peer.
    #[must_use]
    pub fn expect(&self, key: StreamKey, from: Wallet) -> Awaited {
        let (deliver, receive) = oneshot::channel();
        let mut slots = self.slots();
        match slots.remove(&key) {
            Some(Slot::Early {
                from: brought,
                reader,
            }) if brought == from => {
                // The receiver is in our hands, so this cannot fail.
                drop(deliver.send(reader));
            }
            _ => {
                slots.insert(key, Slot::Awaited { from, deliver });
            }
        }
        drop(slots);
        Awaited {
            key,
            expected: self.clone(),
            receive,
        }
    }

    /// Brings a stream; must run inside a tokio runtime.
    ///
    /// # Errors
    /// [`Unexpected`]; the stream is closed then.
    pub fn bring(&self, key: StreamKey, from: Wallet, reader: Reader) -> Result<(), Unexpected> {
        let mut slots = self.slots();
        match slots.remove(&key) {
            Some(Slot::Awaited {
                from: awaited,
                deliver,
            }) if awaited == from => {
                // A job that just ended drops the stream.
                drop(deliver.send(reader));
                Ok(())
            }
            Some(slot) => {
                let reason = match slot {
                    Slot::Awaited { .. } => Unexpected::Stranger,
                    Slot::Early { .. } => Unexpected::Twice,
                };
                slots.insert(key, slot);
                Err(reason)
            }
            None => {
                let early = |slot: &&Slot| matches!(slot, Slot::Early { .. });
                let of_peer = |slot: &&Slot| matches!(slot, Slot::Early { from: other, .. } if *other == from);
                if slots.values().filter(early).count() >= EARLY_MAX
                    || slots.values().filter(of_peer).count() >= EARLY_PER_PEER_MAX
                {
                    return Err(Unexpected::Full);
                }
                slots.insert(key, Slot::Early { from, reader });
                drop(slots);
                self.forget_later(key);
                Ok(())
            }
        }
    }

    fn forget_later(&self, key: StreamKey) {
        let expected = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(EARLY_WAIT).await;
            let mut slots = expected.slots();
            if matches!(slots.get(&key), Some(Slot::Early { .. })) {
                slots.remove(&key);
            }
        });
    }
}
