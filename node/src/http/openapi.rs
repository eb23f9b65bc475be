//! `GET /openapi.json`: every path of the port, with the shapes of what it takes
//! and gives, made from the types themselves.
//!
//! One table names the paths; a test holds it to the router. Answers that are
//! streams are described as text: their lines have the shapes of docs/API.md.

mod routes;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use routes::{Content, ROUTES, Route};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

/// The error of every path.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorEnvelope {
    error: ErrorBody,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    /// For people.
    message: String,
    /// The class of the error.
    r#type: String,
    /// Which key of the request is meant.
    param: Option<String>,
    /// For programs.
    code: String,
}

/// Schemas that paths refer to.
#[derive(Debug, Default)]
struct Schemas(Map<String, Value>);

impl Schemas {
    /// A reference to a type, which is added with all that it is made of.
    fn of<T: ToSchema>(&mut self) -> Value {
        let mut all = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut all);
        for (name, schema) in all {
            match serde_json::to_value(schema) {
                Ok(schema) => drop(self.0.insert(name, schema)),
                Err(error) => tracing::error!("{name} cannot be described: {error}"),
            }
        }
        json!({"$ref": format!("#/components/schemas/{}", T::name())})
    }
}

/// The document.
pub(crate) async fn document() -> Response {
    let text = describe().to_string();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn describe() -> Value {
    let mut schemas = Schemas::default();
    let error = schemas.of::<ErrorEnvelope>();
    let mut paths: Map<String, Value> = Map::new();
    for route in ROUTES {
        let operation = operation(route, &error, &mut schemas);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Talkoot",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "One node: OpenAI's paths, the node's own, and probes.",
            "license": {"name": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas.0,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key (optional on the node's own machine), or for writes \
                                    under /api/v1 the token of api.json.",
                },
            },
        },
    })
}

fn operation(route: &Route, error: &Value, schemas: &mut Schemas) -> Value {
    let mut responses = Map::new();
    responses.insert("200".to_owned(), answer(&route.answer, schemas));
    for &status in route.errors {
        let described = json!({
            "description": meaning(status),
            "content": {"application/json": {"schema": error}},
        });
        responses.insert(status.to_string(), described);
    }
    if route.path == "/readyz" || route.path == "/health" {
        let why = json!({
            "description": "not ready; reasons say why",
            "content": {"application/json": {"schema": {"type": "object"}}},
        });
        responses.insert("503".to_owned(), why);
    }
    let in_path = route
        .path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            json!({"name": name, "in": "path", "required": true,
            "schema": {"type": "string"}})
        });
    let in_query = route.query.iter().map(|(name, kind)| {
        json!({"name": name, "in": "query", "required": false, "schema": {"type": kind}})
    });
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let security = match route.needs_token {
        true => json!([{"bearer": []}]),
        false => json!([{}, {"bearer": []}]),
    };
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "parameters": parameters,
        "responses": responses,
        "security": security,
    });
    if let Some(body) = route.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": body(schemas)}},
        });
    }
    operation
}

fn answer(content: &Content, schemas: &mut Schemas) -> Value {
    let text = json!({"schema": {"type": "string"}});
    // One event of a stream, as readers of event streams have it.
    let field = json!({"type": "string"});
    let events = json!({"schema": {
        "type": "object",
        "properties": {"id": field, "event": field, "data": field},
        "required": ["data"],
    }});
    let content = match content {
        Content::Json(shape) => json!({"application/json": {"schema": shape(schemas)}}),
        Content::JsonOrEvents(shape) => json!({
            "application/json": {"schema": shape(schemas)},
            "text/event-stream": events,
        }),
        Content::Events => json!({"text/event-stream": events}),
        Content::Text(kind) => json!({*kind: text}),
    };
    json!({"description": "the answer", "content": content})
}

fn meaning(status: u16) -> &'static str {
    match status {
        400 => "the request is wrong or asks for what is not offered",
        401 => "a key or the token is missing",
        402 => "too little credit",
        403 => "not from there",
        404 => "no such thing",
        413 => "the body is too large",
        429 => "too much at once; retry-after says when again",
        503 => "not now; retry-after says when again",
        504 => "a deadline passed",
        _ => "the node or a stage failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Method and path of each route in the source of the router.
    fn routes_of_the_router() -> BTreeSet<(String, String)> {
        let source = include_str!("../http.rs");
        let (outer, books) = source.split_once("let books").unwrap();
        let mut routes = BTreeSet::new();
        for (part, prefix) in [(outer, ""), (books, "/api/v1/ledger")] {
            for route in part.split(".route(").skip(1) {
                let mut quoted = route.split('"');
                let path = quoted.nth(1).unwrap().replace("{*", "{");
                let after = quoted.next().unwrap();
                let method = if after
                    .trim_start_matches([',', ' ', '\n'])
                    .starts_with("get(")
                {
                    "get"
                } else {
                    "post"
                };
                routes.insert((method.to_owned(), format!("{prefix}{path}")));
            }
        }
        routes
    }

    #[test]
    fn every_path_of_the_router_is_described() {
        let described: BTreeSet<_> = ROUTES
            .iter()
            .map(|route| (route.method.to_owned(), route.path.to_owned()))
            .collect();
        assert_eq!(described, routes_of_the_router());
    }

    #[test]
    fn operations_have_names_of_their_own_and_references_lead_somewhere() {
        let names: BTreeSet<_> = ROUTES.iter().map(|route| route.id).collect();
        assert_eq!(names.len(), ROUTES.len());
        let document = describe();
        let text = document.to_string();
        let mut found = 0;
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            found += 1;
        }
        assert!(found > ROUTES.len());
        let chat = &document["components"]["schemas"]["ChatRequest"];
        assert!(chat.to_string().contains("max_completion_tokens"), "{chat}");
    }
}
