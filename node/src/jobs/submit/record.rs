//! Notes what a job of ours does, beside whoever watches it.

use super::{JobObserver, JobRequest, TokenEvent};
use crate::api::{AskError, ErrorCode};
use crate::clock;
use crate::core::job::JobShape;
use crate::core::runs::{Phase, Role, RunStart};
use crate::data::plane::Host;
use std::ops::ControlFlow;
use std::sync::Arc;
use talkoot_protocol::JobId;
use talkoot_protocol::frame::TokenScore;

/// An observer that notes tokens and passes everything on.
pub(super) struct Recorded {
    host: Arc<Host>,
    job: JobId,
    inner: Box<dyn JobObserver>,
}

impl Recorded {
    /// Notes that a job begins.
    pub(super) fn begin(
        host: &Arc<Host>,
        request: &JobRequest,
        shape: &JobShape,
        held_ugft: u128,
        inner: Box<dyn JobObserver>,
    ) -> Box<dyn JobObserver> {
        let price = host.genesis.policy.price_ugft_per_token(&request.card);
        host.runs.begin(RunStart {
            job: shape.job,
            request_id: request.request_id.clone(),
            role: Role::Asker,
            model: request.card.id().to_string(),
            model_name: request.card.name.clone(),
            stages: request
                .route
                .iter()
                .map(|stage| (stage.wallet, stage.range))
                .collect(),
            prompt_tokens: shape.prompt_tokens,
            completion_tokens_max: shape.completion_tokens_max,
            price_ugft_per_token: price.filter(|_| held_ugft > 0).unwrap_or(0),
            started_ms: clock::now_ms(),
            started_us: host.now_us(),
        });
        Box::new(Self {
            host: Arc::clone(host),
            job: shape.job,
            inner,
        })
    }
}

/// Notes how a job ended.
pub(super) fn ended(host: &Host, job: JobId, error: Option<&AskError>) {
    let phase = match error {
        None => Phase::Done,
        Some(error) if error.code == ErrorCode::Cancelled => Phase::Cancelled,
        Some(error) => Phase::Failed(error.message.clone()),
    };
    host.runs.end(job, Role::Asker, phase);
}

impl JobObserver for Recorded {
    fn opened(&mut self, job: JobId, held_ugft: u128) {
        self.inner.opened(job, held_ugft);
    }

    fn scores(&mut self, scores: &[TokenScore]) {
        self.inner.scores(scores);
    }

    fn token(&mut self, event: &TokenEvent) -> ControlFlow<()> {
        let now_us = self.host.now_us();
        self.host.runs.token(self.job, &event.times, now_us);
        self.inner.token(event)
    }
}
