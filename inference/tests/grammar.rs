//! Grammars: a completion of any model follows them to the end, and none can
//! make a stage stop or fill its memory.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::fixture;
use serde_json::{Value, json};
use talkoot_inference::{
    AskerModel, Checkpoint, Constraint, ConstraintError, Sampler, TokenSampler,
};
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::sampling::Grammar;

/// Byte-level, and pieces with single bytes as a last resort.
const MODELS: [&str; 2] = ["tiny", "stories260k"];

fn asker(name: &str) -> AskerModel {
    Checkpoint::open(&fixture(name)).unwrap().asker().unwrap()
}

fn schema(value: &Value) -> Grammar {
    Grammar::JsonSchema(value.to_string())
}

/// Logits that know nothing: a different row at each position.
fn noise(seed: u64, position: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9) + u64::from(position) * 7919 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).unwrap()) / 8192.0
    };
    (0..count).map(|_| next()).collect()
}

/// A completion of noise that follows a grammar, until a stop id or the limit;
/// says whether it ended by itself.
fn complete(
    asker: &AskerModel,
    grammar: &Grammar,
    params: &SamplingParams,
    tokens_max: u32,
) -> (String, bool) {
    let constraint = asker.read_grammar(grammar).unwrap();
    let mut sampler = TokenSampler::new(params.clone(), &[]).constrained(Some(constraint));
    let vocabulary = asker.config().model.shape.vocabulary as usize;
    let mut bytes = Vec::new();
    for position in 0..tokens_max {
        let logits = noise(params.seed, position, vocabulary);
        let id = sampler.sample(position, &logits).unwrap().id;
        if asker.stop_ids().contains(&id) {
            return (String::from_utf8(bytes).unwrap(), true);
        }
        bytes.extend_from_slice(asker.token_bytes(id));
    }
    (String::from_utf8_lossy(&bytes).into_owned(), false)
}

fn drawn(seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: 1.0,
        seed,
        ..SamplingParams::default()
    }
}

