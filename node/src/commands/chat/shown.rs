//! What a conversation says beside its answers: receipts, totals, what to do
//! about a failure. Pure texts.

use crate::api::{AskDone, BalanceView, ModelView};
use crate::commands::ask::report;
use crate::commands::output;
use crate::commands::status::gft_of;
use crate::exit::{Exit, Failure};
use crate::units;

/// What a session has come to.
#[derive(Debug, Default)]
pub(super) struct Totals {
    answers: u64,
    cancelled: u64,
    prompt_tokens: u64,
    completion_tokens: u64,
    burned_ugft: u128,
    has_free: bool,
}

impl Totals {
    /// Counts a whole answer.
    pub(super) fn add(&mut self, done: &AskDone) {
        self.answers += 1;
        self.prompt_tokens += u64::from(done.prompt_tokens);
        self.completion_tokens += u64::from(done.completion_tokens);
        self.burned_ugft += u128::from(done.burned_ugft);
        self.has_free |= !done.accounting;
    }

    /// Counts an answer that was cancelled: its bill is not known here.
    pub(super) fn cancel(&mut self) {
        self.cancelled += 1;
    }

    /// The totals, and the speed of the last answer.
    #[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
    pub(super) fn text(&self, last: Option<&AskDone>) -> String {
        let Some(last) = last else {
            return format!("no answer yet{}", self.not_counted());
        };
        let mut text = format!(
            "answers  {}, {} prompt + {} completion tokens\n\
             burned   {} GFT\n\
             last     {:.1} tokens/s, first token after {}, job {}",
            self.answers,
            units::thousands(self.prompt_tokens.into()),
            units::thousands(self.completion_tokens.into()),
            gft_of(self.burned_ugft),
            last.tokens_per_second,
            units::micros(last.time_to_first_token_us as f64),
            last.job,
        );
        if self.has_free {
            text.push_str("\naccounting is off in this network");
        }
        text.push_str(&self.not_counted());
        text
    }

    fn not_counted(&self) -> String {
        if self.cancelled == 0 {
            return String::new();
        }
        format!(
            "\n{} cancelled answers are not counted: `talkoot credits --history` has what they cost",
            self.cancelled
        )
    }
}

/// One line about an answer, with what the wallet has after it.
pub(super) fn receipt(done: &AskDone, account: Option<&BalanceView>) -> String {
    let mut parts = vec![
        format!("{}+{} tokens", done.prompt_tokens, done.completion_tokens),
        format!("{:.1} tokens/s", done.tokens_per_second),
    ];
    if done.accounting {
        let burned = units::gft(done.burned_ugft.into());
        parts.push(format!("burned {burned} GFT"));
        parts.extend(account.map(available));
    } else {
        parts.push("free".to_owned());
    }
    if done.finish == "length" {
        parts.push("cut at the limit of tokens".to_owned());
    }
    if !done.settled {
        parts.push("not settled yet".to_owned());
    }
    format!("[{}]", parts.join(", "))
}

/// What is available, and what will be by itself: the rest of a hold is, once
/// founders have seen that the job has ended.
fn available(account: &BalanceView) -> String {
    let signed = |amount: u128| i128::try_from(amount).unwrap_or(i128::MAX);
    let waiting = account
        .balance_ugft
        .saturating_add(account.line_ugft)
        .saturating_sub(signed(account.held_ugft))
        .saturating_sub(signed(account.pending_ugft))
        .saturating_sub(account.available_ugft);
    let mut text = format!("{} available", units::gft(account.available_ugft));
    if waiting > 0 {
        let more = units::gft(waiting);
        text.push_str(&format!(" and {more} more once founders confirm"));
    }
    text
}

/// The route of the last answer.
pub(super) fn route(last: Option<&AskDone>) -> String {
    last.map_or_else(
        || "no answer yet".to_owned(),
        |done| {
            let table = report::route(done);
            let bill = if done.burned_ugft > 0 {
                ": `talkoot ledger job ID` explains the bill"
            } else {
                ""
            };
            format!("{table}job {}{bill}", done.job)
        },
    )
}

