//! `/api/v1`: the shapes of [`crate::api`] as they are.

use super::asking::Asking;
use super::errors::{Dialect, HttpError, body_error};
use super::several::Several;
use super::{App, NodeApi, sse};
use crate::api::quote::QuoteRequest;
use crate::api::{
    AskError, AskEvent, AskRequest, ErrorCode, InviteRequest, ModelsView, PauseRequest, PeersView,
    PingRequest, RunsView, SCHEMA, WelcomeRequest,
};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

pub(crate) async fn status<N: NodeApi>(State(app): State<App<N>>) -> Response {
    reply(app.node.status().await)
}

pub(crate) async fn peers<N: NodeApi>(State(app): State<App<N>>) -> Response {
    reply(app.node.peers().await.map(|peers| PeersView {
        schema: SCHEMA,
        peers,
    }))
}

pub(crate) async fn models<N: NodeApi>(State(app): State<App<N>>) -> Response {
    reply(app.node.models().await.map(|models| ModelsView {
        schema: SCHEMA,
        models,
    }))
}

pub(crate) async fn quote<N: NodeApi>(
    State(app): State<App<N>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match parse::<QuoteRequest>(body) {
        Ok(request) => reply(app.node.quote(&request).await),
        Err(error) => error.into_response(),
    }
}

pub(crate) async fn jobs<N: NodeApi>(State(app): State<App<N>>) -> Response {
    reply(app.node.jobs().await.map(|jobs| RunsView {
        schema: SCHEMA,
        jobs,
    }))
}

pub(crate) async fn job<N: NodeApi>(State(app): State<App<N>>, Path(id): Path<String>) -> Response {
    reply(app.node.job(&id).await)
}

pub(crate) async fn unreached<N: NodeApi>(State(app): State<App<N>>) -> Response {
    reply(app.node.unreached().await)
}

pub(crate) async fn ping<N: NodeApi>(
    State(app): State<App<N>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match parse::<PingRequest>(body) {
        Ok(request) => reply(app.node.ping(&request).await),
        Err(error) => error.into_response(),
    }
}

pub(crate) async fn welcome<N: NodeApi>(
    State(app): State<App<N>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match parse::<WelcomeRequest>(body) {
        Ok(request) => reply(app.node.welcome(&request).await),
        Err(error) => error.into_response(),
    }
}

pub(crate) async fn take_contacts<N: NodeApi>(State(app): State<App<N>>) -> Response {
    reply(app.node.take_contacts().await)
}

pub(crate) async fn invite<N: NodeApi>(
    State(app): State<App<N>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match parse::<InviteRequest>(body) {
        Ok(request) => reply(app.node.invite(request).await),
        Err(error) => error.into_response(),
    }
}

pub(crate) async fn pause<N: NodeApi>(
    State(app): State<App<N>>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    match parse::<PauseRequest>(body) {
        Ok(request) => reply(app.node.pause(request).await),
        Err(error) => error.into_response(),
    }
}

pub(crate) async fn resume<N: NodeApi>(State(app): State<App<N>>) -> Response {
    reply(app.node.resume().await)
}

/// An answer as a stream of [`AskEvent`]s. A failure before the first event is
/// a status; later ones are the last event.
pub(crate) async fn ask<N: NodeApi>(
    node: Asking<N>,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let request = match parse::<AskRequest>(body) {
        Ok(request) => request,
        Err(error) => return error.into_response(),
    };
    let mut answers = Several::ask(&node, vec![request]);
    match answers.next().await {
        Some(first) => match &first.event {
            AskEvent::Failed(error) => native_error(error),
            _ => sse::stream(first, answers, sse::Native),
        },
        None => native_error(&AskError::new(
            ErrorCode::Internal,
            "the node gave the answer up without a reason",
        )),
    }
}

/// The answer to a stop.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Stopping {
    schema: u32,
    stopping: bool,
}

pub(crate) async fn shutdown<N: NodeApi>(State(app): State<App<N>>) -> Response {
    tracing::info!("asked to stop over HTTP");
    app.node.shutdown();
    json(&Stopping {
        schema: SCHEMA,
        stopping: true,
    })
}

fn parse<T: serde::de::DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, HttpError> {
    let body = body.map_err(|rejection| body_error(&rejection))?;
    serde_json::from_slice(&body)
        .map_err(|error| HttpError::bad_request("invalid_request", None, error.to_string()))
}

pub(super) fn reply<T: Serialize>(answer: Result<T, AskError>) -> Response {
    match answer {
        Ok(view) => json(&view),
        Err(error) => native_error(&error),
    }
}

/// Written by `to_string`: amounts of 128 bits do not fit a `Value`.
pub(super) fn json<T: Serialize>(view: &T) -> Response {
    match serde_json::to_string(view) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text).into_response(),
        Err(error) => native_error(&AskError::new(ErrorCode::Internal, error.to_string())),
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Response {
    HttpError::bad_request("invalid_request", None, message).into_response()
}

pub(super) fn native_error(error: &AskError) -> Response {
    HttpError::of_node(error, Dialect::Native).into_response()
}
