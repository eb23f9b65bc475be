//! Scores of the prompt's tokens, as the last stage sends them.
//!
//! They come in order and without gaps, all before the first token; a stage that
//! sends others, or leaves some out, is at fault.

use super::{Phase, SubmissionAction, SubmissionCore};
use talkoot_protocol::control::FailCode;
use talkoot_protocol::frame::{Frame, ScoresPayload};

impl SubmissionCore {
    pub(super) fn on_scores(&mut self, frame: &Frame, now_us: u64) {
        if self.phase != Phase::Running {
            return;
        }
        let last = self.setup.shape.count().saturating_sub(1);
        match self.read_scores(frame) {
            Ok(payload) => {
                self.last_event_us = now_us;
                self.scored = self.scored.saturating_add(frame.header.rows);
                self.actions
                    .push_back(SubmissionAction::ObserveScores(payload.scores));
            }
            Err(reason) => self.fail(last, FailCode::Protocol, reason, now_us),
        }
    }

    /// Scores come in order, without gaps, of tokens whose predecessor was sent.
    fn read_scores(&self, frame: &Frame) -> Result<ScoresPayload, String> {
        let (position, rows) = (frame.header.position, frame.header.rows);
        let end = position.saturating_add(rows);
        let sent = self.sent_prompt.saturating_add(1);
        if position != self.scored || end > sent.min(self.setup.shape.prompt_tokens) {
            return Err(format!(
                "scores of {rows} tokens at position {position} where {} comes next",
                self.scored
            ));
        }
        let payload = ScoresPayload::decode(&frame.payload).map_err(|error| error.to_string())?;
        let vocabulary = self.setup.shape.vocabulary;
        let wanted = usize::from(self.setup.scores.unwrap_or(0));
        let fits = payload.scores.iter().all(|score| {
            score.top.len() <= wanted && score.top.iter().all(|top| top.token < vocabulary)
        });
        if payload.scores.len() == rows as usize && fits {
            Ok(payload)
        } else {
            Err("scores of another shape than was asked for".to_owned())
        }
    }

    /// Whether scores were asked for and some are not here.
    pub(super) fn lacks_scores(&self) -> bool {
        self.setup.scores.is_some() && self.scored < self.setup.shape.prompt_tokens
    }
}
