//! What a page has missed: a bounded ring of events with cursors, to go on from
//! after a broken connection.
//!
//! An event may replace an older one with its key (only the newest status
//! matters); others are kept until there are too many. A cursor holds the life
//! of the ring it is of: one of another life, or from before what is kept, means
//! that the whole state must be fetched again. Pure; who makes the events and who
//! sends them stands elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;

/// Events kept.
pub const EVENTS_MAX: usize = 1024;
/// Bytes of the kept events together; one alone may be larger.
pub const BYTES_MAX: usize = 4 << 20;

/// Digits of a cursor that count events; the rest is the ring's life. Together
/// they stay below 2^53, which JSON numbers of every language hold.
const COUNT_BITS: u32 = 32;
const LIFE_MASK: u64 = (1 << 20) - 1;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Where it stands: going on after it asks for later ones.
    pub cursor: u64,
    /// Its name.
    pub name: &'static str,
    /// Its data, one line of JSON.
    pub data: Arc<str>,
    /// What it replaces.
    key: Option<String>,
}

/// What came after a cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// These, in order; perhaps none.
    Events(Vec<Event>),
    /// Nobody knows any more: fetch the state, and go on from the ring's cursor.
    Reset,
}

/// The ring.
#[derive(Debug)]
pub struct EventRing {
    life: u64,
    /// Events ever.
    count: u64,
    /// Cursors at and after this count can be gone on from.
    known_from: u64,
    held: VecDeque<Event>,
    bytes: usize,
}

impl EventRing {
    /// An empty ring. `life` must differ from that of rings before it, as the time
    /// of a start does.
    #[must_use]
    pub const fn new(life: u64) -> Self {
        Self {
            life: life & LIFE_MASK,
            count: 0,
            known_from: 0,
            held: VecDeque::new(),
            bytes: 0,
        }
    }

    /// The cursor after all events so far.
    #[must_use]
    pub const fn cursor(&self) -> u64 {
        self.cursor_of(self.count)
    }

    const fn cursor_of(&self, count: u64) -> u64 {
        (self.life << COUNT_BITS) | (count & u32::MAX as u64)
    }

    /// Adds an event; with a key it replaces the one before with that key.
    pub fn push(&mut self, name: &'static str, key: Option<String>, data: String) {
        if key.is_some() {
            let before = self.held.iter().position(|event| event.key == key);
            if let Some(before) = before.and_then(|index| self.held.remove(index)) {
                self.bytes = self.bytes.saturating_sub(before.data.len());
            }
        }
        self.count = self.count.saturating_add(1);
        self.bytes = self.bytes.saturating_add(data.len());
        self.held.push_back(Event {
            cursor: self.cursor(),
            name,
            data: data.into(),
            key,
        });
        while self.held.len() > EVENTS_MAX || (self.bytes > BYTES_MAX && self.held.len() > 1) {
            if let Some(oldest) = self.held.pop_front() {
                self.bytes = self.bytes.saturating_sub(oldest.data.len());
                self.known_from = oldest.cursor & u64::from(u32::MAX);
            }
        }
    }

    /// Forgets everything: what happened while nobody looked was not noted.
    pub fn forget(&mut self) {
        self.held.clear();
        self.bytes = 0;
        self.count = self.count.saturating_add(1);
        self.known_from = self.count;
    }

    /// What came after a cursor.
    #[must_use]
    pub fn since(&self, cursor: u64) -> Since {
        let count = cursor & u64::from(u32::MAX);
        let is_ours = cursor >> COUNT_BITS == self.life;
        if !is_ours || count < self.known_from || count > self.count {
            return Since::Reset;
        }
        let later = self.held.iter().filter(|event| event.cursor > cursor);
        Since::Events(later.cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(since: Since) -> Vec<String> {
        match since {
            Since::Events(events) => events.iter().map(|event| event.data.to_string()).collect(),
            Since::Reset => vec!["reset".to_owned()],
        }
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let mut ring = EventRing::new(7);
        let begin = ring.cursor();
        assert_eq!(names(ring.since(begin)), Vec::<String>::new());
        ring.push("a", None, "1".to_owned());
        let middle = ring.cursor();
        ring.push("a", None, "2".to_owned());
        assert_eq!(names(ring.since(begin)), ["1", "2"]);
        assert_eq!(names(ring.since(middle)), ["2"]);
        assert!(ring.cursor() < 1 << 53);
    }

    #[test]
    fn only_the_newest_of_a_key_is_kept() {
        let mut ring = EventRing::new(1);
        let begin = ring.cursor();
        ring.push("status", Some("status".to_owned()), "old".to_owned());
        ring.push("entry", None, "e".to_owned());
        ring.push("status", Some("status".to_owned()), "new".to_owned());
        assert_eq!(names(ring.since(begin)), ["e", "new"]);
    }

    #[test]
    fn who_is_too_far_behind_or_of_another_life_starts_anew() {
        let mut ring = EventRing::new(1);
        let begin = ring.cursor();
        for number in 0..=EVENTS_MAX {
            ring.push("a", None, number.to_string());
        }
        assert_eq!(ring.since(begin), Since::Reset);
        assert_eq!(ring.since(begin + 1), ring.since(begin + 1));
        assert!(matches!(ring.since(begin + 1), Since::Events(all) if all.len() == EVENTS_MAX));
        let other = EventRing::new(2);
        assert_eq!(other.since(ring.cursor()), Since::Reset);
        assert_eq!(ring.since(ring.cursor() + 1), Since::Reset, "not yet made");
        let now = ring.cursor();
        ring.forget();
        assert_eq!(ring.since(now), Since::Reset);
        assert_eq!(names(ring.since(ring.cursor())), Vec::<String>::new());
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut ring = EventRing::new(1);
        let begin = ring.cursor();
        for _ in 0..10 {
            ring.push("a", None, "x".repeat(BYTES_MAX / 4));
        }
        assert!(ring.held.len() <= 4 && ring.bytes <= BYTES_MAX);
        assert_eq!(ring.since(begin), Since::Reset);
        ring.push("a", None, "x".repeat(BYTES_MAX * 2));
        assert_eq!(ring.held.len(), 1, "the newest is kept, however large");
    }
}
