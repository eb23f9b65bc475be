//! Golden text of the OpenAI stream: clients depend on it to the byte.

use super::*;
use crate::api::{AskDone, AskError, ErrorCode, StageView, TopView};
use crate::http::sampling::StreamOptions;
use crate::http::several::Part;
use crate::http::sse::Encoder;
use crate::http::tools::{Choice as ToolChoice, Function, Tools};

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

fn options(include_usage: bool) -> StreamOptions {
    StreamOptions {
        include_usage,
        continuous_usage_stats: false,
    }
}

fn stream_of(tools: &Tools, options: StreamOptions, parts: Vec<Part>) -> String {
    let head = Head {
        job: "j0b".to_owned(),
        model: "demo".to_owned(),
        created: 5,
    };
    let count = parts.iter().map(|part| part.index + 1).max().unwrap();
    let answers = (0..count).map(|_| Answer::new(tools.reader())).collect();
    let mut encoder = ChatStream::new(head, answers, options);
    let mut out = String::new();
    let is_failed = matches!(parts.last().unwrap().event, AskEvent::Failed(_));
    for part in parts {
        encoder.encode(part, &mut out);
    }
    if !is_failed {
        encoder.end(&mut out);
    }
    out
}

fn parts(index: usize, events: Vec<AskEvent>) -> Vec<Part> {
    let part = |event| Part { index, event };
    events.into_iter().map(part).collect()
}

fn stream(include_usage: bool, events: Vec<AskEvent>) -> String {
    stream_of(&Tools::default(), options(include_usage), parts(0, events))
}

fn chunk_of(index: usize, delta: &str, finish: &str, tail: &str) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-j0b\",\"object\":\"chat.completion.chunk\",\"created\":5,\
         \"model\":\"demo\",\"system_fingerprint\":null,\"choices\":[{{\"index\":{index},\
         \"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}]{tail}}}\n\n"
    )
}

fn chunk(delta: &str, finish: &str, tail: &str) -> String {
    chunk_of(0, delta, finish, tail)
}

const ROLE: &str = "{\"role\":\"assistant\",\"content\":\"\"}";
const RECEIPT: &str = ",\"talkoot\":{\"job\":\"j0b\",\"route\":[{\"peer\":\"bb\",\
    \"layers\":[0,8],\"compute_us_per_token\":10.5,\"hop_us_per_token\":2.0,\
    \"earned_ugft\":600}]}";
const DONE: &str = "data: [DONE]\n\n";

fn usage_chunk(answers: u64) -> String {
    format!(
        "data: {{\"id\":\"chatcmpl-j0b\",\"object\":\"chat.completion.chunk\",\"created\":5,\
         \"model\":\"demo\",\"system_fingerprint\":null,\"choices\":[],\"usage\":{{\
         \"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\"credits\":{{\
         \"reserved\":0,\"spent\":{},\"unit\":\"uGFT\"}}}}}}\n\n",
        4 * answers,
        2 * answers,
        6 * answers,
        600 * answers
    )
}

#[test]
fn the_stream_byte_for_byte() {
    let expected = [
        chunk(ROLE, "null", ""),
        chunk("{\"content\":\"Hé\"}", "null", ""),
        chunk("{}", "\"stop\"", RECEIPT),
        DONE.to_owned(),
    ];
    assert_eq!(stream(false, events()), expected.concat());
}

#[test]
fn the_usage_chunk_comes_last_and_only_when_asked_for() {
    let null = ",\"usage\":null";
    let expected = [
        chunk(ROLE, "null", null),
        chunk("{\"content\":\"Hé\"}", "null", null),
        chunk("{}", "\"stop\"", &format!("{null}{RECEIPT}")),
        usage_chunk(1),
        DONE.to_owned(),
    ];
    assert_eq!(stream(true, events()), expected.concat());
}

#[test]
fn every_chunk_has_the_usage_so_far_when_asked_for() {
    let options = StreamOptions {
        include_usage: true,
        continuous_usage_stats: true,
    };
    let text = stream_of(&Tools::default(), options, parts(0, events()));
    let so_far = |completion: u64| {
        format!(
            ",\"usage\":{{\"prompt_tokens\":4,\"completion_tokens\":{completion},\
             \"total_tokens\":{}}}",
            4 + completion
        )
    };
    let expected = [
        chunk(ROLE, "null", &so_far(0)),
        chunk("{\"content\":\"Hé\"}", "null", &so_far(1)),
        chunk("{}", "\"stop\"", &format!("{}{RECEIPT}", so_far(2))),
        usage_chunk(1),
        DONE.to_owned(),
    ];
    assert_eq!(text, expected.concat());
}

#[test]
fn two_answers_share_one_stream() {
    let mut mixed = Vec::new();
    for (first, second) in parts(0, events()).into_iter().zip(parts(1, events())) {
        mixed.extend([second, first]);
    }
    let text = stream_of(&Tools::default(), options(true), mixed);
    let null = ",\"usage\":null";
    let last = format!("{null}{RECEIPT}");
    let mut expected = String::new();
    for (delta, finish, tail) in [
        (ROLE, "null", null),
        ("{\"content\":\"Hé\"}", "null", null),
        ("{}", "\"stop\"", last.as_str()),
    ] {
        expected.push_str(&chunk_of(1, delta, finish, tail));
        expected.push_str(&chunk_of(0, delta, finish, tail));
    }
    assert_eq!(text, expected + &usage_chunk(2) + DONE);
}

#[test]
fn calls_of_tools_are_deltas_of_their_own() {
    let function = Function {
        name: "now".to_owned(),
        description: None,
        parameters: None,
    };
    let tools = Tools::new(vec![function], &ToolChoice::Auto).unwrap();
    let mut answer = events();
    let delta = |text: &str| AskEvent::Delta {
        text: text.to_owned(),
        tokens: vec![token(text, None)],
    };
    answer.splice(
        1..3,
        [
            delta("Hm.<tool"),
            delta("_call>{\"name\": \"now\", \"arguments\": {\"zone\": 1}}</tool_"),
            delta("call>"),
        ],
    );
    let call = "{\"tool_calls\":[{\"index\":0,\"id\":\"call_j0b0\",\"type\":\"function\",\
        \"function\":{\"name\":\"now\",\"arguments\":\"{\\\"zone\\\":1}\"}}]}";
    let expected = [
        chunk(ROLE, "null", ""),
        chunk("{\"content\":\"Hm.\"}", "null", ""),
        chunk(call, "null", ""),
        chunk("{}", "\"tool_calls\"", RECEIPT),
        DONE.to_owned(),
    ];
    let text = stream_of(&tools, options(false), parts(0, answer));
    assert_eq!(text, expected.concat());
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
        "data: {\"error\":{\"message\":\"bb (layers 0..8) went away\",\"type\":\"server_error\",\
         \"param\":null,\"code\":\"stage_failed\"}}\n\n"
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
    let mut events = events();
    events[1] = AskEvent::Delta {
        text: "é".to_owned(),
        tokens: vec![token],
    };
    let text = stream(false, events);
    assert!(
        text.contains(
            "\"logprobs\":{\"content\":[{\"token\":\"é\",\"logprob\":-0.5,\
             \"bytes\":[195,169],\"top_logprobs\":[{\"token\":\"e\",\"logprob\":-1.5,\
             \"bytes\":[101]}]}],\"refusal\":null}"
        ),
        "{text}"
    );
}
