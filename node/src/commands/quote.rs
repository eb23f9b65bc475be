//! `talkoot quote`: what a question would cost at most, in a few lines. The
//! figures are those of `ledger quote`, which prints every factor.

use super::output;
use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{ChatMessage, Prompt};
use crate::cli::QuoteArgs;
use crate::client::Client;
use crate::exit::Failure;
use crate::home::Home;
use crate::units;
use serde::Serialize;

/// Tokens of a prompt when nothing is said of it.
const PROMPT_TOKENS_DEFAULT: u32 = 100;

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Quoted<'a> {
    #[serde(flatten)]
    quote: &'a QuoteView,
    /// What would be left of what is available while it runs, µGFT.
    remaining_ugft: i128,
    /// How many such questions could be held one after the other, each ending
    /// at its most; none when they are free.
    affordable: Option<u64>,
}

/// Prints the quote.
///
/// # Errors
/// As `ledger quote`.
pub fn run(args: &QuoteArgs, home: &Home) -> Result<(), Failure> {
    let view: QuoteView = Client::connect(home)?.post("ledger/quote", &request(args))?;
    if args.json {
        return output::print_json(&Quoted {
            quote: &view,
            remaining_ugft: remaining(&view),
            affordable: affordable(&view),
        });
    }
    output::print(&text(&view))
}

/// The request that the arguments describe. A single word group with a space in
/// it is a question, not a model: no model's name has one.
fn request(args: &QuoteArgs) -> QuoteRequest {
    let mut words = args.prompt.join(" ");
    let mut model = args.model.clone();
    if words.is_empty() && model.as_ref().is_some_and(|name| name.contains(' ')) {
        words = model.take().unwrap_or_default();
    }
    let prompt = (!words.is_empty()).then(|| {
        let message = ChatMessage {
            role: "user".to_owned(),
            content: words,
            ..ChatMessage::default()
        };
        Prompt::Chat(vec![message])
    });
    QuoteRequest {
        model,
        prompt_tokens: args.prompt_tokens.unwrap_or(PROMPT_TOKENS_DEFAULT),
        prompt,
        completion_tokens_max: args.max_tokens,
    }
}

/// What would be left of what is available while the question runs, µGFT.
fn remaining(view: &QuoteView) -> i128 {
    view.available_ugft.saturating_sub(view.held_ugft.into())
}

/// How many such questions the balance buys; none when they are free.
fn affordable(view: &QuoteView) -> Option<u64> {
    let available = u128::try_from(view.available_ugft).unwrap_or(0);
    let count = available.checked_div(view.held_ugft.into())?;
    Some(u64::try_from(count).unwrap_or(u64::MAX))
}

/// The quote in a few lines.
#[must_use]
pub(super) fn text(view: &QuoteView) -> String {
    let mut text = format!(
        "model      {} ({})\nquestion   {} prompt + at most {} completion tokens, of a context of {}\n",
        view.model_name, view.dtype, view.prompt_tokens, view.completion_tokens_max, view.context,
    );
    if let Some(reason) = &view.free {
        text.push_str(&format!("price      nothing: {reason}\n"));
        return text;
    }
    let gft = |ugft: u64| units::gft(ugft.into());
    text.push_str(&format!(
        "price      {} GFT per token, {} GFT at most\n",
        gft(view.price_ugft_per_token),
        gft(view.held_ugft),
    ));
    for stage in &view.stages {
        let earned = match &stage.part {
            Some(part) if !stage.own => format!("{} GFT at most", gft(part.earned_ugft)),
            _ => "nothing: it is this node".to_owned(),
        };
        text.push_str(&format!(
            "earned by  {} layers {}: {earned}\n",
            output::wallet(&stage.peer),
            output::layers(stage.layers),
        ));
    }
    let available = units::gft(view.available_ugft);
    let verdict = match affordable(view) {
        None => format!("{available} GFT"),
        Some(0) => format!(
            "{available} GFT: too little, {} GFT are missing (`talkoot credits` explains)",
            units::gft(remaining(view).saturating_neg()),
        ),
        Some(count) => format!(
            "{available} GFT, {} remain; it buys {} such questions",
            units::gft(remaining(view)),
            units::thousands(count.into()),
        ),
    };
    text.push_str(&format!("available  {verdict}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::quote::QuoteCredits;
    use crate::cli::{Cli, Command, Parsed, parse};

    fn args(line: &[&str]) -> QuoteArgs {
        let arguments = ["talkoot", "quote"].iter().chain(line);
        match parse(arguments.map(|word| (*word).into())) {
            Parsed::Run(Cli {
                command: Some(Command::Quote(args)),
                ..
            }) => args,
            other => panic!("{other:?}"),
        }
    }

    fn said(line: &[&str]) -> (Option<String>, u32, Option<String>) {
        let request = request(&args(line));
        let prompt = request.prompt.map(|prompt| match prompt {
            Prompt::Chat(messages) => messages[0].content.clone(),
            other => panic!("{other:?}"),
        });
        (request.model, request.prompt_tokens, prompt)
    }

    #[test]
    fn a_model_a_prompt_or_sizes() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(said(&[]), (None, 100, None));
        assert_eq!(said(&["demo", "-p", "7"]), (some("demo"), 7, None));
        assert_eq!(
            said(&["demo", "Tell", "me"]),
            (some("demo"), 100, some("Tell me"))
        );
        assert_eq!(
            said(&["Tell me a story."]),
            (None, 100, some("Tell me a story."))
        );
        assert_eq!(request(&args(&["-n", "9"])).completion_tokens_max, Some(9));
    }

    fn view(available_ugft: i128, held_ugft: u64) -> QuoteView {
        QuoteView {
            schema: 1,
            model: "ab".repeat(32),
            model_name: "demo".to_owned(),
            dtype: "f32".to_owned(),
            prompt_tokens: 10,
            completion_tokens_max: 20,
            context: 512,
            flops_per_token: 1,
            flops: 30,
            pricing: "flops".to_owned(),
            precision_ppm: None,
            free: None,
            price_ugft_per_token: 10,
            cap_ugft: 300,
            held_ugft,
            available_ugft,
            weight_total: 1,
            stages: Vec::new(),
            divy: QuoteCredits {
                model_bytes: 1,
                model_size_factor: 1.0,
                prompt_credits: 1.0,
                completion_credits: 1.0,
                total_credits: 2.0,
            },
        }
    }

    #[test]
    fn what_remains_what_is_missing_and_what_is_free() {
        let rich = text(&view(1_000, 300));
        assert!(
            rich.contains("0.000700 remain; it buys 3 such questions"),
            "{rich}"
        );
        let poor = text(&view(100, 300));
        assert!(
            poor.contains("too little, 0.000200 GFT are missing"),
            "{poor}"
        );
        assert_eq!(affordable(&view(-5, 300)), Some(0));
        assert_eq!(affordable(&view(100, 0)), None);
        let free = QuoteView {
            free: Some("accounting is off".to_owned()),
            ..view(100, 0)
        };
        assert!(text(&free).ends_with("price      nothing: accounting is off\n"));
    }
}
