//! What a completion request may say, and how it becomes [`AskRequest`]s.

use crate::api::{AskRequest, Prompt};
use crate::http::errors::HttpError;
use crate::http::sampling::{
    Sampling, StreamOptions, TOP_LOGPROBS_MAX, invalid, parse, repeated, unsupported,
};
use serde::Deserialize;

/// OpenAI's default, which differs from that of chats.
const TOKENS_DEFAULT: u32 = 16;
/// Answers of one request: prompts times `n`.
const ANSWERS_MAX: usize = 128;

/// The body of `POST /v1/completions`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub(crate) struct CompletionRequest {
    prompt: Prompts,
    max_tokens: Option<u32>,
    echo: Option<bool>,
    logprobs: Option<u8>,
    suffix: Option<String>,
    best_of: Option<u32>,
    #[serde(flatten)]
    sampling: Sampling,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(untagged)]
enum Prompts {
    Text(String),
    Tokens(Vec<u32>),
    Texts(Vec<String>),
    TokenLists(Vec<Vec<u32>>),
}

/// What of an answer is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Show {
    /// Alternatives to each token; none without log-probabilities.
    pub(super) alternatives: Option<u8>,
    /// Nothing but the prompt: the one token behind it is left out.
    pub(super) only_prompt: bool,
}

/// A checked request.
#[derive(Debug)]
pub(super) struct CompletionOrder {
    /// One for each choice.
    pub(super) requests: Vec<AskRequest>,
    /// What of them is shown.
    pub(super) show: Show,
    /// Whether to stream, and with which usage.
    pub(super) streaming: Option<StreamOptions>,
}

impl CompletionRequest {
    /// Reads and checks a body.
    pub(super) fn parse(body: &[u8]) -> Result<CompletionOrder, HttpError> {
        let request: Self = parse(body)?;
        let echo = request.echo.unwrap_or(false);
        let tokens_max = request.max_tokens.unwrap_or(TOKENS_DEFAULT);
        request.check(echo, tokens_max)?;
        let show = Show {
            alternatives: request.logprobs,
            only_prompt: tokens_max == 0,
        };
        let streaming = request.sampling.streaming();
        let answers = request.sampling.answers()?;
        let prompts = request.prompt.into_list();
        if prompts.is_empty() || prompts.len().saturating_mul(answers as usize) > ANSWERS_MAX {
            let message = format!("prompt is 1 to {ANSWERS_MAX} prompts, each counted n times");
            return Err(invalid("prompt", message));
        }
        let asked = AskRequest {
            completion_tokens_max: Some(tokens_max.max(1)),
            logprobs: request.logprobs.is_some(),
            top_logprobs: request.logprobs.unwrap_or(0),
            echo,
            ..request.sampling.into_ask(Prompt::Text(String::new()))?
        };
        let asked = |prompt| AskRequest {
            prompt,
            ..asked.clone()
        };
        let requests = prompts.into_iter().map(asked);
        Ok(CompletionOrder {
            requests: requests
                .flat_map(|request| repeated(&request, answers).collect::<Vec<_>>())
                .collect(),
            show,
            streaming,
        })
    }

    fn check(&self, echo: bool, tokens_max: u32) -> Result<(), HttpError> {
        if self.suffix.as_ref().is_some_and(|text| !text.is_empty()) {
            return Err(unsupported(
                "suffix",
                "models here continue, they fill no gaps",
            ));
        }
        let n = self.sampling.n.unwrap_or(1);
        if self.best_of.is_some_and(|best| best != 1 && best != n) {
            return Err(HttpError::bad_request(
                "unsupported_value",
                Some("best_of"),
                "best_of is 1 or n; answers are not ranked",
            ));
        }
        if self.logprobs.is_some_and(|count| count > TOP_LOGPROBS_MAX) {
            return Err(invalid("logprobs", "logprobs is 0 to 20"));
        }
        if tokens_max == 0 && !echo {
            return Err(invalid(
                "max_tokens",
                "max_tokens is at least 1 without echo",
            ));
        }
        Ok(())
    }
}

impl Prompts {
    fn into_list(self) -> Vec<Prompt> {
        match self {
            Self::Text(text) => vec![Prompt::Text(text)],
            Self::Tokens(ids) if ids.is_empty() => Vec::new(),
            Self::Tokens(ids) => vec![Prompt::Tokens(ids)],
            Self::Texts(texts) => texts.into_iter().map(Prompt::Text).collect(),
            Self::TokenLists(lists) => lists.into_iter().map(Prompt::Tokens).collect(),
        }
    }
}
