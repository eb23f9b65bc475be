//! One simulated machine: the real books over a failing disk, the real sync
//! core, and what a node remembers between events.

use crate::craft::E;
use crate::disk::Disk;
use std::collections::BTreeSet;
use talkoot_ledger::Books;
use talkoot_ledger::duties::Duties;
use talkoot_ledger::sync::SyncCore;
use talkoot_protocol::{Hash, JobId, Keypair, Wallet};

/// How a node serves sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Serving {
    Right,
    /// Nothing it has, or what decodes to nothing.
    Rubbish,
    /// What it held long ago.
    Nothing,
}

/// What a liar leaves undone where an honest node would do it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Habits {
    pub(crate) withholds_acks: bool,
    pub(crate) withholds_finals: bool,
    /// Posts its final frontier only so long after the job's deadline.
    pub(crate) late_final_ms: u64,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) key: Keypair,
    pub(crate) wallet: Wallet,
    pub(crate) is_founder: bool,
    pub(crate) is_liar: bool,
    /// `None` while the machine is off.
    pub(crate) books: Option<Books>,
    pub(crate) disk: Disk,
    pub(crate) sync: SyncCore,
    /// Counts starts, so that answers to a former life are known.
    pub(crate) life: u32,
    /// Gossip messages seen in this life, as bits.
    pub(crate) seen: Vec<u64>,
    /// What was admitted and is durable, in order.
    pub(crate) held: Vec<Hash>,
    /// Xor of the ids held.
    pub(crate) print: [u8; 32],
    pub(crate) duties: Duties,
    pub(crate) settled: BTreeSet<JobId>,
    pub(crate) is_unflushed: bool,
    pub(crate) skew_ms: u64,
    /// How long it thinks about each message.
    pub(crate) slow_us: u64,
    pub(crate) busy_until_us: u64,
    pub(crate) serving: Serving,
    pub(crate) habits: Habits,
}

impl Node {
    pub(crate) fn new(key: Keypair, is_founder: bool) -> Self {
        Self {
            wallet: key.wallet(),
            duties: Duties::new(key.wallet()),
            key,
            is_founder,
            is_liar: false,
            books: None,
            disk: Disk::new(),
            sync: SyncCore::new(0),
            life: 0,
            seen: Vec::new(),
            held: Vec::new(),
            print: [0; 32],
            settled: BTreeSet::new(),
            is_unflushed: false,
            skew_ms: 0,
            slow_us: 0,
            busy_until_us: 0,
            serving: Serving::Right,
            habits: Habits::default(),
        }
    }

    pub(crate) const fn is_up(&self) -> bool {
        self.books.is_some()
    }

    /// Marks a message as seen; tells whether it was.
    pub(crate) fn see(&mut self, message: u32) -> bool {
        let (word, bit) = (message as usize / 64, message % 64);
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        let was = self.seen[word] >> bit & 1 == 1;
        self.seen[word] |= 1 << bit;
        was
    }

    /// A message that could not be taken now may come again.
    pub(crate) fn unsee(&mut self, message: u32) {
        if let Some(word) = self.seen.get_mut(message as usize / 64) {
            *word &= !(1 << (message % 64));
        }
    }

    pub(crate) fn note(&mut self, ids: &[Hash], keep: bool) {
        for id in ids {
            for (print, byte) in self.print.iter_mut().zip(id.as_bytes()) {
                *print ^= byte;
            }
        }
        if keep {
            self.held.extend_from_slice(ids);
        }
    }
}

/// Gossip messages by number: bytes that are decoded and verified once.
#[derive(Debug, Default)]
pub(crate) struct Messages {
    entries: Vec<Option<E>>,
}

impl Messages {
    pub(crate) fn add(&mut self, entry: Option<E>) -> u32 {
        self.entries.push(entry);
        u32::try_from(self.entries.len() - 1).expect("few messages")
    }

    /// The entry, if the bytes are one.
    pub(crate) fn get(&self, message: u32) -> Option<&E> {
        self.entries.get(message as usize)?.as_ref()
    }
}
