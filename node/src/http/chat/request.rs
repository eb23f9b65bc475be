//! What a chat completion request may say, and how it becomes [`AskRequest`]s.
//!
//! What we know and cannot do is refused by name, never dropped in silence: a
//! client that asked for JSON must not get prose.

use crate::api::{AskRequest, ChatMessage, Prompt};
use crate::http::errors::HttpError;
use crate::http::sampling::{
    Sampling, StreamOptions, TOP_LOGPROBS_MAX, grammar, invalid, parse, unsupported,
};
use crate::http::tools::{Choice, Function, Tools};
use serde::Deserialize;
use serde_json::{Value, json};

/// The body of `POST /v1/chat/completions`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ChatRequest {
    messages: Vec<Message>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    logprobs: Option<bool>,
    top_logprobs: Option<u8>,
    tools: Option<Vec<Tool>>,
    #[serde(default)]
    tool_choice: Value,
    functions: Option<Vec<Value>>,
    #[serde(default)]
    response_format: Value,
    modalities: Option<Vec<String>>,
    #[serde(flatten)]
    sampling: Sampling,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = ChatTool)]
struct Tool {
    r#type: String,
    function: Option<Function>,
}

/// One message.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = ChatMessageIn)]
pub(crate) struct Message {
    role: String,
    content: Option<Content>,
    tool_calls: Option<Vec<CallMade>>,
    tool_call_id: Option<String>,
    name: Option<String>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = ToolCallIn)]
struct CallMade {
    id: Option<String>,
    function: FunctionMade,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = FunctionCallIn)]
struct FunctionMade {
    name: String,
    #[serde(default)]
    arguments: Value,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = ChatContent)]
#[serde(untagged)]
enum Content {
    Text(String),
    Parts(Vec<Part>),
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = ChatPart)]
struct Part {
    r#type: String,
    text: Option<String>,
}

/// A checked request.
#[derive(Debug)]
pub(crate) struct ChatOrder {
    /// What to ask.
    pub(crate) request: AskRequest,
    /// How often.
    pub(crate) answers: u32,
    /// What the model may call.
    pub(crate) tools: Tools,
    /// Whether to stream, and with which usage.
    pub(crate) streaming: Option<StreamOptions>,
}

impl ChatRequest {
    /// Reads and checks a body.
    pub(crate) fn parse(body: &[u8]) -> Result<ChatOrder, HttpError> {
        let request: Self = parse(body)?;
        request.refuse_unsupported()?;
        request.into_order()
    }

    fn refuse_unsupported(&self) -> Result<(), HttpError> {
        let functions = self.functions.as_ref().is_some_and(|list| !list.is_empty());
        if functions {
            return Err(unsupported("functions", "functions are called tools now"));
        }
        let modal = self
            .modalities
            .as_ref()
            .is_some_and(|list| list.iter().any(|modality| modality != "text"));
        if modal {
            return Err(unsupported("modalities", "this node answers with text"));
        }
        Ok(())
    }

    fn into_order(self) -> Result<ChatOrder, HttpError> {
        let streaming = self.sampling.streaming();
        let answers = self.sampling.answers()?;
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
        let functions = self.tools.unwrap_or_default().into_iter().map(function);
        let functions = functions.collect::<Result<_, _>>()?;
        let tools = Tools::new(functions, &Choice::read(&self.tool_choice)?)?;
        let format = grammar(
            "response_format",
            &self.response_format,
            "/json_schema/schema",
        )?;
        let prompt = Prompt::Chat(messages(self.messages)?);
        let mut request = AskRequest {
            completion_tokens_max,
            logprobs,
            top_logprobs,
            grammar: format,
            ..self.sampling.into_ask(prompt)?
        };
        tools.show(&mut request)?;
        Ok(ChatOrder {
            request,
            answers,
            tools,
            streaming,
        })
    }
}

fn function(tool: Tool) -> Result<Function, HttpError> {
    match (tool.r#type.as_str(), tool.function) {
        ("function", Some(function)) => Ok(function),
        (kind, _) => Err(HttpError::bad_request(
            "unsupported_value",
            Some("tools"),
            format!("tools have type \"function\" and a function, not {kind:?}"),
        )),
    }
}

