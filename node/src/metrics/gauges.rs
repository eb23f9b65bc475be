//! Gauges: what is so now. They are set when somebody looks, from one report of
//! the node; nothing keeps them up to date meanwhile.

use crate::api::StatusView;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Answers at the port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Being made.
    pub running: usize,
    /// Waiting for a place.
    pub waiting: usize,
}

/// A model by name and by the beginning of its id: names may be shared.
#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabels {
    model: String,
    id: String,
}

/// A name, what it means, and the numbers.
type Named<'a, T> = (&'static str, &'static str, &'a T);

/// Characters of a model's id in a label.
const ID_SHOWN: usize = 12;

impl ModelLabels {
    fn new(name: &str, id: &str) -> Self {
        Self {
            model: name.to_owned(),
            id: id.chars().take(ID_SHOWN).collect(),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Gauges {
    running: Gauge,
    waiting: Gauge,
    uptime_seconds: Gauge,
    stale: Gauge,
    ready: Gauge,
    peers: Gauge,
    lending_paused: Gauge,
    layers_served: Family<ModelLabels, Gauge>,
    coverage_min: Family<ModelLabels, Gauge>,
    sessions: Family<ModelLabels, Gauge>,
    sessions_max: Family<ModelLabels, Gauge>,
    weight_bytes: Family<ModelLabels, Gauge>,
    session_bytes: Family<ModelLabels, Gauge>,
    session_bytes_max: Family<ModelLabels, Gauge>,
    balance_ugft: Gauge,
    available_ugft: Gauge,
    held_ugft: Gauge,
    pending_ugft: Gauge,
    line_ugft: Gauge,
    entries: Gauge,
    wallets: Gauge,
    forked_wallets: Gauge,
    sync_missing: Gauge,
}

impl Gauges {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        for (name, help, gauge) in gauges
            .of_the_node()
            .into_iter()
            .chain(gauges.of_the_books())
        {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, family) in gauges.by_model() {
            registry.register(name, help, family.clone());
        }
        gauges
    }

    fn of_the_node(&self) -> [Named<'_, Gauge>; 7] {
        [
            ("answers_running", "Answers being made", &self.running),
            (
                "answers_waiting",
                "Answers waiting for a place",
                &self.waiting,
            ),
            ("uptime_seconds", "Since start", &self.uptime_seconds),
            (
                "scrape_stale",
                "1 when the node did not report in time and other gauges are old",
                &self.stale,
            ),
            ("ready", "1 when some model has a full route", &self.ready),
            ("peers", "Connected peers", &self.peers),
            (
                "lending_paused",
                "1 when nothing is lent to others",
                &self.lending_paused,
            ),
        ]
    }

    fn of_the_books(&self) -> [Named<'_, Gauge>; 9] {
        [
            (
                "credits_balance_ugft",
                "Earned less burned",
                &self.balance_ugft,
            ),
            (
                "credits_available_ugft",
                "What can be spent",
                &self.available_ugft,
            ),
            ("credits_held_ugft", "Held by reservations", &self.held_ugft),
            (
                "credits_pending_ugft",
                "Earned and not confirmed yet",
                &self.pending_ugft,
            ),
            ("credits_line_ugft", "Credit line", &self.line_ugft),
            ("ledger_entries", "Entries in the chain", &self.entries),
            ("ledger_wallets", "Wallets in the books", &self.wallets),
            (
                "ledger_forked_wallets",
                "Wallets proven to have forked their log",
                &self.forked_wallets,
            ),
            (
                "sync_missing_entries",
                "Entries that peers claim to have and this node lacks",
                &self.sync_missing,
            ),
        ]
    }

    fn by_model(&self) -> [Named<'_, Family<ModelLabels, Gauge>>; 7] {
        [
            (
                "layers_served",
                "Layers that this node serves",
                &self.layers_served,
            ),
            (
                "layer_coverage_min",
                "Peers that serve the least covered layer",
                &self.coverage_min,
            ),
            ("sessions", "Open sessions", &self.sessions),
            ("sessions_max", "Sessions at most", &self.sessions_max),
            ("weight_bytes", "Memory of the weights", &self.weight_bytes),
            (
                "session_bytes",
                "Memory of the open sessions",
                &self.session_bytes,
            ),
            (
                "session_bytes_max",
                "Memory that sessions may take",
                &self.session_bytes_max,
            ),
        ]
    }

    pub(super) fn set_waiting(&self, waiting: Waiting) {
        set(&self.running, waiting.running as u64);
        set(&self.waiting, waiting.waiting as u64);
    }

    pub(super) fn set_uptime(&self, uptime: Duration) {
        set(&self.uptime_seconds, uptime.as_secs());
    }

    pub(super) fn set_stale(&self) {
        self.stale.set(1);
    }

    pub(super) fn set_status(&self, status: &StatusView) {
        self.stale.set(0);
        self.ready.set(i64::from(status.ready));
        set(&self.peers, status.peers as u64);
        self.lending_paused.set(i64::from(status.paused.is_some()));
        let balance = &status.balance;
        set(&self.balance_ugft, balance.balance_ugft);
        set(&self.available_ugft, balance.available_ugft);
        set(&self.held_ugft, balance.held_ugft);
        set(&self.pending_ugft, balance.pending_ugft);
        set(&self.line_ugft, balance.line_ugft);
        set(&self.entries, status.chain.length);
        set(&self.wallets, status.books.wallets);
        set(&self.forked_wallets, status.books.forked_wallets);
        set(&self.sync_missing, status.sync.to_fetch);
        self.set_models(status);
    }

    /// Models come and go; one that went must not stay as it was.
    fn set_models(&self, status: &StatusView) {
        let families = [
            &self.layers_served,
            &self.coverage_min,
            &self.sessions,
            &self.sessions_max,
            &self.weight_bytes,
            &self.session_bytes,
            &self.session_bytes_max,
        ];
        for family in families {
            family.clear();
        }
        for model in &status.models {
            let labels = ModelLabels::new(&model.name, &model.id);
            let least = model.coverage.iter().copied().min().unwrap_or(0);
            set(&self.coverage_min.get_or_create(&labels), least);
        }
        for served in &status.serving {
            let labels = ModelLabels::new(&served.name, &served.model);
            let layers = served.layers[1].saturating_sub(served.layers[0]);
            set(&self.layers_served.get_or_create(&labels), layers);
            set(
                &self.sessions.get_or_create(&labels),
                served.sessions as u64,
            );
            set(
                &self.sessions_max.get_or_create(&labels),
                served.sessions_max as u64,
            );
            set(&self.weight_bytes.get_or_create(&labels), served.bytes);
            set(
                &self.session_bytes.get_or_create(&labels),
                served.session_bytes,
            );
            set(
                &self.session_bytes_max.get_or_create(&labels),
                served.session_bytes_max,
            );
        }
    }
}

/// Amounts may exceed what a gauge holds; then it shows the most or the least it
/// can.
fn set<T: TryInto<i64> + PartialOrd + Default>(gauge: &Gauge, value: T) {
    let end = if value < T::default() {
        i64::MIN
    } else {
        i64::MAX
    };
    gauge.set(value.try_into().unwrap_or(end));
}
