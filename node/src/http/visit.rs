//! One request while it is served: its id, the key it came with, and what is
//! noted of it for its headers and its line in the log.
//!
//! It travels in the request's extensions; whatever touches the request may note
//! something. Prompts and answers are never noted.

use super::keys::RateLeft;
use super::refusal::Refusal;
use crate::clock;
use crate::keys::Key;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The id under which a request is known on every hop: the client's own, or one
/// made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RequestId(pub(crate) String);

/// Shared by the layers and the handler of one request.
#[derive(Debug, Clone)]
pub(crate) struct Visit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: RequestId,
    began: Instant,
    /// Whether the key's requests of this minute were already looked at: once
    /// for each request, however many answers it asks for.
    rate_taken: AtomicBool,
    noted: Mutex<Noted>,
}

/// What is known at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Noted {
    /// The key that was sent, if it is one of ours.
    pub(crate) key: Option<Arc<Key>>,
    /// Name of the model that answers.
    pub(crate) model: String,
    /// The jobs, separated by commas.
    pub(crate) jobs: String,
    /// Prompt tokens of all answers.
    pub(crate) prompt_tokens: u64,
    /// Completion tokens of all answers.
    pub(crate) completion_tokens: u64,
    /// What the key has left in this minute.
    pub(crate) rate: Option<RateLeft>,
    /// When another try is worth while.
    pub(crate) retry_after: Option<Duration>,
}

/// Clients that wait longer by themselves only look as if they hung.
const RETRY_WORTH_IT: Duration = Duration::from_secs(60);
/// Jobs that are named in a line of the log.
const JOBS_SHOWN: usize = 8;

impl Visit {
    pub(crate) fn new(id: RequestId) -> Self {
        Self(Arc::new(Inner {
            id,
            began: clock::monotonic(),
            rate_taken: AtomicBool::new(false),
            noted: Mutex::default(),
        }))
    }

    pub(crate) fn id(&self) -> &RequestId {
        &self.0.id
    }

    pub(crate) fn began(&self) -> Instant {
        self.0.began
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn noted(&self) -> Noted {
        self.lock().clone()
    }

    pub(crate) fn set_key(&self, key: Arc<Key>) {
        self.lock().key = Some(key);
    }

    /// True the first time.
    pub(crate) fn takes_rate(&self) -> bool {
        !self.0.rate_taken.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn note_rate(&self, rate: Option<RateLeft>) {
        self.lock().rate = rate;
    }

    pub(crate) fn note_refusal(&self, refusal: &Refusal) {
        self.lock().retry_after = refusal.retry_after;
    }

    pub(crate) fn note_job(&self, job: &str, model: &str, prompt_tokens: u32) {
        let mut noted = self.lock();
        model.clone_into(&mut noted.model);
        noted.prompt_tokens = noted.prompt_tokens.saturating_add(u64::from(prompt_tokens));
        let shown = noted.jobs.split(',').filter(|job| !job.is_empty()).count();
        if shown < JOBS_SHOWN {
            if shown > 0 {
                noted.jobs.push(',');
            }
            noted.jobs.push_str(job);
        }
    }

    pub(crate) fn note_tokens(&self, tokens: u64) {
        let mut noted = self.lock();
        noted.completion_tokens = noted.completion_tokens.saturating_add(tokens);
    }

    /// The headers that every response has, whoever made it.
    pub(crate) fn write_headers(&self, headers: &mut HeaderMap) {
        let noted = self.noted();
        let mut set = |name: &'static str, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set("x-request-id", self.id().0.clone());
        if let Some(rate) = noted.rate {
            set("x-ratelimit-limit-requests", rate.limit.to_string());
            set("x-ratelimit-remaining-requests", rate.remaining.to_string());
            let seconds = Duration::from_millis(rate.reset_ms).as_secs_f64();
            set("x-ratelimit-reset-requests", format!("{seconds:.3}s"));
        }
        if let Some(wait) = noted.retry_after {
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            set("retry-after", seconds.to_string());
            set("retry-after-ms", wait.as_millis().to_string());
            if wait > RETRY_WORTH_IT {
                set("x-should-retry", "false".to_owned());
            }
        }
    }
}
