//! The index behind the journal: changes gathered, and applied in large batches.
//!
//! Nothing reads the index to decide anything, so it may trail. What it covers
//! stands in its mark, which is taken away before a change and written after:
//! at the next start it is caught up from there, or built again when there is
//! no mark or the mark is of another history.

use super::Books;
use crate::entry::{Entry, id_of};
use crate::ledger::Ledger;
use crate::store::{Index, IndexBatch, IndexError, Mark, Place};
use talkoot_protocol::{Hash, Verified};

/// Entries that the index may lack, and as many positions of the chain: what is
/// applied at once, in the order of the index's keys.
const TRAIL_ENTRIES_MAX: usize = 65_536;
/// How long it may lack one.
const TRAIL_MS_MAX: u64 = 30_000;

/// How the index follows the journal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IndexMode {
    /// In large batches, some time later.
    #[default]
    Trailing,
    /// With every batch of entries.
    InStep,
}

/// What the index lacks.
#[derive(Debug, Default)]
pub(super) struct Trail {
    places: Vec<Place>,
    /// The lowest chain position that changed.
    links_from: Option<usize>,
    since_ms: Option<u64>,
}

impl Trail {
    /// Notes new entries and the lowest chain position that changed.
    pub(super) fn note(&mut self, places: impl IntoIterator<Item = Place>, links_from: usize) {
        self.places.extend(places);
        let before = self.links_from.unwrap_or(links_from);
        self.links_from = Some(before.min(links_from));
    }

    const fn is_empty(&self) -> bool {
        self.places.is_empty() && self.links_from.is_none()
    }

    /// How many entries the index lacks.
    pub(super) const fn len(&self) -> usize {
        self.places.len()
    }

    /// Applies everything; the mark comes with the last part.
    fn apply(&self, index: &mut dyn Index, ledger: &Ledger, mark: Mark) -> Result<(), IndexError> {
        let mut places = self.places.chunks(TRAIL_ENTRIES_MAX);
        let length = usize::try_from(ledger.length()).unwrap_or(usize::MAX);
        let mut from = self.links_from.unwrap_or(length);
        loop {
            let part = places.next().unwrap_or_default();
            let links: Vec<_> = ledger.links(from).take(TRAIL_ENTRIES_MAX).collect();
            let next = from.saturating_add(links.len());
            let is_last = places.len() == 0 && next >= length;
            index.apply(&IndexBatch {
                places: part.to_vec(),
                links_from: from as u64,
                links,
                mark: is_last.then_some(mark),
            })?;
            if is_last {
                return Ok(());
            }
            from = next;
        }
    }
}

impl Books {
    /// What the index will cover when nothing is left to apply.
    fn mark(&self) -> Mark {
        let (journal_end, journal_head) = self.journal.position();
        Mark {
            journal_end,
            journal_head,
            chain_length: self.ledger.length(),
            chain_tip: self.ledger.tip(),
        }
    }

    /// Notes new entries for the index, and applies them if it is their turn.
    pub(super) fn update_index(&mut self, newly: &[Hash], offsets: &[u64]) {
        let from = self.ledger.take_relinked_from();
        if newly.is_empty() || self.index_fault.is_some() {
            return;
        }
        let ledger = &self.ledger;
        let place = |(id, &offset): (&Hash, &u64)| {
            let entry = ledger.entry(id)?;
            Some(Place {
                id: *id,
                author: entry.author,
                seq: entry.seq,
                offset,
            })
        };
        let places = newly.iter().zip(offsets).filter_map(place);
        self.trail.note(places, from);
        let is_due = self.index_mode == IndexMode::InStep || self.trail.len() >= TRAIL_ENTRIES_MAX;
        if is_due {
            self.apply_trail();
        }
    }

    /// Applies what the index has lacked for too long.
    pub(super) fn tick_index(&mut self, now_ms: u64) {
        if self.trail.is_empty() || self.index_fault.is_some() {
            return;
        }
        let since_ms = *self.trail.since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since_ms) >= TRAIL_MS_MAX {
            self.apply_trail();
        }
    }

    pub(super) fn apply_trail(&mut self) {
        let mark = self.mark();
        let applied = self.trail.apply(self.index.as_mut(), &self.ledger, mark);
        self.trail = Trail::default();
        self.index_fault = applied.err();
    }

    /// Brings the index up to the journal and writes it out.
    pub fn settle_index(&mut self) {
        if self.index_fault.is_none() {
            self.apply_trail();
        }
        if self.index_fault.is_none() {
            self.index_fault = self.index.flush().err();
        }
    }

    /// Brings the index up to a journal that was just read: gives it what it
    /// lacks, or builds it again. Gives whether it was built again, and how
    /// many entries it lacked otherwise.
    pub(super) fn check_index(&mut self, trail: Option<Trail>) -> (bool, u64) {
        let last_covered = self.index.mark().ok().flatten().map(|mark| {
            let newest = mark.chain_length.saturating_sub(1);
            (newest, self.index.link(newest), mark)
        });
        self.ledger.take_relinked_from();
        // What the index holds of its own end must be what its mark says.
        let is_whole = match last_covered {
            Some((_, Ok(None), mark)) => mark.chain_length == 0,
            Some((_, Ok(Some(link)), mark)) => link.link == mark.chain_tip,
            _ => false,
        };
        if let Some(trail) = trail.filter(|_| is_whole) {
            let lacked = trail.len() as u64;
            self.trail = trail;
            if self.index.mark() != Ok(Some(self.mark())) {
                self.settle_index();
            }
            return (false, lacked);
        }
        self.index_fault = self.rebuild_index().err();
        self.settle_index();
        (true, 0)
    }

    fn rebuild_index(&mut self) -> Result<(), IndexError> {
        self.index.clear()?;
        let network = self.ledger.network();
        let Self {
            journal,
            index,
            ledger,
            ..
        } = self;
        let mut places: Vec<Place> = Vec::new();
        let mut applied = Ok(());
        let scanned = journal.scan_again(network, &mut |record| {
            let entry = record
                .kind
                .embedded()
                .and_then(|_| Verified::<Entry>::from_trusted_bytes(record.payload).ok());
            let place = entry.map(|entry| Place {
                id: id_of(&entry),
                author: entry.author,
                seq: entry.seq,
                offset: record.offset,
            });
            places.extend(place.filter(|place| ledger.holds(&place.id)));
            if places.len() >= TRAIL_ENTRIES_MAX && applied.is_ok() {
                applied = index.apply(&IndexBatch {
                    places: std::mem::take(&mut places),
                    links_from: 0,
                    links: Vec::new(),
                    mark: None,
                });
            }
        });
        scanned.map_err(|error| IndexError::Store(error.to_string()))?;
        applied?;
        self.trail.note(places, 0);
        Ok(())
    }
}
