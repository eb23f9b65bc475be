//! What a chat completion request may say, and how it becomes an
//! [`AskRequest`].
//!
//! Unknown keys are ignored (clients send many). What we know and cannot do is
//! refused by name, never dropped in silence: a client that asked for JSON must
//! not get prose.

use super::errors::HttpError;
use crate::api::{AskRequest, ChatMessage, Prompt};
use serde::Deserialize;
use serde_json::Value;

const STOPS_MAX: usize = 4;
const TOP_LOGPROBS_MAX: u8 = 20;

/// The body of `POST /v1/chat/completions`.
#[derive(Debug, Deserialize)]
pub(crate) struct ChatRequest {
    model: Option<String>,
    messages: Vec<Message>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    temperature: Option<f32>,
    top_p: Option<f32>,
    top_k: Option<u32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
    frequency_penalty: Option<f32>,
    presence_penalty: Option<f32>,
    seed: Option<i64>,
    stop: Option<OneOrMany>,
    n: Option<u32>,
    stream: Option<bool>,
    stream_options: Option<StreamOptions>,
    logprobs: Option<bool>,
    top_logprobs: Option<u8>,
    tools: Option<Vec<Value>>,
    functions: Option<Vec<Value>>,
    response_format: Option<Value>,
    logit_bias: Option<Value>,
    modalities: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    content: Option<Content>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize)]
struct Part {
    r#type: String,
    text: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// A checked request.
#[derive(Debug)]
pub(crate) struct ChatOrder {
    /// What to ask.
    pub(crate) request: AskRequest,
    /// Whether to stream.
    pub(crate) stream: bool,
    /// Whether the stream ends with a usage chunk.
    pub(crate) include_usage: bool,
}

impl ChatRequest {
    /// Reads and checks a body.
    pub(crate) fn parse(body: &[u8]) -> Result<ChatOrder, HttpError> {
        let request: Self = serde_json::from_slice(body).map_err(|error| {
            HttpError::bad_request("invalid_body", None, format!("the body is wrong: {error}"))
        })?;
        request.refuse_unsupported()?;
        let order = ChatOrder {
            stream: request.stream.unwrap_or(false),
            include_usage: request
                .stream_options
                .as_ref()
                .is_some_and(|options| options.include_usage),
            request: request.into_ask()?,
        };
        Ok(order)
    }

    fn refuse_unsupported(&self) -> Result<(), HttpError> {
        if self.n.is_some_and(|n| n != 1) {
            return Err(HttpError::bad_request(
                "unsupported_value",
                Some("n"),
                "only n = 1 is supported; send several requests",
            ));
        }
        let some = |list: &Option<Vec<Value>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let bias = self.logit_bias.as_ref().is_some_and(|bias| match bias {
            Value::Object(map) => !map.is_empty(),
            other => !other.is_null(),
        });
        let format = self.response_format.as_ref().is_some_and(|format| {
            format.get("type").and_then(Value::as_str) != Some("text") && !format.is_null()
        });
        let modal = self
            .modalities
            .as_ref()
            .is_some_and(|list| list.iter().any(|modality| modality != "text"));
        for (present, param) in [
            (some(&self.tools), "tools"),
            (some(&self.functions), "functions"),
            (bias, "logit_bias"),
            (format, "response_format"),
            (modal, "modalities"),
        ] {
            if present {
                return Err(HttpError::bad_request(
                    "unsupported_parameter",
                    Some(param),
                    format!("{param} is not supported by this node"),
                ));
            }
        }
        Ok(())
    }

    fn into_ask(self) -> Result<AskRequest, HttpError> {
        let stop = match self.stop {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => vec![text],
            Some(OneOrMany::Many(texts)) => texts,
        };
        if stop.len() > STOPS_MAX || stop.iter().any(String::is_empty) {
            return Err(invalid("stop", "stop is 1 to 4 texts, none of them empty"));
        }
        let completion_tokens_max = self.max_completion_tokens.or(self.max_tokens);
        if completion_tokens_max == Some(0) {
            return Err(invalid("max_tokens", "max_tokens is at least 1"));
        }
        let top_logprobs = self.top_logprobs.unwrap_or(0);
        let logprobs = self.logprobs.unwrap_or(false);
        if top_logprobs > TOP_LOGPROBS_MAX {
            return Err(invalid("top_logprobs", "top_logprobs is 0 to 20"));
        }
        if top_logprobs > 0 && !logprobs {
            return Err(invalid("top_logprobs", "top_logprobs needs logprobs: true"));
        }
        let penalty = |param, value| within(param, value, -2.0, 2.0, 0.0);
        Ok(AskRequest {
            model: self.model.filter(|model| !model.is_empty()),
            prompt: Prompt::Chat(chat(self.messages)?),
            completion_tokens_max,
            temperature: within("temperature", self.temperature, 0.0, 2.0, 1.0)?,
            top_k: self.top_k.unwrap_or(0),
            top_p: within("top_p", self.top_p, 0.0, 1.0, 1.0)?,
            min_p: within("min_p", self.min_p, 0.0, 1.0, 0.0)?,
            repetition_penalty: within(
                "repetition_penalty",
                self.repetition_penalty,
                0.01,
                10.0,
                1.0,
            )?,
            frequency_penalty: penalty("frequency_penalty", self.frequency_penalty)?,
            presence_penalty: penalty("presence_penalty", self.presence_penalty)?,
            seed: self.seed.map(i64::cast_unsigned),
            stop,
            logprobs,
            top_logprobs,
            ignore_stop_ids: false,
            logit_bias: Vec::new(),
            grammar: None,
            echo: false,
            tools: Vec::new(),
            request_id: None,
        })
    }
}

fn chat(messages: Vec<Message>) -> Result<Vec<ChatMessage>, HttpError> {
    if messages.is_empty() {
        return Err(invalid("messages", "messages is empty"));
    }
    messages.into_iter().map(message).collect()
}

fn message(message: Message) -> Result<ChatMessage, HttpError> {
    let role = match message.role.as_str() {
        "developer" => "system".to_owned(),
        "system" | "user" | "assistant" => message.role,
        other => {
            return Err(HttpError::bad_request(
                "unsupported_value",
                Some("messages"),
                format!("the role {other:?} is not supported; use system, user or assistant"),
            ));
        }
    };
    let content = match message.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => text_of(parts)?,
    };
    Ok(ChatMessage {
        role,
        content,
        ..ChatMessage::default()
    })
}