/// A model in a few words.
pub(super) fn model(model: &ModelView) -> String {
    let gaps = output::gaps(&model.coverage);
    let state = if gaps.is_empty() {
        String::new()
    } else {
        format!("; layers {gaps} are served by nobody now")
    };
    format!(
        "{}: context {} tokens, {} GFT per token{state}",
        model.name,
        model.context,
        units::gft(model.price_ugft_per_token.into()),
    )
}

/// A failure and what to do about it; the conversation goes on.
pub(super) fn failure(failure: &Failure) -> String {
    let advice = failure.hint.clone().or_else(|| advice(failure));
    let advice = advice.map_or_else(String::new, |advice| format!("\n  what to do: {advice}"));
    format!("error: {failure}{advice}")
}

fn advice(failure: &Failure) -> Option<String> {
    let advice = match failure.exit {
        Exit::InsufficientCredits => {
            "/quote says what it costs, /credits what is available; /set max_tokens lower holds less"
        }
        Exit::NoRoute => "/model without a name says what is missing; /retry asks again",
        Exit::TimedOut | Exit::Interrupted => "/retry asks again",
        Exit::NotRunning => "start the node with `talkoot up` in another terminal, then /retry",
        // The words that the node has in common with OpenAI.
        Exit::Failure if failure.message.contains("context length") => {
            "/trim forgets the oldest questions, /clear all; then /retry"
        }
        Exit::Failure => "/retry asks again, by another route if there is one",
        _ => return None,
    };
    Some(advice.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::StageView;

    fn done() -> AskDone {
        AskDone {
            job: "ab12".to_owned(),
            finish: "stop".to_owned(),
            prompt_tokens: 16,
            completion_tokens: 80,
            time_to_first_token_us: 1_500,
            tokens_per_second: 100.0,
            overhead_us_per_token_hop: 1.0,
            stages: vec![StageView {
                peer: "cd".repeat(32),
                layers: [0, 8],
                ..StageView::default()
            }],
            burned_ugft: 96,
            commons_ugft: 0,
            held_ugft: 0,
            settled: true,
            accounting: true,
        }
    }

    #[test]
    fn a_receipt_is_one_line() {
        let mut account = BalanceView {
            wallet: String::new(),
            balance_ugft: -96,
            available_ugft: 899,
            held_ugft: 5,
            pending_ugft: 0,
            line_ugft: 1_000,
        };
        assert_eq!(
            receipt(&done(), Some(&account)),
            "[16+80 tokens, 100.0 tokens/s, burned 0.000096 GFT, 0.000899 available]"
        );
        account.available_ugft = 800;
        let text = receipt(&done(), Some(&account));
        assert!(
            text.ends_with("0.000800 available and 0.000099 more once founders confirm]"),
            "{text}"
        );
        let odd = AskDone {
            finish: "length".to_owned(),
            settled: false,
            accounting: false,
            ..done()
        };
        assert_eq!(
            receipt(&odd, Some(&account)),
            "[16+80 tokens, 100.0 tokens/s, free, cut at the limit of tokens, not settled yet]"
        );
    }

    #[test]
    fn totals_count_what_is_known() {
        let mut totals = Totals::default();
        assert_eq!(totals.text(None), "no answer yet");
        totals.cancel();
        assert!(totals.text(None).contains("1 cancelled"));
        totals.add(&done());
        totals.add(&done());
        let text = totals.text(Some(&done()));
        assert!(
            text.contains("2, 32 prompt + 160 completion tokens"),
            "{text}"
        );
        assert!(text.contains("burned   0.000192 GFT"), "{text}");
        assert!(
            text.contains("1.50 ms") && text.contains("1 cancelled"),
            "{text}"
        );
        assert!(route(Some(&done())).contains("0..8"));
    }

    #[test]
    fn every_failure_says_what_to_do() {
        for (exit, message, word) in [
            (Exit::NoRoute, "x", "/model"),
            (Exit::InsufficientCredits, "x", "/credits"),
            (Exit::Failure, "maximum context length is 9", "/trim"),
            (Exit::Failure, "a stage was lost", "/retry"),
            (Exit::NotRunning, "x", "talkoot up"),
        ] {
            let text = failure(&Failure::new(exit, message));
            assert!(text.contains(word), "{text}");
        }
        let hinted = failure(&Failure::new(Exit::NoRoute, "x").hint("wait"));
        assert!(hinted.ends_with("what to do: wait"), "{hinted}");
    }
}
