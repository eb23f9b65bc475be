//! What is computed again here, from bytes: nothing of it is taken from the
//! node that was asked, or from what the ledger keeps in step.

use crate::api::{EntryView, GenesisView};
use crate::exit::{Exit, Failure};
use serde::Serialize;
use talkoot_ledger::{Entry, id_of, next_link};
use talkoot_protocol::{Genesis, Hash, NetworkId, Verified};

/// What became of an entry that was computed again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct EntryCheck {
    /// The hash of the body is the id.
    pub(super) id: bool,
    /// The signature is the author's, in this network.
    pub(super) signature: bool,
    /// Author, number, kind and time are those of the bytes.
    pub(super) fields: bool,
    /// The link follows from the link before, the id and the effect.
    pub(super) link: bool,
}

impl EntryCheck {
    pub(super) const fn is_right(&self) -> bool {
        self.id && self.signature && self.fields && self.link
    }
}

/// The network of a founding document, computed from its bytes.
///
/// # Errors
/// [`Exit::VerifyFailed`] when it has another id than it is shown with.
pub(super) fn network(view: &GenesisView) -> Result<NetworkId, Failure> {
    let genesis = data_encoding::HEXLOWER
        .decode(view.bytes.as_bytes())
        .ok()
        .and_then(|bytes| Genesis::decode(&bytes).ok());
    match genesis {
        Some(genesis) if genesis.id().to_string() == view.id => Ok(genesis.id()),
        _ => Err(Failure::new(
            Exit::VerifyFailed,
            "the genesis that was shown does not have the id that was shown",
        )),
    }
}

/// Computes an entry's id and link again and checks its signature.
pub(super) fn entry(view: &EntryView, network: NetworkId) -> EntryCheck {
    let bytes = view.bytes.as_deref().unwrap_or_default();
    let bytes = data_encoding::HEXLOWER.decode(bytes.as_bytes());
    let bytes = bytes.unwrap_or_default();
    let signature = Verified::<Entry>::from_bytes(&bytes, network).is_ok();
    let Ok(entry) = Verified::<Entry>::from_trusted_bytes(&bytes) else {
        return EntryCheck {
            id: false,
            signature,
            fields: false,
            link: false,
        };
    };
    let id = id_of(&entry);
    EntryCheck {
        id: id.to_string() == view.id,
        signature,
        fields: entry.author.to_string() == view.author
            && entry.seq == view.seq
            && talkoot_ledger::kinds::name(entry.kind) == view.kind
            && entry.time_ms == view.time_ms,
        link: link(view, id).is_some_and(|link| link.to_string() == view.link),
    }
}

fn link(view: &EntryView, id: Hash) -> Option<Hash> {
    let before = view.link_before.parse().ok()?;
    let effect = view.effect_hash.parse().ok()?;
    Some(next_link(before, id, effect))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{EntriesQuestion, GenesisQuestion};
    use crate::views::{LedgerQuestion, tests::books};

    #[test]
    fn each_changed_part_of_an_entry_is_seen() {
        let (ledger, _) = books(true);
        let shown = GenesisQuestion.answer(&ledger).unwrap();
        let network = network(&shown).unwrap();
        let question = EntriesQuestion {
            bytes: true,
            ..EntriesQuestion::default()
        };
        let entries = question.answer(&ledger).unwrap().entries;
        assert!(entries.iter().all(|view| entry(view, network).is_right()));
        let good = &entries[2];
        let changed = |change: fn(&mut EntryView)| {
            let mut view = good.clone();
            change(&mut view);
            entry(&view, network)
        };
        let other = changed(|view| view.id = "00".repeat(32));
        assert!(!other.id && other.signature);
        let forged = changed(|view| {
            let bytes = view.bytes.as_mut().unwrap();
            let last = bytes.pop().unwrap();
            bytes.push(if last == '0' { '1' } else { '0' });
        });
        assert!(forged.id && !forged.signature && forged.link);
        assert!(!changed(|view| view.seq += 1).fields);
        assert!(!changed(|view| view.link_before = "00".repeat(32)).link);
        assert!(!changed(|view| view.effect_hash = "ff".repeat(32)).link);
        let nothing = changed(|view| view.bytes = None);
        assert!(!nothing.id && !nothing.is_right());
        // Signed in another network.
        let elsewhere = NetworkId(Hash::ZERO);
        assert!(!entry(good, elsewhere).signature);
        let mut lie = shown;
        lie.id = "ab".repeat(32);
        assert_eq!(super::network(&lie).unwrap_err().exit, Exit::VerifyFailed);
    }
}
