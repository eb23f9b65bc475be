//! Books on a disk that fails: whatever the power takes, no number is signed
//! twice, and the books come back to the same tip.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{E, Kit, Rng, seeds, wallet};
use std::collections::BTreeMap;
use std::path::Path;
use talkoot_ledger::books::{BooksFiles, OpenReport, verify};
use talkoot_ledger::journal::faulty::{FaultyFile, Power};
use talkoot_ledger::signer::{EndReason, SigningState};
use talkoot_ledger::store::memory::MemoryIndex;
use talkoot_ledger::{
    Admission, AuthorError, Balance, Books, Draft, Payload, Reason, Source, id_of,
};
use talkoot_protocol::{Hash, JobId, Verified};

fn kit() -> Kit {
    Kit::new(&[("me", 1000), ("peer", 1000)], &["w"])
}

fn witness(nonce: u64) -> Draft {
    Draft::new(&Payload::Witness, nonce)
}

fn open(
    kit: &Kit,
    journal: &FaultyFile,
    signer: &FaultyFile,
    is_new: bool,
) -> Result<(Books, OpenReport), talkoot_ledger::books::BooksError> {
    let files = BooksFiles {
        journal: Box::new(journal.clone()),
        signer: Box::new(signer.clone()),
        index: Box::new(MemoryIndex::default()),
    };
    Books::with_files(files, kit.genesis.clone(), wallet("me"), is_new)
}

/// What the world outside has seen of the node: number and id.
type Seen = BTreeMap<u64, Hash>;

fn publish(seen: &mut Seen, entry: &E) {
    let id = id_of(entry);
    let before = seen.insert(entry.seq, id);
    assert!(
        before.is_none_or(|before| before == id),
        "two entries at number {}",
        entry.seq
    );
}

/// Writes own entries, foreign entries and acks until the power fails.
fn live(kit: &Kit, books: &mut Books, seen: &mut Seen, random: &mut Rng, rounds: usize) {
    let peer = wallet("peer");
    for _ in 0..rounds {
        match random.below(3) {
            0 => {
                let tip = books
                    .ledger()
                    .log_tip(&peer)
                    .and_then(|tip| books.ledger().entry(&tip.id).cloned());
                let entry = kit.witness(peer, tip.as_ref(), &[], random.next());
                if books
                    .admit_batch(vec![entry], Source::Peer(peer), 0)
                    .is_err()
                {
                    return;
                }
            }
            1 if books.flush().is_err() => return,
            _ => match books.author(kit.key(wallet("me")), witness(random.next())) {
                Ok(entry) => publish(seen, &entry),
                Err(AuthorError::NotSigning(_)) => {}
                Err(_) => return,
            },
        }
    }
}

/// Power fails at every call in turn, again after each recovery; entries that
/// left are remembered and must never be contradicted.
#[test]
fn no_number_is_signed_twice_whatever_the_power_takes() {
    let kit = kit();
    let mut recovered = 0;
    let mut call = 0;
    let calls_of_a_run = 24;
    for seed in 0..seeds(12) {
        for first in 0..calls_of_a_run {
            call += 1;
            recovered += power_cut(&kit, first, Rng(seed * 1000 + call));
        }
    }
    assert!(
        recovered > call / 2,
        "only {recovered} of {call} runs signed after a power cut"
    );
}

fn power_cut(kit: &Kit, first: u64, mut random: Rng) -> u64 {
    let mut seen = Seen::new();
    let power = Power::failing_at(Some(first), random.next());
    let (mut journal, mut signer) = (FaultyFile::new(&power), FaultyFile::new(&power));
    let mut power = power;
    let mut is_new = true;
    let mut signed_after = 0;
    for _ in 0..4 {
        if let Ok((mut books, report)) = open(kit, &journal, &signer, is_new) {
            assert_eq!(report.unusable, 0);
            let left = seen.len();
            let missing = seen.values().any(|id| !books.ledger().holds(id));
            assert!(
                !missing || !books.signing().is_active(),
                "signing with an entry that left missing"
            );
            live(kit, &mut books, &mut seen, &mut random, 8);
            signed_after += u64::from(left > 0 && seen.len() > left);
            assert!(!power.is_off() || !books.signing().is_active() || books.flush().is_err());
        }
        // A node that stopped before it had signed is new the next time too
        // only if its files say so.
        is_new = seen.is_empty() && is_new;
        let next = Power::failing_at(Some(random.next() % 20), random.next());
        journal = FaultyFile::holding(journal.survivor(), &next);
        signer = FaultyFile::holding(signer.survivor(), &next);
        power = next;
    }
    // With lasting power the journal opens, and its hashes chain.
    let lasting = Power::default();
    journal = FaultyFile::holding(journal.survivor(), &lasting);
    signer = FaultyFile::holding(signer.survivor(), &lasting);
    let (books, _) = open(kit, &journal, &signer, false).unwrap();
    assert_eq!(books.ledger().sum(), Balance::ZERO);
    signed_after.min(1)
}

