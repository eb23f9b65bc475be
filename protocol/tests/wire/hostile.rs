//! Input from somebody who means harm: truncated, lengthened, mutated, random,
//! over-long, or with length prefixes that promise more than was sent.
//!
//! No decoder may panic, reserve memory that the sender did not pay for in
//! bytes, or accept two encodings of one value.

use crate::fixtures::{genesis, network};
use crate::samples::{self, Recode, Sample};
use proptest::prelude::*;
use talkoot_protocol::{DecodeError, Genesis, codec, limits, ticket};

/// Messages whose decoder takes any length up to a limit, with that limit.
fn limited() -> [(&'static str, usize); 16] {
    [
        ("genesis", limits::GENESIS_BYTES_MAX),
        ("model_card", limits::CARD_BYTES_MAX),
        ("announcement", limits::ANNOUNCEMENT_BYTES_MAX),
        ("presence", limits::ANNOUNCEMENT_BYTES_MAX),
        ("offer", limits::OFFER_BYTES_MAX),
        ("attestation", limits::ATTESTATION_BYTES_MAX),
        ("ack", limits::ACK_BYTES_MAX),
        ("free_job", limits::FREE_JOB_BYTES_MAX),
        ("ticket", limits::TICKET_BYTES_MAX),
        ("control_opened", limits::CONTROL_BYTES_MAX),
        ("sync_ask_heads", limits::SYNC_BYTES_MAX),
        ("sync_busy", limits::SYNC_BYTES_MAX),
        ("token_payload", limits::TOKEN_PAYLOAD_BYTES_MAX),
        ("blob_request", limits::BLOB_REQUEST_BYTES_MAX),
        ("blob_range", limits::BLOB_RESPONSE_BYTES_MAX),
        ("blob_not_found", limits::BLOB_RESPONSE_BYTES_MAX),
    ]
}

fn by_name(name: &str) -> Sample {
    samples::all()
        .into_iter()
        .find(|sample| sample.name == name)
        .unwrap_or_else(|| panic!("no sample {name}"))
}

fn canonical_or_refused(recode: Recode, bytes: &[u8]) -> bool {
    recode(bytes).map_or(true, |again| again == bytes)
}

#[test]
fn every_truncation_is_refused() {
    for sample in samples::all() {
        for length in 0..sample.bytes.len() {
            let cut = &sample.bytes[..length];
            assert!(
                (sample.recode)(cut).is_err(),
                "{} cut to {length}",
                sample.name
            );
        }
    }
}

#[test]
fn every_trailing_byte_is_refused() {
    for sample in samples::all() {
        for byte in 0..=u8::MAX {
            let mut longer = sample.bytes.clone();
            longer.push(byte);
            assert!(
                (sample.recode)(&longer).is_err(),
                "{} with {byte}",
                sample.name
            );
        }
    }
}

#[test]
fn every_changed_byte_is_refused_or_canonical() {
    for sample in samples::all() {
        for position in 0..sample.bytes.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut bytes = sample.bytes.clone();
                bytes[position] ^= change;
                assert!(
                    canonical_or_refused(sample.recode, &bytes),
                    "{} at {position}",
                    sample.name
                );
            }
        }
    }
}

#[test]
fn over_the_limit_is_refused_before_decoding() {
    for (name, limit) in limited() {
        let sample = by_name(name);
        let mut bytes = sample.bytes;
        bytes.resize(limit + 1, 0);
        let refused = (sample.recode)(&bytes);
        let too_long = DecodeError::TooLong {
            length: limit + 1,
            limit,
        };
        assert_eq!(refused, Err(too_long), "{name}");
    }
}

/// The allocation limit answers, not the allocator: nothing is reserved.
#[test]
fn hostile_length_prefixes_reserve_nothing() {
    for claim in [1_u64 << 20, 1 << 32, 1 << 56, u64::MAX] {
        let mut bytes = claim.to_le_bytes().to_vec();
        bytes.push(0);
        let refused = codec::decode::<Vec<u8>>(&bytes, 64);
        let refused_wide = codec::decode::<Vec<(u64, String)>>(&bytes, 64);
        for error in [refused.unwrap_err(), refused_wide.unwrap_err()] {
            assert_eq!(
                error,
                DecodeError::Malformed("LimitExceeded".to_owned()),
                "{claim}"
            );
        }
    }
}

#[test]
fn hostile_length_prefixes_are_refused_everywhere() {
    for sample in samples::all() {
        for position in 0..sample.bytes.len().saturating_sub(8) {
            let mut bytes = sample.bytes.clone();
            bytes[position..position + 8].copy_from_slice(&(1_u64 << 56).to_le_bytes());
            assert!(
                canonical_or_refused(sample.recode, &bytes),
                "{} at {position}",
                sample.name
            );
        }
    }
}

