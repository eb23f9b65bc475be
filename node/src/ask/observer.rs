//! Tokens to text while a job runs.
//!
//! Runs inside the job, before a token is acknowledged: when a stop text
//! completes, the job ends with that token and nothing later is paid. It never
//! waits: the channel holds a whole answer.

use crate::api::{AskEvent, AskRequest, StageView, TokenView, TopView};
use crate::jobs::submit::{JobObserver, TokenEvent};
use std::ops::ControlFlow;
use std::sync::Arc;
use talkoot_inference::{AskerModel, Detokenizer, StopMatcher};
use talkoot_protocol::JobId;
use talkoot_protocol::frame::Finish;
use tokio::sync::mpsc;

/// What is known before the job's id.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) model: String,
    pub(super) model_name: String,
    pub(super) prompt_tokens: u32,
    pub(super) stages: Vec<StageView>,
}

/// Turns a job's tokens into [`AskEvent`]s.
pub(super) struct TextObserver {
    routed: Option<Routed>,
    asker: Arc<AskerModel>,
    detokenizer: Option<Detokenizer>,
    stops: Option<StopMatcher>,
    sender: mpsc::Sender<AskEvent>,
}

impl TextObserver {
    pub(super) fn new(
        routed: Routed,
        asker: &Arc<AskerModel>,
        request: &AskRequest,
        sender: &mpsc::Sender<AskEvent>,
    ) -> Self {
        Self {
            routed: Some(routed),
            detokenizer: Some(asker.detokenizer()),
            stops: Some(StopMatcher::new(request.stop.clone())),
            asker: asker.clone(),
            sender: sender.clone(),
        }
    }

    fn text_of(&self, id: u32) -> String {
        self.asker.tokenizer().decode(&[id]).unwrap_or_default()
    }

    fn view(&self, event: &TokenEvent) -> TokenView {
        TokenView {
            bytes: Vec::new(),
            id: event.token,
            text: self.text_of(event.token),
            logprob: event.logprob,
            top: event
                .top
                .iter()
                .map(|top| TopView {
                    bytes: Vec::new(),
                    id: top.token,
                    text: self.text_of(top.token),
                    logprob: top.logprob,
                })
                .collect(),
        }
    }

    /// Adds a token to the text; gives what is certain now and whether a stop
    /// text is complete. A tokenizer that cannot decode its own ids gives no
    /// text: the ids are reported all the same.
    fn advance(&mut self, event: &TokenEvent) -> (String, bool) {
        let (Some(detokenizer), Some(stops)) = (&mut self.detokenizer, &mut self.stops) else {
            return (String::new(), true);
        };
        let ended_by_id = event.finish == Some(Finish::Stop);
        let fresh = if ended_by_id {
            String::new()
        } else {
            detokenizer.push(event.token).unwrap_or_default()
        };
        let mut text = stops.push(&fresh);
        if event.finish.is_some() && !stops.stopped() {
            let rest = self
                .detokenizer
                .take()
                .and_then(|last| last.finish().ok())
                .unwrap_or_default();
            text.push_str(&stops.push(&rest));
        }
        let stopped = stops.stopped();
        if event.finish.is_some() && !stopped {
            text.push_str(
                &self
                    .stops
                    .take()
                    .map(StopMatcher::finish)
                    .unwrap_or_default(),
            );
        }
        (text, stopped)
    }

    fn emit(&self, text: String, tokens: Vec<TokenView>) -> ControlFlow<()> {
        match self.sender.try_send(AskEvent::Delta { text, tokens }) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }
}

impl JobObserver for TextObserver {
    fn opened(&mut self, job: JobId, held_ugft: u128) {
        if let Some(routed) = self.routed.take() {
            // A full or closed channel shows at the first token.
            drop(self.sender.try_send(AskEvent::Routed {
                job: job.to_string(),
                model: routed.model,
                model_name: routed.model_name,
                stages: routed.stages,
                prompt_tokens: routed.prompt_tokens,
                held_ugft,
            }));
        }
    }

    fn token(&mut self, event: &TokenEvent) -> ControlFlow<()> {
        let (text, stopped) = self.advance(event);
        let ended_by_id = event.finish == Some(Finish::Stop);
        let tokens = if ended_by_id {
            Vec::new()
        } else {
            vec![self.view(event)]
        };
        let flow = self.emit(text, tokens);
        if stopped {
            ControlFlow::Break(())
        } else {
            flow
        }
    }
}
