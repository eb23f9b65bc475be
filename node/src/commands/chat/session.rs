//! Carries out what the conversation decides: asks the node, prints, reads and
//! writes files. Failures are printed and the conversation goes on; only a
//! closed stdout ends it.

use super::answer::{self, Ended, Interrupts};
use super::parse::Input;
use super::shown::{self, Totals};
use super::talk::{Exchange, Saved, Step, Talk};
use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{AskDone, BalanceView, CreditsView, ModelView, ModelsView, StatusView};
use crate::client::Client;
use crate::commands::models::stored_hint;
use crate::commands::{credits, output, quote};
use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Bytes of a saved conversation that is read.
const SAVED_BYTES_MAX: u64 = 64 << 20;

/// A conversation with its node.
pub(super) struct Session<'a> {
    home: &'a Home,
    client: Client,
    talk: Talk,
    interrupts: Interrupts,
    totals: Totals,
    last: Option<AskDone>,
    /// The file that this conversation was read from or written to.
    file: Option<PathBuf>,
    /// How the last question failed.
    failed: Option<Exit>,
    is_dim: bool,
}

impl<'a> Session<'a> {
    /// A conversation that has not begun. The model is looked up, and stays.
    ///
    /// # Errors
    /// When no node answers, or the model is unknown.
    pub(super) fn new(
        home: &'a Home,
        client: Client,
        talk: Talk,
        interrupts: Interrupts,
    ) -> Result<Self, Failure> {
        let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let mut session = Self {
            home,
            client,
            talk,
            interrupts,
            totals: Totals::default(),
            last: None,
            file: None,
            failed: None,
            is_dim: has_colours && std::io::stderr().is_terminal(),
        };
        session.choose()?;
        Ok(session)
    }

    /// How the last question failed, if it did.
    pub(super) const fn failed(&self) -> Option<Exit> {
        self.failed
    }

    /// Greets whoever sits at the terminal.
    pub(super) fn greet(&self) {
        let models = self.models().unwrap_or_default();
        let model = find(&models, self.talk.model.as_deref()).map(shown::model);
        let model = model.unwrap_or_else(|| "no model is known yet".to_owned());
        self.note(&format!("{model}; /help lists the commands, Ctrl-D leaves"));
    }

    /// Names of models, for completion.
    pub(super) fn model_names(&self) -> Vec<String> {
        let models = self.models().unwrap_or_default();
        models.into_iter().map(|model| model.name).collect()
    }

    /// Takes an input; gives whether the conversation goes on.
    ///
    /// # Errors
    /// When stdout is closed.
    pub(super) fn take(&mut self, input: Input) -> Result<bool, Failure> {
        let step = match input {
            Input::Nothing => return Ok(true),
            Input::Say(question) => Step::Ask(question),
            Input::Do(command) => self.talk.apply(command),
        };
        let result = match step {
            Step::Ask(question) => return self.ask(question).map(|()| true),
            Step::Leave => return Ok(false),
            Step::Note(text) => Ok(text),
            Step::Route => Ok(shown::route(self.last.as_ref())),
            Step::Stats => Ok(self.totals.text(self.last.as_ref())),
            Step::Credits => self.credits(),
            Step::Quote(question) => self.quote(&question),
            Step::Model(name) => self.model(name),
            Step::Save(file) => self.save(file),
            Step::Load(file) => self.load(&file),
        };
        match result {
            Ok(text) => self.note(&text),
            Err(failure) => self.complain(&failure),
        }
        Ok(true)
    }

    /// Says something beside the answers.
    pub(super) fn note(&self, text: &str) {
        let text = text.trim_end();
        output::note(&if self.is_dim {
            format!("\x1b[2m{text}\x1b[0m\n")
        } else {
            format!("{text}\n")
        });
    }

    /// Says what went wrong and what to do about it.
    pub(super) fn complain(&self, failure: &Failure) {
        output::note(&format!("{}\n", shown::failure(failure)));
    }

    fn ask(&mut self, question: String) -> Result<(), Failure> {
        if self.failed == Some(Exit::NotRunning) {
            // It may have been started again, at another port.
            if let Ok(client) = Client::connect(self.home) {
                self.client = client;
            }
        }
        let request = self.talk.request(&question);
        let (text, ended) = answer::ask(&self.client, request, &self.interrupts, output::print)?;
        if !text.is_empty() && !text.ends_with('\n') {
            output::print("\n")?;
        }
        self.failed = None;
        match ended {
            Ended::Done(done) => {
                self.totals.add(&done);
                self.note(&shown::receipt(&done, self.account(&done).as_ref()));
                let used_tokens = done.prompt_tokens.saturating_add(done.completion_tokens);
                self.last = Some(*done);
                self.answered(question, text, Some(used_tokens));
            }
            Ended::Cancelled if text.is_empty() => {
                self.totals.cancel();
                self.note("cancelled before the first word; /retry asks again");
                self.talk.failed(question);
            }
            Ended::Cancelled => {
                self.totals.cancel();
                self.note("cancelled; what came is kept (/undo forgets it, /retry asks again)");
                self.answered(question, text, None);
            }
            Ended::Failed(failure) => {
                self.failed = Some(failure.exit);
                self.complain(&stored_hint(failure, self.talk.model.as_deref(), self.home));
                self.talk.failed(question);
            }
        }
        Ok(())
    }

    fn answered(&mut self, question: String, answer: String, used_tokens: Option<u32>) {
        let exchange = Exchange {
            question,
            answer,
            used_tokens,
        };
        if let Some(text) = self.talk.answered(exchange) {
            self.note(&text);
        }
    }

