//! The paths under `/v1` and the tokenizer's, over real sockets.

use super::*;
use serde_json::{Value, json};

fn post(server: &Server, path: &str, body: &Value) -> (String, Value) {
    let (head, body) = server.post(path, &body.to_string());
    let value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    (head, value)
}

#[test]
fn several_answers_in_one_response() {
    let server = Server::start(FakeNode::default());
    let chat = json!({"messages": [{"role": "user", "content": "hi"}], "n": 3});
    let (head, body) = post(&server, "/v1/chat/completions", &chat);
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(head.contains("x-talkoot-job: j0b"));
    let choices = body["choices"].as_array().unwrap();
    for (index, choice) in choices.iter().enumerate() {
        assert_eq!(choice["index"], index);
        assert_eq!(choice["message"]["content"], "Hé");
        assert_eq!(choice["logprobs"], Value::Null);
    }
    assert_eq!(
        (choices.len(), &body["usage"]["total_tokens"]),
        (3, &json!(18))
    );
    assert_eq!(body["talkoot"]["others"].as_array().unwrap().len(), 2);
    let texts = json!({"prompt": ["a", "b"], "n": 2});
    let (_, body) = post(&server, "/v1/completions", &texts);
    assert_eq!(body["choices"].as_array().unwrap().len(), 4);
    assert_eq!(body["choices"][3]["text"], "Hé");
    assert_eq!(body["usage"]["credits"]["spent"], 2400);
}

#[test]
fn what_may_have_been_billed_is_not_tried_again() {
    let server = Server::start(FakeNode::lost());
    for (path, body) in [
        (
            "/v1/chat/completions",
            json!({"messages": [{"role": "user", "content": "hi"}]}),
        ),
        ("/v1/completions", json!({"prompt": "a"})),
        ("/v1/responses", json!({"input": "a"})),
    ] {
        let (head, body) = post(&server, path, &body);
        assert!(head.starts_with("http/1.1 500"), "{path}: {head}");
        assert!(head.contains("x-should-retry: false"), "{path}: {head}");
        assert_eq!(body["error"]["code"], "internal");
    }
}

#[test]
fn tokens_and_texts_in_the_shapes_of_vllm() {
    let server = Server::start(FakeNode::default());
    let text = json!({"prompt": "ab", "add_special_tokens": false});
    let (_, body) = post(&server, "/tokenize", &text);
    let expected = json!({
        "count": 2, "max_model_len": 64, "tokens": [97, 98], "token_strs": null,
    });
    assert_eq!(body, expected);
    let text = json!({"prompt": "ab", "return_token_strs": true});
    let (_, body) = post(&server, "/tokenize", &text);
    assert_eq!(body["token_strs"], json!(["a", "b"]));
    let (head, body) = post(&server, "/tokenize", &json!({"model": "demo"}));
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert_eq!(body["error"]["param"], "prompt");
    // The fake has no template.
    let chat = json!({"messages": [{"role": "user", "content": "a"}]});
    let (head, body) = post(&server, "/tokenize", &chat);
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert_eq!(body["error"]["code"], "unsupported_parameter");
    let (_, body) = post(&server, "/detokenize", &json!({"tokens": [97, 98]}));
    assert_eq!(body, json!({"prompt": "ab"}));
    let (_, body) = server.get("/tokenizer_info?model=demo");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (&body["eos_token"], &body["vocab_size"]),
        (&json!("</s>"), &json!(256))
    );
}

#[test]
fn embeddings_are_refused_once() {
    let server = Server::start(FakeNode::default());
    let (head, body) = post(&server, "/v1/embeddings", &json!({"input": "a"}));
    assert!(head.starts_with("http/1.1 400"), "{head}");
    assert_eq!(body["error"]["code"], "embeddings_unsupported");
}

#[test]
fn odd_bodies_are_the_clients_fault() {
    let server = Server::start(FakeNode::default());
    let paths = [
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/responses",
        "/tokenize",
        "/detokenize",
    ];
    let bodies = [
        "",
        "null",
        "[]",
        "0",
        "\"x\"",
        "{}",
        "{\"model\": 5}",
        "{\"prompt\": {\"a\": NaN}}",
        "{\"prompt\": [-1], \"tokens\": [1e99], \"messages\": 3, \"input\": 4}",
        "{\"prompt\": null, \"tokens\": null, \"messages\": null, \"input\": null}",
        "{\"input\": [{\"type\": \"image\"}], \"messages\": [{}], \"tokens\": [[]]}",
    ];
    for path in paths {
        for body in bodies {
            let (head, answer) = server.post(path, body);
            assert!(head.starts_with("http/1.1 400"), "{path} {body}: {head}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            assert!(answer["error"]["message"].is_string(), "{path} {body}");
        }
    }
}
