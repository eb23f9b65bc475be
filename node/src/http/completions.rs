//! `POST /v1/completions`: text continued as it is, from texts or token ids.
//!
//! Each prompt of a list and each of `n` is an answer of its own; choices are
//! numbered prompt by prompt. With `echo` the prompt is part of the text, with
//! `logprobs` its tokens have log-probabilities, the first one null: what an
//! evaluation of likelihoods needs.

mod request;

use super::NodeApi;
use super::asking::Asking;
use super::errors::{Dialect, HttpError, body_error};
use super::sampling::StreamOptions;
use super::several::{Part, Several};
use super::shapes::{self, Head, Receipt, Usage};
use super::sse::{self, DONE_LINE, Encoder, push_data};
use crate::api::{AskEvent, TokenView};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
pub(crate) use request::CompletionRequest;
use request::{CompletionOrder, Show};
use serde::Serialize;
use std::collections::BTreeMap;

/// Continues prompts.
pub(crate) async fn complete<N: NodeApi>(
    node: Asking<N>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, HttpError> {
    let body = body.map_err(|rejection| body_error(&rejection))?;
    answer(&node, CompletionRequest::parse(&body)?).await
}

async fn answer<N: NodeApi>(node: &N, order: CompletionOrder) -> Result<Response, HttpError> {
    let answers: Vec<Answer> = order
        .requests
        .iter()
        .map(|_| Answer::new(order.show))
        .collect();
    let mut parts = Several::ask(node, order.requests);
    let (first, head) = shapes::begin(&mut parts).await?;
    let job = head.job.clone();
    let response = match order.streaming {
        Some(options) => {
            let encoder = CompletionStream {
                id: format!("cmpl-{}", head.job),
                head,
                answers,
                options,
                usage: Usage::default(),
            };
            sse::stream(first, parts, encoder)
        }
        None => Json(collect(parts, answers, head).await?).into_response(),
    };
    Ok(shapes::with_job(response, &job))
}

/// One answer, as far as it came.
#[derive(Debug)]
struct Answer {
    show: Show,
    /// Tokens of the prompt that were not sent yet.
    prompt: Vec<TokenView>,
    text: String,
    tokens: Vec<TokenView>,
    /// Characters sent before.
    offset: usize,
    finish: Option<String>,
    receipt: Option<Receipt>,
}

impl Answer {
    fn new(show: Show) -> Self {
        Self {
            show,
            prompt: Vec::new(),
            text: String::new(),
            tokens: Vec::new(),
            offset: 0,
            finish: None,
            receipt: None,
        }
    }

    fn take(&mut self, event: AskEvent, usage: &mut Usage) {
        match event {
            AskEvent::Prompt { tokens } => self.prompt.extend(tokens),
            AskEvent::Delta { text, tokens } if !self.show.only_prompt => {
                self.text.push_str(&text);
                self.tokens.extend(tokens);
            }
            AskEvent::Done(done) => {
                self.receipt = Some(Receipt::of(&done));
                usage.add(&done);
                self.finish = Some(if self.show.only_prompt {
                    "length".to_owned()
                } else {
                    done.finish
                });
            }
            AskEvent::Routed { .. } | AskEvent::Delta { .. } | AskEvent::Failed(_) => {}
        }
    }

    /// What came since the last time.
    fn choice(&mut self, index: usize) -> Choice {
        let mut tokens = std::mem::take(&mut self.prompt);
        let mut text = text_of(&tokens);
        text.push_str(&std::mem::take(&mut self.text));
        tokens.append(&mut self.tokens);
        let offset = self.offset;
        self.offset += text.chars().count();
        Choice {
            index,
            logprobs: self
                .show
                .alternatives
                .map(|alternatives| Logprobs::new(&tokens, offset, alternatives)),
            text,
            finish_reason: self.finish.clone(),
        }
    }
}

/// The text of tokens; a character may be made of several.
fn text_of(tokens: &[TokenView]) -> String {
    let bytes: Vec<u8> = tokens
        .iter()
        .flat_map(|token| token.bytes.iter().copied())
        .collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

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
    let receipts = answers.iter().filter_map(|answer| answer.receipt.clone());
    let talkoot = Receipt::of_all(receipts.collect());
    let choices = answers.iter_mut().enumerate();
    Ok(Completion {
        id: format!("cmpl-{}", head.job),
        object: "text_completion",
        created: head.created,
        model: head.model,
        system_fingerprint: None,
        choices: choices
            .map(|(index, answer)| answer.choice(index))
            .collect(),
        usage: Some(Some(usage)),
        talkoot,
    })
}

/// The stream's state.
#[derive(Debug)]
struct CompletionStream {
    id: String,
    head: Head,
    answers: Vec<Answer>,
    options: StreamOptions,
    usage: Usage,
}

impl CompletionStream {
    fn push(&self, out: &mut String, choices: Vec<Choice>, talkoot: Option<Receipt>) {
        let is_last = choices.is_empty();
        let usage = is_last.then(|| self.usage.clone());
        push_data(
            out,
            &Completion {
                id: self.id.clone(),
                object: "text_completion",
                created: self.head.created,
                model: self.head.model.clone(),
                system_fingerprint: None,
                choices,
                usage: self.options.include_usage.then_some(usage),
                talkoot,
            },
        );
    }
}

impl Encoder for CompletionStream {
    fn encode(&mut self, part: Part, out: &mut String) {
        let Part { index, event } = part;
        if let AskEvent::Failed(error) = &event {
            push_data(out, &HttpError::of_node(error, Dialect::OpenAi).body());
            return;
        }
        let Some(answer) = self.answers.get_mut(index) else {
            return;
        };
        // All of the prompt goes out with the first token: its parts may end in
        // the middle of a character.
        let waits = matches!(event, AskEvent::Routed { .. } | AskEvent::Prompt { .. });
        answer.take(event, &mut self.usage);
        if waits {
            return;
        }
        let choice = answer.choice(index);
        let receipt = answer.receipt.clone();
        if !choice.is_empty() {
            self.push(out, vec![choice], receipt);
        }
    }

    fn end(&mut self, out: &mut String) {
        if self.options.include_usage {
            self.push(out, Vec::new(), None);
        }
        out.push_str(DONE_LINE);
    }
}

/// A whole answer, or a chunk of a stream: the same shape at OpenAI.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Completion {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    system_fingerprint: Option<String>,
    choices: Vec<Choice>,
    /// Missing, null, or there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    talkoot: Option<Receipt>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CompletionChoice)]
struct Choice {
    index: usize,
    text: String,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

impl Choice {
    fn is_empty(&self) -> bool {
        let tokens = self.logprobs.as_ref().map_or(0, |some| some.tokens.len());
        self.text.is_empty() && tokens == 0 && self.finish_reason.is_none()
    }
}

/// Four lists, one element for each token.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = CompletionLogprobs)]
struct Logprobs {
    tokens: Vec<String>,
    /// Null for the first token of a prompt.
    token_logprobs: Vec<Option<f32>>,
    /// Null for the first token of a prompt, and where none were asked for.
    top_logprobs: Vec<Option<BTreeMap<String, f32>>>,
    /// Where each token begins in the text, in characters.
    text_offset: Vec<usize>,
}

impl Logprobs {
    fn new(tokens: &[TokenView], mut offset: usize, alternatives: u8) -> Self {
        let mut lists = Self {
            tokens: Vec::new(),
            token_logprobs: Vec::new(),
            top_logprobs: Vec::new(),
            text_offset: Vec::new(),
        };
        for token in tokens {
            let mut top = BTreeMap::new();
            for other in &token.top {
                // Two tokens may look alike; the likelier one comes first.
                top.entry(other.text.clone()).or_insert(other.logprob);
            }
            let has_top = alternatives > 0 && token.logprob.is_some();
            lists.tokens.push(token.text.clone());
            lists.token_logprobs.push(token.logprob);
            lists.top_logprobs.push(has_top.then_some(top));
            lists.text_offset.push(offset);
            offset += token.text.chars().count();
        }
        lists
    }
}

#[cfg(test)]
mod tests;
