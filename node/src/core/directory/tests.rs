//! Tests of the directory: numbers, expiry, goodbyes and what is served.

use super::*;
use talkoot_protocol::{ArithmeticId, Hash, Keypair, LayerRange, NetworkId};

const NOW_MS: u64 = 10_000_000;

fn network() -> NetworkId {
    NetworkId(Hash::from_bytes([3; 32]))
}

fn model() -> ModelId {
    ModelId(Hash::from_bytes([9; 32]))
}

fn presence(range: (u32, u32)) -> Presence {
    Presence {
        software: "talkoot/0".into(),
        addresses: vec![],
        data_addresses: vec!["127.0.0.1:7471".into(), "nowhere".into()],
        served: vec![Served {
            model: model(),
            name: "demo".into(),
            card: Hash::ZERO,
            layers: 8,
            range: LayerRange::new(range.0, range.1).unwrap(),
            arithmetic: ArithmeticId(1),
            layers_per_second: 100,
            context: 512,
        }],
        free_sessions: 2,
        memory_bytes: 1 << 30,
    }
}

fn announce(seed: u8, number: u64, range: (u32, u32)) -> Verified<Announcement> {
    sign(seed, number, presence(range).to_payload(), NOW_MS)
}

fn sign(seed: u8, number: u64, payload: Vec<u8>, issued_ms: u64) -> Verified<Announcement> {
    let key = Keypair::from_seed(&[seed; 32]);
    let announcement = Announcement {
        wallet: key.wallet(),
        number,
        issued_ms,
        ttl_ms: 35_000,
        kind: KIND_PRESENCE,
        payload,
    };
    Verified::sign(announcement, &key, network()).unwrap()
}

#[test]
fn the_highest_number_counts_until_it_expires() {
    let mut directory = Directory::default();
    let apply = |directory: &mut Directory, number, range| {
        directory.apply(announce(1, number, range), NOW_MS)
    };
    assert_eq!(apply(&mut directory, 5, (0, 4)), Applied::New);
    assert_eq!(apply(&mut directory, 5, (0, 4)), Applied::Same);
    assert_eq!(apply(&mut directory, 4, (0, 8)), Applied::Older);
    assert_eq!(apply(&mut directory, 6, (0, 2)), Applied::Newer);
    directory.apply(announce(2, 1, (1, 8)), NOW_MS);
    let coverage = |now_ms| directory.coverage(model(), 8, now_ms);
    assert_eq!(coverage(NOW_MS), [1, 2, 1, 1, 1, 1, 1, 1]);
    assert_eq!(coverage(NOW_MS + 34_999), [1, 2, 1, 1, 1, 1, 1, 1]);
    assert_eq!(coverage(NOW_MS + 35_000), [0; 8]);
    assert!(directory.models(NOW_MS + 35_000).is_empty());
    let provider = &directory.providers(model(), NOW_MS)[0];
    assert_eq!(provider.data_addresses.len(), 1);
    assert_eq!(provider.free_sessions, 2);
}

#[test]
fn a_closed_connection_counts_until_the_next_announcement() {
    let mut directory = Directory::default();
    let old = announce(1, 5, (0, 8));
    let wallet = old.wallet;
    directory.apply(old.clone(), NOW_MS);
    directory.gone(&wallet);
    assert!(directory.get(&wallet, NOW_MS).is_none());
    assert!(directory.providers(model(), NOW_MS).is_empty());
    // The same announcement, still going round, does not bring it back.
    assert_eq!(directory.apply(old, NOW_MS + 1), Applied::Same);
    assert!(directory.get(&wallet, NOW_MS + 1).is_none());
    let newer = announce(1, 6, (0, 8));
    assert_eq!(directory.apply(newer, NOW_MS + 2), Applied::New);
    assert!(directory.get(&wallet, NOW_MS + 2).is_some());
}

#[test]
fn old_announcements_do_not_come_back() {
    let mut directory = Directory::default();
    let old = announce(1, 5, (0, 8));
    directory.apply(announce(1, 6, (0, 8)), NOW_MS);
    let mut now_ms = NOW_MS;
    while now_ms < NOW_MS + 2 * MEMORY_MS {
        directory.expire(now_ms);
        let applied = directory.apply(old.clone(), now_ms);
        assert!(matches!(applied, Applied::Older | Applied::Expired));
        now_ms += 10_000;
    }
    assert!(directory.wallets.is_empty());
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    let mut directory = Directory::default();
    let malformed = sign(1, 1, vec![1, 2, 3], NOW_MS);
    assert!(matches!(
        directory.apply(malformed, NOW_MS),
        Applied::Malformed(_)
    ));
    let ahead = sign(1, 1, vec![], NOW_MS + CLOCK_SKEW_MS + 1);
    assert_eq!(directory.apply(ahead, NOW_MS), Applied::Expired);
    let key = Keypair::from_seed(&[1; 32]);
    let later = Announcement {
        kind: 77,
        ..announce(1, 9, (0, 8)).into_inner()
    };
    let later = Verified::sign(later, &key, network()).unwrap();
    assert_eq!(directory.apply(later, NOW_MS), Applied::OtherKind);
    assert!(directory.wallets.is_empty());
}

#[test]
fn clocks_and_twins_are_remembered_apart_from_who_is_present() {
    let mut directory = Directory::default();
    let [ahead, behind] = [1, 2].map(|seed| Keypair::from_seed(&[seed; 32]).wallet());
    directory.note_clock(ahead, NOW_MS + 900_000, NOW_MS);
    directory.note_clock(behind, NOW_MS - 5, NOW_MS);
    assert_eq!(directory.clock_offset_ms(&ahead), Some(900_000));
    assert_eq!(directory.clock_offset_ms(&behind), Some(-5));
    directory.note_clock(behind, u64::MAX, 0);
    assert_eq!(directory.clock_offset_ms(&behind), Some(i64::MAX));
    assert_eq!(directory.present(NOW_MS).count(), 0);
    assert_eq!(directory.twin_ms(), None);
    directory.note_twin(7);
    assert_eq!(directory.twin_ms(), Some(7));
}
