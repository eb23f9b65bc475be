//! One stage alone: each rule of the state machine by itself.

use super::*;
use crate::core::job::{Deadlines, JobShape};
use talkoot_protocol::control::ControlMessage;
use talkoot_protocol::{
    ArithmeticId, JobId, Keypair, LayerRange, NetworkId, Policy, Transcript, Wallet,
};

const NETWORK: NetworkId = NetworkId(Hash::ZERO);

fn key(seed: u8) -> Keypair {
    Keypair::from_seed(&[seed; 32])
}

/// Stages 1, 2, … with two layers each; the submitter is 9.
fn shape(stages: u8, prompt_tokens: u32, completion_tokens_max: u32) -> JobShape {
    let stage = |seed: u8| -> (Wallet, LayerRange) {
        let start = u32::from(seed - 1) * 2;
        let range = LayerRange::new(start, start + 2).unwrap();
        (key(seed).wallet(), range)
    };
    JobShape {
        job: JobId(Hash::of_blob(b"job")),
        epoch: 3,
        submitter: key(9).wallet(),
        stages: (1..=stages).map(stage).collect(),
        prompt_tokens,
        completion_tokens_max,
        hidden: 4,
        vocabulary: 100,
        hidden_dtype: DType::F32,
        policy: Policy {
            window_tokens: 4,
            attest_tokens: 2,
            chunk_tokens: 8,
            ..Policy::default()
        },
    }
}

fn core(shape: JobShape, index: usize) -> StageCore {
    let is_last = index + 1 == shape.count();
    let setup = StageSetup {
        prompt_ids: if is_last {
            (0..shape.prompt_tokens).map(|i| i % 100).collect()
        } else {
            Vec::new()
        },
        index,
        deadlines: Deadlines::default(),
        key: key(u8::try_from(index + 1).unwrap()),
        network: NETWORK,
        arithmetic: ArithmeticId(1),
        stop_ids: vec![99],
        is_reserved: true,
        shape,
    };
    StageCore::new(setup, 0)
}

fn actions(core: &mut StageCore) -> Vec<StageAction> {
    std::iter::from_fn(|| core.poll_action()).collect()
}

fn hidden(shape: &JobShape, position: u32, rows: u32) -> Frame {
    let payload = vec![0; rows as usize * 16];
    Frame {
        header: FrameHeader {
            kind: FrameKind::Hidden,
            dtype: shape.hidden_dtype,
            job: shape.job,
            epoch: shape.epoch,
            position,
            rows,
            times: 1,
            length: u32::try_from(payload.len()).unwrap(),
        },
        times: vec![StageTime::default()],
        payload,
    }
}

fn attestations(actions: &[StageAction]) -> Vec<Verified<Attestation>> {
    let payload = |action: &StageAction| match action {
        StageAction::ToSubmitter(frame) if frame.header.kind == FrameKind::Attestation => {
            Some(Verified::from_bytes(&frame.payload, NETWORK).unwrap())
        }
        _ => None,
    };
    actions.iter().filter_map(payload).collect()
}

fn ack_of(attestation: &Verified<Attestation>, completion: u32, is_final: bool) -> Verified<Ack> {
    let ack = Ack {
        submitter: key(9).wallet(),
        job: attestation.job,
        attestation: attestation.id(),
        prompt_done: attestation.prompt_done,
        completion_done: completion,
        is_final,
    };
    Verified::sign(ack, &key(9), NETWORK).unwrap()
}

fn acked(attestation: &Verified<Attestation>, completion: u32, is_final: bool) -> StageEvent {
    let ack = ack_of(attestation, completion, is_final);
    StageEvent::Ack(Box::new((attestation.clone(), ack)))
}

fn computed(core: &mut StageCore, output: Computed) {
    let event = StageEvent::Computed {
        output,
        compute_us: 5,
        link_us: 3,
    };
    core.handle(event, 10);
}

fn token(token: u32) -> Computed {
    Computed::Token {
        scores: Vec::new(),
        token,
        logprob: None,
        top: Vec::new(),
    }
}

fn failure(actions: &[StageAction]) -> Option<(u16, FailCode)> {
    actions.iter().find_map(|action| match action {
        StageAction::Control(message) => match message.as_ref() {
            ControlMessage::Fail { stage, code, .. } => Some((*stage, *code)),
            _ => None,
        },
        _ => None,
    })
}

