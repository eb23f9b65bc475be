//! `POST /v1/chat/completions`: OpenAI's answer shapes out of the node's events.
//!
//! Several answers run at the same time and share one stream. Errors before the
//! first event become a status: nothing was billed yet.

mod request;
mod stream;

use super::NodeApi;
use super::asking::Asking;
use super::errors::{HttpError, body_error};
use super::sampling::repeated;
use super::several::Several;
use super::shapes::{self, Head, Receipt, Usage};
use super::sse;
use super::tools::{Call, Said};
use crate::api::{AskEvent, TokenView};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use request::ChatOrder;
pub(crate) use request::{ChatRequest, Message, messages};
use serde::Serialize;
use stream::{Answer, ChatStream};

/// Answers a chat.
pub(crate) async fn complete<N: NodeApi>(
    node: Asking<N>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, HttpError> {
    let body = body.map_err(|rejection| body_error(&rejection))?;
    answer(&node, ChatRequest::parse(&body)?).await
}

async fn answer<N: NodeApi>(node: &N, mut order: ChatOrder) -> Result<Response, HttpError> {
    if order.tools.is_forced() {
        let has_tags = shapes::writes_tags(node, order.request.model.clone()).await?;
        order.tools.force(&mut order.request, has_tags);
    }
    let requests = repeated(&order.request, order.answers).collect();
    let mut answers = Several::ask(node, requests);
    let (first, head) = shapes::begin(&mut answers).await?;
    let job = head.job.clone();
    let readers = (0..order.answers).map(|_| Answer::new(order.tools.reader()));
    let response = match order.streaming {
        Some(options) => {
            let encoder = ChatStream::new(head, readers.collect(), options);
            sse::stream(first, answers, encoder)
        }
        None => Json(collect(answers, readers.collect(), head).await?).into_response(),
    };
    Ok(shapes::with_job(response, &job))
}

/// The whole answer at once.
async fn collect(
    mut parts: Several,
    mut answers: Vec<Answer>,
    head: Head,
) -> Result<Completion, HttpError> {
    let mut usage = Usage::default();
    while let Some(part) = parts.next().await {
        if let AskEvent::Failed(error) = &part.event {
            return Err(shapes::failed(error, &parts));
        }
        if let Some(answer) = answers.get_mut(part.index) {
            answer.take(part.event, &mut usage);
        }
    }
    let receipts = answers.iter().filter_map(Answer::receipt).collect();
    let choices = answers.into_iter().enumerate();
    Ok(Completion {
        id: format!("chatcmpl-{}", head.job),
        object: "chat.completion",
        created: head.created,
        model: head.model,
        system_fingerprint: None,
        choices: choices
            .map(|(index, answer)| answer.choice(index))
            .collect(),
        usage,
        talkoot: Receipt::of_all(receipts),
    })
}

/// A whole answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChatCompletion)]
pub(crate) struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    system_fingerprint: Option<String>,
    choices: Vec<Choice>,
    usage: Usage,
    talkoot: Option<Receipt>,
}

/// One of its choices.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChatChoice)]
pub(crate) struct Choice {
    index: usize,
    message: Spoken,
    logprobs: Option<Logprobs>,
    finish_reason: String,
}

/// What was said.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChatMessageOut)]
struct Spoken {
    role: &'static str,
    content: Option<String>,
    refusal: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}

impl Answer {
    fn choice(self, index: usize) -> Choice {
        let mut content = String::new();
        let mut tool_calls = Vec::new();
        for said in &self.said {
            match said {
                Said::Text(text) => content.push_str(text),
                Said::Call(call) => {
                    tool_calls.push(ToolCall::new(&self.job, tool_calls.len(), call))
                }
            }
        }
        let is_call = !tool_calls.is_empty() && content.is_empty();
        Choice {
            index,
            logprobs: logprobs(&self.tokens),
            finish_reason: self.finish_reason().to_owned(),
            message: Spoken {
                role: "assistant",
                content: (!is_call).then_some(content),
                refusal: None,
                tool_calls,
            },
        }
    }
}

/// A call of a tool, whole.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct ToolCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<usize>,
    id: String,
    r#type: &'static str,
    function: FunctionCall,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct FunctionCall {
    name: String,
    arguments: String,
}

impl ToolCall {
    /// The call `index` of the answer that `job` makes.
    pub(crate) fn new(job: &str, index: usize, call: &Call) -> Self {
        Self {
            index: None,
            id: call_id(job, index),
            r#type: "function",
            function: FunctionCall {
                name: call.name.clone(),
                arguments: call.arguments.clone(),
            },
        }
    }

    /// As a piece of a stream.
    fn delta(self, index: usize) -> Self {
        Self {
            index: Some(index),
            ..self
        }
    }
}

/// Unlike any other call's; clients allow 40 characters.
pub(crate) fn call_id(job: &str, index: usize) -> String {
    let beginning: String = job.chars().take(24).collect();
    format!("call_{beginning}{index}")
}

/// Log-probabilities of an answer.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ChatLogprobs)]
pub(crate) struct Logprobs {
    content: Vec<TokenLogprob>,
    refusal: Option<Vec<TokenLogprob>>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TokenLogprob {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
    top_logprobs: Vec<TopLogprob>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
struct TopLogprob {
    token: String,
    logprob: f32,
    bytes: Vec<u8>,
}

/// None unless some token has a log-probability.
pub(crate) fn logprobs(tokens: &[TokenView]) -> Option<Logprobs> {
    let bytes_of = |bytes: &[u8], text: &str| match bytes {
        [] => text.as_bytes().to_vec(),
        bytes => bytes.to_vec(),
    };
    let one = |token: &TokenView| {
        let top = token.top.iter().map(|top| TopLogprob {
            token: top.text.clone(),
            logprob: top.logprob,
            bytes: bytes_of(&top.bytes, &top.text),
        });
        Some(TokenLogprob {
            token: token.text.clone(),
            logprob: token.logprob?,
            bytes: bytes_of(&token.bytes, &token.text),
            top_logprobs: top.collect(),
        })
    };
    let content: Vec<TokenLogprob> = tokens.iter().filter_map(one).collect();
    (!content.is_empty()).then_some(Logprobs {
        content,
        refusal: None,
    })
}

#[cfg(test)]
pub(crate) mod tests;
