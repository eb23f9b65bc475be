//! The books of one node: ledger, journal, signer file and index in step.
//!
//! One thread owns this. What was admitted is durable in the journal before
//! [`Books::admit_batch`] returns, and an own entry is durable and its number
//! in the signer file before [`Books::author`] returns: only then may peers see
//! it. Any error of journal or signer file ends signing for the run.

mod open;
mod replay;
mod trail;
pub mod verify;

pub use open::{BooksError, BooksFiles, JOURNAL_FILE, OpenReport, Opening};
pub use replay::Progress;
pub use trail::IndexMode;
pub use verify::{VerifyReport, link_plainly, read, verify};

use crate::amount::{Balance, Ugft};
use crate::compose::{ComposeError, Draft};
use crate::entry::{Entry, id_of};
use crate::facts::Embedded;
use crate::journal::file::DurableFile;
use crate::journal::{Journal, JournalError, RecordKind};
use crate::ledger::{Admission, Ledger, Source};
use crate::outcome::Reason;
use crate::signer::{EndReason, Highest, SignerFile, SigningState};
use crate::store::{Index, IndexError};
use bincode::{Decode, Encode};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::codec::{self, DecodeError};
use talkoot_protocol::{
    Ack, Attestation, Hash, JobId, Keypair, Signed, Verified, VerifyError, Wallet,
};
use trail::Trail;

/// What a stage keeps of a job, to be paid after a restart.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HeldAck {
    /// What the last stage signed.
    pub attestation: Signed<Attestation>,
    /// What the submitter signed about it.
    pub ack: Signed<Ack>,
}

impl HeldAck {
    fn rank(&self) -> (u64, bool) {
        let ack = self.ack.claimed();
        (
            u64::from(ack.prompt_done).saturating_add(u64::from(ack.completion_done)),
            ack.is_final,
        )
    }

    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes, crate::journal::RECORD_BYTES_MAX)
    }
}