#[test]
fn a_failed_sync_ends_signing_for_the_run() {
    let kit = kit();
    let mut ended = 0;
    for call in 0..40 {
        let power = Power::with_sync_failing_at(call);
        let (journal, signer) = (FaultyFile::new(&power), FaultyFile::new(&power));
        let Ok((mut books, _)) = open(&kit, &journal, &signer, true) else {
            continue;
        };
        let mut failed = false;
        for nonce in 0..8 {
            let result = books.author(kit.key(wallet("me")), witness(nonce));
            assert!(
                !failed || matches!(result, Err(AuthorError::NotSigning(_))),
                "{result:?}"
            );
            failed |= result.is_err();
        }
        if failed {
            ended += 1;
            assert_eq!(books.signing(), &SigningState::Ended(EndReason::Disk));
        }
    }
    assert!(ended >= 8, "{ended}");
}

/// A journal with `count` own entries, and its files.
fn grown(kit: &Kit, count: u64) -> (Books, FaultyFile, FaultyFile) {
    let power = Power::default();
    let (journal, signer) = (FaultyFile::new(&power), FaultyFile::new(&power));
    let (mut books, report) = open(kit, &journal, &signer, true).unwrap();
    assert!(report.signing.is_active());
    for nonce in 0..count {
        books.author(kit.key(wallet("me")), witness(nonce)).unwrap();
    }
    (books, journal, signer)
}

#[test]
fn a_cut_journal_waits_for_its_own_newest_entry() {
    let kit = kit();
    let (books, journal, signer) = grown(&kit, 4);
    let own: Vec<E> = books
        .ledger()
        .entries(0)
        .map(|view| view.entry.clone())
        .collect();
    let mut bytes = journal.survivor();
    bytes.truncate(bytes.len() - 400);
    let power = Power::default();
    let (journal, signer) = (
        FaultyFile::holding(bytes, &power),
        FaultyFile::holding(signer.survivor(), &power),
    );
    let (mut books, report) = open(&kit, &journal, &signer, false).unwrap();
    assert!(report.torn_bytes > 0 && report.entries < 4);
    assert!(matches!(report.signing, SigningState::AwaitingEntry(highest) if highest.seq == 3));
    books.peer_showed(wallet("peer"));
    assert!(!books.signing().is_active());
    assert!(matches!(
        books.author(kit.key(wallet("me")), witness(9)),
        Err(AuthorError::NotSigning(_))
    ));
    books
        .admit_batch(own, Source::Peer(wallet("peer")), 0)
        .unwrap();
    assert!(books.signing().is_active());
    let next = books.author(kit.key(wallet("me")), witness(9)).unwrap();
    assert_eq!(next.seq, 4);
}

#[test]
fn a_wiped_node_waits_for_peers_and_then_goes_on_above() {
    let kit = kit();
    let (books, ..) = grown(&kit, 4);
    let own: Vec<E> = books
        .ledger()
        .entries(0)
        .map(|view| view.entry.clone())
        .collect();
    let power = Power::default();
    let (mut books, report) = open(
        &kit,
        &FaultyFile::new(&power),
        &FaultyFile::new(&power),
        false,
    )
    .unwrap();
    assert!(matches!(report.signing, SigningState::AwaitingPeers { .. }));
    books
        .admit_batch(own, Source::Peer(wallet("peer")), 0)
        .unwrap();
    assert!(!books.signing().is_active());
    books.peer_showed(wallet("peer"));
    assert!(books.signing().is_active());
    assert_eq!(
        books.author(kit.key(wallet("me")), witness(9)).unwrap().seq,
        4
    );
}

#[test]
fn a_journal_ahead_of_the_signer_file_goes_on_above_it() {
    let kit = kit();
    let (_, journal, _) = grown(&kit, 3);
    let (_, _, old_signer) = grown(&kit, 1);
    let power = Power::default();
    let journal = FaultyFile::holding(journal.survivor(), &power);
    let signer = FaultyFile::holding(old_signer.survivor(), &power);
    let (mut books, report) = open(&kit, &journal, &signer, false).unwrap();
    assert!(report.signing.is_active());
    assert_eq!(
        books.author(kit.key(wallet("me")), witness(9)).unwrap().seq,
        3
    );
}

