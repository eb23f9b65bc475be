//! One body for each decoder: what decodes is the canonical encoding of what
//! was decoded, and of nothing else.

use super::Body;
use talkoot_ledger::books::HeldAck;
use talkoot_ledger::journal::RECORD_BYTES_MAX;
use talkoot_ledger::{Entry, Payload};
use talkoot_protocol::announce::{Announcement, Presence, PresenceRequest, PresenceResponse};
use talkoot_protocol::blob::{BlobRequest, BlobResponse};
use talkoot_protocol::control::{ControlMessage, FreeJob};
use talkoot_protocol::frame::{Frame, FrameHeader, HEADER_BYTES, TokenPayload};
use talkoot_protocol::join::{JoinRequest, JoinResponse};
use talkoot_protocol::sync::{SyncRequest, SyncResponse};
use talkoot_protocol::ticket::{self, Ticket};
use talkoot_protocol::{
    Ack, Attestation, DecodeError, Genesis, ModelCard, Offer, Signable, Signed, codec,
};

/// Decoding of `data` fails, or encoding again gives `data`.
fn same(data: &[u8], again: Result<Vec<u8>, DecodeError>) {
    if let Ok(again) = again {
        assert_eq!(again, data, "another encoding of a value decoded");
    }
}

fn signed<T: Signable>(data: &[u8]) {
    same(
        data,
        Signed::<T>::decode(data).map(|signed| signed.to_bytes()),
    );
}

fn genesis(data: &[u8]) {
    same(
        data,
        Genesis::decode(data).map(|genesis| genesis.to_bytes()),
    );
}

fn model_card(data: &[u8]) {
    same(data, ModelCard::decode(data).map(|card| card.to_bytes()));
}

fn presence(data: &[u8]) {
    same(
        data,
        Presence::decode(data).map(|presence| presence.to_payload()),
    );
}

fn presence_request(data: &[u8]) {
    same(
        data,
        PresenceRequest::decode(data).map(|request| request.to_bytes()),
    );
}

fn presence_response(data: &[u8]) {
    same(
        data,
        PresenceResponse::decode(data).map(|response| response.to_bytes()),
    );
}

/// A ticket as people pass it on: what reads is the text of what was read, but
/// for spaces that chat programs put in and the case of letters.
fn ticket_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok((ticket, genesis)) = ticket::from_text(&text, 0) {
        let again = ticket::to_text(&ticket);
        let plain: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        assert!(plain.eq_ignore_ascii_case(&again), "{plain} {again}");
        assert_eq!(genesis.to_bytes(), ticket.genesis);
    }
}

fn control(data: &[u8]) {
    same(
        data,
        ControlMessage::decode(data).map(|message| message.to_bytes()),
    );
}

fn frame(data: &[u8]) {
    if let Some((header, rest)) = data.split_first_chunk::<HEADER_BYTES>() {
        let frame = FrameHeader::decode(header).and_then(|header| Frame::from_parts(header, rest));
        same(data, frame.map(|frame| frame.to_bytes()));
    }
}

fn token_payload(data: &[u8]) {
    same(
        data,
        TokenPayload::decode(data).map(|payload| payload.to_bytes()),
    );
}

fn blob_request(data: &[u8]) {
    same(
        data,
        BlobRequest::decode(data).map(|request| request.to_bytes()),
    );
}

fn blob_response(data: &[u8]) {
    same(
        data,
        BlobResponse::decode(data).map(|response| response.to_bytes()),
    );
}

fn join_request(data: &[u8]) {
    same(
        data,
        JoinRequest::decode(data).map(|request| request.to_bytes()),
    );
}

fn join_response(data: &[u8]) {
    same(
        data,
        JoinResponse::decode(data).map(|response| response.to_bytes()),
    );
}

fn sync_request(data: &[u8]) {
    same(
        data,
        SyncRequest::decode(data).map(|request| request.to_bytes()),
    );
}

fn sync_response(data: &[u8]) {
    same(
        data,
        SyncResponse::decode(data).map(|response| response.to_bytes()),
    );
}

/// The first byte is the kind, the rest the payload.
fn payload(data: &[u8]) {
    let Some((&kind, data)) = data.split_first() else {
        return;
    };
    if let Ok(Some(payload)) = Payload::decode(u16::from(kind), data) {
        assert_eq!(
            payload.to_bytes(),
            data,
            "another encoding of a payload decoded"
        );
        assert_eq!(payload.kind(), u16::from(kind));
    }
}

fn held_ack(data: &[u8]) {
    let held = codec::decode::<HeldAck>(data, RECORD_BYTES_MAX);
    same(data, held.map(|held| codec::encode(&held)));
}

/// The bodies.
pub(super) const BODIES: &[Body] = &[
    ("entry", signed::<Entry>),
    ("payload", payload),
    ("genesis", genesis),
    ("model_card", model_card),
    ("announcement", signed::<Announcement>),
    ("presence", presence),
    ("presence_request", presence_request),
    ("presence_response", presence_response),
    ("offer", signed::<Offer>),
    ("attestation", signed::<Attestation>),
    ("ack", signed::<Ack>),
    ("free_job", signed::<FreeJob>),
    ("ticket", signed::<Ticket>),
    ("ticket_text", ticket_text),
    ("control", control),
    ("frame", frame),
    ("token_payload", token_payload),
    ("blob_request", blob_request),
    ("blob_response", blob_response),
    ("join_request", join_request),
    ("join_response", join_response),
    ("sync_request", sync_request),
    ("sync_response", sync_response),
    ("held_ack", held_ack),
];
