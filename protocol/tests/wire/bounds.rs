//! The bounds of each field, at the edge and one past it.

use crate::fixtures::{attestation, card, free_job, genesis, key, network, offer, open, range};
use crate::samples::{self, announcement, frame, presence, ticket};
use talkoot_protocol::announce::{Presence, PresenceResponse};
use talkoot_protocol::blob::{BlobRequest, BlobResponse};
use talkoot_protocol::control::{
    ControlMessage, FailCode, Grammar, JobOrder, OfferRequest, Open, SamplingParams, StageAddress,
};
use talkoot_protocol::frame::{
    FrameHeader, FrameKind, ScoresPayload, TokenLogprob, TokenPayload, TokenScore,
};
use talkoot_protocol::genesis::{Founder, Genesis, Policy};
use talkoot_protocol::{
    DType, DecodeError, Hash, LayerRange, ModelCard, Offer, Signable, Verified, codec, limits,
};

/// Changes a valid value in one way and names the field that must complain.
type Break<T> = (fn(&mut T), &'static str);

fn all_broken<T: Clone>(
    valid: &T,
    breaks: &[Break<T>],
    check: impl Fn(&T) -> Result<(), DecodeError>,
) {
    assert_eq!(check(valid), Ok(()));
    for (index, (change, field)) in breaks.iter().enumerate() {
        let mut broken = valid.clone();
        change(&mut broken);
        assert_eq!(
            check(&broken),
            Err(DecodeError::OutOfBounds { field }),
            "case {index}"
        );
    }
}

#[test]
fn offers() {
    let breaks: [Break<Offer>; 10] = [
        (|o| o.share_kflop = (1 << 36) + 1, "offer share"),
        (|o| o.hardware_ppm = 49_999, "offer hardware multiplier"),
        (|o| o.hardware_ppm = 8_000_001, "offer hardware multiplier"),
        (|o| o.reliability_ppm = 499_999, "offer reliability"),
        (|o| o.reliability_ppm = 1_000_001, "offer reliability"),
        (
            |o| o.price_ugft_per_token = 1_000_000_000_001,
            "offer price",
        ),
        (
            |o| o.prompt_tokens_max = (1 << 18) + 1,
            "offer prompt tokens",
        ),
        (
            |o| o.completion_tokens_max = (1 << 18) + 1,
            "offer completion tokens",
        ),
        (|o| o.window_tokens = 0, "offer window"),
        (|o| o.window_tokens = 1025, "offer window"),
    ];
    all_broken(&offer(), &breaks, Offer::check);
}

/// Fields have fixed widths, so every offer is as long as the longest.
#[test]
fn sixty_four_offers_fit_one_entry() {
    let maximal = samples::all()
        .into_iter()
        .find(|sample| sample.name == "offer_maximal")
        .unwrap();
    assert!(
        maximal.bytes.len() <= limits::OFFER_BYTES_MAX,
        "{}",
        maximal.bytes.len()
    );
    let signed = Verified::<Offer>::from_bytes(&maximal.bytes, network()).unwrap();
    let offers: Vec<talkoot_protocol::Signed<Offer>> = vec![signed.into(); limits::STAGES_MAX];
    let together = codec::encode(&offers).len();
    assert!(
        together + 100 <= limits::ENTRY_PAYLOAD_BYTES_MAX,
        "{together}"
    );
}

#[test]
fn sampling() {
    let breaks: [Break<SamplingParams>; 22] = [
        (|s| s.temperature = f32::NAN, "temperature"),
        (|s| s.temperature = f32::INFINITY, "temperature"),
        (|s| s.temperature = -0.1, "temperature"),
        (|s| s.temperature = 100.1, "temperature"),
        (|s| s.top_p = f32::NAN, "top_p"),
        (|s| s.top_p = 0.0, "top_p"),
        (|s| s.top_p = 1.01, "top_p"),
        (|s| s.min_p = f32::NAN, "min_p"),
        (|s| s.min_p = -0.01, "min_p"),
        (|s| s.repetition_penalty = f32::NAN, "repetition_penalty"),
        (|s| s.repetition_penalty = 0.0, "repetition_penalty"),
        (|s| s.frequency_penalty = f32::NAN, "frequency_penalty"),
        (|s| s.frequency_penalty = -100.1, "frequency_penalty"),
        (|s| s.presence_penalty = f32::NAN, "presence_penalty"),
        (
            |s| s.presence_penalty = f32::NEG_INFINITY,
            "presence_penalty",
        ),
        (|s| s.top_logprobs = 21, "top_logprobs"),
        (|s| s.logit_bias = vec![(0, 0.0); 1025], "logit_bias"),
        (|s| s.logit_bias = vec![(0, f32::NAN)], "logit_bias"),
        (|s| s.logit_bias = vec![(0, f32::INFINITY)], "logit_bias"),
        (|s| s.logit_bias = vec![(0, -1000.1)], "logit_bias"),
        (
            |s| s.grammar = Some(Grammar::JsonSchema(" ".repeat(65_537))),
            "grammar",
        ),
        (
            |s| s.grammar = Some(Grammar::Lark(" ".repeat(65_537))),
            "grammar",
        ),
    ];
    all_broken(&SamplingParams::default(), &breaks, SamplingParams::check);
}

fn check_open(open: &Open) -> Result<(), DecodeError> {
    let message = ControlMessage::Open(Box::new(open.clone()));
    ControlMessage::decode(&message.to_bytes()).map(|_| ())
}

#[test]
fn opens() {
    let breaks: [Break<Open>; 20] = [
        (
            |o| o.order = JobOrder::Reserved(vec![0; limits::ENTRY_BYTES_MAX + 1]),
            "order",
        ),
        (|o| o.stages.clear(), "stages"),
        (|o| o.stages = vec![o.stages[0].clone(); 65], "stages"),
        (|o| o.index = 2, "index"),
        (
            |o| o.stages[1].range = range(5, 8),
            "stages tile the layers",
        ),
        (
            |o| o.stages[1].range = range(3, 8),
            "stages tile the layers",
        ),
        (
            |o| o.stages[0].range = range(1, 4),
            "stages tile the layers",
        ),
        (
            |o| o.stages[0].addresses = vec![String::new(); 17],
            "addresses",
        ),
        (|o| o.stages[0].addresses = vec!["x".repeat(129)], "address"),
        (
            |o| o.submitter_addresses = vec!["\x1b[2J".to_owned()],
            "address",
        ),
        (|o| o.sampling.temperature = f32::NAN, "temperature"),
        (|o| o.stop_ids = vec![0; 65], "stop ids"),
        (|o| o.hidden_dtype = DType::F16, "hidden dtype"),
        (|o| o.hidden_dtype = DType::Q8_0, "hidden dtype"),
        (|o| o.prompt_tokens = 0, "prompt tokens"),
        (|o| o.completion_tokens_max = (1 << 18) - 2, "tokens"),
        (|o| o.completion_tokens_max = u32::MAX, "tokens"),
        (|o| o.prompt_ids = vec![0; 4], "prompt ids"),
        (|o| o.request_id = "x".repeat(65), "request id"),
        (|o| o.request_id = "a\nb".to_owned(), "request id"),
    ];
    let valid = open(JobOrder::Reserved(Vec::new()));
    all_broken(&valid, &breaks, check_open);
}

#[test]
fn the_largest_open_fits_a_control_message() {
    let mut largest = open(JobOrder::Reserved(vec![0; limits::ENTRY_BYTES_MAX]));
    let addresses = vec!["x".repeat(limits::ADDRESS_BYTES_MAX); limits::ADDRESSES_MAX];
    largest.stages = (0..64)
        .map(|index| StageAddress {
            wallet: key(9).wallet(),
            range: range(index * 16, index * 16 + 16),
            addresses: addresses.clone(),
        })
        .collect();
    largest.submitter_addresses = addresses;
    largest.sampling.logit_bias = vec![(1, 1.0); limits::BIAS_MAX];
    let text = "x".repeat(limits::GRAMMAR_BYTES_MAX);
    largest.sampling.grammar = Some(Grammar::Regex(text));
    largest.request_id = "r".repeat(limits::REQUEST_ID_BYTES_MAX);
    largest.stop_ids = vec![2; limits::STOP_IDS_MAX];
    largest.prompt_tokens = limits::CONTEXT_TOKENS_MAX;
    largest.prompt_ids = vec![3; largest.prompt_tokens as usize];
    largest.completion_tokens_max = 0;
    assert_eq!(check_open(&largest), Ok(()));
}

#[test]
fn other_control_messages() {
    let check = |message: &ControlMessage| ControlMessage::decode(&message.to_bytes()).map(|_| ());
    let request = OfferRequest {
        model: card().id(),
        range: range(0, 4),
        prompt_tokens: 1,
        completion_tokens_max: (1 << 18) - 1,
        hidden_dtype: DType::F32,
    };
    let breaks: [Break<OfferRequest>; 3] = [
        (|r| r.hidden_dtype = DType::Q4_0, "hidden dtype"),
        (|r| r.prompt_tokens = 0, "prompt tokens"),
        (|r| r.prompt_tokens = 2, "tokens"),
    ];
    all_broken(&request, &breaks, |request| {
        check(&ControlMessage::OfferRequest(request.clone()))
    });
    let reason = |length| ControlMessage::Refused {
        code: FailCode::Busy,
        reason: "r".repeat(length),
    };
    assert_eq!(check(&reason(512)), Ok(()));
    let refused = Err(DecodeError::OutOfBounds { field: "reason" });
    assert_eq!(check(&reason(513)), refused);
    let fail = ControlMessage::Fail {
        stage: 0,
        range: range(0, 1),
        code: FailCode::Compute,
        reason: "r".repeat(513),
    };
    assert_eq!(check(&fail), refused);
}

/// A range that its constructor would refuse can still be written by hand.
#[test]
fn layer_ranges() {
    for [start, end] in [[0_u16, 0], [5, 5], [6, 5], [0, 1025], [1024, 1025]] {
        let bytes = [start.to_le_bytes(), end.to_le_bytes()].concat();
        let decoded: LayerRange = codec::decode(&bytes, 4).unwrap();
        assert!(decoded.check().is_err(), "{start}..{end}");
        assert!(LayerRange::new(start.into(), end.into()).is_err());
    }
    assert_eq!(range(0, 1024).check(), Ok(()));
    assert!(range(2, 6).covers(range(2, 6)) && range(2, 6).covers(range(3, 4)));
    assert!(!range(2, 6).covers(range(1, 4)) && !range(2, 6).covers(range(5, 7)));
    assert!(range(2, 6).contains(5) && !range(2, 6).contains(6));
    assert!(range(0, 1).is_first() && range(7, 8).is_last(8) && !range(6, 7).is_last(8));
}

#[test]
fn cards() {
    let breaks: [Break<ModelCard>; 16] = [
        (|c| c.name.clear(), "card name"),
        (|c| c.name = "n".repeat(65), "card name"),
        (|c| c.name = "a\nb".to_owned(), "card name"),
        (|c| c.family.clear(), "card family"),
        (|c| c.family = "f".repeat(65), "card family"),
        (|c| c.shape.layers = 0, "card layers"),
        (|c| c.shape.layers = 1025, "card layers"),
        (|c| c.shape.hidden = 0, "card hidden"),
        (
            |c| c.shape.intermediate = (1 << 22) + 1,
            "card intermediate",
        ),
        (|c| c.shape.heads = 0, "card heads"),
        (|c| c.shape.kv_heads = 9, "card kv_heads"),
        (|c| c.shape.head_dim = 4097, "card head_dim"),
        (|c| c.shape.vocabulary = 0, "card vocabulary"),
        (|c| c.shape.context = 0, "card context"),
        (|c| c.shape.context = (1 << 18) + 1, "card context"),
        (|c| c.shape.active_experts = 1025, "card active_experts"),
    ];
    all_broken(&card(), &breaks, |card| {
        let decoded = ModelCard::decode(&card.to_bytes()).map(|_| ());
        assert_eq!(decoded, card.check());
        decoded
    });
    let mut longest = card();
    longest.name = "n".repeat(limits::NAME_BYTES_MAX);
    longest.family = "f".repeat(limits::NAME_BYTES_MAX);
    assert_eq!(ModelCard::decode(&longest.to_bytes()), Ok(longest));
}

#[test]
fn geneses() {
    let breaks: [Break<Genesis>; 15] = [
        (|g| g.rules = 2, "genesis rules"),
        (|g| g.name.clear(), "genesis name"),
        (|g| g.name = "n".repeat(65), "genesis name"),
        (|g| g.name = "a b".to_owned(), "genesis name"),
        (|g| g.founders.clear(), "genesis founders"),
        (|g| g.founders = vec![g.founders[0]; 2], "genesis founders"),
        (|g| g.founders.reverse(), "genesis founders"),
        (|g| g.founders[0].line_ugft = (1 << 60) + 1, "genesis lines"),
        (
            |g| g.policy.f32_ppm = 1_000_000_001,
            "genesis precision factors",
        ),
        (
            |g| g.policy.int4_ppm = u64::MAX,
            "genesis precision factors",
        ),
        (|g| g.policy.window_tokens = 0, "genesis window"),
        (|g| g.policy.window_tokens = 1025, "genesis window"),
        (|g| g.policy.attest_tokens = 33, "genesis attest interval"),
        (|g| g.policy.chunk_tokens = 0, "genesis chunk"),
        (|g| g.policy.chunk_tokens = 1025, "genesis chunk"),
    ];
    all_broken(&genesis(), &breaks, |genesis| {
        Genesis::decode(&genesis.to_bytes()).map(|_| ())
    });
}

#[test]
fn sixteen_founders_fit_and_seventeen_do_not() {
    let founders = |count: u8| -> Vec<Founder> {
        (0..count)
            .map(|number| Founder {
                wallet: key(number).wallet(),
                line_ugft: 1 << 60,
            })
            .collect()
    };
    let name = "n".repeat(limits::NAME_BYTES_MAX);
    let full = Genesis::new(&name, u64::MAX, Policy::default(), founders(16)).unwrap();
    assert_eq!(Genesis::decode(&full.to_bytes()), Ok(full.clone()));
    assert_eq!(full.lines_ugft(), 16 << 60);
    assert_eq!(full.line_ugft(key(3).wallet()), 1 << 60);
    assert_eq!(full.line_ugft(key(77).wallet()), 0);
    assert!(Genesis::new(&name, 0, Policy::default(), founders(17)).is_err());
    assert!(
        Genesis::new(
            &name,
            0,
            Policy::default(),
            [founders(2), founders(1)].concat()
        )
        .is_err()
    );
}

#[test]
fn announcements_and_presences() {
    all_broken(
        &announcement().into_inner(),
        &[
            (|a| a.ttl_ms = 0, "announcement ttl"),
            (|a| a.ttl_ms = 600_001, "announcement ttl"),
        ],
        Signable::check,
    );
    let mut heavy = announcement().into_inner();
    heavy.payload = vec![0; limits::ANNOUNCEMENT_BYTES_MAX];
    assert!(Verified::sign(heavy, &key(3), network()).is_err());
    let breaks: [Break<Presence>; 11] = [
        (|p| p.software = "v".repeat(33), "presence software"),
        (|p| p.software = "\u{7}".to_owned(), "presence software"),
        (|p| p.addresses = vec![String::new(); 17], "addresses"),
        (|p| p.data_addresses = vec!["x".repeat(129)], "address"),
        (
            |p| p.served = vec![p.served[0].clone(); 17],
            "presence served",
        ),
        (|p| p.served[0].name = "n".repeat(65), "served name"),
        (
            |p| p.served[0].name = "\x1b[31mred".to_owned(),
            "served name",
        ),
        (|p| p.served[0].layers = 7, "served layers"),
        (|p| p.served[0].layers = 1025, "served layers"),
        (|p| p.served[0].layers_per_second = 0, "served speed"),
        (
            |p| p.served[0].range = codec::decode(&[4, 0, 4, 0], 4).unwrap(),
            "layer range",
        ),
    ];
    all_broken(&presence(), &breaks, |presence| {
        Presence::decode(&presence.to_payload()).map(|_| ())
    });
}

#[test]
fn held_announcements() {
    let check = |count, length| {
        let announcements = vec![vec![0; length]; count];
        PresenceResponse::decode(&PresenceResponse { announcements }.to_bytes()).map(|_| ())
    };
    let refused = |field| Err(DecodeError::OutOfBounds { field });
    assert_eq!(check(limits::PRESENT_MAX, 1), Ok(()));
    assert_eq!(check(limits::PRESENT_MAX + 1, 1), refused("announcements"));
    assert_eq!(check(1, limits::ANNOUNCEMENT_BYTES_MAX), Ok(()));
    let long = limits::ANNOUNCEMENT_BYTES_MAX + 1;
    assert_eq!(check(1, long), refused("announcement"));
}

#[test]
fn other_signed_objects() {
    all_broken(
        &attestation().into_inner(),
        &[
            (|a| a.stage_compute_us = vec![0; 65], "attested stages"),
            (|a| a.prompt_done = (1 << 18) + 1, "attested prompt"),
            (|a| a.completion_done = (1 << 18) + 1, "attested completion"),
        ],
        Signable::check,
    );
    let mut longest = attestation().into_inner();
    longest.stage_compute_us = vec![u64::MAX; limits::STAGES_MAX];
    assert!(Verified::sign(longest, &key(3), network()).is_ok());
    all_broken(
        &free_job().into_inner(),
        &[
            (|j| j.layers = 0, "free job layers"),
            (|j| j.layers = 1025, "free job layers"),
        ],
        Signable::check,
    );
    all_broken(
        &ticket().into_inner(),
        &[
            (|t| t.genesis = vec![0; 1025], "ticket genesis"),
            (|t| t.addresses.clear(), "ticket addresses"),
            (|t| t.addresses = vec![String::new(); 17], "addresses"),
        ],
        Signable::check,
    );
}

#[test]
fn frames() {
    let header = frame(FrameKind::Hidden, DType::Bf16, 4, vec![0; 8]).header;
    let breaks: [Break<FrameHeader>; 6] = [
        (|h| h.rows = 0, "frame rows"),
        (|h| h.rows = 1025, "frame rows"),
        (|h| h.position = (1 << 18) - 3, "frame position"),
        (|h| h.position = u32::MAX, "frame position"),
        (|h| h.times = 65, "frame times"),
        (|h| h.length = (32 << 20) + 1, "frame length"),
    ];
    let decode = |bytes: &[u8]| FrameHeader::decode(bytes.try_into().unwrap()).map(|_| ());
    all_broken(&header, &breaks, |header| decode(&header.to_bytes()));
    for (offset, value, field) in [
        (0, 0, "frame kind"),
        (0, 6, "frame kind"),
        (2, 2, "frame dtype"),
        (50, 1, "frame reserved bytes"),
        (51, 1, "frame reserved bytes"),
    ] {
        let mut bytes = header.to_bytes();
        bytes[offset] = value;
        assert_eq!(
            decode(&bytes),
            Err(DecodeError::OutOfBounds { field }),
            "{offset}"
        );
    }
}

#[test]
fn token_payloads_and_blobs() {
    let payload = |count| TokenPayload {
        token: 1,
        logprob: None,
        top: vec![
            TokenLogprob {
                token: 1,
                logprob: 0.0
            };
            count
        ],
        finish: None,
    };
    assert!(TokenPayload::decode(&payload(20).to_bytes()).is_ok());
    assert!(TokenPayload::decode(&payload(21).to_bytes()).is_err());
    let scores = |rows, count| ScoresPayload {
        scores: vec![
            TokenScore {
                logprob: -1.0,
                top: payload(count).top,
            };
            rows
        ],
    };
    let most = limits::FRAME_ROWS_MAX as usize;
    assert!(ScoresPayload::decode(&scores(most, 20).to_bytes()).is_ok());
    assert!(ScoresPayload::decode(&scores(1, 21).to_bytes()).is_err());
    let beyond = limits::SCORES_PAYLOAD_BYTES_MAX / 12;
    assert!(ScoresPayload::decode(&scores(beyond + 1, 0).to_bytes()).is_err());
    let request = BlobRequest {
        hash: Hash::ZERO,
        offset: limits::BLOB_BYTES_MAX,
        length: 1 << 20,
    };
    let breaks: [Break<BlobRequest>; 3] = [
        (|r| r.offset += 1, "blob offset"),
        (|r| r.length = 0, "blob length"),
        (|r| r.length += 1, "blob length"),
    ];
    all_broken(&request, &breaks, |request| {
        BlobRequest::decode(&request.to_bytes()).map(|_| ())
    });
    let response = |total, length| {
        let bytes = vec![0; length];
        BlobResponse::decode(&BlobResponse::Range { total, bytes }.to_bytes()).map(|_| ())
    };
    assert_eq!(response(limits::BLOB_BYTES_MAX, 1 << 20), Ok(()));
    let refused = |field| Err(DecodeError::OutOfBounds { field });
    assert_eq!(
        response(limits::BLOB_BYTES_MAX + 1, 1),
        refused("blob total")
    );
    assert_eq!(
        response(limits::BLOB_BYTES_MAX, (1 << 20) + 1),
        refused("blob bytes")
    );
}
