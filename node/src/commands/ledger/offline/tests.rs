//! Tests of the offline books, over journals that real books wrote.

use super::*;
use std::path::Path;
use talkoot_ledger::{Books, Draft, Payload, Source};
use talkoot_protocol::{Founder, Keypair, Policy};

/// A home whose journal holds one entry of its own and, if asked, one of a
/// second founder.
fn home_with_books(root: &Path, with_foreign: bool) -> (Home, Genesis) {
    let home = Home::at(root);
    home.create().unwrap();
    let own = home.identity().unwrap();
    let other = Keypair::from_seed(&[3; 32]);
    let founders = [&own, &other]
        .map(|key| Founder {
            wallet: key.wallet(),
            line_ugft: 1_000,
        })
        .to_vec();
    let genesis = Genesis::new("two", 1, Policy::default(), founders).unwrap();
    home.set_network(&genesis).unwrap();
    let directory = home.network_dir(genesis.id());
    let draft = || Draft::new(&Payload::Witness, 1);
    let (mut books, _) = Books::open(&directory, genesis.clone(), own.wallet(), true).unwrap();
    books.author(&own, draft()).unwrap();
    if with_foreign {
        let elsewhere = tempfile::tempdir().unwrap();
        let (mut theirs, _) =
            Books::open(elsewhere.path(), genesis.clone(), other.wallet(), true).unwrap();
        let entry = theirs.author(&other, draft()).unwrap();
        let source = Source::Peer(other.wallet());
        books.admit_batch(vec![entry], source, 1).unwrap();
        books.flush().unwrap();
    }
    (home, genesis)
}

#[test]
fn a_right_journal_verifies_and_a_changed_one_does_not() {
    let directory = tempfile::tempdir().unwrap();
    let (home, genesis) = home_with_books(directory.path(), true);
    let view = verify(&home, true).unwrap();
    assert!(view.ok, "{view:?}");
    assert_eq!((view.entries, view.chain.length, view.sum_ugft), (2, 2, 0));
    let path = home.network_dir(genesis.id()).join(JOURNAL_FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(verify(&home, true).unwrap_err().exit, Exit::VerifyFailed);
}

#[test]
fn only_entries_of_others_bind_a_home_to_its_network() {
    let alone = tempfile::tempdir().unwrap();
    let (home, genesis) = home_with_books(alone.path(), false);
    assert_eq!(foreign_entries(&home, &genesis).unwrap(), 0);
    let bound = tempfile::tempdir().unwrap();
    let (home, genesis) = home_with_books(bound.path(), true);
    assert_eq!(foreign_entries(&home, &genesis).unwrap(), 1);
}

#[test]
fn a_home_without_books_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::at(directory.path());
    home.create().unwrap();
    assert_eq!(verify(&home, true).unwrap_err().exit, Exit::NotFound);
}
