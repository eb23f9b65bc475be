//! `talkoot jobs`: the newest jobs of this node, and where the time of one went.

mod waterfall;

use super::output::{self, Align, Table};
use crate::api::{RunDetailView, RunView, RunsView};
use crate::cli::{JobsArgs, JobsVerb};
use crate::client::Client;
use crate::clock;
use crate::exit::Failure;
use crate::home::Home;
use crate::units;

/// Lists jobs or shows one.
///
/// # Errors
/// When no node runs, or no such job is remembered.
pub fn run(args: &JobsArgs, home: &Home) -> Result<(), Failure> {
    let client = Client::connect(home)?;
    match &args.verb {
        JobsVerb::Ls(args) => {
            let view: RunsView = client.get("jobs")?;
            if args.json {
                return output::print_json(&view);
            }
            if view.jobs.is_empty() {
                output::note(
                    "no jobs since this node started; `talkoot ask` makes one, and \
                     `talkoot ledger ls --kind reserve` lists those of the books\n",
                );
                return Ok(());
            }
            output::print(&table(&view.jobs, clock::now_ms()).render())
        }
        JobsVerb::Show { id, json } => {
            let view: RunDetailView = client.get(&format!("jobs/{id}"))?;
            if *json {
                return output::print_json(&view);
            }
            output::print(&page(&view))
        }
    }
}

fn table(jobs: &[RunView], now_ms: u64) -> Table {
    let mut table = Table::new(&[
        ("ID", Align::Left),
        ("ROLE", Align::Left),
        ("MODEL", Align::Left),
        ("STATE", Align::Left),
        ("TOKENS", Align::Right),
        ("TOK/S", Align::Right),
        ("GFT", Align::Right),
        ("AGE", Align::Right),
    ]);
    for job in jobs {
        table.row(vec![
            output::id(&job.job),
            job.role.clone(),
            job.model_name.clone(),
            job.state.clone(),
            format!("{}+{}", job.prompt_tokens, job.completion_tokens),
            speed(job),
            money(job),
            age(now_ms.saturating_sub(job.started_ms)),
        ]);
    }
    table
}

/// What the asker burned, or what the worker earned.
fn money(job: &RunView) -> String {
    match job.role.as_str() {
        _ if job.held_ugft == 0 => "free".to_owned(),
        "worker" => format!("+{}", units::gft(job.earned_ugft.into())),
        _ => format!("-{}", units::gft(job.burned_ugft.into())),
    }
}

fn speed(job: &RunView) -> String {
    if job.tokens_per_second > 0.0 {
        format!("{:.1}", job.tokens_per_second)
    } else {
        "-".to_owned()
    }
}

fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}

fn page(view: &RunDetailView) -> String {
    let job = &view.run;
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10}{value}\n"));
    line("job", job.job.clone());
    let error = job.error.as_ref();
    let state = error.map_or_else(
        || job.state.clone(),
        |error| format!("{}: {error}", job.state),
    );
    line("state", format!("{state}, as {}", job.role));
    if !job.request_id.is_empty() {
        line("request", job.request_id.clone());
    }
    line("model", job.model_name.clone());
    line("begun", clock::local_text(job.started_ms));
    line(
        "tokens",
        format!(
            "prompt {} of {}; completion {} of at most {}, {} accepted",
            job.prompt_done,
            job.prompt_tokens,
            job.completion_tokens,
            job.completion_tokens_max,
            job.acked_tokens
        ),
    );
    line(
        "speed",
        format!(
            "first token after {}, then {} tokens/s",
            output::micros(job.time_to_first_token_us),
            speed(job)
        ),
    );
    line("money", bill(job));
    text.push('\n');
    text.push_str(&waterfall::draw(view));
    if job.held_ugft > 0 {
        text.push_str(&format!(
            "\nthe split, factor by factor: talkoot ledger job {}\n",
            output::short(&job.job)
        ));
    }
    text
}

fn bill(job: &RunView) -> String {
    if job.held_ugft == 0 {
        return "free: all stages are the asker's own, or accounting is off".to_owned();
    }
    let gft = |ugft: u64| units::gft(ugft.into());
    let earned: u64 = job.stages.iter().map(|stage| stage.earned_ugft).sum();
    format!(
        "held {}; burned {} = earned {} + commons {} GFT ({} a token)",
        gft(job.held_ugft),
        gft(job.burned_ugft),
        gft(earned),
        gft(job.commons_ugft),
        gft(job.price_ugft_per_token)
    )
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::{HopView, SpreadView, StageView};

    /// A job of two stages.
    pub(in crate::commands::jobs) fn job() -> RunDetailView {
        let spread = |p50, p95| SpreadView { p50, p95 };
        let hop = |stage, compute, wait, wire| HopView {
            stage,
            wait_us: spread(wait, wait * 2),
            compute_us: spread(compute, compute * 2),
            wire_us: spread(wire, wire * 3),
        };
        let stage = |layers| StageView {
            peer: "ab".repeat(32),
            layers,
            earned_ugft: 300,
            ..StageView::default()
        };
        RunDetailView {
            schema: 1,
            run: RunView {
                job: "cd".repeat(32),
                request_id: "req-1".to_owned(),
                role: "asker".to_owned(),
                model: String::new(),
                model_name: "demo".to_owned(),
                state: "done".to_owned(),
                error: None,
                started_ms: 1_000,
                ended_ms: Some(2_000),
                prompt_tokens: 12,
                prompt_done: 12,
                completion_tokens: 30,
                acked_tokens: 30,
                completion_tokens_max: 64,
                held_ugft: 1_000,
                burned_ugft: 600,
                earned_ugft: 0,
                commons_ugft: 0,
                price_ugft_per_token: 20,
                tokens_per_second: 812.25,
                time_to_first_token_us: 4_000,
                stages: vec![stage([0, 4]), stage([4, 8])],
            },
            hops: vec![hop(0, 400, 100, 20), hop(1, 300, 100, 80)],
            wire_us: spread(100, 300),
            tokens: Vec::new(),
        }
    }

    #[test]
    fn a_job_is_one_row_with_its_money_by_role() {
        let mut run = job().run;
        let text = table(std::slice::from_ref(&run), 61_000).render();
        for part in ["12+30", "812.2", "-0.000600", "1 min", "demo"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        run.role = "worker".to_owned();
        run.earned_ugft = 300;
        assert_eq!(money(&run), "+0.000300");
        run.held_ugft = 0;
        assert_eq!(money(&run), "free");
    }

    #[test]
    fn the_page_adds_up_and_points_to_the_books() {
        let text = page(&job());
        for part in [
            "burned 0.000600 = earned 0.000600 + commons 0.000000",
            "talkoot ledger job cdcdcdcd",
            "12 of 12",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