#[test]
fn tags_and_booleans_have_one_encoding() {
    assert!(codec::decode::<Option<u8>>(&[2, 0], 64).is_err());
    assert!(codec::decode::<bool>(&[2], 64).is_err());
    assert!(codec::decode::<String>(&[1, 0, 0, 0, 0, 0, 0, 0, 0xff], 64).is_err());
    let mut founders_swapped = genesis();
    founders_swapped.founders.reverse();
    assert_eq!(
        Genesis::decode(&founders_swapped.to_bytes()),
        Err(DecodeError::OutOfBounds {
            field: "genesis founders"
        })
    );
}

#[test]
fn damaged_tickets_say_what_is_wrong() {
    use ticket::TicketError;
    let text = ticket::to_text(&samples::ticket());
    let refused = |text: &str| ticket::from_text(text, 0).unwrap_err();
    assert_eq!(refused("hello"), TicketError::Prefix);
    assert_eq!(refused("talkoot1"), TicketError::Text);
    assert_eq!(refused("talkoot1!!"), TicketError::Text);
    assert_eq!(
        refused(&format!("talkoot1{}", "a".repeat(1 << 16))),
        TicketError::Text
    );
    for (position, _) in text.char_indices().skip("talkoot1".len()) {
        let mut damaged = text.clone();
        let other = if text[position..].starts_with('a') {
            "b"
        } else {
            "a"
        };
        damaged.replace_range(position..=position, other);
        let error = refused(&damaged);
        assert!(
            matches!(error, TicketError::Checksum | TicketError::Text),
            "{position}: {error:?}"
        );
    }
    for length in "talkoot1".len()..text.len() {
        let error = refused(&text[..length]);
        assert!(
            matches!(error, TicketError::Checksum | TicketError::Text),
            "{length}: {error:?}"
        );
    }
}

#[test]
fn tickets_expire_and_survive_chat() {
    let text = ticket::to_text(&samples::ticket());
    let expires_ms = samples::ticket().expires_ms;
    let (middle, end) = text.split_at(40);
    let wrapped = format!("  {middle}\n> {end}\n").replace('>', "");
    assert_eq!(
        ticket::from_text(&wrapped, expires_ms - 1).unwrap().1.id(),
        network()
    );
    assert_eq!(
        ticket::from_text(&text, expires_ms).unwrap_err(),
        ticket::TicketError::Expired
    );
}

#[test]
fn a_ticket_with_another_genesis_does_not_verify() {
    use talkoot_protocol::{Keypair, NetworkId, Verified, VerifyError};
    let key = Keypair::from_seed(&[1; 32]);
    let elsewhere = NetworkId(talkoot_protocol::Hash::ZERO);
    let forged = Verified::sign(samples::ticket().into_inner(), &key, elsewhere).unwrap();
    assert_eq!(
        ticket::from_text(&ticket::to_text(&forged), 0).unwrap_err(),
        ticket::TicketError::Verify(VerifyError::Signature {
            signer: key.wallet()
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn random_bytes_are_refused_or_canonical(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        for sample in samples::all() {
            prop_assert!(canonical_or_refused(sample.recode, &bytes), "{}", sample.name);
        }
        let text: String = bytes.iter().map(|byte| char::from(byte & 0x7f)).collect();
        prop_assert!(ticket::from_text(&text, 0).is_err());
        let prefixed = format!("talkoot1{text}");
        prop_assert!(ticket::from_text(&prefixed, 0).is_err());
    }

    /// Small tags and lengths reach further into a decoder than noise does.
    #[test]
    fn small_random_words_are_refused_or_canonical(
        tag in 0_u32..12,
        words in proptest::collection::vec(0_u64..6, 0..60),
    ) {
        let mut bytes = tag.to_le_bytes().to_vec();
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        for sample in samples::all() {
            prop_assert!(canonical_or_refused(sample.recode, &bytes), "{}", sample.name);
        }
    }

    #[test]
    fn spliced_samples_are_refused_or_canonical(
        pick in any::<[prop::sample::Index; 2]>(),
        cut in any::<[prop::sample::Index; 2]>(),
    ) {
        let samples = samples::all();
        let [left, right] = pick.map(|index| index.get(&samples));
        let mut bytes = left.bytes[..cut[0].index(left.bytes.len())].to_vec();
        bytes.extend(&right.bytes[cut[1].index(right.bytes.len())..]);
        for sample in &samples {
            prop_assert!(canonical_or_refused(sample.recode, &bytes), "{}", sample.name);
        }
    }
}