fn text_of(parts: Vec<Part>) -> Result<String, HttpError> {
    let mut whole = String::new();
    for part in parts {
        match (part.r#type.as_str(), part.text) {
            ("text", Some(text)) => whole.push_str(&text),
            (kind, _) => {
                return Err(HttpError::bad_request(
                    "unsupported_value",
                    Some("messages"),
                    format!("content parts of type {kind:?} are not supported; send text"),
                ));
            }
        }
    }
    Ok(whole)
}

fn within(
    param: &'static str,
    value: Option<f32>,
    low: f32,
    high: f32,
    default: f32,
) -> Result<f32, HttpError> {
    let value = value.unwrap_or(default);
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(invalid(
        param,
        format!("{param} is a number from {low} to {high}"),
    ))
}

fn invalid(param: &'static str, message: impl Into<String>) -> HttpError {
    HttpError::bad_request("invalid_value", Some(param), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use serde_json::json;

    fn parse(extra: &Value) -> Result<ChatOrder, Value> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
        for (key, value) in extra.as_object().unwrap() {
            body[key] = value.clone();
        }
        ChatRequest::parse(body.to_string().as_bytes()).map_err(|error| {
            assert_eq!(error.clone().into_response().status(), 400);
            error.body()["error"].clone()
        })
    }

    #[test]
    fn defaults_are_those_of_openai() {
        let order = parse(&json!({})).unwrap();
        assert!(!order.stream && !order.include_usage);
        let request = order.request;
        assert_eq!((request.temperature, request.top_p), (1.0, 1.0));
        assert_eq!(request.completion_tokens_max, None);
        assert_eq!(request.seed, None);
    }

    #[test]
    fn both_names_of_the_limit_and_both_forms_of_stop_and_content() {
        let order = parse(&json!({
            "max_tokens": 5, "max_completion_tokens": 7, "stop": "x", "seed": -1,
            "stream": true, "stream_options": {"include_usage": true},
            "messages": [
                {"role": "developer", "content": "be kind"},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": null},
            ],
            "somebody_elses_key": {"x": 1},
        }))
        .unwrap();
        assert!(order.stream && order.include_usage);
        let request = order.request;
        assert_eq!(request.completion_tokens_max, Some(7));
        assert_eq!(request.stop, ["x"]);
        assert_eq!(request.seed, Some(u64::MAX));
        let Prompt::Chat(messages) = request.prompt else {
            panic!("a chat");
        };
        let texts: Vec<_> = messages
            .iter()
            .map(|m| (m.role.as_str(), m.content.as_str()))
            .collect();
        assert_eq!(
            texts,
            [("system", "be kind"), ("user", "ab"), ("assistant", "")]
        );
    }

    #[test]
    fn what_we_cannot_do_is_refused_by_name() {
        for (extra, param) in [
            (json!({"n": 2}), "n"),
            (json!({"tools": [{}]}), "tools"),
            (
                json!({"response_format": {"type": "json_object"}}),
                "response_format",
            ),
            (json!({"logit_bias": {"5": 1}}), "logit_bias"),
            (json!({"modalities": ["audio"]}), "modalities"),
            (json!({"temperature": 2.1}), "temperature"),
            (json!({"top_p": -0.1}), "top_p"),
            (json!({"max_tokens": 0}), "max_tokens"),
            (json!({"stop": ["a", "b", "c", "d", "e"]}), "stop"),
            (json!({"stop": ""}), "stop"),
            (json!({"top_logprobs": 3}), "top_logprobs"),
            (
                json!({"logprobs": true, "top_logprobs": 21}),
                "top_logprobs",
            ),
            (json!({"presence_penalty": 3}), "presence_penalty"),
            (json!({"messages": []}), "messages"),
            (
                json!({"messages": [{"role": "tool", "content": "x"}]}),
                "messages",
            ),
            (
                json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
                "messages",
            ),
        ] {
            let error = parse(&extra).unwrap_err();
            assert_eq!(error["param"], param, "{extra}");
            assert_eq!(error["type"], "invalid_request_error");
        }
        for fine in [
            json!({"n": 1, "tools": [], "response_format": {"type": "text"}, "logit_bias": {}}),
            json!({"tools": null, "response_format": null, "logit_bias": null, "stop": null}),
        ] {
            parse(&fine).unwrap();
        }
        assert!(ChatRequest::parse(b"{").is_err());
        assert!(ChatRequest::parse(b"[]").is_err());
    }
}