#[test]
fn a_repeated_frame_has_no_effect_and_a_gap_is_a_fault() {
    let shape = shape(2, 16, 4);
    let mut stage = core(shape.clone(), 1);
    actions(&mut stage);
    stage.handle(StageEvent::Frame(Source::Previous, hidden(&shape, 0, 8)), 1);
    assert_eq!(actions(&mut stage).len(), 1);
    computed(&mut stage, Computed::Read { scores: Vec::new() });
    let before = stage.received;
    actions(&mut stage);
    stage.handle(StageEvent::Frame(Source::Previous, hidden(&shape, 0, 8)), 2);
    assert!(actions(&mut stage).is_empty());
    assert_eq!(stage.received, before, "a repeat changes no running hash");
    stage.handle(StageEvent::Frame(Source::Previous, hidden(&shape, 9, 7)), 3);
    assert_eq!(
        failure(&actions(&mut stage)),
        Some((0, FailCode::Protocol)),
        "the previous stage is at fault"
    );
}

#[test]
fn headers_are_judged_before_anything_is_read() {
    let shape = shape(2, 16, 4);
    let stage = core(shape.clone(), 1);
    let good = hidden(&shape, 0, 8).header;
    let check = |change: &dyn Fn(&mut FrameHeader)| {
        let mut header = good.clone();
        change(&mut header);
        stage.check(Source::Previous, &header).unwrap_err()
    };
    assert_eq!(stage.check(Source::Previous, &good), Ok(Verdict::Take));
    let other = JobId(Hash::of_blob(b"other"));
    assert_eq!(check(&|h| h.job = other), FrameError::OtherJob(other));
    assert_eq!(check(&|h| h.epoch = 2), FrameError::OtherEpoch(2));
    assert!(matches!(
        check(&|h| h.kind = FrameKind::Token),
        FrameError::Kind { .. }
    ));
    assert!(matches!(
        check(&|h| h.dtype = DType::Bf16),
        FrameError::DType { .. }
    ));
    assert_eq!(check(&|h| h.rows = 9), FrameError::Rows(9, 0));
    assert_eq!(check(&|h| h.position = 400), FrameError::Beyond(400));
    assert!(matches!(
        check(&|h| h.position = 8),
        FrameError::Position {
            got: 8,
            expected: 0
        }
    ));
    assert!(matches!(
        check(&|h| h.length += 1),
        FrameError::Length { .. }
    ));
    assert_eq!(check(&|h| h.times = 0), FrameError::Times(0));
    let prompt_kind = stage.check(Source::Submitter, &good).unwrap_err();
    assert!(matches!(prompt_kind, FrameError::Kind { .. }));
}

/// A stage that holds everything runs until its window is used up.
#[test]
fn a_silent_submitter_gets_the_window_and_no_more() {
    let shape = shape(1, 8, 100);
    let mut stage = core(shape.clone(), 0);
    let ids: Vec<u8> = (0..8_u32).flat_map(u32::to_le_bytes).collect();
    let mut frame = hidden(&shape, 0, 8);
    frame.header.kind = FrameKind::Prompt;
    frame.header.times = 0;
    frame.header.length = 32;
    frame.times.clear();
    frame.payload = ids;
    stage.handle(StageEvent::Frame(Source::Submitter, frame), 1);
    let mut tokens = 0;
    let mut newest = None;
    loop {
        let done = actions(&mut stage);
        newest = attestations(&done).pop().or(newest);
        if !done
            .iter()
            .any(|action| matches!(action, StageAction::Compute(_)))
        {
            break;
        }
        tokens += 1;
        computed(&mut stage, token(1));
    }
    assert_eq!(tokens, shape.policy.window_tokens);
    assert!(!stage.wants_frame());
    // An acknowledgement opens it again, by as much as it says.
    let newest = newest.unwrap();
    stage.handle(acked(&newest, 3, false), 20);
    let went_on = actions(&mut stage);
    assert!(
        went_on
            .iter()
            .any(|action| matches!(action, StageAction::Compute(_)))
    );
    computed(&mut stage, token(1));
    actions(&mut stage);
    let ack_wait = Deadlines::default().ack_us;
    for _ in 0..3 {
        computed(&mut stage, token(1));
        actions(&mut stage);
    }
    stage.handle(StageEvent::Tick, 100 + ack_wait);
    assert_eq!(
        failure(&actions(&mut stage)),
        Some((0, FailCode::Unacknowledged))
    );
}

