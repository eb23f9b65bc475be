//! Submitter and stages together, over queues whose messages arrive in random
//! order between links and in order within one: the laws of lockstep.
//!
//! The network may lose every acknowledgement (a silent submitter) or the
//! observer may stop anywhere; the frames of the ring are sometimes repeated.

mod scores;

use super::*;
use crate::core::job::{Deadlines, JobShape};
use crate::core::lockstep::progress_at;
use crate::core::stage::{
    Computed, Settlement, Source, StageAction, StageCore, StageEvent, StageSetup, Work,
};
use talkoot_protocol::control::ControlMessage;
use talkoot_protocol::frame::TokenScore;
use talkoot_protocol::{ArithmeticId, JobId, Keypair, NetworkId, Policy};

const NETWORK: NetworkId = NetworkId(Hash::ZERO);

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap()
    }

    fn number(&mut self, low: u32, high: u32) -> u32 {
        low + u32::try_from(self.below(u64::from(high - low))).unwrap()
    }
}

/// The token that the fake model picks after a position.
fn token_after(position: u32) -> u32 {
    position * 7 % 100
}

#[derive(Default)]
struct Stage {
    core: Option<StageCore>,
    prompts: VecDeque<Frame>,
    ring: VecDeque<Frame>,
    control: VecDeque<ControlMessage>,
    work: Option<Work>,
    acked: Progress,
    reached: Progress,
    posts: Vec<Settlement>,
    is_closed: bool,
}

struct World {
    random: Random,
    shape: JobShape,
    stages: Vec<Stage>,
    submitter: SubmissionCore,
    /// Frames and control messages on the way to the submitter.
    tokens: VecDeque<Frame>,
    replies: VecDeque<(usize, ControlMessage)>,
    now_us: u64,
    observed: Vec<u32>,
    /// Whether the prompt's scores are asked for.
    is_scored: bool,
    withholds_scores: bool,
    scores: Vec<f32>,
    stop_after: usize,
    loses_acks: bool,
    acks: Vec<Ack>,
}

