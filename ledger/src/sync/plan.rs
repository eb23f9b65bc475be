//! What is fetched while catching up: parts of the chain's order, one after
//! another, each given to some peer.
//!
//! Parts near the front are fetched at once and kept until all before them have
//! come, so entries are admitted in the chain's order, parents first. Only
//! [`WINDOW`] parts are out or kept, each of one answer; nothing else here
//! grows with what a peer claims. This file asks nobody and knows no ledger.

use super::answer::key;
use crate::entry::Entry;
use std::collections::{BTreeSet, VecDeque};
use talkoot_protocol::sync::{ChainKey, KeyRange};
use talkoot_protocol::{Hash, Verified, Wallet};

/// Parts that are out or wait for those before them: 16 answers of at most
/// 1 MiB.
pub const WINDOW: usize = 16;
/// Parts that are planned.
pub(super) const TASKS_MAX: usize = 4096;
/// After which a part that holds up all others is asked of a second peer.
const HELD_UP_MS: u64 = 3_000;

/// An entry and who gave it.
#[derive(Debug, Clone)]
pub(super) struct Fetched {
    pub(super) id: Hash,
    pub(super) entry: Verified<Entry>,
    pub(super) from: Wallet,
}

/// What one part is.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Ask what is there. The count is its lister's claim.
    List { range: KeyRange, count: u64 },
    /// Fetch all of it.
    Slice { range: KeyRange, count: u64 },
    /// Fetch these.
    Entries(Vec<Hash>),
}

impl Work {
    /// How many entries it is said to bring.
    pub(super) const fn count(&self) -> u64 {
        match self {
            Self::List { count, .. } | Self::Slice { count, .. } => *count,
            Self::Entries(ids) => ids.len() as u64,
        }
    }

    /// Puts `next` at the end of this, if they are of one kind, touch, and are
    /// small enough together.
    pub(super) fn join(&mut self, next: &Self, slice_max: u64, list_max: u64) -> bool {
        let (range, count, other, more, most) = match (self, next) {
            (
                Self::List { range, count },
                Self::List {
                    range: other,
                    count: more,
                },
            ) => (range, count, other, more, list_max),
            (
                Self::Slice { range, count },
                Self::Slice {
                    range: other,
                    count: more,
                },
            ) => (range, count, other, more, slice_max),
            _ => return false,
        };
        let sum = count.saturating_add(*more);
        let fits = range.until.is_some() && range.until == other.after && sum <= most;
        if fits {
            range.until = other.until;
            *count = sum;
        }
        fits
    }
}

/// How far a part is.
#[derive(Debug, Clone)]
enum State {
    Todo,
    Asked { peer: Wallet, since_ms: u64 },
    Ready(Vec<Fetched>),
}

/// A part.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) number: u64,
    pub(super) work: Work,
    /// Who said that this is there.
    pub(super) lister: Wallet,
    /// Whether nobody else is asked.
    pub(super) is_pinned: bool,
    state: State,
}

impl Task {
    /// Whether a peer may be asked for it.
    fn suits(&self, peer: &Wallet, is_anyone: bool) -> bool {
        is_anyone || !self.is_pinned || self.lister == *peer
    }
}

/// A part that is to be planned.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) work: Work,
    pub(super) lister: Wallet,
    pub(super) is_pinned: bool,
}

/// All that is left to do.
#[derive(Debug)]
pub(super) struct Plan {
    tasks: VecDeque<Task>,
    next_number: u64,
    /// Peers that are not asked in this plan any more.
    pub(super) excluded: BTreeSet<Wallet>,
    /// Came, and waits for an entry of a founder that has it in its past.
    pub(super) unvouched: Vec<Fetched>,
    /// When something came last.
    pub(super) moved_ms: u64,
    /// Whether anything was admitted.
    pub(super) is_of_use: bool,
    /// Whether some entry found no token.
    pub(super) is_slowed: bool,
}

