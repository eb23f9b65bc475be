//! What is encoded within bounds decodes to the same value.

use crate::fixtures::{genesis, key, network};
use crate::samples::{self, decode_frame};
use crate::strategies;
use proptest::prelude::*;
use talkoot_protocol::announce::{Announcement, Presence};
use talkoot_protocol::blob::{self, BlobAssembly, BlobError, BlobRequest, BlobResponse};
use talkoot_protocol::control::ControlMessage;
use talkoot_protocol::frame::{ScoresPayload, TokenPayload};
use talkoot_protocol::{Hash, LayerRange, Verified, Wallet, limits, ticket};

#[test]
fn text_forms_read_back() {
    let wallet = key(1).wallet();
    assert_eq!(wallet.to_string().parse::<Wallet>(), Ok(wallet));
    assert_eq!(
        wallet.to_string().to_uppercase().parse::<Wallet>(),
        Ok(wallet)
    );
    assert_eq!(wallet.short(), wallet.to_string()[..8]);
    let hash = Hash::of_blob(b"x");
    assert_eq!(hash.to_string().parse::<Hash>(), Ok(hash));
    for bad in ["", "00", &"0".repeat(63), &"g".repeat(64), &"0".repeat(66)] {
        assert!(bad.parse::<Hash>().is_err(), "{bad}");
    }
    assert_eq!("0..8".parse(), LayerRange::new(0, 8));
    assert_eq!(LayerRange::new(3, 7).unwrap().to_string(), "3..7");
    for bad in ["", "8", "8..8", "9..8", "-1..4", "0..1025", "0...4", "a..b"] {
        assert!(bad.parse::<LayerRange>().is_err(), "{bad}");
    }
}

#[test]
fn a_blob_travels_in_ranges() {
    let content: Vec<u8> = (0..limits::BLOB_RANGE_BYTES_MAX * 2 + 7)
        .map(|index| index.to_le_bytes()[0])
        .collect();
    let mut assembly = BlobAssembly::new(Hash::of_blob(&content));
    let mut requests = 0;
    let whole = loop {
        let request = BlobRequest::decode(&assembly.next_request().to_bytes()).unwrap();
        let answer = BlobResponse::decode(&blob::serve(&content, &request).to_bytes()).unwrap();
        let BlobResponse::Range { total, bytes } = answer else {
            panic!("served as not found");
        };
        requests += 1;
        if let Some(whole) = assembly.push(total, &bytes).unwrap() {
            break whole;
        }
    };
    assert_eq!(whole, content);
    assert_eq!(requests, 3);
}

#[test]
fn a_wrong_blob_is_refused() {
    let assembly = || BlobAssembly::new(Hash::of_blob(b"right"));
    assert_eq!(
        assembly().push(5, b"wrong"),
        Err(BlobError::Hash(Hash::of_blob(b"right")))
    );
    assert_eq!(assembly().push(5, b""), Err(BlobError::Inconsistent));
    assert_eq!(
        assembly().push(5, b"right and more"),
        Err(BlobError::Inconsistent)
    );
    assert_eq!(
        assembly().push(limits::BLOB_BYTES_MAX + 1, b"r"),
        Err(BlobError::Inconsistent)
    );
    let mut changing = assembly();
    assert_eq!(changing.push(5, b"ri"), Ok(None));
    assert_eq!(changing.push(6, b"ght"), Err(BlobError::Inconsistent));
    assert_eq!(
        BlobAssembly::new(Hash::of_blob(b"")).push(0, b""),
        Ok(Some(Vec::new()))
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn offers(offer in strategies::offer()) {
        prop_assert_eq!(Verified::from_bytes(&offer.to_bytes(), network()), Ok(offer));
    }

    #[test]
    fn every_signed_offer_fits_its_limit(offer in strategies::offer()) {
        prop_assert!(offer.to_bytes().len() <= limits::OFFER_BYTES_MAX);
    }

    #[test]
    fn attestations(attestation in strategies::attestation()) {
        prop_assert_eq!(Verified::from_bytes(&attestation.to_bytes(), network()), Ok(attestation));
    }

    #[test]
    fn acks(ack in strategies::ack()) {
        prop_assert_eq!(Verified::from_bytes(&ack.to_bytes(), network()), Ok(ack));
    }

    #[test]
    fn presences(presence in strategies::presence(), number in any::<u64>()) {
        let announcement = Announcement {
            number,
            payload: presence.to_payload(),
            ..samples::announcement().into_inner()
        };
        let signed = Verified::sign(announcement, &key(3), network()).unwrap();
        let received = Verified::<Announcement>::from_bytes(&signed.to_bytes(), network()).unwrap();
        prop_assert_eq!(Presence::decode(&received.payload), Ok(presence));
    }

    #[test]
    fn control_messages(message in strategies::control()) {
        prop_assert_eq!(ControlMessage::decode(&message.to_bytes()), Ok(message));
    }

    #[test]
    fn frames(frame in strategies::frame()) {
        prop_assert_eq!(decode_frame(&frame.to_bytes()), Ok(frame));
    }

    #[test]
    fn token_payloads(payload in strategies::token_payload()) {
        prop_assert_eq!(TokenPayload::decode(&payload.to_bytes()), Ok(payload));
    }

    #[test]
    fn scores_payloads(payload in strategies::scores_payload()) {
        prop_assert_eq!(ScoresPayload::decode(&payload.to_bytes()), Ok(payload));
    }

    #[test]
    fn tickets(
        addresses in proptest::collection::vec("[ -~]{1,128}", 1..=16),
        nonce in any::<u64>(),
        line_ugft in any::<u64>(),
    ) {
        let ticket = ticket::Ticket {
            addresses,
            nonce,
            line_ugft,
            expires_ms: 0,
            ..samples::ticket().into_inner()
        };
        let signed = Verified::sign(ticket, &key(1), network()).unwrap();
        let read = ticket::from_text(&ticket::to_text(&signed), u64::MAX).unwrap();
        prop_assert_eq!(read, (signed, genesis()));
    }

    #[test]
    fn blob_ranges_are_the_asked_part(
        content in proptest::collection::vec(any::<u8>(), 0..64),
        offset in 0_u64..80,
        length in 1_u32..80,
    ) {
        let request = BlobRequest { hash: Hash::of_blob(&content), offset, length };
        let expected: Vec<u8> = content
            .iter()
            .copied()
            .skip(usize::try_from(offset).unwrap())
            .take(usize::try_from(length).unwrap())
            .collect();
        let answer = blob::serve(&content, &request);
        let total = content.len() as u64;
        prop_assert_eq!(answer, BlobResponse::Range { total, bytes: expected });
    }
}
