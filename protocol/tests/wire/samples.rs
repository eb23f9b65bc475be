//! One sample of each object on the wire: its name, its bytes, its decoder.
//!
//! Golden files, truncation and mutation tests all walk this one list, so an
//! object that is added here is covered by each of them.

use crate::fixtures::{
    ack, attestation, card, free_job, genesis, hash, job, key, model, network, offer, open, range,
    signed_offer,
};
use talkoot_protocol::announce::{
    Announcement, KIND_PRESENCE, Presence, PresenceRequest, PresenceResponse, Served,
};
use talkoot_protocol::blob::{BlobRequest, BlobResponse};
use talkoot_protocol::control::{
    ControlMessage, FailCode, FreeJob, JobOrder, OfferRequest, StageReport,
};
use talkoot_protocol::frame::{
    Finish, Frame, FrameHeader, FrameKind, HEADER_BYTES, ScoresPayload, StageTime, TokenLogprob,
    TokenPayload, TokenScore,
};
use talkoot_protocol::join::{JoinRequest, JoinResponse};
use talkoot_protocol::sync::{
    ChainKey, Heads, KeyRange, Listing, Span, SyncRequest, SyncResponse, Want,
};
use talkoot_protocol::ticket::{self, Ticket};
use talkoot_protocol::{
    Ack, ArithmeticId, Attestation, DType, DecodeError, Genesis, ModelCard, Offer, Signable,
    Signed, Verified,
};

/// Decodes bytes and encodes the value again.
pub(crate) type Recode = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

pub(crate) struct Sample {
    /// Also the name of the golden file.
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) recode: Recode,
}

fn sample(name: &'static str, bytes: Vec<u8>, recode: Recode) -> Sample {
    Sample {
        name,
        bytes,
        recode,
    }
}

fn recode_signed<T: Signable>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    Signed::<T>::decode(bytes).map(|signed| signed.to_bytes())
}

pub(crate) fn recode_control(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    ControlMessage::decode(bytes).map(|message| message.to_bytes())
}

pub(crate) fn decode_frame(bytes: &[u8]) -> Result<Frame, DecodeError> {
    let (header, rest) = bytes
        .split_first_chunk::<HEADER_BYTES>()
        .ok_or_else(|| DecodeError::Malformed("shorter than a header".to_owned()))?;
    Frame::from_parts(FrameHeader::decode(header)?, rest)
}

fn recode_frame(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    decode_frame(bytes).map(|frame| frame.to_bytes())
}

pub(crate) fn presence() -> Presence {
    Presence {
        software: "talkoot 0.1.0".to_owned(),
        addresses: vec!["/ip4/127.0.0.1/udp/7470/quic-v1".to_owned()],
        data_addresses: vec!["127.0.0.1:7471".to_owned()],
        served: vec![Served {
            model: model(),
            name: "golden-model".to_owned(),
            card: hash("card blob"),
            layers: 8,
            range: range(4, 8),
            arithmetic: ArithmeticId(1),
            layers_per_second: 4000,
            context: 512,
        }],
        free_sessions: 3,
        memory_bytes: 1 << 30,
    }
}

pub(crate) fn announcement() -> Verified<Announcement> {
    let announcement = Announcement {
        wallet: key(3).wallet(),
        number: 5,
        issued_ms: 1_700_000_000_000,
        ttl_ms: 60_000,
        kind: KIND_PRESENCE,
        payload: presence().to_payload(),
    };
    Verified::sign(announcement, &key(3), network()).unwrap()
}

pub(crate) fn ticket() -> Verified<Ticket> {
    let ticket = Ticket {
        inviter: key(1).wallet(),
        genesis: genesis().to_bytes(),
        addresses: vec!["/ip4/192.0.2.7/udp/7470/quic-v1".to_owned()],
        expires_ms: 1_700_086_400_000,
        nonce: 42,
        line_ugft: 250_000,
    };
    Verified::sign(ticket, &key(1), network()).unwrap()
}

pub(crate) fn frame(kind: FrameKind, dtype: DType, rows: u32, payload: Vec<u8>) -> Frame {
    let times = match kind {
        FrameKind::Prompt | FrameKind::Attestation | FrameKind::Scores => Vec::new(),
        FrameKind::Hidden | FrameKind::Token => vec![StageTime {
            compute_us: 900,
            stay_us: 1000,
            link_us: 70,
        }],
    };
    Frame {
        header: FrameHeader {
            kind,
            dtype,
            job: job(),
            epoch: 1,
            position: 12,
            rows,
            times: u16::try_from(times.len()).unwrap(),
            length: u32::try_from(payload.len()).unwrap(),
        },
        times,
        payload,
    }
}

fn scores_payload() -> ScoresPayload {
    let score = |top| TokenScore { logprob: -0.5, top };
    ScoresPayload {
        scores: vec![score(token_payload().top), score(Vec::new())],
    }
}

