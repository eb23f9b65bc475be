//! How many answers are made at once, who waits, and for how long.
//!
//! One place per answer. As many places as the owner allows (by default as many
//! as this node has sessions, so that a full node makes people wait here, in the
//! order in which they came, and not search for a route with luck). Beyond them
//! a bounded queue; beyond that a refusal at once. Whoever goes away while he
//! waits leaves the queue, and a place is given back when it is dropped.

use super::keys::{Accounts, Share};
use super::refusal::Refusal;
use crate::api::ErrorCode;
use crate::keys::Key;
use crate::metrics::Waiting;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long an answer waits for a place at most: less than the patience of
/// common clients and proxies.
const WAIT_MAX: Duration = Duration::from_secs(50);
/// When a full queue is worth another try.
const RETRY: Duration = Duration::from_secs(5);

/// How much is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdmissionLimits {
    /// Answers at once, at least one.
    pub answers_max: usize,
    /// Answers that wait.
    pub queue_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            answers_max: 16,
            queue_max: 256,
        }
    }
}

/// The places and the queue.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: AdmissionLimits,
    wait_max: Duration,
    places: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    accounts: Arc<Accounts>,
}

/// The right to make one answer; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    share: Option<Share>,
}

impl Place {
    /// Counts what the answer burned, µGFT, for the key that asked.
    pub(crate) fn burned(&self, ugft: u64) {
        if let Some(share) = &self.share {
            share.burned(ugft);
        }
    }
}

/// One who waits; dropping it takes him out of the count.
struct InQueue(Arc<AtomicUsize>);

impl Drop for InQueue {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Admission {
    pub(crate) fn new(limits: AdmissionLimits, accounts: Arc<Accounts>) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.answers_max.max(1))),
            limits,
            wait_max: WAIT_MAX,
            waiting: Arc::default(),
            accounts,
        }
    }

    /// Waits for a place. What the key may do is looked at first, so that one
    /// key cannot fill the queue for all.
    ///
    /// # Errors
    /// [`Refusal`]: the key's caps, a full queue, or too long a wait.
    pub(crate) async fn enter(&self, key: Option<&Arc<Key>>) -> Result<Place, Refusal> {
        let share = key.map(|key| self.accounts.begin(key)).transpose()?;
        // With somebody in the queue no permit is free: nobody is overtaken.
        let permit = match Arc::clone(&self.places).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait().await?,
        };
        Ok(Place {
            _permit: permit,
            share,
        })
    }

    async fn wait(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let queue_max = self.limits.queue_max;
        let join = |waiting: usize| (waiting < queue_max).then(|| waiting + 1);
        self.waiting
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, join)
            .map_err(|_| {
                let message = format!(
                    "{} answers are being made and {queue_max} wait; try again later \
                     (--max-answers, --max-queue)",
                    self.limits.answers_max
                );
                Refusal::later(ErrorCode::QueueFull, message, RETRY)
            })?;
        let _queued = InQueue(Arc::clone(&self.waiting));
        let turn = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(self.wait_max, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            // The places are never closed while the port is open.
            Ok(Err(_)) => Err(Refusal::later(
                ErrorCode::Busy,
                "the node is stopping",
                RETRY,
            )),
            Err(_) => {
                let message = format!(
                    "no place came free in {} s; try again later",
                    self.wait_max.as_secs()
                );
                Err(Refusal::later(ErrorCode::Busy, message, RETRY))
            }
        }
    }

    /// Who is in and who waits.
    pub(crate) fn now(&self) -> Waiting {
        let free = self.places.available_permits();
        Waiting {
            running: self.limits.answers_max.max(1).saturating_sub(free),
            waiting: self.waiting.load(Ordering::Acquire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(answers_max: usize, queue_max: usize) -> Arc<Admission> {
        let limits = AdmissionLimits {
            answers_max,
            queue_max,
        };
        Arc::new(Admission::new(limits, Arc::default()))
    }

    /// Lets all tasks run until none can go on.
    async fn settle(admission: &Admission, waiting: usize) {
        while admission.now().waiting != waiting {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn places_are_given_in_the_order_of_coming() {
        let admission = admission(1, 8);
        let first = admission.enter(None).await.unwrap();
        let (sender, mut order) = tokio::sync::mpsc::channel(8);
        for number in 0..4_usize {
            let (admission, sender) = (Arc::clone(&admission), sender.clone());
            let entering = Arc::clone(&admission);
            tokio::spawn(async move {
                let _place = entering.enter(None).await.unwrap();
                sender.send(number).await.unwrap();
            });
            settle(&admission, number + 1).await;
        }
        assert_eq!(
            admission.now(),
            Waiting {
                running: 1,
                waiting: 4
            }
        );
        drop(first);
        for number in 0..4 {
            assert_eq!(order.recv().await, Some(number));
        }
        settle(&admission, 0).await;
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_queue_and_a_full_queue_says_so() {
        let admission = admission(1, 1);
        let place = admission.enter(None).await.unwrap();
        let entering = Arc::clone(&admission);
        let waiter = tokio::spawn(async move { entering.enter(None).await.map(drop) });
        settle(&admission, 1).await;
        let refused = admission.enter(None).await.unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::QueueFull);
        assert_eq!(refused.retry_after, Some(RETRY));
        waiter.abort();
        assert!(waiter.await.unwrap_err().is_cancelled());
        assert_eq!(admission.now().waiting, 0);
        drop(place);
        // The one who left did not take the place with him.
        assert!(admission.enter(None).await.is_ok());
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let limits = AdmissionLimits {
            answers_max: 1,
            queue_max: 1,
        };
        let mut admission = Admission::new(limits, Arc::default());
        admission.wait_max = Duration::from_millis(5);
        let _place = admission.enter(None).await.unwrap();
        let refused = admission.enter(None).await.unwrap_err();
        assert_eq!(refused.error.code, ErrorCode::Busy);
        assert_eq!(admission.now().waiting, 0);
    }
}
