//! The envelope of a ledger entry.
//!
//! An entry is one step of its author's log (`prev`) and cites the newest
//! entries of others that its author held (`refs`). Structure is judged on this
//! envelope alone; the payload is opaque here, so entries of kinds that this
//! program does not know are carried like all others. The id covers the body
//! without the signature: signing the same body again makes no other entry.

use bincode::{Decode, Encode};
use talkoot_protocol::codec::{DecodeError, bound};
use talkoot_protocol::{
    Hash, HashContext, Identified, NetworkId, SignContext, Signable, Verified, Wallet, limits,
};

/// One entry of one author's log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    /// Which network; no entry counts in two.
    pub network: NetworkId,
    /// Who writes, and signs.
    pub author: Wallet,
    /// 0, 1, 2, … in the author's log.
    pub seq: u64,
    /// The author's entry before; zero for seq 0.
    pub prev: Hash,
    /// Entries of other authors that this one has seen: sorted, distinct.
    pub refs: Vec<Hash>,
    /// 1 + the largest among `prev` and `refs`.
    pub lamport: u64,
    /// The author's clock, milliseconds since 1970: a claim, shown and used by
    /// local policy, never by the fold.
    pub time_ms: u64,
    /// Wallets that this entry introduces: sorted, distinct.
    pub names: Vec<Wallet>,
    /// How to read the payload.
    pub kind: u16,
    /// The payload.
    pub payload: Vec<u8>,
}

impl Signable for Entry {
    const CONTEXT: SignContext = SignContext::Entry;
    const BYTES_MAX: usize = limits::ENTRY_BYTES_MAX;

    fn signer(&self) -> Wallet {
        self.author
    }

    fn check(&self) -> Result<(), DecodeError> {
        bound(self.refs.len() <= limits::ENTRY_REFS_MAX, "entry refs")?;
        bound(self.names.len() <= limits::ENTRY_NAMES_MAX, "entry names")?;
        bound(
            self.payload.len() <= limits::ENTRY_PAYLOAD_BYTES_MAX,
            "entry payload",
        )?;
        bound(self.refs.is_sorted_by(|a, b| a < b), "entry refs")?;
        bound(self.names.is_sorted_by(|a, b| a < b), "entry names")?;
        bound((self.seq == 0) == (self.prev == Hash::ZERO), "entry prev")?;
        bound(self.lamport > self.seq, "entry lamport")
    }
}

impl Identified for Entry {
    const ID: HashContext = HashContext::Entry;
}

/// An entry without a held successor in its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TipKey {
    /// Whose log.
    pub author: Wallet,
    /// Its number.
    pub seq: u64,
    /// Its id.
    pub id: Hash,
}

/// The id of an entry, over its canonical body.
#[must_use]
pub fn id_of(entry: &Verified<Entry>) -> Hash {
    entry.named()
}

/// The prev (if any) and refs of an entry.
pub fn parents(entry: &Entry) -> impl Iterator<Item = Hash> + '_ {
    let prev = (entry.seq != 0).then_some(entry.prev);
    prev.into_iter().chain(entry.refs.iter().copied())
}
