//! Sessions of a shard: what is refused, what memory they take, who may move.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]
mod common;

use common::{fixture, forward, load_cut, open_all, range};
use talkoot_inference::{
    Checkpoint, GenerateError, GenerateOptions, SessionConfig, SessionId, Shard, ShardError,
    ShardOptions, StepInput, StepItem, TokenSampler, Wanted, generate,
};
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::model::DType;

const SESSION: SessionId = SessionId(3);

fn item<'a>(position: u32, input: StepInput<'a>, wanted: Wanted) -> StepItem<'a> {
    StepItem {
        session: SESSION,
        position,
        input,
        wanted,
    }
}

fn two_stages() -> Vec<Shard> {
    let checkpoint = Checkpoint::open(&fixture("tiny")).unwrap();
    let mut shards = load_cut(&checkpoint, &[0, 2, 4], &ShardOptions::default());
    open_all(&mut shards, SESSION, 8, DType::F32);
    shards
}

#[test]
fn refused_steps_name_the_reason_and_move_nothing() {
    let mut shards = two_stages();
    let tokens = StepInput::Tokens;
    let row = vec![0; 64 * 4];
    let good = item(0, tokens(&[1]), Wanted::Nothing);
    let stranger = StepItem {
        session: SessionId(9),
        ..good
    };
    let refusals: [(&[StepItem<'_>], &str); 8] = [
        (&[good, good], "occurs twice in one step"),
        (&[good, stranger], "session 0000000000000009 is not open"),
        (
            &[item(1, tokens(&[1]), Wanted::Nothing)],
            "stands at position 0, the rows start at 1",
        ),
        (
            &[item(0, tokens(&[512]), Wanted::Nothing)],
            "token 512 is outside the vocabulary of 512",
        ),
        (
            &[item(0, tokens(&[1; 9]), Wanted::Nothing)],
            "has room for 8 tokens, the step would make it 9",
        ),
        (
            &[item(0, tokens(&[]), Wanted::Nothing)],
            "an item needs at least one row",
        ),
        (
            &[item(0, tokens(&[1]), Wanted::LastLogits)],
            "of layers 0..2: logits come from the last layer",
        ),
        (
            &[item(0, StepInput::Hidden(&row), Wanted::Nothing)],
            "layer 0 needs token ids",
        ),
    ];
    for (items, reason) in refusals {
        let error = shards[0].step(items).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(shards[0].session_length(SESSION), Some(0));
    assert_eq!(forward(&mut shards, SESSION, 0, &[1, 2]).len(), 2 * 512);
    assert_eq!(shards[1].session_length(SESSION), Some(2));
}

#[test]
fn a_later_stage_takes_whole_hidden_rows_only() {
    let mut shards = two_stages();
    let row = vec![0; 64 * 4];
    for (input, reason) in [
        (StepInput::Tokens(&[1]), "this needs hidden states"),
        (
            StepInput::Hidden(&row[..255]),
            "255 bytes are no whole number of hidden rows of 256 bytes",
        ),
        (StepInput::Hidden(&[]), "an item needs at least one row"),
    ] {
        let items = [item(0, input, Wanted::LastLogits)];
        let error = shards[1].step(&items).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(shards[1].session_length(SESSION), Some(0));
}

/// 2 planes x 4 layers x 2 heads x 16 x 4 bytes = 1024 bytes for each token.
const SIXTEEN_KIB: u32 = 16;

fn bounded_shard(session_bytes_max: u64) -> (Shard, SessionConfig) {
    let checkpoint = Checkpoint::open(&fixture("tiny")).unwrap();
    let options = ShardOptions {
        session_bytes_max,
        ..ShardOptions::default()
    };
    let config = SessionConfig {
        range: range(0, 4),
        capacity_tokens: SIXTEEN_KIB,
        hidden_dtype: DType::F32,
    };
    (
        Shard::load(&checkpoint, range(0, 4), &options).unwrap(),
        config,
    )
}

#[test]
fn session_memory_is_bounded_accounted_and_freed() {
    let (mut shard, config) = bounded_shard(40 * 1024);
    assert_eq!(shard.free_sessions(&config), 2);
    shard.open(SessionId(1), config).unwrap();
    shard.open(SessionId(2), config).unwrap();
    let refused = shard.open(SessionId(3), config).unwrap_err().to_string();
    assert_eq!(
        refused,
        "a session needs 16384 bytes, 32768 of 40960 are in use"
    );
    // A session of half the layers needs half the memory.
    let half = SessionConfig {
        range: range(2, 4),
        ..config
    };
    shard.open(SessionId(3), half).unwrap();
    assert_eq!(shard.session_bytes(), 40960);
    assert!(shard.close(SessionId(1)));
    assert!(!shard.close(SessionId(1)));
    assert_eq!(shard.session_bytes(), 24576);
}

#[test]
fn sessions_that_cannot_be_are_refused() {
    let (mut shard, config) = bounded_shard(1 << 30);
    shard.open(SessionId(1), config).unwrap();
    let mut refuse = |id, config| shard.open(SessionId(id), config).unwrap_err();
    assert!(matches!(refuse(1, config), ShardError::SessionExists(_)));
    let too_long = SessionConfig {
        capacity_tokens: 513,
        ..config
    };
    assert!(matches!(refuse(2, too_long), ShardError::TooLong { .. }));
    let format = SessionConfig {
        hidden_dtype: DType::F16,
        ..config
    };
    assert!(matches!(refuse(2, format), ShardError::HiddenDtype(_)));
    let checkpoint = Checkpoint::open(&fixture("tiny")).unwrap();
    let options = ShardOptions::default();
    let mut part = Shard::load(&checkpoint, range(1, 3), &options).unwrap();
    assert!(matches!(
        part.open(SessionId(1), config),
        Err(ShardError::Range { .. })
    ));
    assert!(matches!(
        Shard::load(&checkpoint, range(2, 5), &options),
        Err(ShardError::Range { .. })
    ));
}

#[test]
fn generation_closes_what_it_opened_and_nothing_else() {
    let mut shards = two_stages();
    let mut sampler = TokenSampler::new(SamplingParams::default(), &[]);
    let mut run = |shards: &mut [Shard], session| {
        let options = GenerateOptions {
            session,
            tokens_max: 2,
            ..GenerateOptions::default()
        };
        generate(shards, &[1], &options, &mut sampler, &mut |_| true)
    };
    assert_eq!(run(&mut shards, SessionId(8)).unwrap().ids.len(), 2);
    assert!(run(&mut shards, SESSION).is_err());
    // Taken on the second shard only: the first one is left as it was.
    shards[0].close(SESSION);
    assert!(run(&mut shards, SESSION).is_err());
    assert_eq!(shards[0].session_count(), 0);
    assert_eq!(shards[1].session_length(SESSION), Some(0));
    assert!(matches!(
        run(&mut shards[..1], SessionId(8)),
        Err(GenerateError::Tiling { layer: 2 })
    ));
}

#[test]
fn measuring_uses_the_callers_clock_and_leaves_nothing() {
    let checkpoint = Checkpoint::open(&fixture("tiny")).unwrap();
    for part in [range(0, 4), range(1, 3), range(2, 4)] {
        let mut shard = Shard::load(&checkpoint, part, &ShardOptions::default()).unwrap();
        let (mut now_us, mut looks) = (0, 0);
        let speed = shard
            .measure_layers_per_second(10, || {
                looks += 1;
                // Another program takes the processor in every third step.
                now_us += if looks % 3 == 0 { 5_000_000 } else { 100_000 };
                now_us
            })
            .unwrap();
        assert!(
            (speed - f64::from(part.count()) * 10.0).abs() < 1e-9,
            "{speed}"
        );
        assert_eq!(shard.session_count(), 0);
    }
}

#[test]
fn a_shard_moves_between_threads() {
    fn sendable<T: Send>() {}
    sendable::<Shard>();
    sendable::<TokenSampler>();
}
