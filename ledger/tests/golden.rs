//! The bytes of every kind, pinned: a change here is another network.
//!
//! `TALKOOT_BLESS=1` writes the files anew.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod common;

use common::{E, Kit, OfferTerms, model_card, wallet};
use std::path::PathBuf;
use talkoot_ledger::kinds::{self, Equivocation, Model, Release};
use talkoot_ledger::{Entry, HOLD_GRACE_MS, Ledger, Payload, Source, id_of};
use talkoot_protocol::{Hash, JobId, Signed, Verified};

fn hex(bytes: &[u8]) -> String {
    bytes
        .chunks(32)
        .map(|line| {
            line.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
                + "\n"
        })
        .collect()
}

fn check(name: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(format!("{name}.hex"));
    if std::env::var_os("TALKOOT_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, hex(bytes)).unwrap();
    }
    let golden =
        std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
    assert_eq!(hex(bytes), golden, "the bytes of {name} have changed");
}

/// One entry of each kind, each after the one before.
fn one_of_each() -> (Kit, Vec<(&'static str, E)>) {
    let kit = Kit::new(&[("s", 1_000_000)], &["w", "v"]);
    let (s, w, v) = (wallet("s"), wallet("w"), wallet("v"));
    let witness = kit.naming(s, &[w, v]);
    let admit = kit.admit(s, Some(&witness), &[], w, 5000);
    let terms = OfferTerms {
        price: 7,
        service_rate: 3,
        ..OfferTerms::default()
    };
    let reserve = kit.reserve_payload(s, &[(w, 1, terms), (v, 2, terms)], 10, 90);
    let reserve = kit.entry(s, Some(&admit), &[], &Payload::Reserve(Box::new(reserve)));
    let payload = kit.frontier_payload(&reserve, 10, 20, true);
    let frontier = kit.entry(
        w,
        None,
        &[&witness, &reserve],
        &Payload::Frontier(Box::new(payload)),
    );
    let (a, b) = (
        kit.witness(v, None, &[&witness], 1),
        kit.witness(v, None, &[&witness], 2),
    );
    let pair = Payload::Equivocation(Equivocation::new(&a, &b));
    let equivocation = kit.entry(s, Some(&reserve), &[&frontier], &pair);
    let model = Payload::Model(Model {
        card: model_card("tiny").to_bytes(),
    });
    let model = kit.entry(s, Some(&equivocation), &[], &model);
    let unknown = kit.raw(s, Some(&model), &[], 500, vec![1, 2, 3], &[]);
    // The stage of v never said its last word, and the deadline is over.
    let claim = kit.witness(s, Some(&unknown), &[], HOLD_GRACE_MS + 9000);
    let job = JobId(id_of(&reserve));
    let release = kit.entry(s, Some(&claim), &[], &Payload::Release(Release { job }));
    let all = vec![
        ("witness", witness),
        ("admit", admit),
        ("reserve", reserve),
        ("frontier", frontier),
        ("equivocation", equivocation),
        ("model", model),
        ("unknown", unknown),
        ("claim", claim),
        ("release", release),
    ];
    (kit, all)
}

#[test]
fn bytes_of_every_kind() {
    let (kit, all) = one_of_each();
    check("genesis", &kit.genesis.to_bytes());
    for (name, entry) in &all {
        check(name, &entry.to_bytes());
        assert_eq!(
            &E::from_bytes(&entry.to_bytes(), kit.network).unwrap(),
            entry
        );
    }
}

#[test]
fn ids_effects_and_links() {
    let (kit, all) = one_of_each();
    let mut ledger = Ledger::new(kit.genesis);
    ledger.admit_batch(
        all.iter().map(|(_, entry)| entry.clone()).collect(),
        Source::Own,
        0,
    );
    let mut bytes = Vec::new();
    for link in ledger.links(0) {
        bytes.extend_from_slice(link.id.as_bytes());
        bytes.extend_from_slice(link.effect.as_bytes());
        bytes.extend_from_slice(link.link.as_bytes());
    }
    check("chain", &bytes);
}

#[test]
fn the_id_does_not_cover_the_signature() {
    let (_, all) = one_of_each();
    for (_, entry) in all {
        assert_eq!(
            id_of(&entry),
            Hash::of(talkoot_protocol::HashContext::Entry, &entry.body())
        );
        let bytes = entry.to_bytes();
        assert_eq!(bytes.len(), 8 + entry.body().len() + 64);
    }
}

#[test]
fn every_payload_decodes_to_itself_and_nothing_near_it_does() {
    let (_, all) = one_of_each();
    for (name, entry) in &all {
        let Some(payload) = Payload::decode(entry.kind, &entry.payload).unwrap() else {
            assert_eq!(*name, "unknown");
            continue;
        };
        assert_eq!(payload.to_bytes(), entry.payload, "{name}");
        assert_eq!(payload.kind(), entry.kind);
        for end in 0..entry.payload.len() {
            assert!(
                Payload::decode(entry.kind, &entry.payload[..end]).is_err(),
                "{name} cut at {end}"
            );
        }
        let longer = [entry.payload.as_slice(), &[0]].concat();
        assert!(
            Payload::decode(entry.kind, &longer).is_err(),
            "{name} with a rest"
        );
    }
}

#[test]
fn a_flipped_bit_is_never_the_same_entry() {
    let (kit, all) = one_of_each();
    for (name, entry) in &all {
        let bytes = entry.to_bytes();
        for position in (0..bytes.len()).step_by(7) {
            let mut changed = bytes.clone();
            changed[position] ^= 1 << (position % 8);
            assert!(
                Verified::<Entry>::from_bytes(&changed, kit.network).is_err(),
                "{name}, byte {position}"
            );
        }
    }
}

#[test]
fn envelopes_out_of_bounds_do_not_decode() {
    let (kit, all) = one_of_each();
    let base = all[0].1.clone().into_inner();
    let refuse = |name: &str, change: &dyn Fn(&mut Entry)| {
        let mut entry = base.clone();
        change(&mut entry);
        let key = kit.key(entry.author).clone();
        assert!(
            Verified::sign(entry.clone(), &key, kit.network).is_err(),
            "{name}"
        );
        let body = talkoot_protocol::codec::encode(&entry);
        let mut bytes = (body.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(&body);
        bytes.extend_from_slice(&[0; 64]);
        assert!(Signed::<Entry>::decode(&bytes).is_err(), "{name}");
    };
    let hashes = |count: u8| {
        (0..count)
            .map(|byte| Hash::from_bytes([byte; 32]))
            .collect::<Vec<_>>()
    };
    refuse("nine refs", &|entry| entry.refs = hashes(9));
    refuse("refs out of order", &|entry| {
        entry.refs = vec![hashes(2)[1], hashes(2)[0]]
    });
    refuse("a ref twice", &|entry| entry.refs = vec![hashes(2)[1]; 2]);
    refuse("seventeen names", &|entry| {
        entry.names = (0..17)
            .map(|byte| talkoot_protocol::Wallet::from_bytes([byte; 32]))
            .collect();
    });
    refuse("names out of order", &|entry| entry.names.reverse());
    refuse("a large payload", &|entry| {
        entry.payload = vec![0; 16 * 1024 + 1]
    });
    refuse("a first entry with a prev", &|entry| {
        entry.prev = hashes(2)[1]
    });
    refuse("a later entry without one", &|entry| {
        (entry.seq, entry.lamport) = (1, 2)
    });
    refuse("lamport 0", &|entry| entry.lamport = 0);
}

#[test]
fn kinds_have_their_numbers() {
    let numbers = [
        kinds::ADMIT,
        kinds::RESERVE,
        kinds::FRONTIER,
        kinds::WITNESS,
        kinds::EQUIVOCATION,
        kinds::MODEL,
        kinds::RELEASE,
    ];
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7]);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    /// Hostile bytes give an error or the one value they are the encoding of.
    #[test]
    fn arbitrary_bytes_decode_canonically_or_not_at_all(
        kind in 0_u16..9,
        cut in 0_usize..3000,
        changes in proptest::collection::vec((0_usize..3000, proptest::prelude::any::<u8>()), 0..4),
    ) {
        let (_, all) = one_of_each();
        let Some((_, entry)) = all.get(usize::from(kind)) else { return Ok(()) };
        let mut payload = entry.payload.clone();
        for (position, byte) in changes {
            if let Some(place) = payload.get_mut(position) {
                *place = byte;
            }
        }
        payload.truncate(if cut.is_multiple_of(2) { payload.len() } else { cut });
        if let Ok(Some(value)) = Payload::decode(entry.kind, &payload) {
            proptest::prop_assert_eq!(value.to_bytes(), payload);
        }
    }
}