#[test]
fn attestations_are_numbered_chained_and_cover_the_transcript() {
    let shape = shape(2, 8, 6);
    let mut stage = core(shape.clone(), 1);
    let mut all = attestations(&actions(&mut stage));
    stage.handle(StageEvent::Frame(Source::Previous, hidden(&shape, 0, 8)), 1);
    for index in 0..6 {
        computed(&mut stage, token(index));
        let done = actions(&mut stage);
        all.extend(attestations(&done));
        let newest = all.last().unwrap().clone();
        stage.handle(acked(&newest, newest.completion_done, false), 5);
        if index < 5 {
            let frame = hidden(&shape, 8 + index, 1);
            stage.handle(StageEvent::Frame(Source::Previous, frame), 6);
        }
    }
    let done: Vec<_> = all.iter().map(|one| one.completion_done).collect();
    assert_eq!(done, [0, 1, 3, 5, 6]);
    for pair in all.windows(2) {
        assert_eq!(pair[1].number, pair[0].number + 1);
        assert_eq!(pair[1].previous, pair[0].id());
    }
    let mut transcript = Transcript::new(shape.job);
    (0..8).chain(0..6).for_each(|id| transcript.push(id));
    assert_eq!(all.last().unwrap().transcript, transcript.hash());
    assert_eq!(all.last().unwrap().stage_compute_us, [0, 30]);
}

#[test]
fn a_final_ack_posts_a_final_frontier_and_closes() {
    let shape = shape(2, 8, 6);
    let mut stage = core(shape, 0);
    let mut last = core(self::shape(2, 8, 6), 1);
    let zero = attestations(&actions(&mut last)).pop().unwrap();
    stage.handle(acked(&zero, 0, true), 5);
    let done = actions(&mut stage);
    let is_final = |action: &StageAction| matches!(action, StageAction::Post(p) if p.is_final);
    assert!(done.iter().any(is_final));
    assert!(matches!(done.last(), Some(StageAction::Close)));
    assert_eq!(stage.next_tick_us(), None);
}

#[test]
fn acks_of_others_or_above_the_attestation_are_refused() {
    let shape = shape(2, 8, 6);
    let zero = attestations(&actions(&mut core(shape.clone(), 1)))
        .pop()
        .unwrap();
    let refused = |event: StageEvent| {
        let mut stage = core(shape.clone(), 0);
        stage.handle(event, 5);
        failure(&actions(&mut stage)) == Some((0, FailCode::Protocol))
    };
    assert!(refused(acked(&zero, 1, false)));
    let mut foreign = ack_of(&zero, 0, false).into_inner();
    foreign.submitter = key(8).wallet();
    let foreign = Verified::sign(foreign, &key(8), NETWORK).unwrap();
    assert!(refused(StageEvent::Ack(Box::new((zero.clone(), foreign)))));
    let mut other = ack_of(&zero, 0, false).into_inner();
    other.attestation = Hash::ZERO;
    let other = Verified::sign(other, &key(9), NETWORK).unwrap();
    assert!(refused(StageEvent::Ack(Box::new((zero.clone(), other)))));
    assert!(!refused(acked(&zero, 0, false)));
}

#[test]
fn every_way_out_ends_in_close() {
    for event in [
        StageEvent::Cancel,
        StageEvent::SubmitterLost,
        StageEvent::Shutdown,
        StageEvent::Expired,
        StageEvent::PreviousLost,
        StageEvent::NextLost,
        StageEvent::ComputeFailed("x".to_owned()),
        StageEvent::BadControl("x".to_owned()),
        StageEvent::BadFrame(Source::Previous, FrameError::OtherEpoch(1)),
    ] {
        let mut stage = core(shape(3, 8, 6), 1);
        let name = format!("{event:?}");
        let mut now_us = 1;
        stage.handle(event, now_us);
        let mut is_closed = false;
        for _ in 0..4 {
            is_closed |= actions(&mut stage)
                .iter()
                .any(|action| matches!(action, StageAction::Close));
            now_us = stage.next_tick_us().unwrap_or(now_us);
            stage.handle(StageEvent::Tick, now_us);
        }
        assert!(is_closed, "{name}");
    }
}

#[test]
fn a_long_reason_does_not_break_the_message() {
    let mut stage = core(shape(2, 8, 6), 0);
    stage.handle(StageEvent::ComputeFailed("ä".repeat(1000)), 1);
    let reason = actions(&mut stage)
        .into_iter()
        .find_map(|action| match action {
            StageAction::Control(message) => Some(message.to_bytes()),
            _ => None,
        });
    assert!(ControlMessage::decode(&reason.unwrap()).is_ok());
}
