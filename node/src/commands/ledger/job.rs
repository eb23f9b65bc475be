//! `ledger job`: one job from its terms to its last word.

use super::reader::Reader;
use crate::api::{DivyView, FrontierStepView, JobFounderView, JobQuestion, JobStageView, JobView};
use crate::cli::LedgerJobArgs;
use crate::commands::output::{self, Align, Table};
use crate::exit::Failure;
use crate::units;

/// Prints one job.
///
/// # Errors
/// When the books cannot be read, or none or several jobs are meant.
pub(super) fn run(args: &LedgerJobArgs, books: &Reader) -> Result<(), Failure> {
    let id = args.id.clone();
    let view = books.ask(&JobQuestion { id })?;
    if args.json {
        return output::print_json(&view);
    }
    output::print(&page(&view))
}

fn amount(ugft: u64) -> String {
    units::gft(ugft.into())
}

const fn confirmed(is_confirmed: bool) -> &'static str {
    if is_confirmed { "confirmed" } else { "pending" }
}

fn page(view: &JobView) -> String {
    let mut text = terms(view);
    if !view.stages.is_empty() {
        text.push_str(&format!("\nsplit\n{}", split(&view.stages)));
        text.push_str(&format!("\nmoney by stage\n{}", money(&view.stages)));
    }
    text.push_str(&format!("\nfrontier over time\n{}", frontier(view)));
    text.push_str(&format!("\nconfirmed by\n{}", founders(&view.founders)));
    if !view.neighbours.is_empty() {
        text.push_str("\nbytes between neighbours\n");
    }
    for pair in &view.neighbours {
        let (sender, receiver) = (pair.sender + 1, pair.receiver + 1);
        let words = match pair.verdict.as_str() {
            "agree" => "agree: what one sent the other received",
            "differ" => "DIFFER: one of the two does not tell the truth",
            _ => "unknown: not both have said their last word",
        };
        text.push_str(&format!("{sender} -> {receiver}  {words}\n"));
    }
    if let Some(divy) = &view.divy {
        text.push_str(&reference(divy));
    }
    text
}

fn reference(divy: &DivyView) -> String {
    let stages: Vec<String> = divy
        .stage_credits
        .iter()
        .map(|credits| format!("{credits:.6}"))
        .collect();
    format!(
        "\nby Divy's reference formulas (credits; never booked)\n\
         quoted {:.6}, settled {:.6}, paid by stage {}\n",
        divy.quoted_credits,
        divy.settled_credits,
        stages.join(" ")
    )
}

fn terms(view: &JobView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10}{value}\n"));
    line("job", view.id.clone());
    line(
        "ordered",
        format!(
            "by {} at {} UTC (entry {})",
            output::wallet(&view.submitter),
            units::utc(view.time_ms),
            view.index
        ),
    );
    let model = view
        .model_name
        .clone()
        .unwrap_or_else(|| output::id(&view.model));
    line(
        "work",
        format!(
            "{} prompt and up to {} completion tokens of model {model}, {} layers",
            view.prompt_tokens, view.completion_tokens_max, view.layers
        ),
    );
    if let Some(before) = &view.continues {
        line("continues", output::id(before));
    }
    line(
        "price",
        format!(
            "{} GFT per token, at most {} GFT",
            amount(view.price_ugft_per_token),
            amount(view.cap_ugft)
        ),
    );
    line("deadline", format!("{} UTC", units::utc(view.deadline_ms)));
    if let Some(release) = &view.released_by {
        line("released", format!("by entry {}", output::id(release)));
    }
    line(
        "state",
        format!(
            "{}; {}, {}",
            view.state,
            view.effect,
            confirmed(view.confirmed)
        ),
    );
    line(
        "burned",
        format!(
            "{} = earned {} + commons {} GFT; held {}",
            amount(view.burned_ugft),
            amount(view.earned_ugft),
            amount(view.commons_ugft),
            amount(view.held_ugft)
        ),
    );
    text
}

/// Parts per million as a factor.
pub(super) fn factor(ppm: u64) -> String {
    format!("{}.{:06}", ppm / 1_000_000, ppm % 1_000_000)
}

