//! `POST /v1/responses`: OpenAI's newer shape, without a memory.
//!
//! Every request carries its whole conversation; what would need one kept here
//! is refused. `store` is accepted and nothing is stored. On this path events
//! have names: they are its protocol.

mod request;
mod stream;

use super::NodeApi;
use super::asking::Asking;
use super::chat::call_id;
use super::errors::{HttpError, body_error};
use super::several::Several;
use super::shapes::{self, Head, Receipt};
use super::sse;
use super::tools::{CallReader, Said};
use crate::api::{AskDone, AskEvent};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response as HttpResponse};
use request::ResponseOrder;
pub(crate) use request::ResponseRequest;
use serde::Serialize;
use serde_json::Value;
use stream::ResponseStream;

/// Answers an input.
pub(crate) async fn respond<N: NodeApi>(
    node: Asking<N>,
    body: Result<Bytes, BytesRejection>,
) -> Result<HttpResponse, HttpError> {
    let body = body.map_err(|rejection| body_error(&rejection))?;
    answer(&node, ResponseRequest::parse(&body)?).await
}

async fn answer<N: NodeApi>(node: &N, mut order: ResponseOrder) -> Result<HttpResponse, HttpError> {
    if order.tools.is_forced() {
        let has_tags = shapes::writes_tags(node, order.request.model.clone()).await?;
        order.tools.force(&mut order.request, has_tags);
    }
    let mut parts = Several::ask(node, vec![order.request]);
    let (first, head) = shapes::begin(&mut parts).await?;
    let job = head.job.clone();
    let reader = order.tools.reader();
    let response = Response::new(head, order.asked);
    let answered = if order.stream {
        sse::stream(first, parts, ResponseStream::new(response, reader))
    } else {
        Json(collect(parts, response, reader).await?).into_response()
    };
    Ok(shapes::with_job(answered, &job))
}

async fn collect(
    mut parts: Several,
    mut response: Response,
    mut reader: CallReader,
) -> Result<Response, HttpError> {
    let mut all: Vec<Said> = Vec::new();
    while let Some(part) = parts.next().await {
        match part.event {
            AskEvent::Delta { text, .. } => all.extend(reader.push(&text)),
            AskEvent::Done(done) => {
                all.extend(reader.finish());
                response.complete(&done);
            }
            AskEvent::Failed(error) => return Err(shapes::failed(&error, &parts)),
            AskEvent::Routed { .. } | AskEvent::Prompt { .. } => {}
        }
    }
    for said in all {
        response.say(said);
    }
    response.close();
    Ok(response)
}

/// What a request asked for, given back with every response.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
struct Asked {
    instructions: Option<String>,
    max_output_tokens: Option<u32>,
    temperature: f32,
    top_p: f32,
    parallel_tool_calls: bool,
    tool_choice: Value,
    tools: Vec<Value>,
    text: Value,
    metadata: Value,
}

/// A response, whole or in the making.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Response {
    id: String,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    error: Option<Failure>,
    incomplete_details: Option<Incomplete>,
    model: String,
    output: Vec<Item>,
    previous_response_id: Option<String>,
    store: bool,
    truncation: &'static str,
    usage: Option<Usage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    talkoot: Option<Receipt>,
    #[serde(flatten)]
    asked: Asked,
    #[serde(skip)]
    job: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ResponseError)]
struct Failure {
    code: String,
    message: String,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
struct Incomplete {
    reason: &'static str,
}

/// A piece of the output.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = OutputItem)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Item {
    /// Text.
    Message {
        id: String,
        status: &'static str,
        role: &'static str,
        content: Vec<Content>,
    },
    /// A call of a tool.
    FunctionCall {
        id: String,
        call_id: String,
        name: String,
        arguments: String,
        status: &'static str,
    },
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = OutputContent)]
struct Content {
    r#type: &'static str,
    text: String,
    annotations: Vec<Value>,
}

impl Content {
    fn new(text: String) -> Self {
        Self {
            r#type: "output_text",
            text,
            annotations: Vec::new(),
        }
    }
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = ResponseUsage)]
struct Usage {
    input_tokens: u32,
    input_tokens_details: InputDetails,
    output_tokens: u32,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
    credits: shapes::Credits,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
struct InputDetails {
    cached_tokens: u32,
}

#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
struct OutputDetails {
    reasoning_tokens: u32,
}

impl Response {
    fn new(head: Head, asked: Asked) -> Self {
        Self {
            id: format!("resp_{}", head.job),
            object: "response",
            created_at: head.created,
            status: "in_progress",
            error: None,
            incomplete_details: None,
            model: head.model,
            output: Vec::new(),
            previous_response_id: None,
            store: false,
            truncation: "disabled",
            usage: None,
            talkoot: None,
            asked,
            job: head.job,
        }
    }

    /// An empty item that text or a call goes into.
    fn open(&mut self, said: &Said) {
        let number = self.output.len();
        self.output.push(match said {
            Said::Text(_) => Item::Message {
                id: format!("msg_{}_{number}", self.job),
                status: "in_progress",
                role: "assistant",
                content: Vec::new(),
            },
            Said::Call(call) => Item::FunctionCall {
                id: format!("fc_{}_{number}", self.job),
                call_id: call_id(&self.job, number),
                name: call.name.clone(),
                arguments: String::new(),
                status: "in_progress",
            },
        });
    }

    /// Whether `said` goes on with the last item.
    fn continues(&self, said: &Said) -> bool {
        let is_message = matches!(self.output.last(), Some(Item::Message { .. }));
        is_message && matches!(said, Said::Text(_))
    }

    /// Adds a piece to the output.
    fn say(&mut self, said: Said) {
        if !self.continues(&said) {
            self.close();
            self.open(&said);
        }
        self.add(said);
    }

    /// Adds a piece to the last item.
    fn add(&mut self, said: Said) {
        match (self.output.last_mut(), said) {
            (Some(Item::Message { content, .. }), Said::Text(text)) => match content.last_mut() {
                Some(content) => content.text.push_str(&text),
                None => content.push(Content::new(text)),
            },
            (Some(Item::FunctionCall { arguments, .. }), Said::Call(call)) => {
                *arguments = call.arguments;
            }
            _ => {}
        }
    }

    /// Ends the last item.
    fn close(&mut self) {
        match self.output.last_mut() {
            Some(Item::Message { status, .. } | Item::FunctionCall { status, .. }) => {
                *status = "completed";
            }
            None => {}
        }
    }

    fn complete(&mut self, done: &AskDone) {
        self.status = "completed";
        if done.finish == "length" {
            self.status = "incomplete";
            let reason = "max_output_tokens";
            self.incomplete_details = Some(Incomplete { reason });
        }
        self.talkoot = Some(Receipt::of(done));
        self.usage = Some(Usage {
            input_tokens: done.prompt_tokens,
            input_tokens_details: InputDetails { cached_tokens: 0 },
            output_tokens: done.completion_tokens,
            output_tokens_details: OutputDetails {
                reasoning_tokens: 0,
            },
            total_tokens: u64::from(done.prompt_tokens) + u64::from(done.completion_tokens),
            credits: shapes::Credits {
                reserved: done.held_ugft,
                spent: done.burned_ugft,
                unit: "uGFT",
            },
        });
    }
}

#[cfg(test)]
mod tests;
