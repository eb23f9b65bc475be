//! What a signature is good for: one signer, one kind, one network, these bytes.

use crate::fixtures::{ack, attestation, free_job, key, network, offer, signed_offer};
use crate::samples::{announcement, ticket};
use ed25519_dalek::{Verifier, VerifyingKey};
use proptest::prelude::*;
use talkoot_protocol::{
    Hash, NetworkId, Offer, SignContext, Signable, Signature, Signed, Verified, VerifyError, Wallet,
};

const CONTEXTS: [SignContext; 7] = [
    SignContext::Entry,
    SignContext::Announcement,
    SignContext::Offer,
    SignContext::FreeJob,
    SignContext::Attestation,
    SignContext::Ack,
    SignContext::Ticket,
];

fn other_network() -> NetworkId {
    NetworkId(Hash::of_blob(b"another genesis"))
}

fn refused_elsewhere<T: Signable + std::fmt::Debug + PartialEq>(object: &Verified<T>) {
    let bytes = object.to_bytes();
    assert_eq!(
        Verified::<T>::from_bytes(&bytes, network()).as_ref(),
        Ok(object)
    );
    let refused = Verified::<T>::from_bytes(&bytes, other_network());
    assert_eq!(
        refused,
        Err(VerifyError::Signature {
            signer: object.signer()
        })
    );
    for context in CONTEXTS {
        let accepted =
            object
                .signer()
                .verify(context, network(), &object.body(), object.signature());
        assert_eq!(accepted, context == T::CONTEXT, "{context:?}");
    }
}

#[test]
fn each_kind_counts_in_its_network_and_context_only() {
    refused_elsewhere(&signed_offer());
    refused_elsewhere(&attestation());
    refused_elsewhere(&ack());
    refused_elsewhere(&free_job());
    refused_elsewhere(&announcement());
    refused_elsewhere(&ticket());
}

#[test]
fn every_flipped_bit_is_refused() {
    let bytes = signed_offer().to_bytes();
    for position in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[position] ^= 1 << (position % 8);
        let refused = Verified::<Offer>::from_bytes(&bad, network());
        assert!(refused.is_err(), "byte {position}");
    }
}

#[test]
fn only_the_signer_signs() {
    let signer = offer().worker;
    assert_eq!(
        Verified::sign(offer(), &key(1), network()),
        Err(VerifyError::Signature { signer })
    );
}

#[test]
fn a_value_out_of_bounds_is_not_signed() {
    let mut bad = offer();
    bad.window_tokens = 0;
    let refused = Verified::sign(bad, &key(2), network());
    assert!(
        matches!(refused, Err(VerifyError::Decode(_))),
        "{refused:?}"
    );
}

#[test]
fn trusted_bytes_are_still_decoded() {
    let bytes = signed_offer().to_bytes();
    let trusted = Verified::<Offer>::from_trusted_bytes(&bytes).unwrap();
    assert_eq!(trusted.id(), signed_offer().id());
    assert!(Verified::<Offer>::from_trusted_bytes(&bytes[..bytes.len() - 1]).is_err());
    assert_eq!(Signed::<Offer>::decode(&bytes).unwrap().claimed(), &offer());
}

/// The identity point signs anything under lenient verification: R is the
/// identity, S is 0, and the equation reads 0 = 0.
#[test]
fn small_order_keys_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(&identity);
    let lenient = VerifyingKey::from_bytes(&identity).unwrap().verify(
        b"anything",
        &ed25519_dalek::Signature::from_bytes(&signature),
    );
    assert!(
        lenient.is_ok(),
        "the attack itself must work, else this test is void"
    );

    let wallet = Wallet::from_bytes(identity);
    let signature = Signature::from_bytes(signature);
    for context in CONTEXTS {
        assert!(!wallet.verify(context, network(), b"anything", &signature));
    }
}

/// Adding the group order to S gives a second signature of the same message,
/// unless S is required to be reduced.
#[test]
fn a_malleated_signature_is_refused() {
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let good = key(1).sign(SignContext::Ack, network(), b"bytes");
    let mut bytes = *good.as_bytes();
    let mut carry = 0_u16;
    for (byte, order) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    assert_eq!(carry, 0);
    let accepts = |signature: &Signature| {
        key(1)
            .wallet()
            .verify(SignContext::Ack, network(), b"bytes", signature)
    };
    assert!(accepts(&good));
    assert!(!accepts(&Signature::from_bytes(bytes)));
}

#[test]
fn secrets_are_not_shown() {
    let shown = format!("{:?}", key(7));
    assert!(!shown.contains("07070707"), "{shown}");
    assert!(shown.contains(&key(7).wallet().short()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn signatures_bind_key_context_network_and_bytes(
        seeds in any::<[[u8; 32]; 2]>(),
        networks in any::<[[u8; 32]; 2]>(),
        contexts in (0_usize..7, 0_usize..7),
        message in proptest::collection::vec(any::<u8>(), 0..64),
        flip in any::<prop::sample::Index>(),
    ) {
        let [mine, theirs] = seeds.map(|seed| talkoot_protocol::Keypair::from_seed(&seed));
        let [here, there] = networks.map(|id| NetworkId(Hash::from_bytes(id)));
        let (context, other) = (CONTEXTS[contexts.0], CONTEXTS[contexts.1]);
        let signature = mine.sign(context, here, &message);
        let wallet = mine.wallet();
        prop_assert!(wallet.verify(context, here, &message, &signature));
        prop_assert_eq!(wallet.verify(other, here, &message, &signature), other == context);
        prop_assert_eq!(wallet.verify(context, there, &message, &signature), there == here);
        prop_assert_eq!(
            theirs.wallet().verify(context, here, &message, &signature),
            theirs.wallet() == wallet
        );
        let mut longer = message.clone();
        longer.push(0);
        prop_assert!(!wallet.verify(context, here, &longer, &signature));
        let mut bad = *signature.as_bytes();
        bad[flip.index(64)] ^= 0x40;
        prop_assert!(!wallet.verify(context, here, &message, &Signature::from_bytes(bad)));
    }

    #[test]
    fn any_key_and_signature_bytes_are_judged_without_panic(
        wallet in any::<[u8; 32]>(),
        halves in any::<[[u8; 32]; 2]>(),
    ) {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&halves[0]);
        bytes[32..].copy_from_slice(&halves[1]);
        let accepted = Wallet::from_bytes(wallet).verify(
            SignContext::Entry,
            network(),
            b"message",
            &Signature::from_bytes(bytes),
        );
        prop_assert!(!accepted);
    }
}
