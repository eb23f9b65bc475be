//! Books that are held in memory, checked from the bytes: every signature, the
//! chain linked again in one pass, the sum.

use crate::api::{ChainView, SCHEMA, VerifyView};
use talkoot_ledger::books::link_plainly;
use talkoot_ledger::{Entry, Ledger};
use talkoot_protocol::Signed;

/// Checks everything that a ledger holds.
#[must_use]
pub fn verify(ledger: &Ledger) -> VerifyView {
    let mut problems = Vec::new();
    let mut entries = 0_u64;
    for placed in ledger.placed(0..usize::MAX) {
        entries += 1;
        let signed = Signed::<Entry>::from(placed.entry.clone());
        if signed.verify(ledger.network()).is_err() {
            problems.push(format!("the signature of entry {} is wrong", placed.id));
        }
    }
    let tip = link_plainly(ledger);
    if tip != ledger.tip() {
        problems.push("linking all entries again gives another tip".to_owned());
    }
    let sum_ugft = ledger.sum().0;
    if sum_ugft != 0 {
        problems.push(format!("balances and commons sum to {sum_ugft} µGFT"));
    }
    VerifyView {
        schema: SCHEMA,
        ok: problems.is_empty(),
        entries,
        signatures: entries,
        chain: ChainView {
            length: ledger.length(),
            tip: tip.to_string(),
        },
        sum_ugft,
        problems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::tests::books;

    #[test]
    fn right_books_are_right() {
        let (ledger, _) = books(true);
        let view = verify(&ledger);
        assert!(view.ok, "{view:?}");
        assert_eq!((view.entries, view.signatures), (7, 7));
        assert_eq!(view.chain.tip, ledger.tip().to_string());
    }
}
