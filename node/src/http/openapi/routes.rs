//! The table of paths: what each takes, gives, and may refuse with.

use super::Schemas;
use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{
    ArrivalsView, AskRequest, AuthorView, BalancesView, ContactsView, CreditsView, EarningsView,
    EntriesView, EntryView, ForksView, GenesisView, InviteRequest, InviteView, JobView,
    LendingView, ModelsView, PauseRequest, PeersView, PingRequest, PingView, RunDetailView,
    RunsView, StateView, StatementView, StatusView, UnreachedView, WelcomeRequest, WelcomedView,
};
use crate::http::{chat, completions, models, native, responses, tokenize};
use serde_json::{Value, json};

/// Adds a type and refers to it.
type Shape = fn(&mut Schemas) -> Value;

/// What a good answer holds.
#[derive(Debug)]
pub(super) enum Content {
    Json(Shape),
    /// Events where `stream` is true.
    JsonOrEvents(Shape),
    Events,
    /// Text of this media type.
    Text(&'static str),
}

/// One operation.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) id: &'static str,
    pub(super) summary: &'static str,
    /// Names and types of parameters in the query.
    pub(super) query: &'static [(&'static str, &'static str)],
    pub(super) body: Option<Shape>,
    pub(super) answer: Content,
    pub(super) errors: &'static [u16],
    pub(super) needs_token: bool,
}

const READ: &[u16] = &[400, 403, 404, 500, 503, 504];
const WRITE: &[u16] = &[400, 401, 402, 403, 404, 413, 429, 500, 503, 504];
const OPEN: &[u16] = &[400, 401, 403, 404, 413, 429, 500, 503, 504];

const fn read(path: &'static str, id: &'static str, summary: &'static str, shape: Shape) -> Route {
    Route {
        method: "get",
        path,
        id,
        summary,
        query: &[],
        body: None,
        answer: Content::Json(shape),
        errors: READ,
        needs_token: false,
    }
}

const fn write(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Shape,
    answer: Content,
) -> Route {
    Route {
        method: "post",
        path,
        id,
        summary,
        query: &[],
        body: Some(body),
        answer,
        errors: WRITE,
        needs_token: true,
    }
}

const fn ask(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    body: Shape,
    answer: Content,
) -> Route {
    Route {
        needs_token: false,
        ..write(path, id, summary, body, answer)
    }
}

const fn probe(path: &'static str, id: &'static str, summary: &'static str) -> Route {
    Route {
        answer: Content::Text("text/plain"),
        errors: &[403],
        ..read(path, id, summary, any)
    }
}

fn any(_schemas: &mut Schemas) -> Value {
    json!({"type": "object"})
}

