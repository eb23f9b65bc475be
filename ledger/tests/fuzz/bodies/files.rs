//! Bodies for what is read from the disk: the journal, the signer file, and
//! books that open over a journal of any records.
//!
//! The first byte says whether the rest is the file itself, or whether a right
//! file is written and then damaged: hashes are not guessed.

use super::input::Input;
use crate::common::{Kit, wallet};
use std::sync::OnceLock;
use talkoot_ledger::books::{BooksFiles, HeldAck, OpenReport};
use talkoot_ledger::journal::faulty::{FaultyFile, Power};
use talkoot_ledger::journal::{self, HEADER_BYTES, Journal, Record, RecordKind};
use talkoot_ledger::signer::{Highest, SignerFile, SignerRead};
use talkoot_ledger::store::memory::MemoryIndex;
use talkoot_ledger::{Balance, Books};
use talkoot_protocol::{Hash, NetworkId, codec};

const NETWORK: NetworkId = NetworkId(Hash::ZERO);
const KINDS: [RecordKind; 5] = [
    RecordKind::Entry,
    RecordKind::AckSent,
    RecordKind::AckHeld,
    RecordKind::EntryFirstWrong,
    RecordKind::EntryLaterWrong,
];

fn file(bytes: &[u8]) -> FaultyFile {
    FaultyFile::holding(bytes.to_vec(), &Power::default())
}

/// Changes, cuts or lengthens bytes.
fn damage(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    while !input.is_empty() && !bytes.is_empty() {
        let at = input.below(bytes.len());
        match input.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_slice(input.bytes(at.min(16))),
            _ => bytes[at] ^= input.byte(),
        }
    }
}

fn write(network: NetworkId, records: &[(RecordKind, Vec<u8>)]) -> Vec<u8> {
    let file = FaultyFile::new(&Power::default());
    let (mut journal, _) = Journal::open(file.clone(), network, &mut |_| {}).unwrap();
    for (kind, payload) in records {
        journal.append(*kind, payload).unwrap();
    }
    journal.commit().unwrap();
    file.survivor()
}

/// A journal gives the records that were written up to the damage, no others,
/// and what it gives is what stands in the file byte for byte.
pub(super) fn journal(data: &[u8]) {
    let mut input = Input::new(data);
    let mut written: Vec<(RecordKind, Vec<u8>)> = Vec::new();
    let is_raw = input.byte().is_multiple_of(4);
    let bytes = if is_raw {
        input.rest().to_vec()
    } else {
        for _ in 0..input.below(6) {
            let (kind, length) = (input.pick(&KINDS), input.below(32));
            written.push((kind, input.bytes(length).to_vec()));
        }
        let mut bytes = write(NETWORK, &written);
        damage(&mut bytes, &mut input);
        bytes
    };
    let Ok(contents) = journal::read(&mut file(&bytes), NETWORK) else {
        return;
    };
    let plain = |record: &Record| (record.kind, record.payload.clone());
    let read: Vec<_> = contents.records.iter().map(plain).collect();
    assert_eq!(contents.end + contents.torn_bytes, bytes.len() as u64);
    if contents.end >= HEADER_BYTES {
        let end = usize::try_from(contents.end).unwrap();
        assert_eq!(write(NETWORK, &read), bytes[..end]);
    }
    if !is_raw {
        assert!(written.starts_with(&read), "a record that was not written");
    }
    // Opening cuts what is torn, and then there is nothing more to cut.
    let file = file(&bytes);
    let mut opened = Vec::new();
    Journal::open(file.clone(), NETWORK, &mut |record| {
        opened.push((record.kind, record.payload.to_vec()));
    })
    .unwrap();
    assert_eq!(opened, read);
    let again = journal::read(&mut file.clone(), NETWORK).unwrap();
    assert_eq!((again.records, again.torn_bytes), (contents.records, 0));
}

