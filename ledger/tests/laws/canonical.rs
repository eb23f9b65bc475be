//! Law: decoding what was encoded gives the same, and nothing else decodes:
//! whatever bytes decode are the encoding of what they decode to.
//!
//! Here for the ledger's own objects, from histories; `protocol/tests/wire` has
//! every message, and `tests/fuzz` every decoder.

use crate::common::history;
use crate::common::{E, Rng, SeedGuard, is_enough, seed_list};
use talkoot_ledger::books::HeldAck;
use talkoot_ledger::journal::RECORD_BYTES_MAX;
use talkoot_ledger::{Entry, Payload};
use talkoot_protocol::{DecodeError, Genesis, Signed, codec};

/// Decodes bytes and encodes the value again.
type Recode = Box<dyn Fn(&[u8]) -> Result<Vec<u8>, DecodeError>>;

/// What a history holds, each with its decoder.
fn samples(history: &history::History) -> Vec<(Vec<u8>, Recode)> {
    let mut samples: Vec<(Vec<u8>, Recode)> = vec![(
        history.kit.genesis.to_bytes(),
        Box::new(|bytes| Genesis::decode(bytes).map(|genesis| genesis.to_bytes())),
    )];
    for entry in &history.oracle.entries {
        let again = E::from_bytes(&entry.to_bytes(), history.kit.network);
        assert_eq!(again.as_ref(), Ok(entry));
        let recode = |bytes: &[u8]| Signed::<Entry>::decode(bytes).map(|entry| entry.to_bytes());
        samples.push((entry.to_bytes(), Box::new(recode)));
        let (kind, payload) = (entry.kind, Payload::decode(entry.kind, &entry.payload));
        let payload = payload.unwrap().unwrap();
        assert_eq!(payload.to_bytes(), entry.payload);
        samples.push((
            entry.payload.clone(),
            Box::new(move |bytes| Payload::decode(kind, bytes).map(|p| p.unwrap().to_bytes())),
        ));
        if let Payload::Frontier(frontier) = payload {
            let (attestation, ack) = (frontier.attestation, frontier.ack);
            let held = codec::encode(&HeldAck { attestation, ack });
            let recode = |bytes: &[u8]| {
                codec::decode::<HeldAck>(bytes, RECORD_BYTES_MAX).map(|held| codec::encode(&held))
            };
            samples.push((held, Box::new(recode)));
        }
    }
    samples
}

/// Changes a byte, a word, or two.
fn changed(bytes: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.between(1, 2) {
        let width = random.pick(&[1, 1, 4, 8]).min(bytes.len());
        let at = random.below(bytes.len() - width + 1);
        match random.below(3) {
            0 => bytes[at..at + width].fill(random.pick(&[0, 1, 0xff])),
            1 => bytes[at] ^= 1 << random.below(8),
            _ => bytes[at] = random.next().to_le_bytes()[0],
        }
    }
    bytes
}

#[test]
fn decoding_is_the_inverse_of_encoding_and_nothing_else_decodes() {
    let (mut refused, mut other) = (0_u64, 0_u64);
    for seed in seed_list(15) {
        let _guard = SeedGuard(seed);
        let mut random = Rng(seed);
        let history = history::write(&mut random, 1, 50);
        for (bytes, recode) in samples(&history) {
            assert_eq!(recode(&bytes).as_ref(), Ok(&bytes));
            assert!(recode(&[&bytes[..], &[0]].concat()).is_err(), "a rest");
            if bytes.is_empty() {
                continue;
            }
            let cut = &bytes[..random.below(bytes.len())];
            assert!(recode(cut).is_err(), "cut to {}", cut.len());
            for _ in 0..20 {
                let bytes = changed(&bytes, &mut random);
                match recode(&bytes) {
                    Ok(again) => {
                        assert_eq!(again, bytes);
                        other += 1;
                    }
                    Err(_) => refused += 1,
                }
            }
        }
    }
    assert!(is_enough([refused, other], 100), "{refused} {other}");
}