fn key(index: usize) -> Keypair {
    Keypair::from_seed(&[u8::try_from(index).unwrap(); 32])
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let count = 1 + random.index(4);
        let stages = (0..count)
            .map(|index| {
                let start = u32::try_from(index).unwrap();
                let range = LayerRange::new(start, start + 1).unwrap();
                (key(index + 1).wallet(), range)
            })
            .collect();
        let shape = JobShape {
            job: JobId(Hash::of_blob(&seed.to_le_bytes())),
            epoch: 0,
            submitter: key(0).wallet(),
            stages,
            prompt_tokens: random.number(1, 90),
            completion_tokens_max: random.number(1, 60),
            hidden: 2,
            vocabulary: 100,
            hidden_dtype: DType::F32,
            policy: Policy {
                window_tokens: random.number(4, 12),
                attest_tokens: random.number(1, 5),
                chunk_tokens: random.number(4, 20),
                ..Policy::default()
            },
        };
        let is_scored = seed.is_multiple_of(2);
        let prompt_ids: Vec<u32> = (0..shape.prompt_tokens).map(|i| i % 100).collect();
        let setup = SubmissionSetup {
            shape: shape.clone(),
            prompt_ids: prompt_ids.clone(),
            scores: is_scored.then_some(0),
            key: key(0),
            network: NETWORK,
            deadlines: Deadlines::default(),
            open_us: 1_000_000,
            begun_us: 0,
        };
        let stages = (0..count)
            .map(|index| Stage {
                core: Some(Self::stage(&shape, index, &prompt_ids)),
                ..Stage::default()
            })
            .collect();
        let replies = (0..count)
            .map(|index| (index, ControlMessage::Opened))
            .collect();
        Self {
            random,
            submitter: SubmissionCore::new(setup, 0),
            shape,
            stages,
            tokens: VecDeque::new(),
            replies,
            now_us: 0,
            observed: Vec::new(),
            is_scored,
            withholds_scores: false,
            scores: Vec::new(),
            stop_after: usize::MAX,
            loses_acks: false,
            acks: Vec::new(),
        }
    }

    fn stage(shape: &JobShape, index: usize, prompt_ids: &[u32]) -> StageCore {
        let is_last = index + 1 == shape.count();
        let setup = StageSetup {
            shape: shape.clone(),
            index,
            deadlines: Deadlines::default(),
            key: key(index + 1),
            network: NETWORK,
            arithmetic: ArithmeticId(1),
            prompt_ids: if is_last {
                prompt_ids.to_vec()
            } else {
                Vec::new()
            },
            stop_ids: Vec::new(),
            is_reserved: true,
        };
        StageCore::new(setup, 0)
    }

    /// Does everything that is asked until nothing is.
    fn drain(&mut self) {
        let count = self.stages.len();
        for index in 0..count {
            while let Some(action) = self.stages[index].core.as_mut().unwrap().poll_action() {
                self.perform(index, action);
            }
        }
        while let Some(action) = self.submitter.poll_action() {
            match action {
                SubmissionAction::Begun => {}
                SubmissionAction::Prompt(frame) => self.stages[0].prompts.push_back(frame),
                SubmissionAction::ObserveScores(scores) => {
                    self.scores.extend(scores.iter().map(|score| score.logprob));
                }
                SubmissionAction::Observe(token) => {
                    self.observed.push(token.payload.token);
                    if self.observed.len() == self.stop_after {
                        self.submitter.handle(SubmissionEvent::Stop, self.now_us);
                    }
                }
                SubmissionAction::Ack { attestation, ack } => {
                    self.acks.push(ack.claimed().clone());
                    for stage in &mut self.stages {
                        stage.control.push_back(ControlMessage::Ack {
                            attestation: (*attestation).clone(),
                            ack: (*ack).clone(),
                        });
                    }
                }
                SubmissionAction::Cancel => {
                    for stage in &mut self.stages {
                        stage.control.push_back(ControlMessage::Cancel);
                    }
                }
            }
        }
    }

    fn perform(&mut self, index: usize, action: StageAction) {
        let next = (index + 1) % self.stages.len();
        let is_repeated = self.random.below(10) == 0;
        let stage = &mut self.stages[index];
        match action {
            StageAction::Compute(work) => {
                assert!(stage.work.is_none(), "one computation at a time");
                let end = work.position + work.rows;
                stage.reached = progress_at(end, self.shape.prompt_tokens);
                let policy = &self.shape.policy;
                assert!(stage.reached.prompt - stage.acked.prompt <= 2 * policy.chunk_tokens);
                assert!(
                    stage.reached.completion - stage.acked.completion <= policy.window_tokens,
                    "nobody loses more than the window"
                );
                stage.work = Some(work);
            }
            StageAction::ToNext(frame) => {
                let ring = &mut self.stages[next].ring;
                if is_repeated {
                    ring.push_back(frame.clone());
                }
                ring.push_back(frame);
            }
            StageAction::ToSubmitter(frame) => {
                if is_repeated && frame.header.kind == FrameKind::Token {
                    self.tokens.push_back(frame.clone());
                }
                self.tokens.push_back(frame);
            }
            StageAction::Control(message) => self.replies.push_back((index, *message)),
            StageAction::Hold(_) => {}
            StageAction::Mark(source, reason) => panic!("{source:?}: {reason}"),
            StageAction::Post(settlement) => stage.posts.push(*settlement),
            StageAction::Close => stage.is_closed = true,
        }
    }

    /// Lets one thing happen; `false` when nothing can.
    fn step(&mut self) -> bool {
        self.drain();
        self.now_us += 10;
        let count = self.stages.len();
        let from = self.random.index(count * 4 + 2);
        let kinds = count * 4 + 2;
        (0..kinds).any(|offset| self.try_step((from + offset) % kinds))
    }

    fn try_step(&mut self, kind: usize) -> bool {
        let count = self.stages.len();
        let now_us = self.now_us;
        if kind == count * 4 {
            let Some(frame) = self.tokens.pop_front() else {
                return false;
            };
            self.submitter.check(&frame.header).unwrap();
            let event = match frame.header.kind {
                FrameKind::Scores => SubmissionEvent::Scores(frame),
                FrameKind::Token => SubmissionEvent::Token(frame),
                _ => SubmissionEvent::Attestation(Box::new(
                    Verified::from_bytes(&frame.payload, NETWORK).unwrap(),
                )),
            };
            self.submitter.handle(event, now_us);
            return true;
        }
        if kind == count * 4 + 1 {
            let Some((stage, message)) = self.replies.pop_front() else {
                return false;
            };
            match message {
                ControlMessage::Opened => {
                    self.submitter
                        .handle(SubmissionEvent::Opened(stage), now_us);
                }
                ControlMessage::Closed(_) => {
                    self.submitter
                        .handle(SubmissionEvent::Closed(stage), now_us);
                }
                ControlMessage::Fail {
                    stage,
                    code,
                    reason,
                    ..
                } => {
                    let event = SubmissionEvent::Failed {
                        stage: usize::from(stage),
                        code,
                        reason,
                    };
                    self.submitter.handle(event, now_us);
                }
                other => panic!("{other:?}"),
            }
            return true;
        }
        self.step_stage(kind % count, kind / count)
    }

    fn step_stage(&mut self, index: usize, what: usize) -> bool {
        let is_last = index + 1 == self.stages.len();
        let scored = match self.is_scored && !self.withholds_scores {
            true => self.shape.prompt_tokens,
            false => 0,
        };
        let stage = &mut self.stages[index];
        let core = stage.core.as_mut().unwrap();
        let event = match what {
            0 if core.wants_frame() => stage
                .ring
                .pop_front()
                .map(|frame| StageEvent::Frame(Source::Previous, frame)),
            1 if core.wants_frame() => stage
                .prompts
                .pop_front()
                .map(|frame| StageEvent::Frame(Source::Submitter, frame)),
            2 => stage.work.take().map(|work| StageEvent::Computed {
                output: compute(&work, is_last, scored),
                compute_us: 5,
                link_us: 0,
            }),
            3 => match stage.control.pop_front() {
                Some(ControlMessage::Ack { .. }) if self.loses_acks => return true,
                Some(ControlMessage::Ack { attestation, ack }) => {
                    stage.acked.prompt = stage.acked.prompt.max(ack.claimed().prompt_done);
                    stage.acked.completion =
                        stage.acked.completion.max(ack.claimed().completion_done);
                    let attestation = attestation.verify(NETWORK).unwrap();
                    let ack = ack.verify(NETWORK).unwrap();
                    Some(StageEvent::Ack(Box::new((attestation, ack))))
                }
                Some(_) => Some(StageEvent::Cancel),
                None => None,
            },
            _ => None,
        };
        let Some(event) = event else { return false };
        if let StageEvent::Frame(source, frame) = &event {
            core.check(*source, &frame.header).unwrap();
        }
        core.handle(event, self.now_us);
        true
    }

    fn run(&mut self) {
        for _ in 0..100_000 {
            if !self.step() {
                return;
            }
        }
        panic!("the job does not end");
    }

    fn check_acks(&self) {
        for pair in self.acks.windows(2) {
            assert!(pair[0].completion_done <= pair[1].completion_done);
            assert!(!pair[0].is_final, "nothing follows the final ack");
        }
        let received = u32::try_from(self.observed.len()).unwrap();
        assert!(self.acks.iter().all(|ack| ack.completion_done <= received));
    }
}