fn split(stages: &[JobStageView]) -> String {
    let mut table = Table::new(&[
        ("STAGE", Align::Right),
        ("WORKER", Align::Left),
        ("LAYERS", Align::Left),
        ("kFLOP/TOKEN", Align::Right),
        ("x SPEED T", Align::Right),
        ("x MEMORY P", Align::Right),
        ("x HARDWARE M", Align::Right),
        ("= WEIGHT", Align::Right),
        ("PART", Align::Right),
        ("RELIABILITY R", Align::Right),
    ]);
    let total: u128 = stages.iter().map(|stage| u128::from(stage.weight)).sum();
    for (index, stage) in stages.iter().enumerate() {
        let part = (u128::from(stage.weight) * 1_000_000)
            .checked_div(total)
            .and_then(|part| u64::try_from(part).ok());
        table.row(vec![
            (index + 1).to_string(),
            output::wallet(&stage.worker),
            output::layers(stage.layers),
            units::thousands(stage.share_kflop.into()),
            factor(stage.throughput_ppm),
            factor(stage.pressure_ppm),
            factor(stage.hardware_ppm),
            units::thousands(stage.weight.into()),
            factor(part.unwrap_or(0)),
            factor(stage.reliability_ppm.into()),
        ]);
    }
    table.render()
}

fn money(stages: &[JobStageView]) -> String {
    let mut table = Table::new(&[
        ("STAGE", Align::Right),
        ("RESERVED GFT", Align::Right),
        ("STILL HELD", Align::Right),
        ("BURNED", Align::Right),
        ("EARNED", Align::Right),
        ("TOKENS", Align::Right),
        ("COMPUTE", Align::Right),
        ("STATE", Align::Left),
    ]);
    for (index, stage) in stages.iter().enumerate() {
        let tokens = stage.frontier.map_or_else(
            || "-".to_owned(),
            |[prompt, completion]| format!("{prompt}+{completion}"),
        );
        let state = match (stage.own, stage.frontier, stage.is_final) {
            (true, _, _) => "the submitter's own: neither held nor paid",
            (false, None, _) => "nothing posted yet",
            (false, Some(_), false) => "running",
            (false, Some(_), true) if stage.confirmed => "final, confirmed",
            (false, Some(_), true) => "final, pending",
        };
        #[expect(clippy::cast_precision_loss, reason = "microseconds for people")]
        let compute = stage
            .compute_us
            .map_or_else(|| "-".to_owned(), |us| units::micros(us as f64));
        table.row(vec![
            (index + 1).to_string(),
            amount(stage.hold_ugft),
            amount(stage.held_ugft),
            amount(stage.burned_ugft),
            amount(stage.earned_ugft),
            tokens,
            compute,
            state.to_owned(),
        ]);
    }
    table.render()
}

fn frontier(view: &JobView) -> String {
    if view.frontiers.is_empty() {
        return "nothing yet: stages post what was acknowledged, at the latest when the job ends\n"
            .to_owned();
    }
    let mut table = Table::new(&[
        ("INDEX", Align::Right),
        ("TIME (UTC)", Align::Left),
        ("STAGE", Align::Right),
        ("PROMPT", Align::Right),
        ("COMPLETION", Align::Right),
        ("EFFECT", Align::Left),
        ("BURNED SO FAR", Align::Right),
        ("STATE", Align::Left),
        ("ENTRY", Align::Left),
    ]);
    for step in &view.frontiers {
        table.row(step_row(step));
    }
    let mut text = table.render();
    let hidden = view.frontiers_total - view.frontiers.len() as u64;
    if hidden > 0 {
        text.push_str(&format!("{hidden} older ones are not shown\n"));
    }
    text
}

fn step_row(step: &FrontierStepView) -> Vec<String> {
    vec![
        step.index.to_string(),
        units::utc(step.time_ms),
        step.stage
            .map_or_else(|| "-".to_owned(), |stage| (stage + 1).to_string()),
        step.prompt.to_string(),
        step.completion.to_string(),
        step.effect.clone(),
        amount(step.burned_total_ugft),
        confirmed(step.confirmed).to_owned(),
        output::id(&step.id),
    ]
}

fn founders(founders: &[JobFounderView]) -> String {
    let mut table = Table::new(&[
        ("FOUNDER", Align::Left),
        ("LINE GFT", Align::Right),
        ("RESERVE", Align::Left),
        ("FRONTIERS", Align::Right),
    ]);
    for founder in founders {
        table.row(vec![
            output::wallet(&founder.wallet),
            amount(founder.line_ugft),
            (if founder.reserve { "yes" } else { "no" }).to_owned(),
            founder.frontiers.to_string(),
        ]);
    }
    table.render()
}
