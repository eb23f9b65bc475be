//! Tokens to text while a job runs.
//!
//! Runs inside the job, before a token is acknowledged: when a stop text
//! completes, the job ends with that token and nothing later is paid. It never
//! waits: the channel holds a whole answer.

use crate::api::{AskEvent, StageView, TokenView, TopView};
use crate::jobs::submit::{JobObserver, TokenEvent};
use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::Arc;
use talkoot_inference::{AskerModel, Detokenizer, StopMatcher};
use talkoot_protocol::JobId;
use talkoot_protocol::frame::{Finish, TokenLogprob, TokenScore};
use tokio::sync::mpsc;

/// What is known before the job's id.
#[derive(Debug)]
pub(super) struct Routed {
    pub(super) model: String,
    pub(super) model_name: String,
    pub(super) prompt_tokens: u32,
    pub(super) stages: Vec<StageView>,
}

/// What the asker wants to see of an answer.
#[derive(Debug)]
pub(super) struct Wishes {
    /// Texts that end it.
    pub(super) stop: Vec<String>,
    /// The prompt's tokens, where they shall be shown.
    pub(super) echo: Option<Vec<u32>>,
    /// Whether they have scores, which come later.
    pub(super) has_scores: bool,
}

/// Turns a job's tokens into [`AskEvent`]s.
pub(super) struct TextObserver {
    routed: Option<Routed>,
    asker: Arc<AskerModel>,
    detokenizer: Option<Detokenizer>,
    stops: Option<StopMatcher>,
    /// Tokens of the prompt that are still to be shown.
    echo: VecDeque<u32>,
    has_scores: bool,
    sender: mpsc::Sender<AskEvent>,
}

impl TextObserver {
    pub(super) fn new(
        routed: Routed,
        asker: &Arc<AskerModel>,
        wishes: Wishes,
        sender: &mpsc::Sender<AskEvent>,
    ) -> Self {
        Self {
            routed: Some(routed),
            detokenizer: Some(asker.detokenizer()),
            stops: Some(StopMatcher::new(wishes.stop)),
            asker: asker.clone(),
            echo: wishes.echo.unwrap_or_default().into(),
            has_scores: wishes.has_scores,
            sender: sender.clone(),
        }
    }

    /// A token's text alone and its bytes.
    fn text_of(&self, id: u32) -> (String, Vec<u8>) {
        let bytes = self.asker.token_bytes(id).to_vec();
        (String::from_utf8_lossy(&bytes).into_owned(), bytes)
    }

    fn view(&self, id: u32, logprob: Option<f32>, top: &[TokenLogprob]) -> TokenView {
        let (text, bytes) = self.text_of(id);
        let alternative = |top: &TokenLogprob| {
            let (text, bytes) = self.text_of(top.token);
            TopView {
                id: top.token,
                text,
                bytes,
                logprob: top.logprob,
            }
        };
        TokenView {
            id,
            text,
            bytes,
            logprob,
            top: top.iter().map(alternative).collect(),
        }
    }

    fn show_prompt(&self, tokens: Vec<TokenView>) {
        // A full or closed channel shows at the first token.
        drop(self.sender.try_send(AskEvent::Prompt { tokens }));
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
            let shown = match self.has_scores {
                true => self.echo.len().min(1),
                false => self.echo.len(),
            };
            let shown: Vec<u32> = self.echo.drain(..shown).collect();
            if !shown.is_empty() {
                let views = shown.into_iter().map(|id| self.view(id, None, &[]));
                self.show_prompt(views.collect());
            }
        }
    }

    fn scores(&mut self, scores: &[TokenScore]) {
        let count = scores.len().min(self.echo.len());
        let ids: Vec<u32> = self.echo.drain(..count).collect();
        let view = |(id, score): (u32, &TokenScore)| self.view(id, Some(score.logprob), &score.top);
        let tokens = ids.into_iter().zip(scores).map(view).collect();
        self.show_prompt(tokens);
    }

    fn token(&mut self, event: &TokenEvent) -> ControlFlow<()> {
        let (text, stopped) = self.advance(event);
        let ended_by_id = event.finish == Some(Finish::Stop);
        let tokens = if ended_by_id {
            Vec::new()
        } else {
            vec![self.view(event.token, event.logprob, &event.top)]
        };
        let flow = self.emit(text, tokens);
        if stopped {
            ControlFlow::Break(())
        } else {
            flow
        }
    }
}