fn token_payload() -> TokenPayload {
    TokenPayload {
        token: 17,
        logprob: Some(-0.25),
        top: vec![
            TokenLogprob {
                token: 17,
                logprob: -0.25,
            },
            TokenLogprob {
                token: 4,
                logprob: -2.0,
            },
        ],
        finish: Some(Finish::Stop),
    }
}

fn signed_samples() -> Vec<Sample> {
    let mut maximal = offer();
    maximal.nonce = u64::MAX;
    maximal.shard_bytes = u64::MAX;
    maximal.price_ugft_per_token = 1_000_000_000_000;
    maximal.service_rate = u32::MAX;
    maximal.memory_bytes = u64::MAX;
    maximal.expires_ms = u64::MAX;
    let maximal = Verified::sign(maximal, &key(2), network()).unwrap();
    vec![
        sample("genesis", genesis().to_bytes(), |bytes| {
            Genesis::decode(bytes).map(|genesis| genesis.to_bytes())
        }),
        sample("model_card", card().to_bytes(), |bytes| {
            ModelCard::decode(bytes).map(|card| card.to_bytes())
        }),
        sample(
            "announcement",
            announcement().to_bytes(),
            recode_signed::<Announcement>,
        ),
        sample("presence", presence().to_payload(), |bytes| {
            Presence::decode(bytes).map(|presence| presence.to_payload())
        }),
        sample("offer", signed_offer().to_bytes(), recode_signed::<Offer>),
        sample("offer_maximal", maximal.to_bytes(), recode_signed::<Offer>),
        sample(
            "attestation",
            attestation().to_bytes(),
            recode_signed::<Attestation>,
        ),
        sample("ack", ack().to_bytes(), recode_signed::<Ack>),
        sample("free_job", free_job().to_bytes(), recode_signed::<FreeJob>),
        sample("ticket", ticket().to_bytes(), recode_signed::<Ticket>),
    ]
}

fn control_samples() -> Vec<Sample> {
    let messages = [
        (
            "control_offer_request",
            ControlMessage::OfferRequest(OfferRequest {
                model: model(),
                range: range(0, 4),
                prompt_tokens: 12,
                completion_tokens_max: 64,
                hidden_dtype: DType::Bf16,
            }),
        ),
        (
            "control_offer",
            ControlMessage::Offer(signed_offer().into()),
        ),
        (
            "control_refused",
            ControlMessage::Refused {
                code: FailCode::Busy,
                reason: "2 of 2 sessions are in use".to_owned(),
            },
        ),
        (
            "control_open_reserved",
            ControlMessage::Open(Box::new(open(JobOrder::Reserved(b"an entry".to_vec())))),
        ),
        (
            "control_open_free",
            ControlMessage::Open(Box::new(open(JobOrder::Free(free_job().into())))),
        ),
        ("control_opened", ControlMessage::Opened),
        (
            "control_ack",
            ControlMessage::Ack {
                attestation: attestation().into(),
                ack: ack().into(),
            },
        ),
        ("control_cancel", ControlMessage::Cancel),
        (
            "control_fail",
            ControlMessage::Fail {
                stage: 1,
                range: range(4, 8),
                code: FailCode::Neighbour,
                reason: "silent for 5 s".to_owned(),
            },
        ),
        (
            "control_closed",
            ControlMessage::Closed(StageReport {
                received: hash("received"),
                sent: hash("sent"),
                rows: 20,
                compute_us: 123_456,
            }),
        ),
    ];
    messages
        .map(|(name, message)| sample(name, message.to_bytes(), recode_control))
        .into()
}

