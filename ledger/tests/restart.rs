//! Restarts: what a journal says of signatures inside entries is taken as it
//! is, a full check finds where it lies, and an index that trails is caught up.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{E, Kit, OfferTerms, wallet};
use std::path::Path;
use talkoot_ledger::books::{BooksFiles, IndexMode, OpenReport, Opening, verify};
use talkoot_ledger::journal::file::RealFile;
use talkoot_ledger::journal::{self, Journal, RecordKind};
use talkoot_ledger::kinds::Equivocation;
use talkoot_ledger::store::memory::MemoryIndex;
use talkoot_ledger::{Books, Outcome, Payload, Reason, Source, id_of};
use talkoot_protocol::{Hash, Signable, Signed};

fn kit() -> Kit {
    Kit::new(&[("me", 1000), ("peer", 1000)], &["w"])
}

/// The same object with a wrong signature.
fn spoilt<T: Signable>(object: &Signed<T>) -> Signed<T> {
    let mut bytes = object.to_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    Signed::decode(&bytes).unwrap()
}

/// Entries whose embedded signatures are right, wrong first and wrong later,
/// with what they come to.
fn entries(kit: &Kit) -> Vec<(E, Result<(), Reason>, RecordKind)> {
    let (me, peer) = (wallet("me"), wallet("peer"));
    let reserve = kit.reserve(peer, None, &[], &[(me, 1)], 50);
    let frontier = kit.frontier_payload(&reserve, 0, 10, false);
    let mut wrong_attestation = frontier.clone();
    wrong_attestation.attestation = spoilt(&frontier.attestation);
    let mut wrong_ack = frontier.clone();
    wrong_ack.ack = spoilt(&frontier.ack);
    let terms = OfferTerms::default();
    let mut route = kit.reserve_payload(peer, &[(me, 2, terms), (wallet("w"), 3, terms)], 0, 9);
    route.offers[1] = spoilt(&route.offers[1]);
    let twin = kit.witness(me, None, &[], 7);
    let mut pair = Equivocation::new(&reserve, &twin);
    *pair.first.last_mut().unwrap() ^= 1;
    let mut mine: Option<E> = None;
    let mut list = vec![(reserve.clone(), Ok(()), RecordKind::Entry)];
    let payloads = [
        (
            Payload::Frontier(Box::new(frontier)),
            Ok(()),
            RecordKind::Entry,
        ),
        (
            Payload::Frontier(Box::new(wrong_attestation)),
            Err(Reason::Attestation),
            RecordKind::EntryFirstWrong,
        ),
        (
            Payload::Frontier(Box::new(wrong_ack)),
            Err(Reason::Ack),
            RecordKind::EntryLaterWrong,
        ),
        (
            Payload::Equivocation(pair),
            Err(Reason::NoProof),
            RecordKind::EntryFirstWrong,
        ),
    ];
    for (payload, comes_to, kind) in payloads {
        let entry = kit.entry(me, mine.as_ref(), &[&reserve], &payload);
        mine = Some(entry.clone());
        list.push((entry, comes_to, kind));
    }
    let bad_route = kit.entry(
        peer,
        Some(&reserve),
        &[],
        &Payload::Reserve(Box::new(route)),
    );
    list.push((
        bad_route,
        Err(Reason::OfferSignature),
        RecordKind::EntryLaterWrong,
    ));
    list
}

fn open(kit: &Kit, directory: &Path) -> (Books, OpenReport) {
    Books::open(directory, kit.genesis.clone(), wallet("me"), false).unwrap()
}

fn check_outcomes(books: &Books, entries: &[(E, Result<(), Reason>, RecordKind)]) {
    for (entry, comes_to, _) in entries {
        let outcome = books.ledger().view(&id_of(entry)).unwrap().outcome;
        match comes_to {
            Ok(()) => assert!(outcome.is_effective(), "{outcome:?}"),
            Err(reason) => assert_eq!(outcome, Outcome::Inert(*reason)),
        }
    }
}

#[test]
fn verdicts_on_embedded_signatures_survive_a_restart_unchecked() {
    let kit = kit();
    let directory = tempfile::tempdir().unwrap();
    let all = entries(&kit);
    let (mut books, _) = open(&kit, directory.path());
    let list = all.iter().map(|(entry, ..)| entry.clone()).collect();
    books
        .admit_batch(list, Source::Peer(wallet("peer")), 0)
        .unwrap();
    check_outcomes(&books, &all);
    let tip = books.ledger().tip();
    drop(books);
    let mut file = RealFile::open(&directory.path().join("journal.log")).unwrap();
    let kinds: Vec<RecordKind> = journal::read(&mut file, kit.network)
        .unwrap()
        .records
        .iter()
        .map(|record| record.kind)
        .collect();
    assert_eq!(
        kinds,
        all.iter().map(|(_, _, kind)| *kind).collect::<Vec<_>>()
    );
    let (books, report) = open(&kit, directory.path());
    assert_eq!((report.unusable, books.ledger().tip()), (0, tip));
    check_outcomes(&books, &all);
    drop(books);
    let report = verify(directory.path(), true).unwrap();
    assert!(report.is_right() && report.tip == tip, "{report:?}");
}