/// Why an own entry was not written.
#[derive(Debug, thiserror::Error)]
pub enum AuthorError {
    /// This node may not sign now.
    #[error("this node does not sign now: {0}")]
    NotSigning(SigningState),
    /// The entry cannot be composed.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// It would have no effect.
    #[error("the entry would be inert: {reason}{}", numbers(*.asked, *.available))]
    Inert {
        /// Why.
        reason: Reason,
        /// What it would hold or pass on.
        asked: Option<Ugft>,
        /// What is available.
        available: Option<Balance>,
    },
    /// It breaks its own bounds, or the key is another wallet's.
    #[error(transparent)]
    Sign(#[from] VerifyError),
    /// The journal failed. Signing has ended.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The signer file failed. Signing has ended.
    #[error("the signer file cannot be written: {0}")]
    Signer(#[source] std::io::Error),
    /// The ledger does not take what it composed: a fault of this program.
    #[error("the ledger refused its own entry")]
    Refused,
}

fn numbers(asked: Option<Ugft>, available: Option<Balance>) -> String {
    match (asked, available) {
        (Some(asked), Some(available)) => format!(" (asked {asked}, available {available})"),
        _ => String::new(),
    }
}

/// The books of one node.
#[derive(Debug)]
pub struct Books {
    me: Wallet,
    ledger: Ledger,
    journal: Journal<Box<dyn DurableFile>>,
    signer: SignerFile<Box<dyn DurableFile>>,
    signer_stands_at: Option<Option<Highest>>,
    signing: SigningState,
    index: Box<dyn Index>,
    index_mode: IndexMode,
    index_fault: Option<IndexError>,
    trail: Trail,
    acks_sent: BTreeMap<JobId, Signed<Ack>>,
    acks_held: BTreeMap<JobId, HeldAck>,
}

impl Books {
    /// The ledger, to read.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Whose books these are.
    #[must_use]
    pub const fn wallet(&self) -> Wallet {
        self.me
    }

    /// Whether this node may sign.
    #[must_use]
    pub const fn signing(&self) -> &SigningState {
        &self.signing
    }

    /// The index, to read.
    #[must_use]
    pub fn index(&self) -> &dyn Index {
        self.index.as_ref()
    }

    /// What went wrong with the index in this run. It is built again at the
    /// next start.
    #[must_use]
    pub const fn index_fault(&self) -> Option<&IndexError> {
        self.index_fault.as_ref()
    }

    /// Hands entries in; what is admitted is durable when this returns.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing of these may be shown to peers, and
    /// signing has ended.
    pub fn admit_batch(
        &mut self,
        entries: Vec<Verified<Entry>>,
        source: Source,
        now_ms: u64,
    ) -> Result<Vec<Admission>, JournalError> {
        let admissions = self.ledger.admit_batch(entries, source, now_ms);
        let newly: Vec<Hash> = admissions.iter().flat_map(newly).copied().collect();
        let offsets = self.write(&newly)?;
        self.watch_own(&newly, source);
        self.update_index(&newly, &offsets);
        Ok(admissions)
    }

    /// Time passes: entries that waited too long are forgotten, and an index
    /// that trails is brought up.
    pub fn tick(&mut self, now_ms: u64) {
        self.ledger.expire(now_ms);
        self.tick_index(now_ms);
    }

    fn write(&mut self, newly: &[Hash]) -> Result<Vec<u64>, JournalError> {
        let Self {
            ledger,
            journal,
            signing,
            ..
        } = self;
        let mut append = || {
            let records = newly.iter().filter_map(|id| {
                let kind = RecordKind::of_entry(ledger.embedded(id)?);
                Some((kind, ledger.entry(id)?.to_bytes()))
            });
            let offsets = records
                .map(|(kind, bytes)| journal.append(kind, &bytes))
                .collect::<Result<_, _>>()?;
            journal.commit()?;
            Ok(offsets)
        };
        append().inspect_err(|_| signing.end(EndReason::Disk))
    }

    /// Looks for own entries that others brought, and at the signing state.
    fn watch_own(&mut self, newly: &[Hash], source: Source) {
        let own: Vec<Hash> = newly
            .iter()
            .filter(|id| {
                self.ledger
                    .entry(id)
                    .is_some_and(|entry| entry.author == self.me)
            })
            .copied()
            .collect();
        if own.is_empty() {
            return;
        }
        if source != Source::Own {
            self.signing.stranger();
        }
        for id in own {
            self.signing.held(id);
        }
        self.settle_signing();
    }

    /// Brings the signer file in step with the log when signing begins.
    fn settle_signing(&mut self) {
        if matches!(self.signing, SigningState::Ended(_)) {
            return;
        }
        if self.ledger.log_length(&self.me) > 0 && self.ledger.log_tip(&self.me).is_none() {
            self.signing.end(EndReason::Forked);
        }
        if !self.signing.is_active() {
            return;
        }
        let tip = self.ledger.log_tip(&self.me).map(|tip| Highest {
            seq: tip.seq,
            id: tip.id,
        });
        if self.signer_stands_at != Some(tip) {
            match self.signer.write(tip) {
                Ok(()) => self.signer_stands_at = Some(tip),
                Err(_) => self.signing.end(EndReason::Disk),
            }
        }
    }

    /// A peer has shown all its log tips, and everything it showed is held
    /// (the sync core says so).
    pub fn peer_showed(&mut self, peer: Wallet) {
        let founders = self
            .ledger
            .genesis()
            .founders
            .iter()
            .map(|founder| founder.wallet);
        let authors = self.ledger.log_tips().into_iter().map(|tip| tip.author);
        let others: BTreeSet<Wallet> = founders
            .chain(authors)
            .filter(|wallet| *wallet != self.me)
            .collect();
        self.signing.peer_showed(peer, others.len());
        self.settle_signing();
    }

    /// Writes the next own entry. It is durable when this returns, and may
    /// leave.
    ///
    /// # Errors
    /// [`AuthorError`].
    pub fn author(&mut self, key: &Keypair, draft: Draft) -> Result<Verified<Entry>, AuthorError> {
        if !self.signing.is_active() {
            return Err(AuthorError::NotSigning(self.signing.clone()));
        }
        let entry = self.ledger.compose(self.me, draft)?;
        let preview = self.ledger.preview(&entry);
        if let Some(reason) = preview.reason {
            return Err(AuthorError::Inert {
                reason,
                asked: preview.asked,
                available: preview.available,
            });
        }
        let entry = Verified::sign(entry, key, self.ledger.network())?;
        let highest = Highest {
            seq: entry.seq,
            id: id_of(&entry),
        };
        let offset = self
            .journal
            .append(RecordKind::Entry, &entry.to_bytes())
            .and_then(|offset| self.journal.commit().map(|()| offset))
            .inspect_err(|_| self.signing.end(EndReason::Disk))?;
        self.signer.write(Some(highest)).map_err(|error| {
            self.signing.end(EndReason::Disk);
            AuthorError::Signer(error)
        })?;
        self.signer_stands_at = Some(Some(highest));
        // The preview has looked at the signatures inside it.
        let known = (entry.clone(), Some(Embedded::Right));
        let mut admissions = self.ledger.admit_recorded([known]);
        let Some(Admission::Added { newly }) = admissions.pop() else {
            return Err(AuthorError::Refused);
        };
        // Nothing can have waited for an entry that nobody else has seen.
        self.update_index(&newly, &[offset]);
        Ok(entry)
    }

    /// Notes an ack that this node sends. Durable after [`Books::flush`].
    ///
    /// # Errors
    /// [`JournalError`]; signing has ended.
    pub fn record_ack_sent(&mut self, ack: &Verified<Ack>) -> Result<(), JournalError> {
        self.append_other(RecordKind::AckSent, &ack.to_bytes())?;
        self.acks_sent.insert(ack.job, ack.clone().into());
        Ok(())
    }

    /// Notes an ack that this node holds, if it is higher than what it held.
    /// Durable after [`Books::flush`].
    ///
    /// # Errors
    /// [`JournalError`]; signing has ended.
    pub fn record_ack_held(
        &mut self,
        attestation: &Verified<Attestation>,
        ack: &Verified<Ack>,
    ) -> Result<(), JournalError> {
        let held = HeldAck {
            attestation: attestation.clone().into(),
            ack: ack.clone().into(),
        };
        if self
            .acks_held
            .get(&ack.job)
            .is_none_or(|before| before.rank() < held.rank())
        {
            self.append_other(RecordKind::AckHeld, &codec::encode(&held))?;
            self.acks_held.insert(ack.job, held);
        }
        Ok(())
    }

    fn append_other(&mut self, kind: RecordKind, payload: &[u8]) -> Result<(), JournalError> {
        let appended = self.journal.append(kind, payload).map(|_| ());
        appended.inspect_err(|_| self.signing.end(EndReason::Disk))
    }

    /// The highest ack this node was given for a job, with its attestation.
    #[must_use]
    pub fn highest_ack(&self, job: JobId) -> Option<&HeldAck> {
        self.acks_held.get(&job)
    }

    /// All of them, to settle what a restart left open.
    pub fn acks_held(&self) -> impl Iterator<Item = (&JobId, &HeldAck)> {
        self.acks_held.iter()
    }

    /// The last ack this node sent for a job.
    #[must_use]
    pub fn last_ack_sent(&self, job: JobId) -> Option<&Signed<Ack>> {
        self.acks_sent.get(&job)
    }

    /// Makes everything durable. An index that trails is left where it is: see
    /// [`Books::settle_index`].
    ///
    /// # Errors
    /// [`JournalError`]; signing has ended.
    pub fn flush(&mut self) -> Result<(), JournalError> {
        self.journal
            .commit()
            .inspect_err(|_| self.signing.end(EndReason::Disk))?;
        if self.index_mode == IndexMode::InStep {
            self.settle_index();
        }
        Ok(())
    }
}

fn newly(admission: &Admission) -> &[Hash] {
    match admission {
        Admission::Added { newly } => newly,
        _ => &[],
    }
}
