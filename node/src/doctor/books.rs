//! The books: the journal from its bytes up, how far catching up is, and whether
//! peers have the same chain.

use super::running::{Running, needs_a_node};
use super::{Finding, Scene};
use crate::api::{SyncView, VerifyView};
use crate::clock;
use crate::commands::ledger::offline;
use crate::exit::{Exit, Failure};
use crate::observe::{Contact, Observer, ObserverSettings, PeerChain};
use crate::units;
use std::time::Duration;

/// How long the peers may take to be found and to answer.
const TIPS_WAIT: Duration = Duration::from_secs(6);
/// Between two looks at their chains.
const TIPS_LOOK: Duration = Duration::from_millis(300);

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

/// `tips`. An observer asks this node and its peers for the ends of their chains.
pub(super) fn tips(scene: &Scene<'_>) -> Finding {
    let Some(running) = scene.node.running() else {
        return needs_a_node();
    };
    if running.status.peers == 0 {
        return Finding::skip("no peer is connected");
    }
    match ends(running) {
        Ok(ends) => judge_tips(&running.status.wallet, &ends),
        Err(failure) => Finding::skip(format!("could not look from outside: {failure}")),
    }
}

/// The end of one chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    wallet: String,
    length: u64,
    tip: String,
}

impl End {
    fn of(chain: &PeerChain) -> Self {
        Self {
            wallet: chain.wallet.to_string(),
            length: chain.length,
            tip: chain.tip.to_string(),
        }
    }
}

/// What everybody says, when all say the same or the time is over.
fn ends(running: &Running) -> Result<Vec<End>, Failure> {
    let observer = Observer::start(&ObserverSettings {
        contacts: vec![Contact::Addresses(running.status.addresses.clone())],
        network: None,
        timeout: TIPS_WAIT,
    })?;
    let wanted = running.status.peers.saturating_add(1);
    let began = clock::monotonic();
    loop {
        let ends: Vec<End> = observer.peer_chains()?.iter().map(End::of).collect();
        let mut others = ends.iter().skip(1);
        let is_one = others.all(|end| Some(&end.tip) == ends.first().map(|first| &first.tip));
        if (ends.len() >= wanted && is_one) || began.elapsed() > TIPS_WAIT {
            return Ok(ends);
        }
        std::thread::sleep(TIPS_LOOK);
    }
}

fn judge_tips(own: &str, ends: &[End]) -> Finding {
    let Some(ours) = ends.iter().find(|end| end.wallet == own) else {
        return Finding::skip("this node did not answer an observer in time");
    };
    let others: Vec<&End> = ends.iter().filter(|end| end.wallet != own).collect();
    let equal = others.iter().filter(|end| end.tip == ours.tip).count();
    let evidence = format!(
        "{equal} of {} peers that answered end with {} entries at {}",
        others.len(),
        ours.length,
        ours.tip
    );
    let torn = others
        .iter()
        .find(|end| end.length == ours.length && end.tip != ours.tip);
    match torn {
        Some(other) => Finding::fail(
            format!(
                "{evidence}; {} ends with as many at {}",
                other.wallet, other.tip
            ),
            "one of the two computes wrongly or lies, or both still wait for each other's \
             entries: `talkoot ledger inspect --bootstrap ADDRESS` with an address of that peer \
             tells which",
        ),
        None if others.is_empty() => Finding::skip("no peer answered an observer in time"),
        None if equal < others.len() => Finding::warn(
            evidence,
            "entries are under way, or some peers are behind: look again in a moment",
        ),
        None => Finding::pass(evidence),
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
    fn ends_are_equal_under_way_or_contradict() {
        let end = |wallet: &str, length, tip: &str| End {
            wallet: wallet.to_owned(),
            length,
            tip: tip.to_owned(),
        };
        let judged = |others: &[End]| {
            let mut ends = vec![end("me", 3, "t")];
            ends.extend_from_slice(others);
            judge_tips("me", &ends).verdict
        };
        assert_eq!(judged(&[]), Verdict::Skip);
        assert_eq!(judged(&[end("a", 3, "t")]), Verdict::Pass);
        assert_eq!(judged(&[end("a", 3, "t"), end("b", 2, "s")]), Verdict::Warn);
        assert_eq!(judged(&[end("a", 3, "x"), end("b", 3, "t")]), Verdict::Fail);
        assert_eq!(
            judge_tips("you", &[end("a", 3, "t")]).verdict,
            Verdict::Skip
        );
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
