//! What a node counts for those who watch it, in the text form of OpenMetrics.
//! The only place that knows prometheus-client.
//!
//! Names, labels and meanings are listed in docs/METRICS.md; a test holds the
//! two together. Counting never waits. Labels come from sets that this program
//! bounds: routes of the port, its error codes, models known in the network.

mod gauges;

pub use gauges::Waiting;

use crate::api::{ErrorCode, StatusView};
use crate::clock;
use gauges::Gauges;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The type of what [`Metrics::render`] gives.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    path: String,
    status: u16,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct FinishLabels {
    reason: String,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ErrorLabels {
    code: String,
}

/// Counters, histograms and gauges of one node; cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    began: Instant,
    requests: Family<RequestLabels, Counter>,
    finished: Family<FinishLabels, Counter>,
    failed: Family<ErrorLabels, Counter>,
    prompt_tokens: Counter,
    completion_tokens: Counter,
    burned_ugft: Counter,
    queue_seconds: Histogram,
    first_token_seconds: Histogram,
    between_tokens_seconds: Histogram,
    answer_seconds: Histogram,
    gauges: Gauges,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero, and the time of start.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("talkoot");
        let gauges = Gauges::register(&mut registry);
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Version of the program", build);
        // From 1 ms, in steps of two, to 16 s, 33 s and 1000 s.
        let short = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let long = || Histogram::new(exponential_buckets(0.001, 2.0, 21));
        let inner = Inner {
            began: clock::monotonic(),
            requests: Family::default(),
            finished: Family::default(),
            failed: Family::default(),
            prompt_tokens: Counter::default(),
            completion_tokens: Counter::default(),
            burned_ugft: Counter::default(),
            queue_seconds: long(),
            first_token_seconds: long(),
            between_tokens_seconds: short(),
            answer_seconds: long(),
            gauges,
            registry: Registry::default(),
        };
        inner.register(&mut registry);
        Self(Arc::new(Inner { registry, ..inner }))
    }

    /// A request was answered; `path` is the route, not what was asked for.
    pub fn request(&self, path: &str, status: u16) {
        let path = path.to_owned();
        let counter = self
            .0
            .requests
            .get_or_create(&RequestLabels { path, status });
        counter.inc();
    }

    /// An answer was admitted after so long a wait.
    pub fn queued(&self, wait: Duration) {
        self.0.queue_seconds.observe(wait.as_secs_f64());
    }

    /// A prompt's tokens, when its job begins.
    pub fn prompt(&self, tokens: u32) {
        self.0.prompt_tokens.inc_by(u64::from(tokens));
    }

    /// Tokens of an answer.
    pub fn completion(&self, tokens: u64) {
        self.0.completion_tokens.inc_by(tokens);
    }

    /// The first token came so long after it was asked for.
    pub fn first_token(&self, after: Duration) {
        self.0.first_token_seconds.observe(after.as_secs_f64());
    }

    /// A further token came so long after the one before.
    pub fn next_token(&self, after: Duration) {
        self.0.between_tokens_seconds.observe(after.as_secs_f64());
    }

    /// An answer is complete: why it ended, how long it took in all, what it
    /// burned (µGFT).
    pub fn finished(&self, reason: &str, took: Duration, burned_ugft: u64) {
        let reason = reason.to_owned();
        self.0
            .finished
            .get_or_create(&FinishLabels { reason })
            .inc();
        self.0.answer_seconds.observe(took.as_secs_f64());
        self.0.burned_ugft.inc_by(burned_ugft);
    }

    /// An answer was refused, failed, or was given up by its client.
    pub fn failed(&self, code: ErrorCode) {
        let code = code.name();
        self.0.failed.get_or_create(&ErrorLabels { code }).inc();
    }

    /// Sets the gauges: who waits, and what the node said of itself. Without
    /// that, its gauges stay what they were and are marked stale.
    pub fn observe(&self, waiting: Waiting, status: Option<&StatusView>) {
        let gauges = &self.0.gauges;
        gauges.set_waiting(waiting);
        gauges.set_uptime(self.0.began.elapsed());
        match status {
            Some(status) => gauges.set_status(status),
            None => gauges.set_stale(),
        }
    }

    /// All of it as text.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing into a string does not fail.
        if let Err(error) = text::encode(&mut out, &self.0.registry) {
            tracing::error!("metrics cannot be written: {error}");
        }
        out
    }
}

impl Inner {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "HTTP requests by route and status",
            self.requests.clone(),
        );
        registry.register(
            "answers_finished",
            "Complete answers by finish reason",
            self.finished.clone(),
        );
        registry.register(
            "answers_failed",
            "Answers refused, failed or given up, by error code",
            self.failed.clone(),
        );
        registry.register(
            "prompt_tokens",
            "Tokens of prompts whose job began",
            self.prompt_tokens.clone(),
        );
        registry.register(
            "completion_tokens",
            "Tokens of answers",
            self.completion_tokens.clone(),
        );
        registry.register(
            "answers_burned_ugft",
            "Credits burned by complete answers",
            self.burned_ugft.clone(),
        );
        registry.register(
            "queue_seconds",
            "Wait for a place",
            self.queue_seconds.clone(),
        );
        registry.register(
            "time_to_first_token_seconds",
            "From asking to the first token, the wait for a place included",
            self.first_token_seconds.clone(),
        );
        registry.register(
            "inter_token_seconds",
            "From one token to the next",
            self.between_tokens_seconds.clone(),
        );
        registry.register(
            "answer_seconds",
            "From asking to the end of a complete answer",
            self.answer_seconds.clone(),
        );
    }
}

#[cfg(test)]
pub(crate) mod tests;
