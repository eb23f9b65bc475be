//! Bytes from peers -> verified objects, or the verdict on who sent them.
//!
//! The one table of what each refusal says about a peer. `Reject` and a mark
//! are for what an honest program never forwards; `Ignore` is for what can
//! happen to anybody: something known, too early or too late. Never panics,
//! whatever the bytes.

use crate::core::directory::Applied;
use crate::core::peers::Mark;
use crate::swarm::Acceptance;
use talkoot_ledger::sync::SyncFault;
use talkoot_ledger::{Admission, Entry, StructureError};
use talkoot_protocol::announce::Announcement;
use talkoot_protocol::{NetworkId, Signed, Verified};

/// What becomes of a gossip message and its sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Forward it.
    Accept,
    /// Drop it.
    Ignore,
    /// Drop it and mark the sender.
    Reject(Mark),
}

impl Verdict {
    /// The part of it that gossip needs.
    #[must_use]
    pub const fn acceptance(&self) -> Acceptance {
        match self {
            Self::Accept => Acceptance::Accept,
            Self::Ignore => Acceptance::Ignore,
            Self::Reject(_) => Acceptance::Reject,
        }
    }
}

/// Reads a ledger entry.
///
/// # Errors
/// The [`Mark`] for the sender.
pub fn entry(bytes: &[u8], network: NetworkId) -> Result<Verified<Entry>, Mark> {
    let signed = Signed::<Entry>::decode(bytes)?;
    // Its signature cannot be right for ours; say so rather than blame that.
    if signed.claimed().network != network {
        return Err(Mark::OtherNetwork);
    }
    Ok(signed.verify(network)?)
}

/// Reads an announcement.
///
/// # Errors
/// The [`Mark`] for the sender.
pub fn announcement(bytes: &[u8], network: NetworkId) -> Result<Verified<Announcement>, Mark> {
    Ok(Verified::from_bytes(bytes, network)?)
}

/// The verdict on a gossiped entry that the books have seen.
#[must_use]
pub fn admission(admission: &Admission) -> Verdict {
    match admission {
        Admission::Added { .. } => Verdict::Accept,
        Admission::Known | Admission::Pending { .. } | Admission::Later => Verdict::Ignore,
        Admission::Refused(error) => Verdict::Reject(structure(*error)),
    }
}

/// The mark for forwarding an entry that is in no set.
#[must_use]
pub fn structure(error: StructureError) -> Mark {
    match error {
        StructureError::Network => Mark::OtherNetwork,
        StructureError::Prev
        | StructureError::OwnRef
        | StructureError::Lamport
        | StructureError::NotNamed => Mark::Invalid(error.to_string()),
    }
}

/// The verdict on a gossiped announcement that the directory has seen.
/// `is_direct` says that its author sent it to us.
#[must_use]
pub fn applied(applied: &Applied, is_direct: bool) -> Verdict {
    match applied {
        Applied::New | Applied::Newer | Applied::OtherKind => Verdict::Accept,
        // An author knows which numbers it has used; others may be late.
        Applied::Older if is_direct => Verdict::Reject(Mark::Replayed),
        Applied::Same | Applied::Older | Applied::Full => Verdict::Ignore,
        Applied::Expired => Verdict::Reject(Mark::Replayed),
        Applied::Malformed(error) => Verdict::Reject(error.clone().into()),
    }
}

/// The mark for a fault in sync.
#[must_use]
pub fn sync(fault: SyncFault) -> Mark {
    match fault {
        SyncFault::Undecodable => Mark::Malformed(fault.to_string()),
        SyncFault::WrongKind
        | SyncFault::BadListing
        | SyncFault::NotServed
        | SyncFault::Unasked
        | SyncFault::Crumbs
        | SyncFault::BadEntry
        | SyncFault::BadStructure => Mark::Invalid(fault.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkoot_ledger::kinds;
    use talkoot_protocol::{Hash, Keypair, limits};

    fn network(byte: u8) -> NetworkId {
        NetworkId(Hash::from_bytes([byte; 32]))
    }

    fn sample(in_network: NetworkId, key: &Keypair) -> Vec<u8> {
        let entry = Entry {
            network: in_network,
            author: key.wallet(),
            seq: 0,
            prev: Hash::ZERO,
            refs: vec![],
            lamport: 1,
            time_ms: 5,
            names: vec![],
            kind: kinds::WITNESS,
            payload: vec![],
        };
        Verified::sign(entry, key, in_network).unwrap().to_bytes()
    }

    #[test]
    fn each_kind_of_rubbish_has_its_mark() {
        let key = Keypair::from_seed(&[1; 32]);
        let good = sample(network(1), &key);
        assert!(entry(&good, network(1)).is_ok());
        assert_eq!(entry(&good, network(2)), Err(Mark::OtherNetwork));

        let mut forged = good.clone();
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(entry(&forged, network(1)), Err(Mark::Signature));

        let cut = &good[..good.len() - 1];
        assert!(matches!(entry(cut, network(1)), Err(Mark::Malformed(_))));
        let mut long = good.clone();
        long.push(0);
        assert!(matches!(entry(&long, network(1)), Err(Mark::Malformed(_))));
        let huge = vec![0; limits::ENTRY_BYTES_MAX + 1];
        assert_eq!(entry(&huge, network(1)), Err(Mark::OverLimit));
        assert!(entry(&[], network(1)).is_err());
        // An announcement is no entry, even from the same key.
        assert!(announcement(&good, network(1)).is_err());
    }

    #[test]
    fn only_what_an_honest_peer_never_sends_is_rejected() {
        let refused = Admission::Refused(StructureError::Lamport);
        assert!(matches!(admission(&refused), Verdict::Reject(_)));
        for fine in [
            Admission::Known,
            Admission::Later,
            Admission::Pending { missing: vec![] },
        ] {
            assert_eq!(admission(&fine), Verdict::Ignore);
        }
        assert_eq!(applied(&Applied::Older, false), Verdict::Ignore);
        assert_eq!(
            applied(&Applied::Older, true),
            Verdict::Reject(Mark::Replayed)
        );
    }
}
