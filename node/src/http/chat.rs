//! `POST /v1/chat/completions`: OpenAI's answer shapes out of [`AskEvent`]s.
//!
//! Stream order: role chunk, deltas, a chunk with the finish reason, the usage
//! chunk if asked for, `[DONE]`. Every chunk has every key that strict clients
//! look for. Route and bill are extra keys on the last chunks: all clients
//! tried skip unknown keys, and none survives named events.

use super::NodeApi;
use super::asking::Asking;
use super::errors::{Dialect, HttpError, body_error};
use super::openai::{ChatOrder, ChatRequest};
use super::sse::{self, Encoder, push_data};
use crate::api::{AskDone, AskError, AskEvent, ErrorCode, TokenView};
use crate::clock;
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// Answers a chat.
pub(crate) async fn complete<N: NodeApi>(
    node: Asking<N>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let order = body
        .map_err(|rejection| body_error(&rejection))
        .and_then(|body| ChatRequest::parse(&body));
    let order = match order {
        Ok(order) => order,
        Err(error) => return error.into_response(),
    };
    match begin(&node, order).await {
        Ok(response) => response,
        Err(error) => HttpError::of_node(&error, Dialect::OpenAi).into_response(),
    }
}

/// Errors before the first event become a status: nothing was billed yet.
async fn begin<N: NodeApi>(node: &N, order: ChatOrder) -> Result<Response, AskError> {
    let mut events = node.ask(order.request).await?;
    let lost = || AskError::new(ErrorCode::Internal, "the node gave the answer up");
    let first = events.recv().await.ok_or_else(lost)?;
    let (job, model) = match &first {
        AskEvent::Routed {
            job, model_name, ..
        } => (job.clone(), model_name.clone()),
        AskEvent::Failed(error) => return Err(error.clone()),
        AskEvent::Prompt { .. } | AskEvent::Delta { .. } | AskEvent::Done(_) => return Err(lost()),
    };
    let head = Head {
        id: format!("chatcmpl-{job}"),
        model,
        created: clock::now_ms() / 1000,
    };
    let mut response = if order.stream {
        sse::stream(first, events, ChatStream::new(head, order.include_usage))
    } else {
        collect(events, head).await?
    };
    if let Ok(value) = HeaderValue::from_str(&job) {
        let name = HeaderName::from_static("x-talkoot-job");
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

/// What is the same in all chunks of one answer.
#[derive(Debug)]
pub(crate) struct Head {
    /// `chatcmpl-<job>`.
    pub(crate) id: String,
    /// Name of the model.
    pub(crate) model: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// The stream's state.
#[derive(Debug)]
pub(crate) struct ChatStream {
    head: Head,
    include_usage: bool,
}

impl ChatStream {
    pub(crate) fn new(head: Head, include_usage: bool) -> Self {
        Self {
            head,
            include_usage,
        }
    }

    fn chunk(&self, choices: Value) -> Value {
        let mut chunk = json!({
            "id": self.head.id,
            "object": "chat.completion.chunk",
            "created": self.head.created,
            "model": self.head.model,
            "system_fingerprint": null,
            "choices": choices,
        });
        if self.include_usage {
            chunk["usage"] = Value::Null;
        }
        chunk
    }

    fn choice(delta: &Value, logprobs: &Value, finish: Option<&str>) -> Value {
        json!([{"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}])
    }

    fn finish(&self, done: &AskDone, out: &mut String) {
        let choice = Self::choice(&json!({}), &Value::Null, Some(&done.finish));
        let mut last = self.chunk(choice);
        last["talkoot"] = receipt(done);
        push_data(out, &last);
        if self.include_usage {
            let mut chunk = self.chunk(json!([]));
            chunk["usage"] = usage(done);
            push_data(out, &chunk);
        }
        out.push_str("data: [DONE]\n\n");
    }
}

impl Encoder for ChatStream {
    fn encode(&mut self, event: AskEvent, out: &mut String) {
        match event {
            AskEvent::Routed { .. } => {
                let role = json!({"role": "assistant", "content": ""});
                push_data(out, &self.chunk(Self::choice(&role, &Value::Null, None)));
            }
            // Chats do not ask for their prompt.
            AskEvent::Prompt { .. } => {}
            AskEvent::Delta { text, tokens } => {
                let logprobs = logprobs(&tokens);
                if !text.is_empty() || !logprobs.is_null() {
                    let choice = Self::choice(&json!({"content": text}), &logprobs, None);
                    push_data(out, &self.chunk(choice));
                }
            }
            AskEvent::Done(done) => self.finish(&done, out),
            AskEvent::Failed(error) => {
                push_data(out, &HttpError::of_node(&error, Dialect::OpenAi).body());
            }
        }
    }
}

/// The whole answer at once.
async fn collect(mut events: mpsc::Receiver<AskEvent>, head: Head) -> Result<Response, AskError> {
    let mut text = String::new();
    let mut tokens = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            AskEvent::Routed { .. } | AskEvent::Prompt { .. } => {}
            AskEvent::Delta {
                text: part,
                tokens: more,
            } => {
                text.push_str(&part);
                tokens.extend(more);
            }
            AskEvent::Failed(error) => return Err(error),
            AskEvent::Done(done) => {
                let completion = completion(&head, &text, &tokens, &done);
                return Ok(Json(completion).into_response());
            }
        }
    }
    Err(AskError::new(
        ErrorCode::Internal,
        "the node stopped in the middle of the answer",
    ))
}

fn completion(head: &Head, text: &str, tokens: &[TokenView], done: &AskDone) -> Value {
    json!({
        "id": head.id,
        "object": "chat.completion",
        "created": head.created,
        "model": head.model,
        "system_fingerprint": null,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": logprobs(tokens),
            "finish_reason": done.finish,
        }],
        "usage": usage(done),
        "talkoot": receipt(done),
    })
}

/// Null unless some token has a log-probability.
fn logprobs(tokens: &[TokenView]) -> Value {
    let content: Vec<Value> = tokens
        .iter()
        .filter_map(|token| {
            let logprob = token.logprob?;
            let top: Vec<Value> = token
                .top
                .iter()
                .map(|top| one_logprob(&top.text, top.logprob))
                .collect();
            let mut one = one_logprob(&token.text, logprob);
            one["top_logprobs"] = Value::Array(top);
            Some(one)
        })
        .collect();
    if content.is_empty() {
        return Value::Null;
    }
    json!({"content": content, "refusal": null})
}

fn one_logprob(text: &str, logprob: f32) -> Value {
    json!({"token": text, "logprob": logprob, "bytes": text.as_bytes()})
}

fn usage(done: &AskDone) -> Value {
    json!({
        "prompt_tokens": done.prompt_tokens,
        "completion_tokens": done.completion_tokens,
        "total_tokens": u64::from(done.prompt_tokens) + u64::from(done.completion_tokens),
        "credits": {
            "spent": done.burned_ugft,
            "reserved": done.held_ugft,
            "unit": "uGFT",
        },
    })
}

fn receipt(done: &AskDone) -> Value {
    json!({"job": done.job, "route": done.stages})
}

#[cfg(test)]
pub(crate) mod tests;
