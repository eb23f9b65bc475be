//! Golden text of completions: evaluations read likelihoods out of it.

use super::*;
use crate::api::{AskError, ErrorCode, Prompt, TopView};
use crate::http::chat::tests::done;

fn token(text: &str, logprob: Option<f32>) -> TokenView {
    let top = TopView {
        id: 9,
        text: "other".to_owned(),
        logprob: -0.25,
        ..TopView::default()
    };
    TokenView {
        id: 7,
        text: text.to_owned(),
        bytes: text.as_bytes().to_vec(),
        logprob,
        top: logprob.map(|_| top).into_iter().collect(),
    }
}

fn events() -> Vec<AskEvent> {
    vec![
        AskEvent::Routed {
            job: "j0b".to_owned(),
            model: "aa".to_owned(),
            model_name: "demo".to_owned(),
            stages: Vec::new(),
            prompt_tokens: 2,
            held_ugft: 900,
        },
        AskEvent::Prompt {
            tokens: vec![token("Zä", None)],
        },
        AskEvent::Prompt {
            tokens: vec![token("hl", Some(-0.5))],
        },
        AskEvent::Delta {
            text: "!".to_owned(),
            tokens: vec![token("!", Some(-1.5))],
        },
        AskEvent::Done(Box::new(done())),
    ]
}

fn parse(body: &str) -> CompletionOrder {
    CompletionRequest::parse(body.as_bytes()).unwrap()
}

fn stream(body: &str, parts: Vec<Part>) -> String {
    let order = parse(body);
    let mut encoder = CompletionStream {
        id: "cmpl-j0b".to_owned(),
        head: Head {
            job: "j0b".to_owned(),
            model: "demo".to_owned(),
            created: 5,
        },
        answers: order
            .requests
            .iter()
            .map(|_| Answer::new(order.show))
            .collect(),
        options: order.streaming.unwrap(),
        usage: Usage::default(),
    };
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

fn parts(index: usize) -> Vec<Part> {
    let part = |event| Part { index, event };
    events().into_iter().map(part).collect()
}

fn chunk(index: usize, text: &str, logprobs: &str, finish: &str) -> String {
    format!(
        "data: {{\"id\":\"cmpl-j0b\",\"object\":\"text_completion\",\"created\":5,\
         \"model\":\"demo\",\"system_fingerprint\":null,\"choices\":[{{\"index\":{index},\
         \"text\":\"{text}\",\"logprobs\":{logprobs},\"finish_reason\":{finish}}}]"
    )
}

/// What the last chunk of an answer has besides.
const RECEIPT: &str = ",\"talkoot\":{\"job\":\"j0b\",\"route\":[{\"peer\":\"bb\",\
    \"layers\":[0,8],\"compute_us_per_token\":10.5,\"hop_us_per_token\":2.0,\
    \"earned_ugft\":600}]}}\n\n";
const EMPTY: &str = "{\"tokens\":[],\"token_logprobs\":[],\"top_logprobs\":[],\"text_offset\":[]}";

#[test]
fn prompts_are_echoed_with_their_likelihoods() {
    let body =
        r#"{"prompt": [5, 6], "echo": true, "logprobs": 1, "max_tokens": 1, "stream": true}"#;
    let logprobs = "{\"tokens\":[\"Zä\",\"hl\",\"!\"],\"token_logprobs\":[null,-0.5,-1.5],\
        \"top_logprobs\":[null,{\"other\":-0.25},{\"other\":-0.25}],\"text_offset\":[0,2,4]}";
    let expected = [
        chunk(0, "Zähl!", logprobs, "null"),
        "}\n\n".to_owned(),
        chunk(0, "", EMPTY, "\"stop\""),
        RECEIPT.to_owned(),
        DONE_LINE.to_owned(),
    ];
    assert_eq!(stream(body, parts(0)), expected.concat());
}

#[test]
fn without_tokens_only_the_prompt_is_left() {
    let body = r#"{"prompt": "Zähl", "echo": true, "max_tokens": 0, "stream": true}"#;
    assert_eq!(parse(body).requests[0].completion_tokens_max, Some(1));
    let expected = [
        chunk(0, "Zähl", "null", "null"),
        "}\n\n".to_owned(),
        chunk(0, "", "null", "\"length\""),
        RECEIPT.to_owned(),
        DONE_LINE.to_owned(),
    ];
    assert_eq!(stream(body, parts(0)), expected.concat());
}

#[test]
fn lists_and_n_are_numbered_prompt_by_prompt() {
    let order = parse(r#"{"prompt": ["a", "b"], "n": 2, "seed": 7, "logit_bias": {"3": 1}}"#);
    let asked: Vec<_> = order
        .requests
        .iter()
        .map(|request| match &request.prompt {
            Prompt::Text(text) => (text.as_str(), request.seed.unwrap()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(asked, [("a", 7), ("a", 8), ("b", 7), ("b", 8)]);
    assert_eq!(order.requests[3].completion_tokens_max, Some(16));
    let order = parse(r#"{"prompt": [[1, 2], [3]], "logprobs": 0}"#);
    assert!(matches!(&order.requests[1].prompt, Prompt::Tokens(ids) if *ids == [3]));
    assert!(order.requests[1].logprobs);
}

#[test]
fn a_lost_hop_ends_all_answers() {
    let mut broken: Vec<Part> = parts(0);
    broken.push(Part {
        index: 1,
        event: AskEvent::Failed(AskError::new(ErrorCode::StageFailed, "gone")),
    });
    let text = stream(r#"{"prompt": ["a", "b"], "stream": true}"#, broken);
    assert!(text.contains("\"code\":\"stage_failed\"") && !text.contains("[DONE]"));
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    for (body, param) in [
        (r#"{"prompt": []}"#, "prompt"),
        (r#"{"prompt": "a", "suffix": "b"}"#, "suffix"),
        (r#"{"prompt": "a", "best_of": 3}"#, "best_of"),
        (r#"{"prompt": "a", "logprobs": 21}"#, "logprobs"),
        (r#"{"prompt": "a", "max_tokens": 0}"#, "max_tokens"),
        (r#"{"prompt": "a", "n": 9}"#, "n"),
    ] {
        let error = CompletionRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.body()["error"]["param"], param, "{body}");
    }
    let many = format!(r#"{{"prompt": {:?}, "n": 2}}"#, vec!["a"; 65]);
    assert!(CompletionRequest::parse(many.as_bytes()).is_err());
    for body in [
        "{}",
        "[]",
        "{",
        r#"{"prompt": {"a": 1}}"#,
        r#"{"prompt": [-1]}"#,
    ] {
        let error = CompletionRequest::parse(body.as_bytes()).unwrap_err();
        assert_eq!(error.body()["error"]["code"], "invalid_body", "{body}");
    }
}