/// A stage that scores the first `scored` tokens: each by its position.
fn compute(work: &Work, is_last: bool, scored: u32) -> Computed {
    let after = (work.position + 1..=work.position + work.rows).filter(|token| *token < scored);
    let scores: Vec<TokenScore> = after
        .map(|token| TokenScore {
            logprob: -f32::from(u16::try_from(token).unwrap()),
            top: Vec::new(),
        })
        .collect();
    match (is_last, work.is_sampled) {
        (false, _) => Computed::Hidden(vec![0; work.rows as usize * 8]),
        (true, false) => Computed::Read { scores },
        (true, true) => Computed::Token {
            scores,
            token: token_after(work.position + work.rows - 1),
            logprob: None,
            top: Vec::new(),
        },
    }
}

#[test]
fn every_job_ends_complete_and_settled_alike() {
    for seed in 0..300 {
        let mut world = World::new(seed);
        world.run();
        let max = world.shape.completion_tokens_max;
        let prompt = world.shape.prompt_tokens;
        let expected: Vec<u32> = (0..max).map(|i| token_after(prompt - 1 + i)).collect();
        assert_eq!(world.observed, expected, "seed {seed}");
        let scored = if world.is_scored { prompt } else { 0 };
        let scored: Vec<f32> = (1..scored).map(|token| -(token as f32)).collect();
        assert_eq!(world.scores, scored, "seed {seed}");
        assert!(world.submitter.is_done());
        assert_eq!(world.submitter.ended().failure, None);
        assert_eq!(world.submitter.ended().completion_tokens, max);
        world.check_acks();
        for stage in &world.stages {
            assert!(stage.is_closed);
            let last = stage.posts.last().unwrap();
            assert!(last.is_final);
            assert_eq!(last.ack.claimed().completion_done, max);
            assert_eq!(last.ack.claimed().prompt_done, prompt);
        }
        let hashes = world.stages.windows(2).map(|pair| {
            let last = |stage: &Stage| stage.posts.last().cloned().unwrap();
            (last(&pair[0]).sent, last(&pair[1]).received)
        });
        for (sent, received) in hashes {
            assert_eq!(sent, received, "neighbours agree on what passed");
        }
    }
}