fn frame_samples() -> Vec<Sample> {
    let ids: Vec<u8> = [1_u32, 2, 3]
        .iter()
        .flat_map(|id| id.to_le_bytes())
        .collect();
    let hidden: Vec<u8> = [0.5_f32, -1.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect();
    let frames = [
        ("frame_prompt", frame(FrameKind::Prompt, DType::F32, 3, ids)),
        (
            "frame_hidden_f32",
            frame(FrameKind::Hidden, DType::F32, 1, hidden),
        ),
        (
            "frame_hidden_bf16",
            frame(
                FrameKind::Hidden,
                DType::Bf16,
                1,
                vec![0x00, 0x3f, 0x80, 0xbf],
            ),
        ),
        (
            "frame_token",
            frame(FrameKind::Token, DType::F32, 1, token_payload().to_bytes()),
        ),
        (
            "frame_attestation",
            frame(
                FrameKind::Attestation,
                DType::F32,
                1,
                attestation().to_bytes(),
            ),
        ),
        (
            "frame_scores",
            frame(
                FrameKind::Scores,
                DType::F32,
                2,
                scores_payload().to_bytes(),
            ),
        ),
    ];
    frames
        .map(|(name, frame)| sample(name, frame.to_bytes(), recode_frame))
        .into()
}

fn data_samples() -> Vec<Sample> {
    let mut samples = frame_samples();
    let request = BlobRequest {
        hash: hash("blob"),
        offset: 1 << 20,
        length: 1 << 20,
    };
    let range = BlobResponse::Range {
        total: 5,
        bytes: b"bytes".to_vec(),
    };
    let recode_blob: Recode = |bytes| BlobResponse::decode(bytes).map(|blob| blob.to_bytes());
    samples.extend([
        sample("token_payload", token_payload().to_bytes(), |bytes| {
            TokenPayload::decode(bytes).map(|payload| payload.to_bytes())
        }),
        sample("scores_payload", scores_payload().to_bytes(), |bytes| {
            ScoresPayload::decode(bytes).map(|payload| payload.to_bytes())
        }),
        sample("blob_request", request.to_bytes(), |bytes| {
            BlobRequest::decode(bytes).map(|request| request.to_bytes())
        }),
        sample("blob_range", range.to_bytes(), recode_blob),
        sample(
            "blob_not_found",
            BlobResponse::NotFound.to_bytes(),
            recode_blob,
        ),
    ]);
    samples.extend(join_samples());
    samples
}

fn join_samples() -> Vec<Sample> {
    let request = JoinRequest {
        ticket: ticket::to_text(&ticket()),
    };
    let recode: Recode = |bytes| JoinResponse::decode(bytes).map(|response| response.to_bytes());
    let refused = JoinResponse::Refused {
        reason: "this ticket was used already".to_owned(),
    };
    vec![
        sample("join_request", request.to_bytes(), |bytes| {
            JoinRequest::decode(bytes).map(|request| request.to_bytes())
        }),
        sample("join_welcome", JoinResponse::Welcome.to_bytes(), recode),
        sample("join_refused", refused.to_bytes(), recode),
        sample("join_later", JoinResponse::Later.to_bytes(), recode),
    ]
}

fn exchange_samples() -> Vec<Sample> {
    let present = PresenceResponse {
        announcements: vec![announcement().to_bytes()],
    };
    vec![
        sample("presence_ask", PresenceRequest::All.to_bytes(), |bytes| {
            PresenceRequest::decode(bytes).map(|request| request.to_bytes())
        }),
        sample("presence_held", present.to_bytes(), |bytes| {
            PresenceResponse::decode(bytes).map(|response| response.to_bytes())
        }),
    ]
}

fn sync_samples() -> Vec<Sample> {
    let heads = Heads {
        length: 3,
        tip: hash("tip"),
    };
    let place = ChainKey {
        lamport: 7,
        author: key(1).wallet(),
        seq: 2,
        id: hash("entry"),
    };
    let range = KeyRange {
        after: None,
        until: Some(place),
    };
    let span = Span {
        last: place,
        count: 600,
        digest: Some(hash("digest")),
    };
    let want = Want {
        id: hash("entry"),
        back: 16,
    };
    let requests = [
        ("sync_ask_heads", SyncRequest::Heads(heads)),
        ("sync_ask_since", SyncRequest::Since { marks: vec![heads] }),
        ("sync_ask_list", SyncRequest::List(range)),
        (
            "sync_ask_slice",
            SyncRequest::Slice {
                range,
                entries_max: 256,
            },
        ),
        (
            "sync_ask_entries",
            SyncRequest::Entries { wants: vec![want] },
        ),
    ];
    let entries = vec![b"an entry".to_vec()];
    let responses = [
        ("sync_heads", SyncResponse::Heads(heads)),
        (
            "sync_since",
            SyncResponse::Since {
                shared: 3,
                listing: Listing::Ids(vec![hash("entry")]),
            },
        ),
        ("sync_list", SyncResponse::List(Listing::Spans(vec![span]))),
        (
            "sync_slice",
            SyncResponse::Slice {
                entries: entries.clone(),
                more: true,
            },
        ),
        ("sync_entries", SyncResponse::Entries { entries }),
        ("sync_busy", SyncResponse::Busy),
    ];
    let recode_request: Recode = |bytes| SyncRequest::decode(bytes).map(|sync| sync.to_bytes());
    let recode_response: Recode = |bytes| SyncResponse::decode(bytes).map(|sync| sync.to_bytes());
    let mut samples: Vec<Sample> = requests
        .map(|(name, request)| sample(name, request.to_bytes(), recode_request))
        .into();
    samples.extend(
        responses.map(|(name, response)| sample(name, response.to_bytes(), recode_response)),
    );
    samples
}

/// Every object on the wire.
pub(crate) fn all() -> Vec<Sample> {
    let mut samples = signed_samples();
    samples.extend(control_samples());
    samples.extend(data_samples());
    samples.extend(exchange_samples());
    samples.extend(sync_samples());
    samples
}
