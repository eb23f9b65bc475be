//! Bodies for what is read from the disk: the journal and the signer file.
//!
//! The first byte says whether the rest is the file itself, or whether a right
//! file is written and then damaged: hashes are not guessed.

use super::input::Input;
use talkoot_ledger::journal::faulty::{FaultyFile, Power};
use talkoot_ledger::journal::{self, HEADER_BYTES, Journal, Record, RecordKind};
use talkoot_ledger::signer::{Highest, SignerFile, SignerRead};
use talkoot_protocol::{Hash, NetworkId};

const NETWORK: NetworkId = NetworkId(Hash::ZERO);
const KINDS: [RecordKind; 3] = [RecordKind::Entry, RecordKind::AckSent, RecordKind::AckHeld];

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

fn write(records: &[(RecordKind, Vec<u8>)]) -> Vec<u8> {
    let file = FaultyFile::new(&Power::default());
    let (mut journal, _) = Journal::open(file.clone(), NETWORK, &mut |_| {}).unwrap();
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
        let mut bytes = write(&written);
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
        assert_eq!(write(&read), bytes[..end]);
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
