//! `talkoot ledger quote`: what a question would cost, its split with every
//! factor, and the reference accounting's figures beside it.

use super::job::factor;
use crate::api::quote::{QuotePart, QuoteRequest, QuoteView};
use crate::cli::LedgerQuoteArgs;
use crate::client::Client;
use crate::commands::output::{self, Align, Table};
use crate::commands::status::gft_of;
use crate::exit::Failure;
use crate::home::Home;
use crate::units;

/// Prints the quote.
///
/// # Errors
/// When no node runs, the model is unknown or too small, layers are served by
/// nobody, or a stage makes no offer.
pub(super) fn run(args: &LedgerQuoteArgs, home: &Home) -> Result<(), Failure> {
    let request = QuoteRequest {
        model: Some(args.model.clone()),
        prompt_tokens: args.prompt_tokens,
        prompt: None,
        completion_tokens_max: Some(args.max_tokens),
    };
    let view: QuoteView = Client::connect(home)?.post("ledger/quote", &request)?;
    if args.json {
        return output::print_json(&view);
    }
    output::print(&text(&view))
}

fn text(view: &QuoteView) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<10}{value}\n"));
    line(
        "model",
        format!(
            "{} ({}), {}",
            view.model_name,
            output::id(&view.model),
            view.dtype
        ),
    );
    line(
        "tokens",
        format!(
            "{} prompt + {} completion at most",
            view.prompt_tokens, view.completion_tokens_max
        ),
    );
    line(
        "flops",
        format!(
            "{} per token, {} in all",
            units::thousands(view.flops_per_token.into()),
            units::thousands(view.flops)
        ),
    );
    line("price", price(view));
    if view.free.is_none() {
        let is_enough = u128::try_from(view.available_ugft)
            .is_ok_and(|available| available >= u128::from(view.cap_ugft));
        let verdict = if is_enough { "enough" } else { "too little" };
        let available = units::gft(view.available_ugft);
        line("available", format!("{available} GFT: {verdict}"));
    }
    let divy = &view.divy;
    line(
        "reference",
        format!(
            "Divy would ask {:.6} = {:.6} + {:.6} credits, {:.6} per token of {}",
            divy.total_credits,
            divy.prompt_credits,
            divy.completion_credits,
            divy.model_size_factor,
            units::bytes(divy.model_bytes),
        ),
    );
    text.push_str(&stages(view));
    if view.free.is_none() {
        text.push_str(&format!(
            "held {} GFT of at most {}; share · T · P · M = weight, hold = cap · weight / {}, earned = hold · R\n",
            gft_of(view.held_ugft.into()),
            gft_of(view.cap_ugft.into()),
            units::thousands(view.weight_total),
        ));
    }
    text
}

fn price(view: &QuoteView) -> String {
    if let Some(reason) = &view.free {
        return format!("nothing: {reason}");
    }
    let precision = view.precision_ppm.map_or_else(String::new, |ppm| {
        format!(" times {} for {}", factor(ppm), view.dtype)
    });
    format!(
        "{} GFT per token (by {}{precision}), {} GFT in all at most",
        gft_of(view.price_ugft_per_token.into()),
        view.pricing,
        gft_of(view.cap_ugft.into()),
    )
}

fn stages(view: &QuoteView) -> String {
    let mut table = Table::new(&[
        ("STAGE", Align::Right),
        ("PEER", Align::Left),
        ("LAYERS", Align::Right),
        ("SHARE kFLOP", Align::Right),
        ("T", Align::Right),
        ("P", Align::Right),
        ("M", Align::Right),
        ("WEIGHT", Align::Right),
        ("HOLD GFT", Align::Right),
        ("R", Align::Right),
        ("EARNED GFT", Align::Right),
        ("DIVY", Align::Right),
    ]);
    for (index, stage) in view.stages.iter().enumerate() {
        let mut row = vec![
            (index + 1).to_string(),
            output::peer(&stage.peer),
            output::layers(stage.layers),
        ];
        match &stage.part {
            Some(part) => row.extend(cells(part, stage.own)),
            None => {
                row.push(units::thousands((stage.flops_per_token / 1000).into()));
                row.resize(12, "-".to_owned());
            }
        }
        table.row(row);
    }
    table.render()
}

fn cells(part: &QuotePart, is_own: bool) -> Vec<String> {
    let amount = |ugft: u64| {
        if is_own {
            "own".to_owned()
        } else {
            gft_of(ugft.into())
        }
    };
    vec![
        units::thousands(part.share_kflop.into()),
        factor(part.throughput_ppm),
        factor(part.pressure_ppm),
        factor(part.hardware_ppm),
        units::thousands(part.weight.into()),
        amount(part.hold_ugft),
        factor(part.reliability_ppm.into()),
        amount(part.earned_ugft),
        format!("{:.6}", part.divy_credits),
    ]
}

#[cfg(test)]
mod tests;
