//! An answer as it comes in, and its route and bill for people.

use crate::api::{AskDone, AskEvent, StageView};
use crate::commands::output::{self, Align, Table};
use crate::commands::status::gft_of;
use crate::exit::{Exit, Failure};
use crate::units;

/// What came in so far.
#[derive(Debug, Default)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// The model's id.
    pub model: String,
    /// Its name.
    pub model_name: String,
    done: Option<AskDone>,
}

impl Answer {
    /// Takes one event.
    ///
    /// # Errors
    /// When the event is a failure.
    pub fn add(&mut self, event: AskEvent) -> Result<(), Failure> {
        match event {
            AskEvent::Routed {
                model, model_name, ..
            } => {
                self.model = model;
                self.model_name = model_name;
            }
            AskEvent::Prompt { .. } => {}
            AskEvent::Delta { text, .. } => self.text.push_str(&text),
            AskEvent::Done(done) => self.done = Some(*done),
            AskEvent::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The end of the answer.
    ///
    /// # Errors
    /// When the stream ended without one.
    pub fn done(&self) -> Result<&AskDone, Failure> {
        self.done.as_ref().ok_or_else(|| {
            Failure::new(
                Exit::NotRunning,
                "the node went away in the middle of the answer",
            )
        })
    }
}

/// A route before its work, one line per stage.
#[must_use]
pub fn stages(stages: &[StageView]) -> String {
    let line = |stage: &StageView| {
        let layers = output::layers(stage.layers);
        format!(
            "route: {} computes layers {layers}\n",
            output::peer(&stage.peer)
        )
    };
    stages.iter().map(line).collect()
}

/// The route, one line per stage.
#[must_use]
pub fn route(done: &AskDone) -> String {
    let mut table = Table::new(&[
        ("STAGE", Align::Right),
        ("PEER", Align::Left),
        ("LAYERS", Align::Right),
        ("COMPUTE/TOKEN", Align::Right),
        ("HOP/TOKEN", Align::Right),
        ("EARNED GFT", Align::Right),
    ]);
    for (index, stage) in done.stages.iter().enumerate() {
        table.row(vec![
            (index + 1).to_string(),
            output::peer(&stage.peer),
            output::layers(stage.layers),
            units::micros(stage.compute_us_per_token),
            units::micros(stage.hop_us_per_token),
            units::gft(stage.earned_ugft.into()),
        ]);
    }
    table.render()
}

/// The bill, and how fast it went.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
pub fn bill(done: &AskDone) -> String {
    let mut text = amounts(done);
    text.push_str(&format!(
        "speed: first token {}, {:.1} tokens/s, overhead {} per token and hop; ended by {}\n",
        units::micros(done.time_to_first_token_us as f64),
        done.tokens_per_second,
        units::micros(done.overhead_us_per_token_hop),
        done.finish,
    ));
    if !done.settled {
        text.push_str("not settled yet: some stages have not posted their last entry\n");
    }
    text
}

fn amounts(done: &AskDone) -> String {
    let (prompt, completion) = (done.prompt_tokens, done.completion_tokens);
    if !done.accounting {
        return format!(
            "bill: {prompt} prompt + {completion} completion tokens; accounting is off\n"
        );
    }
    let earned: u128 = done
        .stages
        .iter()
        .map(|stage| u128::from(stage.earned_ugft))
        .sum();
    format!(
        "bill: {prompt} prompt + {completion} completion tokens; burned {} = earned {} + commons {} GFT; held {}\n",
        units::gft(done.burned_ugft.into()),
        gft_of(earned),
        units::gft(done.commons_ugft.into()),
        units::gft(done.held_ugft.into()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done() -> AskDone {
        AskDone {
            job: "j".to_owned(),
            finish: "stop".to_owned(),
            prompt_tokens: 4,
            completion_tokens: 2,
            time_to_first_token_us: 1500,
            tokens_per_second: 100.0,
            overhead_us_per_token_hop: 250.0,
            stages: Vec::new(),
            burned_ugft: 600,
            commons_ugft: 600,
            held_ugft: 0,
            settled: true,
            accounting: true,
        }
    }

    #[test]
    fn a_bill_has_its_sums_or_says_that_there_are_none() {
        let paid = done();
        assert!(bill(&paid).starts_with(
            "bill: 4 prompt + 2 completion tokens; burned 0.000600 = earned 0.000000 + commons"
        ));
        let free = AskDone {
            accounting: false,
            ..paid
        };
        let text = bill(&free);
        let first = text.lines().next().unwrap();
        assert_eq!(
            first,
            "bill: 4 prompt + 2 completion tokens; accounting is off"
        );
    }
}
