//! A response as a stream of named, numbered events.

use super::{Content, Failure, Item, Response};
use crate::api::AskEvent;
use crate::http::errors::Dialect;
use crate::http::errors::HttpError;
use crate::http::several::Part;
use crate::http::sse::Encoder;
use crate::http::tools::{CallReader, Said};
use serde_json::{Value, json};

/// The stream's state.
#[derive(Debug)]
pub(super) struct ResponseStream {
    response: Response,
    reader: CallReader,
    /// Number of the next event.
    next: u64,
    is_open: bool,
}

impl ResponseStream {
    pub(super) fn new(response: Response, reader: CallReader) -> Self {
        Self {
            response,
            reader,
            next: 0,
            is_open: false,
        }
    }

    fn push(&mut self, out: &mut String, name: &str, mut event: Value) {
        event["type"] = json!(name);
        event["sequence_number"] = json!(self.next);
        self.next += 1;
        out.push_str("event: ");
        out.push_str(name);
        out.push_str("\ndata: ");
        out.push_str(&event.to_string());
        out.push_str("\n\n");
    }

    /// An event about the whole response.
    fn push_whole(&mut self, out: &mut String, name: &str) {
        let event = json!({"response": self.response});
        self.push(out, name, event);
    }

    /// The last item's number and id.
    fn last(&self) -> (usize, String) {
        let number = self.response.output.len().saturating_sub(1);
        let id = match self.response.output.last() {
            Some(Item::Message { id, .. } | Item::FunctionCall { id, .. }) => id.clone(),
            None => String::new(),
        };
        (number, id)
    }

    fn say(&mut self, out: &mut String, said: Said) {
        if !(self.is_open && self.response.continues(&said)) {
            self.close(out);
            self.response.open(&said);
            self.is_open = true;
            let (number, id) = self.last();
            let item = json!(self.response.output.last());
            let added = json!({"output_index": number, "item": item});
            self.push(out, "response.output_item.added", added);
            if matches!(said, Said::Text(_)) {
                let part = json!(Content::new(String::new()));
                let added = json!({
                    "item_id": id, "output_index": number, "content_index": 0, "part": part,
                });
                self.push(out, "response.content_part.added", added);
            }
        }
        let (number, id) = self.last();
        let (name, event) = match &said {
            Said::Text(text) => (
                "response.output_text.delta",
                json!({
                    "item_id": id, "output_index": number, "content_index": 0,
                    "delta": text, "logprobs": [],
                }),
            ),
            Said::Call(call) => (
                "response.function_call_arguments.delta",
                json!({"item_id": id, "output_index": number, "delta": call.arguments}),
            ),
        };
        self.push(out, name, event);
        self.response.add(said);
    }

    /// Ends the item that is open.
    fn close(&mut self, out: &mut String) {
        if !std::mem::take(&mut self.is_open) {
            return;
        }
        self.response.close();
        let (number, id) = self.last();
        match self.response.output.last().cloned() {
            Some(Item::Message { content, .. }) => {
                for part in content {
                    let done = json!({
                        "item_id": id, "output_index": number, "content_index": 0,
                        "text": part.text, "logprobs": [],
                    });
                    self.push(out, "response.output_text.done", done);
                    let done = json!({
                        "item_id": id, "output_index": number, "content_index": 0, "part": part,
                    });
                    self.push(out, "response.content_part.done", done);
                }
            }
            Some(Item::FunctionCall {
                arguments, name, ..
            }) => {
                let done = json!({
                    "item_id": id, "output_index": number, "name": name, "arguments": arguments,
                });
                self.push(out, "response.function_call_arguments.done", done);
            }
            None => {}
        }
        let item = json!(self.response.output.last());
        let done = json!({"output_index": number, "item": item});
        self.push(out, "response.output_item.done", done);
    }
}

impl Encoder for ResponseStream {
    fn encode(&mut self, part: Part, out: &mut String) {
        match part.event {
            AskEvent::Routed { .. } => {
                self.push_whole(out, "response.created");
                self.push_whole(out, "response.in_progress");
            }
            AskEvent::Delta { text, .. } => {
                for said in self.reader.push(&text) {
                    self.say(out, said);
                }
            }
            AskEvent::Done(done) => {
                for said in self.reader.finish() {
                    self.say(out, said);
                }
                self.close(out);
                self.response.complete(&done);
                let name = format!("response.{}", self.response.status);
                self.push_whole(out, &name);
            }
            AskEvent::Failed(error) => {
                let failure = HttpError::of_node(&error, Dialect::OpenAi);
                self.response.status = "failed";
                self.response.error = Some(Failure {
                    code: failure.code().to_owned(),
                    message: error.message,
                });
                self.push_whole(out, "response.failed");
            }
            AskEvent::Prompt { .. } => {}
        }
    }
}