#[test]
fn noise_that_follows_a_schema_is_json_of_that_schema() {
    let grammar = schema(&json!({
        "type": "object",
        "properties": {
            "kind": {"enum": ["fox", "owl"]},
            "age": {"type": "integer", "minimum": 1, "maximum": 20},
            "tags": {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
        },
        "required": ["kind", "age", "tags"],
        "additionalProperties": false,
    }));
    for name in MODELS {
        let asker = asker(name);
        let greedy = SamplingParams::default();
        for params in (0..20).map(drawn).chain([greedy]) {
            let (text, ended) = complete(&asker, &grammar, &params, 400);
            assert!(ended, "{name}: {text}");
            assert!(
                !text.contains("  "),
                "noise writes one space at most: {text}"
            );
            let value: Value = serde_json::from_str(&text).unwrap();
            assert!(["fox", "owl"].contains(&value["kind"].as_str().unwrap()));
            assert!((1..=20).contains(&value["age"].as_i64().unwrap()));
            assert!(
                value["tags"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .all(Value::is_boolean)
            );
            assert_eq!(value.as_object().unwrap().len(), 3);
        }
    }
}

#[test]
fn other_kinds_of_grammars() {
    let asker = asker("tiny");
    for seed in 0..10 {
        let regex = Grammar::Regex("(yes|no)( please){0,2}!".to_owned());
        let (text, ended) = complete(&asker, &regex, &drawn(seed), 100);
        assert!(ended && text.ends_with('!'), "{text}");
        let lark = Grammar::Lark(
            "start: \"<call>\" body \"</call>\"\nbody: %json {\"type\": \"object\", \"properties\": \
             {\"n\": {\"type\": \"null\"}}, \"required\": [\"n\"], \"additionalProperties\": false}"
                .to_owned(),
        );
        let (text, ended) = complete(&asker, &lark, &drawn(seed), 200);
        assert!(ended, "{text}");
        let body = text
            .strip_prefix("<call>")
            .unwrap()
            .strip_suffix("</call>")
            .unwrap();
        assert_eq!(
            serde_json::from_str::<Value>(body).unwrap(),
            json!({"n": null})
        );
        let (text, ended) = complete(&asker, &Grammar::JsonObject, &drawn(seed), 60);
        assert!(text.starts_with('{'), "{text}");
        if ended {
            assert!(serde_json::from_str::<Value>(&text).unwrap().is_object());
        }
    }
}

#[test]
fn broken_logits_pick_an_allowed_token_all_the_same() {
    let asker = asker("tiny");
    let vocabulary = asker.config().model.shape.vocabulary as usize;
    for fill in [f32::NAN, f32::NEG_INFINITY] {
        for params in [SamplingParams::default(), drawn(1)] {
            let constraint = asker
                .read_grammar(&Grammar::Regex("a+".to_owned()))
                .unwrap();
            let mut sampler = TokenSampler::new(params, &[]).constrained(Some(constraint));
            let id = sampler.sample(0, &vec![fill; vocabulary]).unwrap().id;
            assert!(
                asker.token_bytes(id).iter().all(|byte| *byte == b'a'),
                "{id}"
            );
        }
    }
}

#[test]
fn a_token_that_breaks_the_grammar_is_told() {
    let asker = asker("tiny");
    let mut constraint: Constraint = asker.read_grammar(&Grammar::JsonObject).unwrap();
    let id = asker.encode("x", false).unwrap()[0];
    assert!(!constraint.allowed().unwrap().contains(id));
    assert!(!constraint.allowed().unwrap().contains(u32::MAX));
    assert!(matches!(
        constraint.advance(id),
        Err(ConstraintError::Lost(_))
    ));
}

#[test]
fn what_makes_no_sense_is_refused_with_a_reason() {
    let asker = asker("tiny");
    for grammar in [
        Grammar::JsonSchema("{".to_owned()),
        Grammar::JsonSchema("[]".to_owned()),
        schema(&json!({"type": "nonsense"})),
        schema(&json!({"$ref": "https://example.org/elsewhere.json"})),
        schema(&json!({"x-guidance": {"whitespace_pattern": 7}})),
        schema(&json!(false)),
        Grammar::Regex("(".to_owned()),
        Grammar::Regex(r"(a)\1".to_owned()),
        Grammar::Lark("start: nothing".to_owned()),
        Grammar::Lark(String::new()),
    ] {
        let refused = asker.read_grammar(&grammar);
        assert!(
            matches!(refused, Err(ConstraintError::Refused(_))),
            "{grammar:?}: {refused:?}"
        );
    }
}

#[test]
fn hostile_grammars_are_bounded() {
    let asker = asker("tiny");
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let many: Vec<String> = (0..3000)
        .map(|n| format!("{n}-{}", "x".repeat(12)))
        .collect();
    let vocabulary = asker.config().model.shape.vocabulary as usize;
    for grammar in [
        Grammar::JsonSchema(nested(30_000)),
        Grammar::JsonSchema(format!("{{\"const\": {}}}", nested(100))),
        schema(&json!({"enum": many})),
        schema(&json!({"type": "string", "pattern": "^(a{1,1000}){1,1000}$"})),
        schema(&json!({"type": "string", "minLength": 100_000})),
        schema(&json!({"type": "array", "items": {"type": "integer"}, "minItems": 1_000_000})),
        Grammar::Regex("(a|aa|aaa){1,5000}b".to_owned()),
        Grammar::Regex("(.*a){40}.{200}".to_owned()),
        Grammar::Lark(format!("start: {}", "(\"a\" | start) ".repeat(300))),
    ] {
        // Refused, or followed for a while: but neither a panic nor an end.
        let Ok(constraint) = asker.read_grammar(&grammar) else {
            continue;
        };
        let mut sampler = TokenSampler::new(drawn(3), &[]).constrained(Some(constraint));
        for position in 0..20 {
            let logits = noise(3, position, vocabulary);
            match sampler.sample(position, &logits) {
                Ok(sampled) if asker.stop_ids().contains(&sampled.id) => break,
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(error, ConstraintError::Lost(_)));
                    break;
                }
            }
        }
    }
}