#[test]
fn own_entries_from_elsewhere_stop_signing_and_a_fork_ends_it() {
    let kit = kit();
    let (mut books, ..) = grown(&kit, 1);
    let me = wallet("me");
    let tip = books.ledger().log_tip(&me).unwrap();
    let newest = books.ledger().entry(&tip.id).unwrap().clone();
    let twin = kit.witness(me, Some(&newest), &[], 77);
    books
        .admit_batch(vec![twin], Source::Peer(wallet("peer")), 0)
        .unwrap();
    assert!(matches!(
        books.signing(),
        SigningState::AwaitingPeers { .. }
    ));
    books.peer_showed(wallet("peer"));
    assert!(books.signing().is_active());
    let fork = kit.witness(me, Some(&newest), &[], 78);
    books
        .admit_batch(vec![fork], Source::Peer(wallet("peer")), 0)
        .unwrap();
    assert_eq!(books.signing(), &SigningState::Ended(EndReason::Forked));
}

#[test]
fn what_would_be_inert_is_refused_with_the_numbers() {
    let kit = kit();
    let (mut books, ..) = grown(&kit, 1);
    let reserve = kit.reserve_payload(
        wallet("me"),
        &[(wallet("peer"), 1, common::OfferTerms::default())],
        0,
        900,
    );
    let payload = Payload::Reserve(Box::new(reserve));
    let job = books
        .author(kit.key(wallet("me")), Draft::new(&payload, 5))
        .unwrap();
    let more = kit.reserve_payload(
        wallet("me"),
        &[(wallet("peer"), 2, common::OfferTerms::default())],
        0,
        101,
    );
    let refused = books
        .author(
            kit.key(wallet("me")),
            Draft::new(&Payload::Reserve(Box::new(more)), 6),
        )
        .unwrap_err();
    assert!(
        matches!(
            refused,
            AuthorError::Inert {
                reason: Reason::TooLittle,
                ..
            }
        ),
        "{refused}"
    );
    let text = refused.to_string();
    assert!(
        text.contains("asked 101 µGFT") && text.contains("available 100 µGFT"),
        "{text}"
    );
    assert_eq!(books.ledger().available(wallet("me")), Balance(100));
    assert_eq!(
        books.ledger().log_tip(&wallet("me")).unwrap().id,
        id_of(&job),
        "nothing was written"
    );
}

#[test]
fn acks_survive_and_the_highest_counts() {
    let kit = kit();
    let (mut books, journal, signer) = grown(&kit, 1);
    let reserve = kit.reserve(wallet("peer"), None, &[], &[(wallet("me"), 1)], 50);
    books
        .admit_batch(vec![reserve.clone()], Source::Peer(wallet("peer")), 0)
        .unwrap();
    let job = JobId(id_of(&reserve));
    for done in [10, 30, 20] {
        let payload = kit.frontier_payload(&reserve, 0, done, false);
        let attestation = payload.attestation.verify(kit.network).unwrap();
        let ack = payload.ack.verify(kit.network).unwrap();
        books.record_ack_held(&attestation, &ack).unwrap();
        books.record_ack_sent(&ack).unwrap();
    }
    books.flush().unwrap();
    let power = Power::default();
    let journal = FaultyFile::holding(journal.survivor(), &power);
    let signer = FaultyFile::holding(signer.survivor(), &power);
    let (books, _) = open(&kit, &journal, &signer, false).unwrap();
    assert_eq!(
        books
            .highest_ack(job)
            .unwrap()
            .ack
            .claimed()
            .completion_done,
        30
    );
    assert_eq!(
        books
            .highest_ack(job)
            .unwrap()
            .attestation
            .claimed()
            .completion_done,
        30
    );
    assert_eq!(
        books.last_ack_sent(job).unwrap().claimed().completion_done,
        20
    );
}

fn fill(kit: &Kit, directory: &Path) -> Hash {
    let (mut books, report) =
        Books::open(directory, kit.genesis.clone(), wallet("me"), true).unwrap();
    assert!(report.signing.is_active() && report.is_index_rebuilt);
    let peer = wallet("peer");
    let mut prev: Option<E> = None;
    for nonce in 0..30 {
        books.author(kit.key(wallet("me")), witness(nonce)).unwrap();
        let entry = kit.witness(peer, prev.as_ref(), &[], nonce);
        let admissions = books
            .admit_batch(vec![entry.clone()], Source::Peer(peer), 0)
            .unwrap();
        assert!(matches!(admissions.as_slice(), [Admission::Added { .. }]));
        prev = Some(entry);
    }
    books.flush().unwrap();
    books.settle_index();
    assert_eq!(books.index_fault(), None);
    let last = books.ledger().length() - 1;
    assert_eq!(
        books.index().link(last).unwrap().unwrap().link,
        books.ledger().tip()
    );
    let id = books.ledger().link_at(7).unwrap().id;
    assert!(books.index().offset(&id).unwrap().is_some());
    assert_eq!(books.index().at_seq(&peer, 3).unwrap().len(), 1);
    books.ledger().tip()
}

