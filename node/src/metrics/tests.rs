//! That every metric is in docs/METRICS.md and nothing else is, and that scrapes
//! show what is so.

use super::*;
use crate::api::{ErrorCode, ModelView, ServedView, StatusView};
use std::collections::BTreeSet;

const DOCUMENT: &str = include_str!("../../../docs/METRICS.md");

/// `(name, type)` of all that is exposed; counters as they are asked for.
fn exposed(text: &str) -> BTreeSet<(String, String)> {
    let mut exposed = BTreeSet::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = rest.split_once(' ').unwrap();
        let name = match kind {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        exposed.insert((name, kind.to_owned()));
    }
    exposed
}

/// The first two columns of the document's tables.
fn documented() -> BTreeSet<(String, String)> {
    let rows = DOCUMENT
        .lines()
        .filter_map(|line| line.strip_prefix("| `talkoot_"));
    rows.map(|row| {
        let mut cells = row.split('|');
        let name = cells.next().unwrap().trim().trim_end_matches('`');
        (
            format!("talkoot_{name}"),
            cells.next().unwrap().trim().to_owned(),
        )
    })
    .collect()
}

/// A node that serves half of a model.
fn status() -> StatusView {
    let mut status = crate::http::tests::fake::status_view();
    status.models = vec![ModelView {
        id: "0123456789abcdef".to_owned(),
        name: "demo".to_owned(),
        layers: 2,
        dtype: "f32".to_owned(),
        context: 16,
        coverage: vec![3, 1],
        price_ugft_per_token: 3,
        local: true,
    }];
    status.serving = vec![ServedView {
        model: "0123456789abcdef".to_owned(),
        name: "demo".to_owned(),
        layers: [1, 2],
        layers_total: 2,
        layers_per_second: 1,
        measured_layers_per_second: 1,
        duty_ppm: 1_000_000,
        bytes: 77,
        session_bytes: 5,
        session_bytes_max: 50,
        sessions: 4,
        sessions_max: 16,
        dtype: "f32".to_owned(),
        arithmetic: "a1".to_owned(),
    }];
    status
}

fn used() -> Metrics {
    let metrics = Metrics::new();
    metrics.request("/v1/models", 200);
    metrics.queued(Duration::from_millis(3));
    metrics.prompt(7);
    metrics.completion(2);
    metrics.first_token(Duration::from_millis(30));
    metrics.next_token(Duration::from_millis(3));
    metrics.finished("stop", Duration::from_millis(40), 600);
    metrics.failed(ErrorCode::NoRoute);
    metrics
}

#[test]
fn the_document_lists_what_is_exposed_and_nothing_else() {
    let metrics = used();
    metrics.observe(Waiting::default(), Some(&status()));
    let exposed = exposed(&metrics.render());
    assert!(exposed.len() > 30, "{exposed:?}");
    let documented = documented();
    let missing: Vec<_> = exposed.difference(&documented).collect();
    let stale: Vec<_> = documented.difference(&exposed).collect();
    assert!(
        missing.is_empty() && stale.is_empty(),
        "not documented: {missing:?}; not there: {stale:?}"
    );
}

#[test]
fn a_scrape_shows_what_was_counted_and_what_is() {
    let metrics = used();
    let waiting = Waiting {
        running: 3,
        waiting: 9,
    };
    metrics.observe(waiting, Some(&status()));
    let text = metrics.render();
    for line in [
        "talkoot_requests_total{path=\"/v1/models\",status=\"200\"} 1",
        "talkoot_answers_finished_total{reason=\"stop\"} 1",
        "talkoot_answers_failed_total{code=\"no_route\"} 1",
        "talkoot_answers_burned_ugft_total 600",
        "talkoot_time_to_first_token_seconds_count 1",
        "talkoot_answers_running 3",
        "talkoot_answers_waiting 9",
        "talkoot_layer_coverage_min{model=\"demo\",id=\"0123456789ab\"} 1",
        "talkoot_sessions{model=\"demo\",id=\"0123456789ab\"} 4",
        "talkoot_scrape_stale 0",
        // Beyond what a gauge holds.
        "talkoot_credits_pending_ugft 9223372036854775807",
        "talkoot_credits_balance_ugft -9223372036854775808",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn without_a_report_gauges_stay_and_say_so_and_models_that_went_are_gone() {
    let metrics = Metrics::new();
    metrics.observe(Waiting::default(), Some(&status()));
    metrics.observe(Waiting::default(), None);
    let text = metrics.render();
    assert!(text.contains("talkoot_scrape_stale 1"));
    assert!(text.contains("talkoot_weight_bytes{model=\"demo\",id=\"0123456789ab\"} 77"));
    let mut status = status();
    status.models.clear();
    status.serving.clear();
    metrics.observe(Waiting::default(), Some(&status));
    assert!(!metrics.render().contains("model=\"demo\""));
}
