//! `/api/v1/state` and `/api/v1/events`: a page's first look, and what follows.
//!
//! While somebody looks, the node is asked a few times a second, and what
//! changed becomes an event; when nobody has looked for a minute nothing is asked
//! and what was noted is forgotten. Order and memory are `core::events`'.

use super::native::{invalid, json, native_error};
use super::{App, NodeApi};
use crate::api::{
    ArrivalsQuestion, ArrivalsView, AskError, EntryView, ErrorCode, PeersView, RunView, SCHEMA,
    StateView, StatusView,
};
use crate::clock;
use crate::core::events::{Event, EventRing, Since};
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Open streams of events.
const LISTENERS_MAX: usize = 32;
/// Between two looks at the books and the jobs.
const LOOK: Duration = Duration::from_millis(250);
/// Looks between two looks at status and peers.
const SLOW_LOOKS: u32 = 4;
/// How long changes are noted after the last look of anybody.
const INTEREST: Duration = Duration::from_secs(60);
/// Silence after which a comment is sent.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// What is noted for those who look.
#[derive(Debug)]
pub(super) struct Feed {
    ring: Mutex<EventRing>,
    changed: watch::Sender<()>,
    listeners: AtomicUsize,
    looked: Mutex<Option<Instant>>,
    wanted: watch::Sender<()>,
}

impl Feed {
    pub(super) fn new() -> Self {
        Self {
            ring: Mutex::new(EventRing::new(clock::now_ms() / 1000)),
            changed: watch::Sender::new(()),
            listeners: AtomicUsize::new(0),
            looked: Mutex::new(None),
            wanted: watch::Sender::new(()),
        }
    }

    /// Somebody looks: changes are noted from now on.
    fn want(&self) {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let was_idle = looked.is_none();
        *looked = Some(clock::monotonic());
        drop(looked);
        if was_idle {
            self.ring().forget();
            self.wanted.send_replace(());
        }
    }

    /// Whether changes are still to be noted.
    fn is_wanted(&self) -> bool {
        if self.listeners.load(Ordering::Relaxed) > 0 {
            return true;
        }
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_wanted = looked.is_some_and(|at| at.elapsed() < INTEREST);
        if !is_wanted {
            *looked = None;
        }
        is_wanted
    }

    fn ring(&self) -> std::sync::MutexGuard<'_, EventRing> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, name: &'static str, key: Option<String>, data: &impl Serialize) {
        match serde_json::to_string(data) {
            Ok(data) => {
                self.ring().push(name, key, data);
                self.changed.send_replace(());
            }
            Err(error) => tracing::error!("an event cannot be written: {error}"),
        }
    }
}

/// The state as one object, and the cursor to listen from.
pub(crate) async fn state<N: NodeApi>(State(app): State<App<N>>) -> Response {
    app.feed.want();
    // Taken first: what changes meanwhile is told again, and nothing is missed.
    let cursor = app.feed.ring().cursor();
    let view = async {
        Ok::<_, AskError>(StateView {
            schema: SCHEMA,
            cursor,
            now_ms: clock::now_ms(),
            status: app.node.status().await?,
            peers: app.node.peers().await?,
            jobs: app.node.jobs().await?,
        })
    };
    match view.await {
        Ok(view) => json(&view),
        Err(error) => native_error(&error),
    }
}

/// Where to go on.
#[derive(Debug, Deserialize)]
pub(crate) struct After {
    after: Option<u64>,
}

