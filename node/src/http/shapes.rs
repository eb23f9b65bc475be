//! Pieces that the answers of several `/v1` paths share: usage with its bill,
//! the receipt, the head of an answer.

use super::NodeApi;
use super::errors::{Dialect, HttpError};
use super::several::{Part, Several};
use crate::api::{AskDone, AskError, AskEvent, ErrorCode, StageView};
use crate::clock;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;

/// Tokens and credits of a request, all its answers together.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Usage {
    /// Prompt tokens; each answer computes the prompt by itself.
    pub(crate) prompt_tokens: u64,
    /// Completion tokens.
    pub(crate) completion_tokens: u64,
    /// Both.
    pub(crate) total_tokens: u64,
    /// The bill; not known before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) credits: Option<Credits>,
}

/// The bill.
#[derive(Debug, Clone, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct Credits {
    /// Still held, µGFT.
    pub(crate) reserved: u64,
    /// Burned, µGFT.
    pub(crate) spent: u64,
    /// `uGFT`.
    pub(crate) unit: &'static str,
}

impl Usage {
    /// Of a running answer: no bill yet.
    pub(crate) fn so_far(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens + completion_tokens,
            credits: None,
        }
    }

    /// Adds a complete answer.
    pub(crate) fn add(&mut self, done: &AskDone) {
        self.prompt_tokens += u64::from(done.prompt_tokens);
        self.completion_tokens += u64::from(done.completion_tokens);
        self.total_tokens = self.prompt_tokens + self.completion_tokens;
        let credits = self.credits.get_or_insert_default();
        credits.reserved = credits.reserved.saturating_add(done.held_ugft);
        credits.spent = credits.spent.saturating_add(done.burned_ugft);
        credits.unit = "uGFT";
    }
}

/// Which job made an answer, and on which route.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub(crate) struct Receipt {
    /// The job.
    pub(crate) job: String,
    /// Its stages.
    pub(crate) route: Vec<StageView>,
    /// Those of the other answers, where there are several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub(crate) others: Vec<Receipt>,
}

impl Receipt {
    /// Of one answer.
    pub(crate) fn of(done: &AskDone) -> Self {
        Self {
            job: done.job.clone(),
            route: done.stages.clone(),
            others: Vec::new(),
        }
    }

    /// Of several answers, in their order; `None` of none.
    pub(crate) fn of_all(mut all: Vec<Self>) -> Option<Self> {
        if all.is_empty() {
            return None;
        }
        let others = all.split_off(1);
        let mut first = all.pop()?;
        first.others = others;
        Some(first)
    }
}

/// What is the same in all chunks of a response.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    /// The job of the answer that began first.
    pub(crate) job: String,
    /// Name of the model.
    pub(crate) model: String,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// Reads the first part. A failure before it becomes a status: nothing was
/// billed yet.
pub(crate) async fn begin(answers: &mut Several) -> Result<(Part, Head), HttpError> {
    let lost = || AskError::new(ErrorCode::Internal, "the node gave the answer up");
    let error = match answers.next().await {
        Some(part) => match &part.event {
            AskEvent::Routed {
                job, model_name, ..
            } => {
                let head = Head {
                    job: job.clone(),
                    model: model_name.clone(),
                    created: clock::now_ms() / 1000,
                };
                return Ok((part, head));
            }
            AskEvent::Failed(error) => error.clone(),
            AskEvent::Prompt { .. } | AskEvent::Delta { .. } | AskEvent::Done(_) => lost(),
        },
        None => lost(),
    };
    Err(HttpError::of_node(&error, Dialect::OpenAi))
}

/// Names the job that made a response.
pub(crate) fn with_job(mut response: Response, job: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(job) {
        let name = HeaderName::from_static("x-talkoot-job");
        response.headers_mut().insert(name, value);
    }
    response
}

/// A failure after work has begun: it may have been billed, so that no client
/// may repeat it by itself.
pub(crate) fn failed(error: &AskError, answers: &Several) -> HttpError {
    let failure = HttpError::of_node(error, Dialect::OpenAi);
    if answers.is_begun() {
        failure.final_word()
    } else {
        failure
    }
}

/// Whether the model's template writes calls of tools between tags.
///
/// # Errors
/// Those of the node.
pub(crate) async fn writes_tags<N: NodeApi>(
    node: &N,
    model: Option<String>,
) -> Result<bool, HttpError> {
    let tokenizer = node.tokenizer(model).await;
    let tokenizer = tokenizer.map_err(|error| HttpError::of_node(&error, Dialect::OpenAi))?;
    Ok(tokenizer
        .chat_template
        .is_some_and(|template| template.contains("<tool_call>")))
}
