//! The signer file, and whether this node may sign.
//!
//! An honest node never forks itself. The number and id of the newest own entry
//! stand in a small file of two slots, written in turn and synced after the
//! journal record and before the entry leaves. At the start the two must agree;
//! a journal that is ahead by whole own entries agrees too, for those had not
//! left and will not be written again. If they do not agree, or the seed is
//! older than the files, nothing is signed until peers have shown the highest
//! own entry.

use crate::journal::file::DurableFile;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use talkoot_protocol::{Hash, HashContext, NetworkId, Wallet};

const MAGIC: [u8; 4] = *b"TSG1";
const SLOT_BYTES: usize = 4 + 8 + 1 + 8 + 32 + 32;
/// Slots lie in different sectors, so that one write cannot tear both.
const SLOT_STRIDE: u64 = 4096;
/// Peers that must have shown their tips when the files cannot tell.
pub const PEERS_NEEDED_MAX: usize = 3;

/// The newest own entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Highest {
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: Hash,
}

/// What the signer file said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignerRead {
    /// It is empty or not readable as one.
    Missing,
    /// Nothing was ever signed with it.
    Nothing,
    /// The newest own entry that may have left.
    Highest(Highest),
}

/// The open signer file.
#[derive(Debug)]
pub struct SignerFile<F> {
    file: F,
    network: NetworkId,
    counter: u64,
}

fn encode(network: NetworkId, counter: u64, highest: Option<Highest>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(SLOT_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&counter.to_le_bytes());
    bytes.push(u8::from(highest.is_some()));
    let Highest { seq, id } = highest.unwrap_or(Highest {
        seq: 0,
        id: Hash::ZERO,
    });
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(id.as_bytes());
    let check = Hash::of_parts(
        HashContext::JournalRecord,
        &[b"signer", network.0.as_bytes(), &bytes],
    );
    bytes.extend_from_slice(check.as_bytes());
    bytes
}

fn decode(network: NetworkId, bytes: &[u8]) -> Option<(u64, Option<Highest>)> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (counter, rest) = rest.split_first_chunk::<8>()?;
    let (&has, rest) = rest.split_first()?;
    let (seq, rest) = rest.split_first_chunk::<8>()?;
    let (id, _) = rest.split_first_chunk::<32>()?;
    let counter = u64::from_le_bytes(*counter);
    let highest = Highest {
        seq: u64::from_le_bytes(*seq),
        id: Hash::from_bytes(*id),
    };
    let highest = (has == 1).then_some(highest);
    (encode(network, counter, highest) == bytes).then_some((counter, highest))
}

impl<F: DurableFile> SignerFile<F> {
    /// Opens the file and reads the newer slot.
    ///
    /// # Errors
    /// The system's.
    pub fn open(mut file: F, network: NetworkId) -> io::Result<(Self, SignerRead)> {
        let length = file.length()?;
        let mut newest: Option<(u64, Option<Highest>)> = None;
        for offset in [0, SLOT_STRIDE] {
            let mut slot = vec![0; SLOT_BYTES];
            if length >= offset.saturating_add(SLOT_BYTES as u64) {
                file.read_exact_at(offset, &mut slot)?;
                newest = newest
                    .into_iter()
                    .chain(decode(network, &slot))
                    .max_by_key(|(counter, _)| *counter);
            }
        }
        let read = match newest {
            None => SignerRead::Missing,
            Some((_, None)) => SignerRead::Nothing,
            Some((_, Some(highest))) => SignerRead::Highest(highest),
        };
        Ok((
            Self {
                file,
                network,
                counter: newest.map_or(0, |(counter, _)| counter),
            },
            read,
        ))
    }

    /// Writes the newest own entry and makes it durable.
    ///
    /// # Errors
    /// The system's; then nothing more may be signed.
    pub fn write(&mut self, highest: Option<Highest>) -> io::Result<()> {
        self.counter = self.counter.saturating_add(1);
        let offset = if self.counter.is_multiple_of(2) {
            0
        } else {
            SLOT_STRIDE
        };
        self.file
            .write_at(offset, &encode(self.network, self.counter, highest))?;
        self.file.sync()
    }
}

/// Whether this node may sign entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SigningState {
    /// It may.
    Active,
    /// Not until its newest entry, which left, is held again.
    AwaitingEntry(Highest),
    /// Not until so many peers have shown all their tips.
    AwaitingPeers {
        /// Who has.
        shown: BTreeSet<Wallet>,
    },
    /// Never again in this run.
    Ended(EndReason),
}

impl fmt::Display for SigningState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("it signs"),
            Self::AwaitingEntry(highest) => {
                write!(
                    f,
                    "the journal lacks its own entry {}, which a peer must show again",
                    highest.seq
                )
            }
            Self::AwaitingPeers { shown } => {
                write!(
                    f,
                    "its files are gone or old; {} peers have shown their tips so far",
                    shown.len()
                )
            }
            Self::Ended(reason) => write!(f, "{reason}"),
        }
    }
}

/// Why signing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EndReason {
    /// The journal or the signer file could not be written.
    #[error("a write or sync of the journal or signer file failed")]
    Disk,
    /// Two own entries stand at one number.
    #[error("the own log is forked")]
    Forked,
}