#[test]
fn a_full_check_finds_a_record_that_lies_about_embedded_signatures() {
    let kit = kit();
    let directory = tempfile::tempdir().unwrap();
    drop(open(&kit, directory.path()));
    let all = entries(&kit);
    let file = RealFile::open(&directory.path().join("journal.log")).unwrap();
    let (mut journal, _) = Journal::open(file, kit.network, &mut |_| {}).unwrap();
    let mut lies: Vec<Hash> = Vec::new();
    for (entry, _, kind) in &all {
        let kind = match kind {
            RecordKind::Entry => RecordKind::EntryLaterWrong,
            _ => RecordKind::Entry,
        };
        journal.append(kind, &entry.to_bytes()).unwrap();
        lies.push(id_of(entry));
    }
    journal.commit().unwrap();
    drop(journal);
    let quick = verify(directory.path(), false).unwrap();
    let full = verify(directory.path(), true).unwrap();
    // Of a single signature there is no later one that could be wrong, so for
    // the reserve with one offer the two kinds say the same.
    assert_eq!(full.bad_flags, lies);
    assert!(!full.is_right() && full.bad_signatures.is_empty());
    assert_ne!(quick.tip, full.tip, "the lie is believed without the check");
}

/// Opens books over files in memory, which all share one index.
fn fill(books: &mut Books, kit: &Kit, numbers: std::ops::Range<u64>) {
    let peer = wallet("peer");
    for number in numbers {
        let tip = books.ledger().log_tip(&peer);
        let tip = tip.and_then(|tip| books.ledger().entry(&tip.id).cloned());
        let entry = kit.witness(peer, tip.as_ref(), &[], number);
        books
            .admit_batch(vec![entry], Source::Peer(peer), 0)
            .unwrap();
    }
}

fn assert_index_is_up(books: &Books) {
    assert_eq!(books.index_fault(), None);
    for position in 0..books.ledger().length() {
        let link = books.index().link(position).unwrap();
        assert_eq!(
            link,
            books.ledger().link_at(usize::try_from(position).unwrap())
        );
        let id = link.unwrap().id;
        assert!(books.index().offset(&id).unwrap().is_some());
    }
    assert_eq!(books.index().link(books.ledger().length()).unwrap(), None);
}

#[test]
fn an_index_that_trails_is_caught_up_and_not_built_again() {
    let kit = kit();
    let directory = tempfile::tempdir().unwrap();
    let (mut books, report) = open(&kit, directory.path());
    assert!(report.is_index_rebuilt);
    fill(&mut books, &kit, 0..20);
    books.settle_index();
    assert_index_is_up(&books);
    fill(&mut books, &kit, 20..33);
    // An entry that sorts into the part that the index covers.
    let late = kit.witness(wallet("me"), None, &[], 99);
    books
        .admit_batch(vec![late], Source::Peer(wallet("me")), 0)
        .unwrap();
    books.flush().unwrap();
    let lacking = books.index().link(25).unwrap();
    assert_eq!(lacking, None, "the index trails");
    drop(books);
    let (books, report) = open(&kit, directory.path());
    assert_eq!((report.is_index_rebuilt, report.index_lacked), (false, 14));
    assert_index_is_up(&books);
    drop(books);
    let (books, report) = open(&kit, directory.path());
    assert_eq!((report.is_index_rebuilt, report.index_lacked), (false, 0));
    assert_index_is_up(&books);
}

#[test]
fn a_trailing_index_is_brought_up_by_time_and_one_in_step_at_once() {
    let kit = kit();
    let power = journal::faulty::Power::default();
    for (mode, is_up_at_once) in [(IndexMode::InStep, true), (IndexMode::Trailing, false)] {
        let files = BooksFiles {
            journal: Box::new(journal::faulty::FaultyFile::new(&power)),
            signer: Box::new(journal::faulty::FaultyFile::new(&power)),
            index: Box::new(MemoryIndex::default()),
        };
        let mut told = 0;
        let opening = Opening {
            is_new: true,
            index: mode,
            progress: &mut |_| told += 1,
        };
        let (mut books, _) =
            Books::with_files_as(files, kit.genesis.clone(), wallet("me"), opening).unwrap();
        assert_eq!(told, 1);
        fill(&mut books, &kit, 0..5);
        let is_up = books.index().link(4).unwrap().is_some();
        assert_eq!(is_up, is_up_at_once);
        books.tick(1_000);
        books.tick(20_000);
        assert_eq!(books.index().link(4).unwrap().is_some(), is_up_at_once);
        books.tick(31_000);
        assert_index_is_up(&books);
    }
}