/// A signer file says nothing that was not written to it.
pub(super) fn signer(data: &[u8]) {
    let mut input = Input::new(data);
    if input.byte().is_multiple_of(4) {
        SignerFile::open(file(input.rest()), NETWORK).unwrap();
        return;
    }
    let (written_to, mut written) = (FaultyFile::new(&Power::default()), Vec::new());
    let (mut signer, first) = SignerFile::open(written_to.clone(), NETWORK).unwrap();
    assert_eq!(first, SignerRead::Missing);
    for seq in 0..input.below(5) as u64 {
        let id = Hash::from_bytes([input.byte(); 32]);
        let highest = (!input.chance(40)).then_some(Highest { seq, id });
        signer.write(highest).unwrap();
        written.push(highest.map_or(SignerRead::Nothing, SignerRead::Highest));
    }
    let mut bytes = written_to.survivor();
    let whole = bytes.clone();
    damage(&mut bytes, &mut input);
    let (_, read) = SignerFile::open(file(&bytes), NETWORK).unwrap();
    if bytes == whole {
        assert_eq!(read, written.last().copied().unwrap_or(SignerRead::Missing));
    }
    assert!(
        read == SignerRead::Missing || written.contains(&read),
        "{read:?}"
    );
    // One slot holds the newest, the other the one before: no third is read.
    let newest = written.iter().rev().take(2).any(|newest| *newest == read);
    assert!(read == SignerRead::Missing || newest, "{read:?} is too old");
}

/// A few entries of one network, with two signed objects inside.
fn entries() -> &'static (Kit, Vec<Vec<u8>>) {
    static ENTRIES: OnceLock<(Kit, Vec<Vec<u8>>)> = OnceLock::new();
    ENTRIES.get_or_init(|| {
        let kit = Kit::new(&[("s", 1000)], &["w"]);
        let (s, w) = (wallet("s"), wallet("w"));
        let names = kit.naming(s, &[w]);
        let admit = kit.admit(s, Some(&names), &[], w, 50);
        let job = kit.reserve(s, Some(&admit), &[], &[(w, 1)], 100);
        let paid = kit.frontier(w, None, &[&names, &job], &job, 10, false);
        let more = kit.frontier(w, Some(&paid), &[], &job, 20, true);
        let twin = kit.witness(w, Some(&paid), &[], 5);
        let frontier = kit.frontier_payload(&job, 0, 10, false);
        let mut all = [names, admit, job, paid, more, twin]
            .map(|entry| entry.to_bytes())
            .to_vec();
        all.push(frontier.ack.to_bytes());
        let (attestation, ack) = (frontier.attestation, frontier.ack);
        all.push(codec::encode(&HeldAck { attestation, ack }));
        (kit, all)
    })
}

fn open(journal: &[u8]) -> (Books, OpenReport) {
    let files = BooksFiles {
        journal: Box::new(file(journal)),
        signer: Box::new(FaultyFile::new(&Power::default())),
        index: Box::new(MemoryIndex::default()),
    };
    let genesis = entries().0.genesis.clone();
    Books::with_files(files, genesis, wallet("s"), false).unwrap()
}

/// Books open over a journal of any records, and twice they say the same.
pub(super) fn books(data: &[u8]) {
    let mut input = Input::new(data);
    let (kit, known) = entries();
    let mut records = Vec::new();
    while !input.is_empty() && records.len() < 32 {
        let kind = if input.chance(40) {
            input.pick(&KINDS)
        } else {
            RecordKind::Entry
        };
        let mut payload = known[input.below(known.len())].clone();
        if input.chance(40) {
            let at = input.below(payload.len());
            payload[at] ^= input.byte();
        }
        records.push((kind, payload));
    }
    let bytes = write(kit.network, &records);
    let (books, report) = open(&bytes);
    assert_eq!(books.ledger().sum(), Balance::ZERO);
    assert_eq!(
        (report.entries, report.torn_bytes),
        (books.ledger().length(), 0)
    );
    let (again, _) = open(&bytes);
    assert_eq!(again.ledger().tip(), books.ledger().tip());
    assert_eq!(again.ledger().accounts(), books.ledger().accounts());
}
