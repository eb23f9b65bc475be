//! Scores of prompts: none is missing, none is out of place.

use super::*;
use talkoot_protocol::frame::{ScoresPayload, TokenLogprob};

#[test]
fn a_last_stage_that_leaves_out_scores_is_named() {
    for seed in (0..40).filter(|seed| seed % 2 == 0) {
        let mut world = World::new(seed);
        if world.shape.prompt_tokens == 1 {
            continue;
        }
        world.withholds_scores = true;
        world.run();
        assert!(world.observed.is_empty(), "seed {seed}");
        let failure = world.submitter.ended().failure.unwrap();
        assert_eq!(failure.stage, Some(world.stages.len() - 1));
        assert!(failure.reason.contains("scores"), "{}", failure.reason);
    }
}

#[test]
fn scores_out_of_place_or_shape_are_refused() {
    let score = |token| TokenScore {
        logprob: -1.0,
        top: vec![TokenLogprob {
            token,
            logprob: -1.0,
        }],
    };
    let bare = TokenScore {
        logprob: -1.0,
        top: Vec::new(),
    };
    let first = || {
        let mut world = (0..)
            .map(World::new)
            .find(|world| world.is_scored && world.shape.prompt_tokens > 20)
            .unwrap();
        while world.scores.is_empty() {
            assert!(world.step());
        }
        world
    };
    for (skip, rows, scores) in [
        (1, 1, vec![bare.clone()]),
        (0, 2, vec![bare.clone()]),
        (0, 500, vec![bare.clone(); 500]),
        (0, 1, vec![score(3)]),
        (0, 1, vec![score(100)]),
    ] {
        let mut world = first();
        let position = u32::try_from(world.scores.len()).unwrap() + 1 + skip;
        let payload = ScoresPayload { scores }.to_bytes();
        let header = FrameHeader {
            kind: FrameKind::Scores,
            dtype: DType::F32,
            job: world.shape.job,
            epoch: 0,
            position,
            rows,
            times: 0,
            length: u32::try_from(payload.len()).unwrap(),
        };
        world.submitter.check(&header).unwrap();
        let frame = Frame {
            header,
            times: Vec::new(),
            payload,
        };
        world
            .submitter
            .handle(SubmissionEvent::Scores(frame), world.now_us);
        let failure = world.submitter.ended().failure.unwrap();
        assert!(failure.reason.contains("scores"), "{}", failure.reason);
    }
}