impl Plan {
    pub(super) const fn new(now_ms: u64) -> Self {
        Self {
            tasks: VecDeque::new(),
            next_number: 0,
            excluded: BTreeSet::new(),
            unvouched: Vec::new(),
            moved_ms: now_ms,
            is_of_use: false,
            is_slowed: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Entries still to come, by what listers claim.
    pub(super) fn remaining(&self) -> u64 {
        self.tasks
            .iter()
            .filter(|task| !matches!(task.state, State::Ready(_)))
            .fold(0, |sum: u64, task| sum.saturating_add(task.work.count()))
    }

    /// Puts parts at a place, in order; `false` when there would be too many.
    fn insert(&mut self, place: usize, drafts: Vec<Draft>) -> bool {
        if self.tasks.len().saturating_add(drafts.len()) > TASKS_MAX {
            return false;
        }
        for (offset, draft) in drafts.into_iter().enumerate() {
            let number = self.next_number;
            self.next_number = number.wrapping_add(1);
            let task = Task {
                number,
                work: draft.work,
                lister: draft.lister,
                is_pinned: draft.is_pinned,
                state: State::Todo,
            };
            self.tasks.insert(place.saturating_add(offset), task);
        }
        true
    }

    /// Plans parts after all others.
    pub(super) fn append(&mut self, drafts: Vec<Draft>) -> bool {
        self.insert(self.tasks.len(), drafts)
    }

    fn place(&self, number: u64) -> Option<usize> {
        self.tasks.iter().position(|task| task.number == number)
    }

    /// A part that still has to come.
    pub(super) fn find(&self, number: u64) -> Option<&Task> {
        self.tasks
            .iter()
            .find(|task| task.number == number && !matches!(task.state, State::Ready(_)))
    }

    /// Notes what came of a part (nothing, if `entries` is empty), and what is
    /// still to do in its place. `false` when that is too much.
    pub(super) fn done(&mut self, number: u64, entries: Vec<Fetched>, rest: Vec<Draft>) -> bool {
        let Some(place) = self.place(number) else {
            return true;
        };
        let mut next = place;
        if entries.is_empty() {
            self.tasks.remove(place);
        } else if let Some(task) = self.tasks.get_mut(place) {
            task.state = State::Ready(entries);
            next = place.saturating_add(1);
        }
        self.insert(next, rest)
    }

    /// Takes what has come, as far as nothing before it is missing, or all of
    /// it when nothing more will come.
    pub(super) fn take_ready(&mut self, entries_max: usize, is_last: bool) -> Vec<Fetched> {
        let mut ready = Vec::new();
        while ready.len() < entries_max {
            match self.tasks.pop_front() {
                Some(Task {
                    state: State::Ready(entries),
                    ..
                }) => ready.extend(entries),
                Some(_) if is_last => {}
                Some(task) => {
                    self.tasks.push_front(task);
                    break;
                }
                None => break,
            }
        }
        ready
    }

    /// Whether anything has come that can be taken.
    pub(super) fn has_ready(&self) -> bool {
        self.tasks
            .front()
            .is_some_and(|task| matches!(task.state, State::Ready(_)))
    }

    /// What has come and is not admitted yet.
    pub(super) fn kept(&self) -> impl Iterator<Item = Hash> + '_ {
        let ready = self.tasks.iter().flat_map(|task| match &task.state {
            State::Ready(entries) => entries.as_slice(),
            State::Todo | State::Asked { .. } => &[],
        });
        ready.chain(&self.unvouched).map(|fetched| fetched.id)
    }

    /// Whether anything is asked for.
    pub(super) fn is_waiting(&self) -> bool {
        self.tasks
            .iter()
            .any(|task| matches!(task.state, State::Asked { .. }))
    }

    /// The next part to ask an idle peer for. `is_there` says who can be asked
    /// at all: a part whose lister has gone is anybody's.
    pub(super) fn next_for(
        &self,
        peer: &Wallet,
        is_there: impl Fn(&Wallet) -> bool,
        now_ms: u64,
    ) -> Option<u64> {
        let is_open = |task: &&Task| matches!(task.state, State::Todo);
        let busy = self.tasks.iter().filter(|task| !is_open(task)).count();
        // What stands at the front is needed to get anything out.
        let window = if busy < WINDOW { WINDOW } else { 1 };
        let open = || self.tasks.iter().take(window).filter(is_open);
        // What only this peer can be asked comes first.
        let own = open().find(|task| task.is_pinned && task.lister == *peer);
        let other = || open().find(|task| task.suits(peer, !is_there(&task.lister)));
        let held_up = || {
            self.tasks.front().filter(|task| {
                let State::Asked {
                    peer: asked,
                    since_ms,
                } = &task.state
                else {
                    return false;
                };
                asked != peer
                    && now_ms.saturating_sub(*since_ms) > HELD_UP_MS
                    && task.suits(peer, false)
            })
        };
        own.or_else(other).or_else(held_up).map(|task| task.number)
    }

    /// Notes that a peer was asked for a part.
    pub(super) fn asked(&mut self, number: u64, peer: Wallet, now_ms: u64) {
        if let Some(task) = self.tasks.iter_mut().find(|task| task.number == number) {
            task.state = State::Asked {
                peer,
                since_ms: now_ms,
            };
            if matches!(task.work, Work::List { .. }) && task.lister != peer {
                // The count was another's claim.
                task.lister = peer;
                task.is_pinned = false;
            }
        }
    }

    /// Gives back what a peer was asked for.
    pub(super) fn release(&mut self, peer: &Wallet) {
        for task in &mut self.tasks {
            if matches!(&task.state, State::Asked { peer: asked, .. } if asked == peer) {
                task.state = State::Todo;
            }
        }
    }

    /// Forgets what a peer listed; the others are asked what is there. What has
    /// come stays, and what others were asked for.
    pub(super) fn distrust(&mut self, peer: &Wallet) {
        self.release(peer);
        self.excluded.insert(*peer);
        let tasks = std::mem::take(&mut self.tasks);
        for mut task in tasks {
            if task.lister == *peer && matches!(task.state, State::Todo) {
                match task.work {
                    Work::List { range, count } | Work::Slice { range, count } => {
                        task.work = Work::List { range, count };
                        task.is_pinned = false;
                    }
                    // Whoever else has them lists them in a later round.
                    Work::Entries(_) => continue,
                }
                let before = self
                    .tasks
                    .back_mut()
                    .filter(|before| before.lister == *peer && matches!(before.state, State::Todo));
                if before.is_some_and(|before| before.work.join(&task.work, u64::MAX, u64::MAX)) {
                    continue;
                }
            }
            self.tasks.push_back(task);
        }
    }
}

/// Whether entries lie in a range, in order.
pub(super) fn is_slice_of(range: &KeyRange, entries: &[Verified<Entry>]) -> Option<Vec<ChainKey>> {
    let keys: Vec<ChainKey> = entries.iter().map(key).collect();
    let is_right = keys.is_sorted_by(|a, b| a < b) && keys.iter().all(|key| range.contains(key));
    is_right.then_some(keys)
}
