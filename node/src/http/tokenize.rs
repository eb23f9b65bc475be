//! `POST /tokenize`, `POST /detokenize`, `GET /tokenizer_info`: what programs
//! that count tokens, or score texts by token ids, need of a tokenizer. The
//! shapes are vLLM's.

use super::errors::{Dialect, HttpError, body_error};
use super::sampling::{invalid, parse};
use super::{App, NodeApi, chat};
use crate::api::{Prompt, TokenizeRequest};
use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The body of `/tokenize`: a `prompt` or `messages`.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = TokenizeBody)]
pub(crate) struct Request {
    model: Option<String>,
    prompt: Option<String>,
    messages: Option<Vec<chat::Message>>,
    tools: Option<Vec<Value>>,
    add_special_tokens: Option<bool>,
    add_generation_prompt: Option<bool>,
    return_token_strs: Option<bool>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TokenizeAnswer)]
pub(crate) struct Tokens {
    count: usize,
    max_model_len: u32,
    tokens: Vec<u32>,
    token_strs: Option<Vec<String>>,
}

/// The tokens of a text or of a chat.
pub(crate) async fn tokenize<N: NodeApi>(
    State(app): State<App<N>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let answered = match read(body) {
        Ok(request) => tokens(&app.node, request).await,
        Err(error) => Err(error),
    };
    reply(answered)
}

async fn tokens<N: NodeApi>(node: &N, request: Request) -> Result<Tokens, HttpError> {
    let prompt = match (request.prompt, request.messages) {
        (Some(text), None) => Prompt::Text(text),
        (None, Some(messages)) => Prompt::Chat(chat::messages(messages)?),
        _ => return Err(invalid("prompt", "give either prompt, a text, or messages")),
    };
    let asked = TokenizeRequest {
        model: request.model.filter(|model| !model.is_empty()),
        // A template writes its own marks.
        add_special: request.add_special_tokens.unwrap_or(true),
        add_generation_prompt: request.add_generation_prompt.unwrap_or(true),
        tools: request.tools.unwrap_or_default(),
        prompt,
    };
    let view = node.tokenize(asked).await;
    let view = view.map_err(|error| HttpError::of_node(&error, Dialect::OpenAi))?;
    let wants_names = request.return_token_strs.unwrap_or(false);
    Ok(Tokens {
        count: view.ids.len(),
        max_model_len: view.context,
        tokens: view.ids,
        token_strs: wants_names.then_some(view.names),
    })
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = DetokenizeBody)]
pub(crate) struct Ids {
    model: Option<String>,
    tokens: Vec<u32>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = DetokenizeAnswer)]
pub(crate) struct Text {
    prompt: String,
}

/// The text of tokens.
pub(crate) async fn detokenize<N: NodeApi>(
    State(app): State<App<N>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let ids = match read::<Ids>(body) {
        Ok(ids) => ids,
        Err(error) => return error.into_response(),
    };
    let model = ids.model.filter(|model| !model.is_empty());
    let text = app.node.detokenize(model, ids.tokens).await;
    let text = text.map(|prompt| Text { prompt });
    reply(text.map_err(|error| HttpError::of_node(&error, Dialect::OpenAi)))
}

/// Which tokenizer.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    model: Option<String>,
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = TokenizerInfo)]
pub(crate) struct Info {
    tokenizer_class: &'static str,
    model: String,
    model_max_length: u32,
    vocab_size: u32,
    stop_token_ids: Vec<u32>,
    chat_template: Option<String>,
    /// `bos_token`, `eos_token` and others, as in a `tokenizer_config.json`.
    #[serde(flatten)]
    special_tokens: BTreeMap<String, String>,
}

/// What a client needs to render chats by itself.
pub(crate) async fn info<N: NodeApi>(
    State(app): State<App<N>>,
    which: Result<Query<Which>, QueryRejection>,
) -> Response {
    let which = match which {
        Ok(Query(which)) => which,
        Err(rejection) => return invalid("model", rejection.body_text()).into_response(),
    };
    let model = which.model.filter(|model| !model.is_empty());
    let view = app.node.tokenizer(model).await;
    let info = view.map(|view| Info {
        tokenizer_class: "talkoot",
        model: view.model_name,
        model_max_length: view.context,
        vocab_size: view.vocabulary,
        stop_token_ids: view.stop_ids,
        chat_template: view.chat_template,
        special_tokens: view.special_tokens,
    });
    reply(info.map_err(|error| HttpError::of_node(&error, Dialect::OpenAi)))
}

/// `POST /v1/embeddings`: no model here makes any. It is 400 and not 501, since
/// SDKs repeat whatever begins with 5.
pub(crate) async fn embeddings() -> HttpError {
    HttpError::bad_request(
        "embeddings_unsupported",
        None,
        "this network serves models that write text; none of them makes embeddings",
    )
}

fn read<T: serde::de::DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, HttpError> {
    parse(&body.map_err(|rejection| body_error(&rejection))?)
}

fn reply<T: Serialize>(answered: Result<T, HttpError>) -> Response {
    match answered {
        Ok(view) => Json(view).into_response(),
        Err(error) => error.into_response(),
    }
}
