//! Golden bytes: what this program writes is what it wrote before.

use crate::fixtures::{hash, job, key, model, network};
use crate::samples;
use std::fs;
use std::path::{Path, PathBuf};
use talkoot_protocol::{Hash, HashContext, SignContext, Transcript, ticket, version};

const SIGN_CONTEXTS: [SignContext; 7] = [
    SignContext::Entry,
    SignContext::Announcement,
    SignContext::Offer,
    SignContext::FreeJob,
    SignContext::Attestation,
    SignContext::Ack,
    SignContext::Ticket,
];

const HASH_CONTEXTS: [HashContext; 15] = [
    HashContext::Genesis,
    HashContext::Card,
    HashContext::Entry,
    HashContext::Link,
    HashContext::Effect,
    HashContext::Attestation,
    HashContext::Transcript,
    HashContext::HiddenStream,
    HashContext::Offer,
    HashContext::JournalRecord,
    HashContext::SyncSpan,
    HashContext::Ticket,
    HashContext::ProviderKey,
    HashContext::FreeJob,
    HashContext::Signature,
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// 32 bytes per line, so that a change shows where it is.
fn to_hex(bytes: &[u8]) -> String {
    bytes
        .chunks(32)
        .map(|line| data_encoding::HEXLOWER.encode(line) + "\n")
        .collect()
}

/// Objects that have no decoder of their own: identities, hashes, names.
fn derived() -> Vec<(&'static str, Vec<u8>)> {
    let mut identity = key(1).wallet().as_bytes().to_vec();
    for context in SIGN_CONTEXTS {
        identity.extend(key(1).sign(context, network(), b"talkoot").as_bytes());
    }
    let hashes = HASH_CONTEXTS
        .iter()
        .flat_map(|context| *Hash::of(*context, b"talkoot").as_bytes())
        .collect();
    let mut transcript = Transcript::new(job());
    transcript.push(1);
    transcript.push(70_000);
    let network = network();
    let names = [
        version::identify_protocol(network),
        version::kademlia_protocol(network),
        version::sync_protocol(network),
        version::blob_protocol(network),
        version::presence_protocol(network),
        version::join_protocol(network),
        version::genesis_protocol(),
        version::ledger_topic(network),
        version::presence_topic(network),
        String::from_utf8(version::data_alpn(network)).unwrap(),
    ];
    vec![
        ("identity", identity),
        ("hashes", hashes),
        ("blob_hash", Hash::of_blob(b"talkoot").as_bytes().to_vec()),
        ("transcript", transcript.hash().as_bytes().to_vec()),
        ("names", names.join("\n").into_bytes()),
        (
            "provider_key",
            version::provider_key(model(), 1).as_bytes().to_vec(),
        ),
        (
            "ticket_text",
            ticket::to_text(&samples::ticket()).into_bytes(),
        ),
    ]
}

fn objects() -> Vec<(&'static str, Vec<u8>)> {
    let mut objects = derived();
    objects.extend(
        samples::all()
            .into_iter()
            .map(|sample| (sample.name, sample.bytes)),
    );
    objects
}

#[test]
fn bytes_are_golden() {
    let write = std::env::var("TALKOOT_GOLDEN").is_ok_and(|value| value == "write");
    for (name, bytes) in objects() {
        let path = folder().join(format!("{name}.hex"));
        if write {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, to_hex(&bytes)).unwrap();
        }
        let golden =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(to_hex(&bytes), golden, "{name} changed on the wire");
    }
}

#[test]
fn every_golden_file_has_its_object() {
    let mut expected: Vec<String> = objects()
        .iter()
        .map(|(name, _)| format!("{name}.hex"))
        .collect();
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn golden_bytes_decode() {
    for sample in samples::all() {
        let again = (sample.recode)(&sample.bytes);
        assert_eq!(again.as_deref(), Ok(&*sample.bytes), "{}", sample.name);
    }
    let text = ticket::to_text(&samples::ticket());
    let (ticket, genesis) = ticket::from_text(&text, 0).unwrap();
    assert_eq!((ticket, genesis.id()), (samples::ticket(), network()));
}

#[test]
fn contexts_give_different_hashes() {
    let mut hashes: Vec<Hash> = HASH_CONTEXTS
        .iter()
        .map(|context| Hash::of(*context, b"talkoot"))
        .chain([Hash::of_blob(b"talkoot"), hash("talkoot 2")])
        .collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), HASH_CONTEXTS.len() + 2);
}