    /// What the wallet has after a paid answer.
    fn account(&self, done: &AskDone) -> Option<BalanceView> {
        let status = || self.client.get::<StatusView>("status").ok();
        done.accounting
            .then(status)
            .flatten()
            .map(|status| status.balance)
    }

    fn credits(&self) -> Result<String, Failure> {
        let view: CreditsView = self.client.get("ledger/credits")?;
        Ok(credits::explained(&view))
    }

    fn quote(&self, question: &str) -> Result<String, Failure> {
        let view: QuoteView = self.client.post(
            "ledger/quote",
            &QuoteRequest {
                model: self.talk.model.clone(),
                prompt_tokens: 0,
                prompt: Some(self.talk.prompt(question)),
                completion_tokens_max: self.talk.settings.max_tokens,
            },
        )?;
        Ok(quote::text(&view))
    }

    fn models(&self) -> Result<Vec<ModelView>, Failure> {
        Ok(self.client.get::<ModelsView>("models")?.models)
    }

    fn model(&mut self, name: Option<String>) -> Result<String, Failure> {
        let before = self.talk.model.clone();
        if name.is_some() {
            self.talk.model = name;
        }
        match self.choose() {
            Ok(Some(text)) => Ok(text),
            Ok(None) => Ok("no model is known yet".to_owned()),
            Err(failure) => {
                self.talk.model = before;
                Err(failure)
            }
        }
    }

    /// Looks the model up, and keeps to it; gives it in words.
    fn choose(&mut self) -> Result<Option<String>, Failure> {
        let models = self.models()?;
        let asked = self.talk.model.clone();
        let Some(model) = find(&models, asked.as_deref()) else {
            let Some(asked) = asked else { return Ok(None) };
            let known: Vec<&str> = models.iter().map(|model| model.name.as_str()).collect();
            let message = format!(
                "no model \"{asked}\" is known here; known: {}",
                known.join(", ")
            );
            let failure = Failure::new(Exit::NotFound, message);
            return Err(stored_hint(failure, Some(&asked), self.home));
        };
        let twins = models.iter().filter(|other| other.name == model.name);
        self.talk.model = Some(if twins.count() > 1 {
            model.id.clone()
        } else {
            model.name.clone()
        });
        self.talk.context = Some(model.context);
        Ok(Some(shown::model(model)))
    }

    fn save(&mut self, file: PathBuf) -> Result<String, Failure> {
        if file.exists() && self.file.as_ref() != Some(&file) {
            let message = format!("{} exists already", file.display());
            return Err(Failure::new(Exit::Usage, message).hint("choose another name"));
        }
        let text = serde_json::to_string_pretty(&self.talk.save())
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        home::write_atomic(&file, format!("{text}\n").as_bytes())?;
        let note = format!("saved as {}", file.display());
        self.file = Some(file);
        Ok(note)
    }

    /// Goes on with a saved conversation.
    ///
    /// # Errors
    /// When the file is none: the conversation stays as it is.
    pub(super) fn load(&mut self, file: &Path) -> Result<String, Failure> {
        let wrong = |error: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("{}: {error}", file.display()))
                .hint("only what /save wrote can be loaded")
        };
        let mut text = String::new();
        File::open(file)
            .and_then(|opened| opened.take(SAVED_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| wrong(&error))?;
        let saved: Saved = serde_json::from_str(&text).map_err(|error| wrong(&error))?;
        let before = self.talk.model.clone();
        let note = self.talk.load(saved).map_err(|error| wrong(&error))?;
        self.file = Some(file.to_owned());
        let model = match self.choose() {
            Ok(model) => model.unwrap_or_default(),
            // Another network: what was said can be told to another model.
            Err(failure) => {
                self.talk.model = before;
                format!("{failure}; the model stays")
            }
        };
        Ok(format!("{note}; {model}"))
    }
}

/// The model that a name or the beginning of an id means; without one the first
/// whose layers are all served, or the first.
fn find<'a>(models: &'a [ModelView], asked: Option<&str>) -> Option<&'a ModelView> {
    let Some(asked) = asked else {
        let is_whole = |model: &&ModelView| model.coverage.iter().all(|peers| *peers > 0);
        return models.iter().find(is_whole).or_else(|| models.first());
    };
    let named = models.iter().find(|model| model.name == asked);
    named.or_else(|| {
        models
            .iter()
            .find(|model| asked.len() >= 4 && model.id.starts_with(asked))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(id: &str, name: &str, coverage: &[u32]) -> ModelView {
        ModelView {
            id: id.to_owned(),
            name: name.to_owned(),
            layers: 2,
            dtype: "f32".to_owned(),
            context: 16,
            coverage: coverage.to_vec(),
            price_ugft_per_token: 3,
            local: false,
        }
    }

    #[test]
    fn a_model_by_name_by_id_or_the_first_that_answers() {
        let models = [
            model("aaaa11", "half", &[1, 0]),
            model("bbbb22", "whole", &[1, 1]),
        ];
        let name = |asked| find(&models, asked).map(|model| model.name.as_str());
        assert_eq!(name(None), Some("whole"));
        assert_eq!(name(Some("half")), Some("half"));
        assert_eq!(name(Some("bbbb")), Some("whole"));
        assert_eq!(name(Some("bb")), None);
        assert_eq!(find(&models[..1], None).unwrap().name, "half");
        assert!(find(&[], None).is_none());
    }
}
