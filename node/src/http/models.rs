//! `GET /v1/models`: OpenAI's list, with what a lender's client wants to know.
//!
//! The id of a model here is its name, or its full id where two share a name.

use super::errors::{Dialect, HttpError};
use super::{App, NodeApi};
use crate::api::{AskError, ErrorCode, ModelView};
use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// All models known here, also those without a full route now.
pub(crate) async fn list<N: NodeApi>(State(app): State<App<N>>) -> Response {
    match app.node.models().await {
        Ok(models) => {
            let data = models
                .iter()
                .map(|model| object(model, &models, app.since))
                .collect();
            let object = "list";
            Json(Models { object, data }).into_response()
        }
        Err(error) => HttpError::of_node(&error, Dialect::OpenAi).into_response(),
    }
}

/// One model; its id may hold slashes.
pub(crate) async fn show<N: NodeApi>(
    State(app): State<App<N>>,
    Path(id): Path<String>,
) -> Response {
    let found = app.node.models().await.and_then(|models| {
        models
            .iter()
            .find(|model| model.id == id || public_id(model, &models) == id)
            .map(|model| object(model, &models, app.since))
            .ok_or_else(|| {
                AskError::new(
                    ErrorCode::NotFound,
                    format!("the model {id:?} is not known here; GET /v1/models lists all"),
                )
            })
    });
    match found {
        Ok(model) => Json(model).into_response(),
        Err(error) => HttpError::of_node(&error, Dialect::OpenAi).into_response(),
    }
}

fn public_id<'a>(model: &'a ModelView, all: &[ModelView]) -> &'a str {
    let namesakes = all.iter().filter(|other| other.name == model.name).count();
    if namesakes == 1 {
        &model.name
    } else {
        &model.id
    }
}

/// All models.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ModelList)]
pub(crate) struct Models {
    object: &'static str,
    data: Vec<Model>,
}

/// One model.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Model {
    id: String,
    object: &'static str,
    created: u64,
    owned_by: &'static str,
    context_length: u32,
    /// `ready` or `uncovered`.
    state: &'static str,
    coverage: Vec<u32>,
    price_ugft_per_token: u64,
    talkoot_id: String,
}

fn object(model: &ModelView, all: &[ModelView], created: u64) -> Model {
    let least = model.coverage.iter().copied().min().unwrap_or(0);
    Model {
        id: public_id(model, all).to_owned(),
        object: "model",
        created,
        owned_by: "talkoot",
        context_length: model.context,
        state: if least > 0 { "ready" } else { "uncovered" },
        coverage: model.coverage.clone(),
        price_ugft_per_token: model.price_ugft_per_token,
        talkoot_id: model.id.clone(),
    }
}
