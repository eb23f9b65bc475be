//! The books: the journal from its bytes up, and how far catching up is.

use super::running::needs_a_node;
use super::{Finding, Scene};
use crate::api::{SyncView, VerifyView};
use crate::commands::ledger::offline;
use crate::exit::{Exit, Failure};
use crate::units;

/// `ledger`.
pub(super) fn ledger(scene: &Scene<'_>) -> Finding {
    let genesis = match &scene.genesis {
        Ok(Some(genesis)) => genesis,
        Ok(None) => return Finding::skip("this home is in no network yet"),
        Err(failure) => return Finding::of(failure, "restore the home from a backup"),
    };
    let is_new = scene.home.is_new(genesis.id());
    let verified = offline::verify_to_the_end(scene.home, scene.wishes.is_full);
    // A node that runs may be in the middle of a record.
    let is_held = scene.home.is_locked();
    let verified = verified.map(|(view, torn)| (view, if is_held { 0 } else { torn }));
    judge_ledger(&verified, is_new)
}

fn judge_ledger(verified: &Result<(VerifyView, u64), Failure>, is_new: bool) -> Finding {
    match verified {
        Err(failure) if failure.exit == Exit::NotFound && is_new => {
            Finding::skip("no node has run in this network yet")
        }
        Err(failure) if failure.exit == Exit::NotFound => Finding::fail(
            "the journal is not there, and a node has run here",
            "restore it from a backup; without one the next start fetches what peers hold, and \
             signs nothing until it knows its own last entry",
        ),
        Err(failure) => Finding::of(failure, "restore the journal from a backup"),
        Ok((view, torn)) if view.entries == 0 && *torn > 0 && !is_new => Finding::fail(
            format!("no record of the journal can be read: {torn} bytes are something else"),
            "keep a copy of journal.log, and restore a backup; without one the next start fetches \
             what peers hold",
        ),
        Ok((view, _)) if !view.ok => Finding::fail(
            view.problems.join("; "),
            "the next start cuts off what is damaged and fetches it from peers; keep a copy of \
             journal.log first. Where no peer holds it, restore a backup",
        ),
        Ok((view, torn)) => {
            let entries = units::thousands(view.entries.into());
            let signatures = match view.signatures {
                0 => "signatures not looked at (--full)".to_owned(),
                count => format!("{} signatures", units::thousands(count.into())),
            };
            let evidence = format!("{entries} entries, {signatures}, tip {}", view.chain.tip);
            if *torn == 0 {
                return Finding::pass(evidence);
            }
            Finding::warn(
                format!("{evidence}; {torn} bytes after them form no record"),
                "a crash while it wrote, or damage at the end: the next start cuts them off, and \
                 fetches from peers what they held",
            )
        }
    }
}

/// `sync`.
pub(super) fn sync(scene: &Scene<'_>) -> Finding {
    scene.node.running().map_or_else(needs_a_node, |running| {
        let status = &running.status;
        judge_sync(&status.sync, status.peers, &status.signing)
    })
}

fn judge_sync(sync: &SyncView, peers: usize, signing: &str) -> Finding {
    if sync.catching_up || sync.to_fetch > 0 {
        return Finding::warn(
            format!(
                "{} entries fetched, {} to come, from {} peers",
                sync.fetched, sync.to_fetch, sync.peers
            ),
            "wait; if the number does not fall, the peers that claim them do not send them \
             (`talkoot peers`)",
        );
    }
    if signing != "active" {
        return Finding::warn(
            format!("this node signs no entries: {signing}"),
            "it waits until peers have shown what it signed before: let it reach some",
        );
    }
    match peers {
        0 => Finding::pass("no peer claims an entry that is not here (none is connected)"),
        peers => Finding::pass(format!("{peers} peers claim no entry that is not here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ChainView;
    use crate::doctor::Verdict;

    #[test]
    fn a_journal_is_right_wrong_gone_or_not_begun() {
        let view = |problems: &[&str], torn: u64| {
            let view = VerifyView {
                schema: 1,
                ok: problems.is_empty(),
                entries: 3,
                signatures: 0,
                chain: ChainView {
                    length: 3,
                    tip: "t".to_owned(),
                },
                sum_ugft: 0,
                problems: problems.iter().map(|text| (*text).to_owned()).collect(),
            };
            Ok((view, torn))
        };
        assert_eq!(judge_ledger(&view(&[], 0), false).verdict, Verdict::Pass);
        assert_eq!(judge_ledger(&view(&[], 9), false).verdict, Verdict::Warn);
        assert_eq!(judge_ledger(&view(&["x"], 0), false).verdict, Verdict::Fail);
        let Ok((mut empty, _)) = view(&[], 0) else {
            panic!("a view");
        };
        empty.entries = 0;
        let empty = Ok((empty, 9));
        assert_eq!(judge_ledger(&empty, false).verdict, Verdict::Fail);
        let gone = Err(Failure::new(Exit::NotFound, "none"));
        assert_eq!(judge_ledger(&gone, true).verdict, Verdict::Skip);
        assert_eq!(judge_ledger(&gone, false).verdict, Verdict::Fail);
        let unreadable = Err(Failure::new(Exit::VerifyFailed, "x"));
        assert_eq!(judge_ledger(&unreadable, false).verdict, Verdict::Fail);
    }

    #[test]
    fn catching_up_and_silence_are_told() {
        let behind = SyncView {
            to_fetch: 5,
            ..SyncView::default()
        };
        assert_eq!(judge_sync(&behind, 1, "active").verdict, Verdict::Warn);
        assert_eq!(
            judge_sync(&SyncView::default(), 0, "active").verdict,
            Verdict::Pass
        );
        assert_eq!(
            judge_sync(&SyncView::default(), 2, "not now").verdict,
            Verdict::Warn
        );
    }
}
