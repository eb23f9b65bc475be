//! A chat as a stream of chunks.
//!
//! For each answer: a chunk with the role, deltas, a chunk with the finish
//! reason. At the end the usage chunk if asked for, and `[DONE]`. Every chunk
//! has every key that strict clients look for. Route and bill are extra keys on
//! the last chunks: all clients tried skip unknown keys, and none survives
//! named events.

use super::{Logprobs, ToolCall, logprobs};
use crate::api::{AskEvent, TokenView};
use crate::http::errors::{Dialect, HttpError};
use crate::http::sampling::StreamOptions;
use crate::http::several::Part;
use crate::http::shapes::{Head, Receipt, Usage};
use crate::http::sse::{DONE_LINE, Encoder, push_data};
use crate::http::tools::{CallReader, Said};
use serde::Serialize;

/// One answer, as far as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    reader: CallReader,
    /// Its job.
    pub(crate) job: String,
    /// What was said and not yet sent.
    pub(crate) said: Vec<Said>,
    /// Tokens that were not sent yet.
    pub(crate) tokens: Vec<TokenView>,
    prompt_tokens: u64,
    completion_tokens: u64,
    calls: usize,
    finish: String,
    receipt: Option<Receipt>,
}

impl Answer {
    /// An answer that has not begun.
    pub(crate) fn new(reader: CallReader) -> Self {
        Self {
            reader,
            job: String::new(),
            said: Vec::new(),
            tokens: Vec::new(),
            prompt_tokens: 0,
            completion_tokens: 0,
            calls: 0,
            finish: String::new(),
            receipt: None,
        }
    }

    /// Takes an event; its end is added to `usage`.
    pub(crate) fn take(&mut self, event: AskEvent, usage: &mut Usage) {
        match event {
            AskEvent::Routed {
                job, prompt_tokens, ..
            } => {
                self.job = job;
                self.prompt_tokens = u64::from(prompt_tokens);
            }
            AskEvent::Delta { text, tokens } => {
                self.completion_tokens += tokens.len() as u64;
                self.said.extend(self.reader.push(&text));
                self.tokens.extend(tokens);
            }
            AskEvent::Done(done) => {
                self.said.extend(self.reader.finish());
                self.receipt = Some(Receipt::of(&done));
                usage.add(&done);
                self.finish = done.finish;
            }
            // Chats do not ask for their prompt.
            AskEvent::Prompt { .. } | AskEvent::Failed(_) => {}
        }
    }

    /// Its job and route, once it has ended.
    pub(crate) fn receipt(&self) -> Option<Receipt> {
        self.receipt.clone()
    }

    /// Why it ended: `stop`, `length` or `tool_calls`.
    pub(crate) fn finish_reason(&self) -> &str {
        if self.finish == "stop" && self.reader.has_calls() {
            "tool_calls"
        } else {
            &self.finish
        }
    }
}

/// The stream's state.
#[derive(Debug)]
pub(crate) struct ChatStream {
    id: String,
    head: Head,
    answers: Vec<Answer>,
    options: StreamOptions,
    usage: Usage,
}

impl ChatStream {
    pub(crate) fn new(head: Head, answers: Vec<Answer>, options: StreamOptions) -> Self {
        Self {
            id: format!("chatcmpl-{}", head.job),
            head,
            answers,
            options,
            usage: Usage::default(),
        }
    }

    fn push(&self, out: &mut String, choices: Vec<Choice>, talkoot: Option<Receipt>) {
        let sum = |count: fn(&Answer) -> u64| self.answers.iter().map(count).sum();
        let usage = match (self.options.include_usage, choices.is_empty()) {
            (false, _) => None,
            (true, true) => Some(Some(self.usage.clone())),
            (true, false) => Some(self.options.continuous_usage_stats.then(|| {
                Usage::so_far(
                    sum(|answer| answer.prompt_tokens),
                    sum(|answer| answer.completion_tokens),
                )
            })),
        };
        push_data(
            out,
            &Chunk {
                id: &self.id,
                object: "chat.completion.chunk",
                created: self.head.created,
                model: &self.head.model,
                system_fingerprint: None,
                choices,
                usage,
                talkoot,
            },
        );
    }

    /// Sends what `index` has said since the last time.
    fn flush(&mut self, index: usize, out: &mut String) {
        let Some(answer) = self.answers.get_mut(index) else {
            return;
        };
        // Tokens of text that is held back wait with it.
        let tokens = match answer.said.is_empty() {
            true => Vec::new(),
            false => std::mem::take(&mut answer.tokens),
        };
        let mut logprobs = logprobs(&tokens);
        let mut choices = Vec::new();
        for said in std::mem::take(&mut answer.said) {
            let mut delta = Delta::default();
            match said {
                Said::Text(text) => delta.content = Some(text),
                Said::Call(call) => {
                    let call = ToolCall::new(&answer.job, answer.calls, &call);
                    delta.tool_calls.push(call.delta(answer.calls));
                    answer.calls += 1;
                }
            }
            choices.push(Choice {
                index,
                delta,
                logprobs: logprobs.take(),
                finish_reason: None,
            });
        }
        for choice in choices {
            self.push(out, vec![choice], None);
        }
    }

    fn finish(&mut self, index: usize, out: &mut String) {
        let Some(answer) = self.answers.get_mut(index) else {
            return;
        };
        let choice = Choice {
            index,
            delta: Delta::default(),
            // Of tokens without text.
            logprobs: logprobs(&std::mem::take(&mut answer.tokens)),
            finish_reason: Some(answer.finish_reason().to_owned()),
        };
        let receipt = answer.receipt();
        self.push(out, vec![choice], receipt);
    }
}

impl Encoder for ChatStream {
    fn encode(&mut self, part: Part, out: &mut String) {
        let Part { index, event } = part;
        if let AskEvent::Failed(error) = &event {
            push_data(out, &HttpError::of_node(error, Dialect::OpenAi).body());
            return;
        }
        let is_first = matches!(event, AskEvent::Routed { .. });
        let is_last = matches!(event, AskEvent::Done(_));
        if let Some(answer) = self.answers.get_mut(index) {
            answer.take(event, &mut self.usage);
        }
        if is_first {
            let delta = Delta {
                role: Some("assistant"),
                content: Some(String::new()),
                tool_calls: Vec::new(),
            };
            let choice = Choice {
                index,
                delta,
                logprobs: None,
                finish_reason: None,
            };
            self.push(out, vec![choice], None);
        }
        self.flush(index, out);
        if is_last {
            self.finish(index, out);
        }
    }

    fn end(&mut self, out: &mut String) {
        if self.options.include_usage {
            self.push(out, Vec::new(), None);
        }
        out.push_str(DONE_LINE);
    }
}

/// One event of the stream.
#[derive(Debug, Serialize)]
struct Chunk<'a> {
    id: &'a str,
    object: &'static str,
    created: u64,
    model: &'a str,
    system_fingerprint: Option<&'a str>,
    choices: Vec<Choice>,
    /// Missing, null, or there.
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Option<Usage>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    talkoot: Option<Receipt>,
}

#[derive(Debug, Serialize)]
struct Choice {
    index: usize,
    delta: Delta,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Delta {
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall>,
}
