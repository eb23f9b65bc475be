//! What a request for a response may say, and how it becomes an [`AskRequest`].

use super::Asked;
use crate::api::{AskRequest, ChatMessage, Prompt};
use crate::http::errors::HttpError;
use crate::http::sampling::{Sampling, grammar, invalid, parse, unsupported};
use crate::http::tools::{Choice, Function, Tools};
use serde::Deserialize;
use serde_json::{Value, json};

/// The body of `POST /v1/responses`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct ResponseRequest {
    input: Input,
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    tools: Option<Vec<Value>>,
    #[serde(default)]
    tool_choice: Value,
    parallel_tool_calls: Option<bool>,
    text: Option<TextOptions>,
    #[serde(default)]
    metadata: Value,
    #[serde(default)]
    previous_response_id: Value,
    #[serde(default)]
    conversation: Value,
    background: Option<bool>,
    #[serde(flatten)]
    sampling: Sampling,
}

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
struct TextOptions {
    #[serde(default)]
    format: Value,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Input {
    Text(String),
    Items(Vec<InputItem>),
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct InputItem {
    r#type: Option<String>,
    role: Option<String>,
    content: Option<InputContent>,
    call_id: Option<String>,
    name: Option<String>,
    arguments: Option<String>,
    output: Option<InputContent>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum InputContent {
    Text(String),
    Parts(Vec<InputPart>),
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
struct InputPart {
    r#type: String,
    text: Option<String>,
}

/// A checked request.
#[derive(Debug)]
pub(super) struct ResponseOrder {
    /// What to ask.
    pub(super) request: AskRequest,
    /// What the model may call.
    pub(super) tools: Tools,
    /// Whether to stream.
    pub(super) stream: bool,
    /// What goes back with the response.
    pub(super) asked: Asked,
}

impl ResponseRequest {
    /// Reads and checks a body.
    pub(super) fn parse(body: &[u8]) -> Result<ResponseOrder, HttpError> {
        let request: Self = parse(body)?;
        for (is_there, param) in [
            (
                !request.previous_response_id.is_null(),
                "previous_response_id",
            ),
            (!request.conversation.is_null(), "conversation"),
            (request.background == Some(true), "background"),
        ] {
            if is_there {
                let message = format!("nothing is kept here: send the whole input, not {param}");
                return Err(unsupported(param, message));
            }
        }
        request.into_order()
    }

    fn into_order(self) -> Result<ResponseOrder, HttpError> {
        if self.max_output_tokens == Some(0) {
            return Err(invalid(
                "max_output_tokens",
                "max_output_tokens is at least 1",
            ));
        }
        let stream = self.sampling.stream.unwrap_or(false);
        let tools = self.tools.unwrap_or_default();
        let functions = tools.iter().map(function).collect::<Result<_, _>>()?;
        let checked = Tools::new(functions, &Choice::read(&self.tool_choice)?)?;
        let format = self.text.unwrap_or_default().format;
        let grammar = grammar("text", &format, "/schema")?;
        let prompt = Prompt::Chat(chat(self.instructions.as_deref(), self.input)?);
        let mut request = AskRequest {
            completion_tokens_max: self.max_output_tokens,
            grammar,
            ..self.sampling.into_ask(prompt)?
        };
        checked.show(&mut request)?;
        let or = |value: Value, default: Value| if value.is_null() { default } else { value };
        let asked = Asked {
            instructions: self.instructions,
            max_output_tokens: self.max_output_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            parallel_tool_calls: self.parallel_tool_calls.unwrap_or(true),
            tool_choice: or(self.tool_choice, json!("auto")),
            tools,
            text: json!({"format": or(format, json!({"type": "text"}))}),
            metadata: or(self.metadata, json!({})),
        };
        Ok(ResponseOrder {
            request,
            tools: checked,
            stream,
            asked,
        })
    }
}

/// A tool here is flat: its function is not an object of its own.
fn function(tool: &Value) -> Result<Function, HttpError> {
    if tool.get("type").and_then(Value::as_str) != Some("function") {
        return Err(HttpError::bad_request(
            "unsupported_value",
            Some("tools"),
            "tools have type \"function\"; this node runs none by itself",
        ));
    }
    Function::deserialize(tool).map_err(|error| invalid("tools", error.to_string()))
}

fn chat(instructions: Option<&str>, input: Input) -> Result<Vec<ChatMessage>, HttpError> {
    let message = |role: &str, content: String| ChatMessage {
        role: role.to_owned(),
        content,
        ..ChatMessage::default()
    };
    let mut chat: Vec<ChatMessage> = instructions
        .map(|text| message("system", text.to_owned()))
        .into_iter()
        .collect();
    match input {
        Input::Text(text) => chat.push(message("user", text)),
        Input::Items(items) if items.is_empty() => return Err(invalid("input", "input is empty")),
        Input::Items(items) => {
            for item in items {
                push_item(&mut chat, item)?;
            }
        }
    }
    Ok(chat)
}

fn push_item(chat: &mut Vec<ChatMessage>, item: InputItem) -> Result<(), HttpError> {
    let text_of = |content: Option<InputContent>| content.map_or(Ok(String::new()), text_of);
    match item.r#type.as_deref().unwrap_or("message") {
        "message" => {
            let role = match item.role.as_deref() {
                Some("developer" | "system") => "system",
                Some("user") => "user",
                Some("assistant") => "assistant",
                _ => {
                    return Err(invalid(
                        "input",
                        "a message has a role: system, user, assistant",
                    ));
                }
            };
            chat.push(ChatMessage {
                role: role.to_owned(),
                content: text_of(item.content)?,
                ..ChatMessage::default()
            });
        }
        "function_call" => {
            let text = item.arguments.as_deref().unwrap_or("{}");
            let arguments: serde_json::Map<String, Value> = serde_json::from_str(text)
                .map_err(|error| invalid("input", format!("arguments of a call: {error}")))?;
            let call = json!({
                "id": item.call_id,
                "type": "function",
                "function": {"name": item.name, "arguments": arguments},
            });
            match chat.last_mut() {
                Some(last) if last.role == "assistant" => last.tool_calls.push(call),
                _ => chat.push(ChatMessage {
                    role: "assistant".to_owned(),
                    tool_calls: vec![call],
                    ..ChatMessage::default()
                }),
            }
        }
        "function_call_output" => chat.push(ChatMessage {
            role: "tool".to_owned(),
            content: text_of(item.output)?,
            tool_call_id: item.call_id,
            ..ChatMessage::default()
        }),
        // What a model thought is not shown to it again.
        "reasoning" => {}
        kind => {
            return Err(HttpError::bad_request(
                "unsupported_value",
                Some("input"),
                format!("items of type {kind:?} are not supported"),
            ));
        }
    }
    Ok(())
}

fn text_of(content: InputContent) -> Result<String, HttpError> {
    let parts = match content {
        InputContent::Text(text) => return Ok(text),
        InputContent::Parts(parts) => parts,
    };
    let mut whole = String::new();
    for part in parts {
        match (part.r#type.as_str(), part.text) {
            ("input_text" | "output_text" | "text", Some(text)) => whole.push_str(&text),
            (kind, _) => {
                return Err(HttpError::bad_request(
                    "unsupported_value",
                    Some("input"),
                    format!("content parts of type {kind:?} are not supported; send text"),
                ));
            }
        }
    }
    Ok(whole)
}
