//! Golden text of the OpenAI stream: clients depend on it to the byte.

use super::*;
use crate::api::{StageView, TopView};

pub(crate) fn events() -> Vec<AskEvent> {
    vec![
        AskEvent::Routed {
            job: "j0b".to_owned(),
            model: "aa".to_owned(),
            model_name: "demo".to_owned(),
            stages: vec![stage(0)],
            prompt_tokens: 4,
            held_ugft: 900,
        },
        AskEvent::Delta {
            text: "Hé".to_owned(),
            tokens: vec![token("Hé", None)],
        },
        AskEvent::Delta {
            text: String::new(),
            tokens: vec![token("\u{fffd}", None)],
        },
        AskEvent::Done(Box::new(done())),
    ]
}

pub(crate) fn done() -> AskDone {
    AskDone {
        job: "j0b".to_owned(),
        finish: "stop".to_owned(),
        prompt_tokens: 4,
        completion_tokens: 2,
        time_to_first_token_us: 1500,
        tokens_per_second: 100.0,
        overhead_us_per_token_hop: 250.0,
        stages: vec![stage(600)],
        burned_ugft: 600,
        commons_ugft: 0,
        held_ugft: 0,
        settled: true,
        accounting: true,
    }
}

fn stage(earned_ugft: u64) -> StageView {
    StageView {
        peer: "bb".to_owned(),
        layers: [0, 8],
        compute_us_per_token: 10.5,
        hop_us_per_token: 2.0,
        earned_ugft,
    }
}

fn token(text: &str, logprob: Option<f32>) -> TokenView {
    TokenView {
        id: 7,
        text: text.to_owned(),
        logprob,
        ..TokenView::default()
    }
}

fn stream(include_usage: bool, events: Vec<AskEvent>) -> String {
    let head = Head {
        id: "chatcmpl-j0b".to_owned(),
        model: "demo".to_owned(),
        created: 5,
    };
    let mut encoder = ChatStream::new(head, include_usage);
    let mut out = String::new();
    for event in events {
        encoder.encode(event, &mut out);
    }
    out
}

/// Keys in the order that `serde_json` writes them: sorted.
fn chunk(delta: &str, finish: &str, tail: &str) -> String {
    format!(
        "data: {{\"choices\":[{{\"delta\":{delta},\"finish_reason\":{finish},\"index\":0,\
         \"logprobs\":null}}],\"created\":5,\"id\":\"chatcmpl-j0b\",\"model\":\"demo\",\
         \"object\":\"chat.completion.chunk\",\"system_fingerprint\":null{tail}}}\n\n"
    )
}

const RECEIPT: &str = ",\"talkoot\":{\"job\":\"j0b\",\"route\":[{\"compute_us_per_token\":10.5,\
    \"earned_ugft\":600,\"hop_us_per_token\":2.0,\"layers\":[0,8],\"peer\":\"bb\"}]}";

#[test]
fn the_stream_byte_for_byte() {
    let expected = [
        chunk("{\"content\":\"\",\"role\":\"assistant\"}", "null", ""),
        chunk("{\"content\":\"Hé\"}", "null", ""),
        chunk("{}", "\"stop\"", RECEIPT),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(stream(false, events()), expected.concat());
}

#[test]
fn the_usage_chunk_comes_last_and_only_when_asked_for() {
    let null = ",\"usage\":null";
    let usage = "data: {\"choices\":[],\"created\":5,\"id\":\"chatcmpl-j0b\",\"model\":\"demo\",\
        \"object\":\"chat.completion.chunk\",\"system_fingerprint\":null,\"usage\":{\
        \"completion_tokens\":2,\"credits\":{\"reserved\":0,\"spent\":600,\"unit\":\"uGFT\"},\
        \"prompt_tokens\":4,\"total_tokens\":6}}\n\n";
    let expected = [
        chunk("{\"content\":\"\",\"role\":\"assistant\"}", "null", null),
        chunk("{\"content\":\"Hé\"}", "null", null),
        chunk("{}", "\"stop\"", &format!("{RECEIPT}{null}")),
        usage.to_owned(),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(stream(true, events()), expected.concat());
}

#[test]
fn a_lost_hop_is_an_error_object_and_no_done() {
    let mut broken = events();
    broken.truncate(2);
    broken.push(AskEvent::Failed(AskError::new(
        ErrorCode::StageFailed,
        "bb (layers 0..8) went away",
    )));
    let text = stream(false, broken);
    assert!(text.ends_with(
        "data: {\"error\":{\"code\":\"stage_failed\",\"message\":\"bb (layers 0..8) went away\",\
         \"param\":null,\"type\":\"server_error\"}}\n\n"
    ));
    assert!(!text.contains("[DONE]"));
}

#[test]
fn log_probabilities_in_the_shape_of_openai() {
    let mut token = token("é", Some(-0.5));
    token.top = vec![TopView {
        id: 7,
        text: "e".to_owned(),
        logprob: -1.5,
        ..TopView::default()
    }];
    let event = AskEvent::Delta {
        text: "é".to_owned(),
        tokens: vec![token],
    };
    let text = stream(false, vec![event]);
    assert!(
        text.contains(
            "\"logprobs\":{\"content\":[{\"bytes\":[195,169],\"logprob\":-0.5,\"token\":\"é\",\
             \"top_logprobs\":[{\"bytes\":[101],\"logprob\":-1.5,\"token\":\"e\"}]}],\
             \"refusal\":null}"
        ),
        "{text}"
    );
}
