//! Reading a journal into a ledger at the start.
//!
//! Entries are taken in batches, so memory holds no more than the ledger needs;
//! signatures were checked when the records were written and the records'
//! hashes chain, so none is checked again. On the way it is seen whether the
//! index covers a beginning of this journal, and then only the rest is noted
//! for it.

use super::HeldAck;
use super::trail::Trail;
use crate::entry::{Entry, id_of};
use crate::facts::Embedded;
use crate::journal::{HEADER_BYTES, RecordKind, RecordRef};
use crate::ledger::{Admission, Ledger};
use crate::store::{Mark, Place};
use std::collections::BTreeMap;
use talkoot_protocol::{Ack, Hash, JobId, Signed, Verified};

/// Entries that are handed to the ledger at once.
const BATCH_ENTRIES: usize = 4096;

/// How far reading the journal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries so far.
    pub entries: u64,
    /// Bytes so far.
    pub bytes: u64,
    /// Bytes in all.
    pub bytes_total: u64,
}

/// A journal on its way into a ledger.
pub(super) struct Replay<'a> {
    pub(super) ledger: Ledger,
    pub(super) acks_sent: BTreeMap<JobId, Signed<Ack>>,
    pub(super) acks_held: BTreeMap<JobId, HeldAck>,
    /// Records that cannot be used.
    pub(super) unusable: u64,
    /// What the index lacks, once what it covers was read and is the same.
    pub(super) trail: Option<Trail>,
    mark: Option<Mark>,
    batch: Vec<(Verified<Entry>, Embedded)>,
    offsets: Vec<u64>,
    bytes_total: u64,
    progress: &'a mut dyn FnMut(Progress),
}

impl<'a> Replay<'a> {
    pub(super) fn new(
        ledger: Ledger,
        mark: Option<Mark>,
        bytes_total: u64,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let mut replay = Self {
            acks_sent: BTreeMap::new(),
            acks_held: BTreeMap::new(),
            unusable: 0,
            trail: None,
            mark,
            batch: Vec::new(),
            offsets: Vec::new(),
            bytes_total,
            progress,
            ledger,
        };
        let network = replay.ledger.network();
        replay.look_at_mark(HEADER_BYTES, network.0);
        replay
    }

    /// Takes the next record.
    pub(super) fn take(&mut self, record: RecordRef<'_>) {
        let is_read = match record.kind {
            RecordKind::Entry | RecordKind::EntryFirstWrong | RecordKind::EntryLaterWrong => {
                self.take_entry(record)
            }
            RecordKind::AckSent => Signed::<Ack>::decode(record.payload).is_ok_and(|ack| {
                self.acks_sent.insert(ack.claimed().job, ack);
                true
            }),
            RecordKind::AckHeld => HeldAck::decode(record.payload).is_ok_and(|held| {
                self.acks_held.insert(held.ack.claimed().job, held);
                true
            }),
        };
        self.unusable = self.unusable.saturating_add(u64::from(!is_read));
        if self.batch.len() >= BATCH_ENTRIES {
            self.admit();
            (self.progress)(Progress {
                entries: self.ledger.length(),
                bytes: record.end,
                bytes_total: self.bytes_total,
            });
        }
        self.look_at_mark(record.end, record.head);
    }

    /// Hands the last entries in.
    pub(super) fn finish(&mut self) {
        self.admit();
        (self.progress)(Progress {
            entries: self.ledger.length(),
            bytes: self.bytes_total,
            bytes_total: self.bytes_total,
        });
    }

    fn take_entry(&mut self, record: RecordRef<'_>) -> bool {
        let Some(embedded) = record.kind.embedded() else {
            return false;
        };
        let Ok(entry) = Verified::<Entry>::from_trusted_bytes(record.payload) else {
            return false;
        };
        self.batch.push((entry, embedded));
        self.offsets.push(record.offset);
        true
    }

    fn admit(&mut self) {
        let offsets = std::mem::take(&mut self.offsets);
        let batch = std::mem::take(&mut self.batch);
        let places: Vec<Place> = if self.trail.is_some() {
            let place = |((entry, _), &offset): (&(Verified<Entry>, Embedded), &u64)| Place {
                id: id_of(entry),
                author: entry.author,
                seq: entry.seq,
                offset,
            };
            batch.iter().zip(&offsets).map(place).collect()
        } else {
            Vec::new()
        };
        let known = batch
            .into_iter()
            .map(|(entry, embedded)| (entry, Some(embedded)));
        let admissions = self.ledger.admit_recorded(known);
        let is_added = |admission: &Admission| matches!(admission, Admission::Added { .. });
        let refused = admissions.iter().filter(|admission| !is_added(admission));
        self.unusable = self.unusable.saturating_add(refused.count() as u64);
        if let Some(trail) = &mut self.trail {
            let links_from = self.ledger.take_relinked_from();
            let ledger = &self.ledger;
            let held = places.into_iter();
            trail.note(held.filter(|place| ledger.holds(&place.id)), links_from);
        }
    }

    /// Begins to note what the index lacks where what it covers ends.
    fn look_at_mark(&mut self, end: u64, head: Hash) {
        let Some(mark) = self.mark else { return };
        if mark.journal_end != end || mark.journal_head != head {
            return;
        }
        self.admit();
        if mark.chain_length == self.ledger.length() && mark.chain_tip == self.ledger.tip() {
            self.ledger.take_relinked_from();
            self.trail = Some(Trail::default());
        }
    }
}