/// What is known when the files are opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// What the signer file said.
    pub signer: SignerRead,
    /// Whether the journal holds the entry that the signer file names.
    pub is_signed_held: bool,
    /// Whether the journal holds any own entry.
    pub has_own: bool,
    /// Whether the identity or the network was made just now, so that nothing
    /// can have been signed in it before.
    pub is_new: bool,
}

impl SigningState {
    /// Judges what was found.
    #[must_use]
    pub const fn at_start(found: Found) -> Self {
        match found.signer {
            SignerRead::Highest(_) if found.is_signed_held => Self::Active,
            SignerRead::Highest(highest) => Self::AwaitingEntry(highest),
            SignerRead::Nothing => Self::Active,
            SignerRead::Missing if found.is_new && !found.has_own => Self::Active,
            SignerRead::Missing => Self::AwaitingPeers {
                shown: BTreeSet::new(),
            },
        }
    }

    /// Whether entries may be signed.
    #[must_use]
    pub const fn is_active(&self) -> bool {
        matches!(self, Self::Active)
    }

    /// A peer has shown all its tips, and all of them are held.
    /// `others` is how many other authors are known.
    pub fn peer_showed(&mut self, peer: Wallet, others: usize) {
        if let Self::AwaitingPeers { shown } = self {
            shown.insert(peer);
            if shown.len() >= others.clamp(1, PEERS_NEEDED_MAX) {
                *self = Self::Active;
            }
        }
    }

    /// An entry is held now.
    pub fn held(&mut self, id: Hash) {
        if matches!(self, Self::AwaitingEntry(highest) if highest.id == id) {
            *self = Self::Active;
        }
    }

    /// An own entry came from somebody else: the files are older than the log.
    pub fn stranger(&mut self) {
        if self.is_active() {
            *self = Self::AwaitingPeers {
                shown: BTreeSet::new(),
            };
        }
    }

    /// Ends signing for good.
    pub fn end(&mut self, reason: EndReason) {
        *self = Self::Ended(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::faulty::{FaultyFile, Power};

    const NETWORK: NetworkId = NetworkId(Hash::ZERO);

    #[test]
    fn the_newer_slot_counts_and_a_torn_one_does_not() {
        let power = Power::default();
        let file = FaultyFile::new(&power);
        let (mut signer, read) = SignerFile::open(file.clone(), NETWORK).unwrap();
        assert_eq!(read, SignerRead::Missing);
        let highest = |seq| Highest {
            seq,
            id: Hash::of_blob(&[1]),
        };
        signer.write(None).unwrap();
        signer.write(Some(highest(0))).unwrap();
        signer.write(Some(highest(1))).unwrap();
        assert_eq!(
            SignerFile::open(file.clone(), NETWORK).unwrap().1,
            SignerRead::Highest(highest(1))
        );
        let mut bytes = file.survivor();
        bytes[4096 + 20] ^= 1;
        let torn = FaultyFile::holding(bytes, &power);
        assert_eq!(
            SignerFile::open(torn, NETWORK).unwrap().1,
            SignerRead::Highest(highest(0))
        );
        let other = NetworkId(Hash::of_blob(&[2]));
        assert_eq!(
            SignerFile::open(file, other).unwrap().1,
            SignerRead::Missing
        );
    }

    #[test]
    fn what_was_found_decides() {
        let highest = Highest {
            seq: 3,
            id: Hash::of_blob(&[1]),
        };
        let found = |signer, is_signed_held, has_own, is_new| {
            SigningState::at_start(Found {
                signer,
                is_signed_held,
                has_own,
                is_new,
            })
        };
        assert!(found(SignerRead::Missing, false, false, true).is_active());
        assert!(!found(SignerRead::Missing, false, false, false).is_active());
        assert!(!found(SignerRead::Missing, false, true, true).is_active());
        assert!(found(SignerRead::Nothing, false, true, false).is_active());
        assert!(found(SignerRead::Highest(highest), true, true, false).is_active());
        let mut waiting = found(SignerRead::Highest(highest), false, true, false);
        assert_eq!(waiting, SigningState::AwaitingEntry(highest));
        waiting.peer_showed(Wallet::from_bytes([1; 32]), 1);
        assert!(!waiting.is_active(), "the entry itself must be held");
        waiting.held(highest.id);
        assert!(waiting.is_active());
    }

    #[test]
    fn peers_are_counted_once_and_as_many_as_there_are() {
        let peer = |byte| Wallet::from_bytes([byte; 32]);
        let mut state = SigningState::AwaitingPeers {
            shown: BTreeSet::new(),
        };
        for _ in 0..5 {
            state.peer_showed(peer(1), 9);
        }
        state.peer_showed(peer(2), 9);
        assert!(!state.is_active());
        state.peer_showed(peer(3), 9);
        assert!(state.is_active());
        let mut small = SigningState::AwaitingPeers {
            shown: BTreeSet::new(),
        };
        small.peer_showed(peer(1), 1);
        assert!(small.is_active());
    }
}