#[test]
fn nothing_past_a_stop_is_acknowledged() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        let max = world.shape.completion_tokens_max;
        let stop = world.random.number(1, max + 1);
        world.stop_after = stop as usize;
        world.run();
        assert_eq!(world.observed.len(), stop as usize, "seed {seed}");
        world.check_acks();
        assert_eq!(world.acks.last().unwrap().completion_done, stop);
        assert!(world.stages.iter().all(|stage| stage.is_closed));
    }
}

#[test]
fn a_silent_submitter_stalls_the_ring_within_the_window() {
    for seed in 0..200 {
        let mut world = World::new(seed);
        world.loses_acks = true;
        world.run();
        let (policy, shape) = (&world.shape.policy, &world.shape);
        assert!(world.observed.len() <= policy.window_tokens as usize);
        let is_small = shape.prompt_tokens <= policy.chunk_tokens
            && shape.completion_tokens_max > policy.window_tokens;
        if is_small {
            assert_eq!(world.observed.len(), policy.window_tokens as usize);
        }
        // The stages give up, and the job ends as failed.
        let unended = world.observed.len() < shape.completion_tokens_max as usize;
        world.now_us += Deadlines::default().ack_us + 1;
        for stage in &mut world.stages {
            let core = stage.core.as_mut().unwrap();
            core.handle(StageEvent::Tick, world.now_us);
        }
        world.run();
        if unended {
            let failure = world.submitter.ended().failure.unwrap();
            assert_eq!(failure.code, FailCode::Unacknowledged);
        }
        world.now_us += Deadlines::default().end_grace_us + 1;
        for stage in &mut world.stages {
            let core = stage.core.as_mut().unwrap();
            core.handle(StageEvent::SubmitterLost, world.now_us);
        }
        world.drain();
        assert!(world.stages.iter().all(|stage| stage.is_closed));
    }
}

#[test]
fn a_lost_stage_is_named_and_the_rest_is_settled() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        for _ in 0..60 {
            world.step();
        }
        let lost = world.random.index(world.stages.len());
        if world.submitter.is_done() || world.stages[lost].is_closed {
            continue;
        }
        let was_ending = !matches!(world.submitter.phase, Phase::Opening | Phase::Running);
        world
            .submitter
            .handle(SubmissionEvent::Lost(lost), world.now_us);
        world.run();
        let failure = world.submitter.ended().failure;
        assert_eq!(failure.is_none(), was_ending, "seed {seed}");
        assert!(failure.is_none_or(|failure| failure.stage == Some(lost)));
        let others = world.stages.iter().enumerate().filter(|(i, _)| *i != lost);
        for (_, stage) in others {
            assert!(stage.is_closed, "seed {seed}");
        }
    }
}

#[test]
fn a_false_attestation_is_not_acknowledged() {
    let mut world = World::new(5);
    while world.observed.is_empty() {
        assert!(world.step());
    }
    let newest = world.submitter.newest.clone().unwrap();
    let last = world.stages.len();
    let mut forged = newest.clone().into_inner();
    forged.number += 1;
    forged.previous = newest.id();
    forged.transcript = Hash::ZERO;
    let forged = Verified::sign(forged, &key(last), NETWORK).unwrap();
    let acks = world.acks.len();
    let event = SubmissionEvent::Attestation(Box::new(forged));
    world.submitter.handle(event, world.now_us);
    let failure = world.submitter.ended().failure.unwrap();
    assert_eq!(failure.stage, Some(last - 1));
    assert!(failure.reason.contains("transcript"), "{}", failure.reason);
    world.drain();
    let id = newest.id();
    assert!(world.acks[acks..].iter().all(|ack| ack.attestation == id));
}

#[test]
fn of_several_accused_the_one_that_accuses_nobody_is_named() {
    let mut world = (0..)
        .map(World::new)
        .find(|world| world.stages.len() == 4)
        .unwrap();
    for _ in 0..40 {
        world.step();
    }
    for (reporter, stage) in [(3, 2), (2, 1), (0, 3)] {
        let event = SubmissionEvent::Accused {
            reporter,
            stage,
            code: FailCode::Neighbour,
            reason: "it sends nothing".to_owned(),
        };
        world.submitter.handle(event, world.now_us);
        assert_eq!(world.submitter.ended().failure, None, "it waits for more");
    }
    let tick_us = world.submitter.next_tick_us().unwrap();
    world.submitter.handle(SubmissionEvent::Tick, tick_us);
    let failure = world.submitter.ended().failure.unwrap();
    assert_eq!(failure.stage, Some(1));
}
