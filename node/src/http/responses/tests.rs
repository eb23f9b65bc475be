//! Golden streams of responses, and what requests become.

use super::*;
use crate::api::{AskError, ErrorCode, Prompt};
use crate::http::chat::tests::events;
use crate::http::several::Part;
use crate::http::sse::Encoder;
use serde_json::json;

fn parse(body: &Value) -> ResponseOrder {
    ResponseRequest::parse(body.to_string().as_bytes()).unwrap()
}

/// Names and data of a stream.
fn stream(body: &Value, events: Vec<AskEvent>) -> Vec<(String, Value)> {
    let order = parse(body);
    let head = Head {
        job: "j0b".to_owned(),
        model: "demo".to_owned(),
        created: 5,
    };
    let reader = order.tools.reader();
    let mut encoder = ResponseStream::new(Response::new(head, order.asked), reader);
    let mut out = String::new();
    for event in events {
        encoder.encode(Part { index: 0, event }, &mut out);
    }
    encoder.end(&mut out);
    out.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let name = name.strip_prefix("event: ").unwrap().to_owned();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            (name, data)
        })
        .collect()
}

fn names(events: &[(String, Value)]) -> Vec<&str> {
    for (number, (name, data)) in events.iter().enumerate() {
        assert_eq!(data["sequence_number"], number);
        assert_eq!(data["type"], *name);
    }
    events.iter().map(|(name, _)| name.as_str()).collect()
}

#[test]
fn events_of_a_text_in_their_order() {
    let events = stream(&json!({"input": "hi"}), events());
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[4].1["delta"], "Hé");
    let response = &events[8].1["response"];
    assert_eq!(response["id"], "resp_j0b");
    let item = json!({
        "type": "message", "id": "msg_j0b_0", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": "Hé", "annotations": []}],
    });
    assert_eq!(response["output"], json!([item]));
    assert_eq!(response["usage"]["input_tokens"], 4);
    assert_eq!(response["usage"]["credits"]["spent"], 600);
    assert_eq!(response["talkoot"]["job"], "j0b");
}

#[test]
fn a_call_is_an_item_of_its_own() {
    let tool = json!({"type": "function", "name": "now", "parameters": {}});
    let mut answer = events();
    answer.truncate(1);
    answer.push(AskEvent::Delta {
        text: "Hm. <tool_call>{\"name\": \"now\"}</tool_call>".to_owned(),
        tokens: Vec::new(),
    });
    answer.push(events().pop().unwrap());
    let events = stream(&json!({"input": "hi", "tools": [tool]}), answer);
    let expected = [
        "response.output_item.added",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(names(&events)[8..], expected);
    let item = json!({
        "type": "function_call", "id": "fc_j0b_1", "call_id": "call_j0b1", "name": "now",
        "arguments": "{}", "status": "completed",
    });
    assert_eq!(events[12].1["response"]["output"][1], item);
}

#[test]
fn a_lost_hop_is_a_failed_response() {
    let mut broken = events();
    broken.truncate(2);
    let error = AskError::new(ErrorCode::StageFailed, "bb went away");
    broken.push(AskEvent::Failed(error));
    let events = stream(&json!({"input": "hi"}), broken);
    assert_eq!(names(&events).last(), Some(&"response.failed"));
    let response = &events.last().unwrap().1["response"];
    assert_eq!(response["error"]["code"], "stage_failed");
    assert_eq!(response["status"], "failed");
}

#[test]
fn items_become_a_chat() {
    let order = parse(&json!({
        "instructions": "be kind", "max_output_tokens": 7, "store": true,
        "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "time?"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "c", "name": "now", "arguments": "{\"a\":1}"},
            {"type": "function_call_output", "call_id": "c", "output": "12:00"},
        ],
        "text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": "object"}}},
    }));
    let Prompt::Chat(chat) = order.request.prompt else {
        panic!("a chat");
    };
    let roles: Vec<_> = chat.iter().map(|message| message.role.as_str()).collect();
    assert_eq!(roles, ["system", "user", "assistant", "tool"]);
    assert_eq!(
        chat[2].tool_calls[0]["function"]["arguments"],
        json!({"a": 1})
    );
    assert!(order.request.grammar.is_some());
    assert_eq!(order.request.completion_tokens_max, Some(7));
}

#[test]
fn what_would_need_a_memory_is_refused() {
    for (extra, param) in [
        (
            json!({"previous_response_id": "resp_1"}),
            "previous_response_id",
        ),
        (json!({"conversation": "conv_1"}), "conversation"),
        (json!({"background": true}), "background"),
        (json!({"tools": [{"type": "web_search"}]}), "tools"),
        (json!({"max_output_tokens": 0}), "max_output_tokens"),
        (json!({"input": []}), "input"),
    ] {
        let mut body = json!({"input": "hi"});
        for (key, value) in extra.as_object().unwrap() {
            body[key] = value.clone();
        }
        let error = ResponseRequest::parse(body.to_string().as_bytes()).unwrap_err();
        assert_eq!(error.body()["error"]["param"], param, "{extra}");
    }
}