/// The messages of a chat, checked.
///
/// # Errors
/// For none, and for roles and parts that are not known.
pub(crate) fn messages(messages: Vec<Message>) -> Result<Vec<ChatMessage>, HttpError> {
    if messages.is_empty() {
        return Err(invalid("messages", "messages is empty"));
    }
    messages.into_iter().map(message).collect()
}

fn message(message: Message) -> Result<ChatMessage, HttpError> {
    let role = match message.role.as_str() {
        "developer" => "system".to_owned(),
        "system" | "user" | "assistant" | "tool" => message.role,
        other => {
            return Err(HttpError::bad_request(
                "unsupported_value",
                Some("messages"),
                format!("the role {other:?} is not supported; use system, user, assistant or tool"),
            ));
        }
    };
    let content = match message.content {
        None => String::new(),
        Some(Content::Text(text)) => text,
        Some(Content::Parts(parts)) => text_of(parts)?,
    };
    let calls = message.tool_calls.unwrap_or_default();
    if role != "assistant" && !calls.is_empty() {
        return Err(invalid("messages", "only an assistant has tool_calls"));
    }
    Ok(ChatMessage {
        role,
        content,
        tool_calls: calls.into_iter().map(call_made).collect::<Result<_, _>>()?,
        tool_call_id: message.tool_call_id,
        name: message.name,
    })
}

/// Clients send arguments as text, templates want them as an object.
fn call_made(call: CallMade) -> Result<Value, HttpError> {
    let arguments = match call.function.arguments {
        Value::String(text) => serde_json::from_str(&text)
            .map_err(|error| invalid("messages", format!("arguments of a call: {error}")))?,
        Value::Null => json!({}),
        other => other,
    };
    if !arguments.is_object() {
        return Err(invalid("messages", "arguments of a call are a JSON object"));
    }
    Ok(json!({
        "id": call.id,
        "type": "function",
        "function": {"name": call.function.name, "arguments": arguments},
    }))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Grammar;
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
        assert!(order.streaming.is_none());
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
        assert!(order.streaming.unwrap().include_usage);
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
    fn formats_biases_and_tools_reach_the_node() {
        let tool = json!({"type": "function", "function": {"name": "now", "parameters": {}}});
        let order = parse(&json!({
            "n": 3, "seed": 7, "logit_bias": {"5": -1.5}, "tools": [tool],
            "messages": [
                {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function",
                    "function": {"name": "now", "arguments": "{\"zone\": 1}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "12:00"},
            ],
        }))
        .unwrap();
        assert_eq!(order.answers, 3);
        assert_eq!(order.request.logit_bias, [(5, -1.5)]);
        assert_eq!(order.request.tools, [tool]);
        let Prompt::Chat(messages) = order.request.prompt else {
            panic!("a chat");
        };
        let arguments = &messages[0].tool_calls[0]["function"]["arguments"];
        assert_eq!(*arguments, json!({"zone": 1}));
        assert_eq!(messages[1].tool_call_id.as_deref(), Some("call_1"));
        let format = json!({"type": "json_schema", "json_schema": {"schema": {"type": "string"}}});
        let order = parse(&json!({"response_format": format})).unwrap();
        let schema = Grammar::JsonSchema("{\"type\":\"string\"}".to_owned());
        assert_eq!(order.request.grammar, Some(schema));
    }

    #[test]
    fn what_we_cannot_do_is_refused_by_name() {
        for (extra, param) in [
            (json!({"n": 9}), "n"),
            (json!({"n": 0}), "n"),
            (json!({"tools": [{"type": "web"}]}), "tools"),
            (json!({"functions": [{}]}), "functions"),
            (json!({"tool_choice": "required"}), "tool_choice"),
            (
                json!({"response_format": {"type": "xml"}}),
                "response_format",
            ),
            (
                json!({"response_format": {"type": "json_schema"}}),
                "response_format",
            ),
            (
                json!({"response_format": {"type": "json_schema",
                    "json_schema": {"schema": {"title": "x".repeat(70_000)}}}}),
                "response_format",
            ),
            (
                json!({"response_format": {"type": "json_object"}, "tools": [
                    {"type": "function", "function": {"name": "now"}}]}),
                "response_format",
            ),
            (json!({"logit_bias": {"5": 101}}), "logit_bias"),
            (json!({"logit_bias": {"five": 1}}), "logit_bias"),
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
                json!({"messages": [{"role": "robot", "content": "x"}]}),
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