/// All operations of the port.
pub(super) const ROUTES: &[Route] = &[
    probe("/livez", "live", "Whether the process answers"),
    Route {
        answer: Content::Json(any),
        ..probe("/readyz", "ready", "Whether some model has a full route")
    },
    Route {
        answer: Content::Json(any),
        ..probe("/health", "health", "The same as /readyz")
    },
    Route {
        answer: Content::Text("application/openmetrics-text"),
        ..probe("/metrics", "metrics", "Counters and gauges")
    },
    read("/openapi.json", "openapi", "This document", any),
    read(
        "/api/v1/status",
        "status",
        "One page about the node",
        Schemas::of::<StatusView>,
    ),
    read(
        "/api/v1/state",
        "state",
        "What a page shows first",
        Schemas::of::<StateView>,
    ),
    Route {
        query: &[("after", "integer")],
        answer: Content::Events,
        ..read("/api/v1/events", "events", "What changes, as events", any)
    },
    Route {
        answer: Content::Text("text/html"),
        ..read("/", "dashboard", "The dashboard", any)
    },
    Route {
        answer: Content::Text("text/javascript"),
        ..read("/assets/{path}", "asset", "A file of the dashboard", any)
    },
    read(
        "/api/v1/jobs",
        "jobs",
        "The newest jobs of this node",
        Schemas::of::<RunsView>,
    ),
    read(
        "/api/v1/jobs/{id}",
        "run",
        "One job with the times of its tokens",
        Schemas::of::<RunDetailView>,
    ),
    read(
        "/api/v1/peers",
        "peers",
        "Connected peers",
        Schemas::of::<PeersView>,
    ),
    read(
        "/api/v1/peers/why",
        "unreached",
        "Who is not connected, and why",
        Schemas::of::<UnreachedView>,
    ),
    read(
        "/api/v1/models",
        "node_models",
        "Known models",
        Schemas::of::<ModelsView>,
    ),
    Route {
        query: &[
            ("from", "integer"),
            ("before", "integer"),
            ("count", "integer"),
            ("author", "string"),
            ("kind", "string"),
            ("job", "string"),
            ("effect", "string"),
            ("bytes", "boolean"),
        ],
        ..read(
            "/api/v1/ledger/entries",
            "entries",
            "A page of the chain",
            Schemas::of::<EntriesView>,
        )
    },
    read(
        "/api/v1/ledger/entries/{id}",
        "entry",
        "One entry",
        Schemas::of::<EntryView>,
    ),
    Route {
        query: &[("from", "integer")],
        ..read(
            "/api/v1/ledger/arrivals",
            "arrivals",
            "Entries as they came",
            Schemas::of::<ArrivalsView>,
        )
    },
    read(
        "/api/v1/ledger/authors/{wallet}",
        "author",
        "One wallet",
        Schemas::of::<AuthorView>,
    ),
    read(
        "/api/v1/ledger/jobs/{id}",
        "job",
        "One job",
        Schemas::of::<JobView>,
    ),
    Route {
        query: &[("after", "string")],
        ..read(
            "/api/v1/ledger/balances",
            "balances",
            "Who has what",
            Schemas::of::<BalancesView>,
        )
    },
    Route {
        query: &[
            ("wallet", "string"),
            ("bucket_ms", "integer"),
            ("count", "integer"),
            ("until_ms", "integer"),
        ],
        ..read(
            "/api/v1/ledger/earnings",
            "earnings",
            "What a wallet earned and burned, by time",
            Schemas::of::<EarningsView>,
        )
    },
    Route {
        query: &[("wallet", "string")],
        ..read(
            "/api/v1/ledger/credits",
            "credits",
            "How the money of a wallet comes about",
            Schemas::of::<CreditsView>,
        )
    },
    Route {
        query: &[
            ("wallet", "string"),
            ("before", "integer"),
            ("count", "integer"),
        ],
        ..read(
            "/api/v1/ledger/statement",
            "statement",
            "The jobs that moved a wallet's money",
            Schemas::of::<StatementView>,
        )
    },
    read(
        "/api/v1/ledger/forks",
        "forks",
        "Forked logs",
        Schemas::of::<ForksView>,
    ),
    read(
        "/api/v1/ledger/genesis",
        "genesis",
        "The founding document",
        Schemas::of::<GenesisView>,
    ),
    Route {
        needs_token: false,
        errors: OPEN,
        ..write(
            "/api/v1/ledger/quote",
            "quote",
            "What a job would cost",
            Schemas::of::<QuoteRequest>,
            Content::Json(Schemas::of::<QuoteView>),
        )
    },
    write(
        "/api/v1/ping",
        "ping",
        "Round trips to a peer",
        Schemas::of::<PingRequest>,
        Content::Json(Schemas::of::<PingView>),
    ),
    write(
        "/api/v1/welcome",
        "welcome",
        "Lets a wallet write into the ledger",
        Schemas::of::<WelcomeRequest>,
        Content::Json(Schemas::of::<WelcomedView>),
    ),
    Route {
        body: None,
        ..write(
            "/api/v1/contacts",
            "contacts",
            "Reads the owner's file of peers again",
            any,
            Content::Json(Schemas::of::<ContactsView>),
        )
    },
    write(
        "/api/v1/invite",
        "invite",
        "Makes a ticket",
        Schemas::of::<InviteRequest>,
        Content::Json(Schemas::of::<InviteView>),
    ),
    write(
        "/api/v1/ask",
        "ask",
        "Answers a question as events",
        Schemas::of::<AskRequest>,
        Content::Events,
    ),
    write(
        "/api/v1/pause",
        "pause",
        "Lends nothing to others until told otherwise",
        Schemas::of::<PauseRequest>,
        Content::Json(Schemas::of::<LendingView>),
    ),
    Route {
        body: None,
        ..write(
            "/api/v1/resume",
            "resume",
            "Ends a pause by hand",
            any,
            Content::Json(Schemas::of::<LendingView>),
        )
    },
    Route {
        body: None,
        ..write(
            "/api/v1/shutdown",
            "shutdown",
            "Begins an orderly stop",
            any,
            Content::Json(Schemas::of::<native::Stopping>),
        )
    },
    Route {
        errors: OPEN,
        ..read(
            "/v1/models",
            "list_models",
            "Known models, as OpenAI lists them",
            Schemas::of::<models::Models>,
        )
    },
    Route {
        errors: OPEN,
        ..read(
            "/v1/models/{id}",
            "show_model",
            "One model; its id may hold slashes",
            Schemas::of::<models::Model>,
        )
    },
    ask(
        "/v1/chat/completions",
        "chat",
        "Answers a chat",
        Schemas::of::<chat::ChatRequest>,
        Content::JsonOrEvents(Schemas::of::<chat::Completion>),
    ),
    ask(
        "/v1/completions",
        "complete",
        "Continues prompts",
        Schemas::of::<completions::CompletionRequest>,
        Content::JsonOrEvents(Schemas::of::<completions::Completion>),
    ),
    ask(
        "/v1/responses",
        "respond",
        "Answers an input",
        Schemas::of::<responses::ResponseRequest>,
        Content::JsonOrEvents(Schemas::of::<responses::Response>),
    ),
    ask(
        "/v1/embeddings",
        "embed",
        "Always refused: 400 embeddings_unsupported",
        any,
        Content::Json(any),
    ),
    ask(
        "/tokenize",
        "tokenize",
        "The tokens of a text",
        Schemas::of::<tokenize::Request>,
        Content::Json(Schemas::of::<tokenize::Tokens>),
    ),
    ask(
        "/detokenize",
        "detokenize",
        "The text of tokens",
        Schemas::of::<tokenize::Ids>,
        Content::Json(Schemas::of::<tokenize::Text>),
    ),
    Route {
        query: &[("model", "string")],
        errors: OPEN,
        ..read(
            "/tokenizer_info",
            "tokenizer_info",
            "What is known of a tokenizer",
            Schemas::of::<tokenize::Info>,
        )
    },
];