/// Events from a cursor on, until the reader or the node goes.
pub(crate) async fn events<N: NodeApi>(
    State(app): State<App<N>>,
    after: Result<Query<After>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let after = match after {
        Ok(Query(After { after })) => after,
        Err(rejection) => return invalid(rejection.body_text()),
    };
    let Some(listener) = Listener::new(&app) else {
        let message = format!("{LISTENERS_MAX} pages listen already; close one");
        return native_error(&AskError::new(ErrorCode::Busy, message));
    };
    app.feed.want();
    let last = headers
        .get("last-event-id")
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let asked = last.or(after);
    let reader = Reader {
        cursor: asked.unwrap_or_else(|| app.feed.ring().cursor()),
        changed: app.feed.changed.subscribe(),
        listener,
    };
    let chunks = futures::stream::unfold(reader, |mut reader| async move {
        let chunk = reader.next().await?;
        Some((Ok::<_, Infallible>(chunk), reader))
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Counts an open stream.
struct Listener<N>(App<N>);

impl<N> Listener<N> {
    fn new(app: &App<N>) -> Option<Self> {
        let count = &app.feed.listeners;
        if count.fetch_add(1, Ordering::Relaxed) >= LISTENERS_MAX {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Self(Arc::clone(app)))
    }
}

impl<N> Drop for Listener<N> {
    fn drop(&mut self) {
        self.0.feed.listeners.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Reader<N> {
    cursor: u64,
    changed: watch::Receiver<()>,
    listener: Listener<N>,
}

impl<N> Reader<N> {
    /// The next bytes: all that came, or a comment after a silence. None when
    /// the port closes.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            self.changed.mark_unchanged();
            let since = self.listener.0.feed.ring().since(self.cursor);
            match since {
                Since::Events(events) if events.is_empty() => {}
                Since::Events(events) => return Some(self.write(&events)),
                Since::Reset => {
                    self.cursor = self.listener.0.feed.ring().cursor();
                    let text = format!("id: {}\nevent: reset\ndata: {{}}\n\n", self.cursor);
                    return Some(text.into());
                }
            }
            match tokio::time::timeout(KEEP_ALIVE, self.changed.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
    }

    fn write(&mut self, events: &[Event]) -> Bytes {
        let mut text = String::new();
        for event in events {
            let (cursor, name, data) = (event.cursor, event.name, &event.data);
            text.push_str(&format!("id: {cursor}\nevent: {name}\ndata: {data}\n\n"));
            self.cursor = event.cursor;
        }
        text.into()
    }
}

/// What the books told since the last look.
#[derive(Debug, Serialize)]
struct Arrived {
    entries: Vec<EntryView>,
    chain: crate::api::ChainView,
}

/// Notes changes while somebody looks; ends with the port.
pub(super) async fn keep_fed<N: NodeApi>(app: App<N>) {
    let mut wanted = app.feed.wanted.subscribe();
    while wanted.changed().await.is_ok() {
        let mut seen = Seen::default();
        let mut looks = 0_u32;
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while app.feed.is_wanted() {
            look.tick().await;
            if looks.is_multiple_of(SLOW_LOOKS) {
                seen.look_around(&app).await;
            }
            seen.look_at_books(&app).await;
            seen.look_at_jobs(&app).await;
            looks = looks.wrapping_add(1);
        }
    }
}

/// What was told last.
#[derive(Debug, Default)]
struct Seen {
    status: Option<String>,
    peers: Option<String>,
    /// The newest word of each job, by job and role.
    jobs: BTreeMap<(String, String), RunView>,
    arrivals: Option<u64>,
}

impl Seen {
    async fn look_around<N: NodeApi>(&mut self, app: &App<N>) {
        if let Ok(status) = app.node.status().await {
            let told = comparable(&status);
            if self.status.as_ref() != Some(&told) {
                self.status = Some(told);
                app.feed.push("status", Some("status".to_owned()), &status);
            }
        }
        if let Ok(peers) = app.node.peers().await {
            let view = PeersView {
                schema: SCHEMA,
                peers,
            };
            let told = serde_json::to_string(&view).unwrap_or_default();
            if self.peers.as_ref() != Some(&told) {
                self.peers = Some(told);
                app.feed.push("peers", Some("peers".to_owned()), &view);
            }
        }
    }

    async fn look_at_jobs<N: NodeApi>(&mut self, app: &App<N>) {
        let Ok(mut jobs) = app.node.jobs().await else {
            return;
        };
        // The newest are shown first and told last.
        jobs.reverse();
        let before = std::mem::take(&mut self.jobs);
        for job in jobs {
            let name = (job.role.clone(), job.job.clone());
            if before.get(&name) != Some(&job) {
                let key = format!("{} {}", name.0, name.1);
                app.feed.push("job", Some(key), &job);
            }
            self.jobs.insert(name, job);
        }
    }

    async fn look_at_books<N: NodeApi>(&mut self, app: &App<N>) {
        let question = ArrivalsQuestion {
            from: self.arrivals,
        };
        let Ok(ArrivalsView {
            entries,
            next,
            chain,
            ..
        }) = app.node.ledger(question).await
        else {
            return;
        };
        let is_first = self.arrivals.replace(next).is_none();
        if !is_first && !entries.is_empty() {
            app.feed.push("entries", None, &Arrived { entries, chain });
        }
    }
}

/// A status without what changes by itself.
fn comparable(status: &StatusView) -> String {
    let steady = StatusView {
        uptime_ms: 0,
        ..status.clone()
    };
    serde_json::to_string(&steady).unwrap_or_default()
}