fn reopen(kit: &Kit, directory: &Path) -> (OpenReport, Hash) {
    let (books, report) = Books::open(directory, kit.genesis.clone(), wallet("me"), false).unwrap();
    let last = books.ledger().length() - 1;
    assert_eq!(
        books.index().link(last).unwrap().unwrap().link,
        books.ledger().tip()
    );
    (report, books.ledger().tip())
}

#[test]
fn the_index_is_built_again_whenever_it_is_gone_broken_or_behind() {
    let kit = kit();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let tip = fill(&kit, path);
    let (report, again) = reopen(&kit, path);
    assert!(!report.is_index_rebuilt && report.signing.is_active());
    assert_eq!(again, tip);

    std::fs::remove_dir_all(path.join("index.sled")).unwrap();
    let (report, again) = reopen(&kit, path);
    assert!(report.is_index_rebuilt);
    assert_eq!(again, tip);

    let data = path.join("index.sled/db");
    let mut bytes = std::fs::read(&data).unwrap();
    for byte in bytes.iter_mut().step_by(3) {
        *byte ^= 0x55;
    }
    std::fs::write(&data, bytes).unwrap();
    let (report, again) = reopen(&kit, path);
    assert!(report.is_index_rebuilt);
    assert_eq!(again, tip);

    std::fs::remove_dir_all(path.join("index.sled")).unwrap();
    std::fs::write(path.join("index.sled"), b"not a directory").unwrap();
    let (report, again) = reopen(&kit, path);
    assert!(report.is_index_rebuilt);
    assert_eq!(again, tip);
}

#[test]
fn verify_reads_what_is_there_and_finds_what_is_wrong() {
    let kit = kit();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let tip = fill(&kit, path);
    let report = verify(path, true).unwrap();
    assert!(report.is_right(), "{report:?}");
    assert_eq!(
        (report.entries, report.tip, report.torn_bytes),
        (60, tip, 0)
    );

    let journal = path.join("journal.log");
    let whole = std::fs::read(&journal).unwrap();
    let mut torn = whole.clone();
    torn.extend_from_slice(&[7; 99]);
    std::fs::write(&journal, torn).unwrap();
    let report = verify(path, false).unwrap();
    assert_eq!((report.torn_bytes, report.is_right()), (99, true));
    let (report, again) = reopen(&kit, path);
    assert_eq!((report.torn_bytes, again), (99, tip));
    assert_eq!(
        std::fs::read(&journal).unwrap(),
        whole,
        "the torn tail was cut off"
    );

    // A write that broke off anywhere is a torn tail; a changed byte is not.
    for length in whole.len() - 700..whole.len() {
        std::fs::write(&journal, &whole[..length]).unwrap();
        assert!(verify(path, false).unwrap().is_right(), "cut at {length}");
    }
    let mut changed = whole;
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(&journal, changed).unwrap();
    let report = verify(path, false).unwrap();
    assert!(report.torn_bytes > 1000 && report.entries < 60);
    assert!(report.is_damaged && !report.is_right());
    let (report, _) = reopen(&kit, path);
    assert!(report.is_damaged);
    assert!(
        matches!(report.signing, SigningState::AwaitingEntry(_)),
        "{:?}",
        report.signing
    );
}

#[test]
fn a_wrong_signature_in_the_journal_is_found_by_a_full_check() {
    let kit = kit();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    drop(Books::open(path, kit.genesis.clone(), wallet("me"), true).unwrap());
    let good = kit.witness(wallet("peer"), None, &[], 1);
    let mut bytes = good.to_bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let forged = Verified::from_trusted_bytes(&bytes).unwrap();
    {
        let (mut books, _) = Books::open(path, kit.genesis.clone(), wallet("me"), false).unwrap();
        books.admit_batch(vec![forged], Source::Own, 0).unwrap();
    }
    assert!(verify(path, false).unwrap().is_right());
    let report = verify(path, true).unwrap();
    assert_eq!(report.bad_signatures, vec![id_of(&good)]);
    assert!(!report.is_right());
}

#[test]
fn another_networks_directory_is_refused() {
    let kit = kit();
    let directory = tempfile::tempdir().unwrap();
    fill(&kit, directory.path());
    let other = Kit::new(&[("me", 999)], &[]);
    assert!(Books::open(directory.path(), other.genesis.clone(), wallet("me"), true).is_err());
    std::fs::remove_file(directory.path().join("genesis.bin")).unwrap();
    assert!(Books::open(directory.path(), other.genesis, wallet("me"), true).is_err());
}
