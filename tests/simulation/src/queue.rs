//! What happens when: events in the order of virtual time, and of being
//! entered where times are equal.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

#[derive(Debug)]
struct Entered<T> {
    at_us: u64,
    number: u64,
    event: T,
}

impl<T> PartialEq for Entered<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entered<T> {}

impl<T> PartialOrd for Entered<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entered<T> {
    /// The heap gives the largest first: the earliest is the largest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_us, other.number).cmp(&(self.at_us, self.number))
    }
}

/// Events to come.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    heap: BinaryHeap<Entered<T>>,
    number: u64,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            number: 0,
        }
    }
}

impl<T> Queue<T> {
    pub(crate) fn push(&mut self, at_us: u64, event: T) {
        let number = self.number;
        self.number += 1;
        self.heap.push(Entered {
            at_us,
            number,
            event,
        });
    }

    /// The earliest event that is not after `until_us`.
    pub(crate) fn pop(&mut self, until_us: u64) -> Option<(u64, T)> {
        if self.heap.peek()?.at_us > until_us {
            return None;
        }
        self.heap
            .pop()
            .map(|entered| (entered.at_us, entered.event))
    }
}
