//! The conversation: what was said, what is set, and what each command does to
//! it. Pure: a command becomes a [`Step`] that the shell carries out.
//!
//! Nothing is ever dropped from a conversation but by a command.

use super::parse::{COMMANDS, Command, Setting};
use crate::api::{AskRequest, ChatMessage, Prompt, SCHEMA};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Share of the context from which on the user is told, percent.
const NEARLY_FULL_PERCENT: u64 = 80;
/// Characters of a question that is named in a note.
const NAMED_CHARS: usize = 40;

/// One question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Exchange {
    pub(super) question: String,
    pub(super) answer: String,
    /// Tokens of the whole conversation up to here, as the model counted them.
    pub(super) used_tokens: Option<u32>,
}

/// How answers are made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) temperature: f32,
    pub(super) top_p: f32,
    #[serde(default)]
    pub(super) top_k: u32,
    pub(super) max_tokens: Option<u32>,
    pub(super) seed: Option<u64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            max_tokens: None,
            seed: None,
        }
    }
}

/// A conversation.
#[derive(Debug, Default)]
pub(super) struct Talk {
    /// Name or id; none lets the node choose.
    pub(super) model: Option<String>,
    /// Tokens that a session with it may hold, once known.
    pub(super) context: Option<u32>,
    pub(super) settings: Settings,
    system: Option<String>,
    exchanges: Vec<Exchange>,
    /// The last question, if it got no answer.
    unanswered: Option<String>,
}

/// What the shell shall do.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Say this.
    Note(String),
    /// Ask this.
    Ask(String),
    /// Say what the next answer would cost, with this question or an empty one.
    Quote(String),
    /// Show the model in use, or look this one up and use it.
    Model(Option<String>),
    Route,
    Stats,
    Credits,
    Save(PathBuf),
    Load(PathBuf),
    Leave,
}

/// A conversation in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Saved {
    schema: u32,
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(flatten)]
    settings: Settings,
    messages: Vec<SavedMessage>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedMessage {
    role: String,
    content: String,
}

impl Talk {
    /// A conversation without a word.
    pub(super) fn new(model: Option<String>, system: Option<String>, settings: Settings) -> Self {
        Self {
            model,
            system,
            settings,
            ..Self::default()
        }
    }

    /// Does what a command does to the conversation.
    pub(super) fn apply(&mut self, command: Command) -> Step {
        match command {
            Command::Help => Step::Note(help()),
            Command::Model(name) => Step::Model(name),
            Command::Route => Step::Route,
            Command::Stats => Step::Stats,
            Command::Credits => Step::Credits,
            Command::Quote(text) => Step::Quote(text.unwrap_or_default()),
            Command::System(text) => Step::Note(self.instruct(text)),
            Command::Set(setting) => Step::Note(self.set(setting)),
            Command::Retry => self.retry(),
            Command::Undo => Step::Note(self.undo()),
            Command::Trim(count) => Step::Note(self.trim(count)),
            Command::Clear => Step::Note(self.clear()),
            Command::Save(file) => Step::Save(file),
            Command::Load(file) => Step::Load(file),
            Command::Exit => Step::Leave,
        }
    }

    /// The request that asks a question after all that was said.
    pub(super) fn request(&self, question: &str) -> AskRequest {
        AskRequest {
            completion_tokens_max: self.settings.max_tokens,
            temperature: self.settings.temperature,
            top_p: self.settings.top_p,
            top_k: self.settings.top_k,
            seed: self.settings.seed,
            ..AskRequest::plain(self.model.clone(), self.prompt(question))
        }
    }

    /// The conversation with a question at its end.
    pub(super) fn prompt(&self, question: &str) -> Prompt {
        let mut messages = self.messages();
        messages.push(message("user", question));
        Prompt::Chat(messages)
    }

    fn messages(&self) -> Vec<ChatMessage> {
        let system = self.system.iter().map(|text| message("system", text));
        let said = self.exchanges.iter().flat_map(|exchange| {
            [
                message("user", &exchange.question),
                message("assistant", &exchange.answer),
            ]
        });
        system.chain(said).collect()
    }

    /// A question was answered, whole or up to where it was cancelled. Gives
    /// what is to be said of the context.
    pub(super) fn answered(&mut self, exchange: Exchange) -> Option<String> {
        let used = exchange.used_tokens;
        self.unanswered = None;
        self.exchanges.push(exchange);
        let (used, context) = (used?, self.context?);
        let is_nearly_full = u64::from(used) * 100 >= u64::from(context) * NEARLY_FULL_PERCENT;
        is_nearly_full.then(|| {
            format!(
                "the context is nearly full: {used} of {context} tokens; nothing is dropped by \
                 itself: /trim forgets the oldest questions, /clear all"
            )
        })
    }

    /// A question got no answer: it is not part of the conversation.
    pub(super) fn failed(&mut self, question: String) {
        self.unanswered = Some(question);
    }

    fn retry(&mut self) -> Step {
        let last = || self.exchanges.pop().map(|exchange| exchange.question);
        match self.unanswered.take().or_else(last) {
            Some(question) => Step::Ask(question),
            None => Step::Note("nothing was asked yet".to_owned()),
        }
    }

    fn undo(&mut self) -> String {
        if let Some(question) = self.unanswered.take() {
            return format!("forgot the unanswered question {}", named(&question));
        }
        match self.exchanges.pop() {
            Some(exchange) => format!(
                "forgot {} and its answer; {} remain",
                named(&exchange.question),
                self.exchanges.len()
            ),
            None => "there is nothing to undo".to_owned(),
        }
    }

    fn clear(&mut self) -> String {
        let count = self.exchanges.len();
        self.exchanges.clear();
        self.unanswered = None;
        let system = if self.system.is_some() {
            "; the instruction stays (/system takes it away)"
        } else {
            ""
        };
        format!("forgot {count} questions and their answers{system}")
    }

    fn trim(&mut self, count: Option<usize>) -> String {
        let count = count.unwrap_or_else(|| self.too_many());
        let count = count.min(self.exchanges.len());
        if count == 0 {
            return "nothing to trim: the conversation fills less than half of the context"
                .to_owned();
        }
        let dropped: Vec<String> = self
            .exchanges
            .drain(..count)
            .map(|exchange| format!("  {}\n", named(&exchange.question)))
            .collect();
        // What they were counted with is gone.
        for exchange in &mut self.exchanges {
            exchange.used_tokens = None;
        }
        format!(
            "forgot the {count} oldest questions and their answers; {} remain:\n{}",
            self.exchanges.len(),
            dropped.concat().trim_end()
        )
    }

    /// How many of the oldest exchanges make the rest fit into half the context.
    /// Where tokens were not counted, half of them.
    fn too_many(&self) -> usize {
        let used = |exchange: &Exchange| exchange.used_tokens;
        let (Some(context), Some(all)) = (self.context, self.exchanges.last().and_then(used))
        else {
            return self.exchanges.len() / 2;
        };
        if all <= context / 2 {
            return 0;
        }
        let rest = |exchange: &Exchange| used(exchange).map_or(0, |used| all.saturating_sub(used));
        let kept = self
            .exchanges
            .iter()
            .position(|exchange| rest(exchange) <= context / 2);
        kept.map_or(self.exchanges.len(), |index| index + 1)
    }

    fn instruct(&mut self, text: Option<String>) -> String {
        let note = match &text {
            Some(_) => "the instruction holds from the next question on".to_owned(),
            None => "no instruction".to_owned(),
        };
        self.system = text;
        note
    }

    fn set(&mut self, setting: Option<Setting>) -> String {
        let settings = &mut self.settings;
        match setting {
            Some(Setting::Temperature(value)) => settings.temperature = value,
            Some(Setting::TopP(value)) => settings.top_p = value,
            Some(Setting::TopK(value)) => settings.top_k = value,
            Some(Setting::MaxTokens(value)) => settings.max_tokens = value,
            Some(Setting::Seed(value)) => settings.seed = value,
            None => {}
        }
        let or = |value: Option<String>, other: &str| value.unwrap_or_else(|| other.to_owned());
        format!(
            "temperature {}, top_p {}, top_k {}, max_tokens {}, seed {}",
            settings.temperature,
            settings.top_p,
            settings.top_k,
            or(settings.max_tokens.map(|value| value.to_string()), "none"),
            or(
                settings.seed.map(|value| value.to_string()),
                "another for each answer"
            ),
        )
    }

    /// The conversation for a file.
    pub(super) fn save(&self) -> Saved {
        let messages = self.messages().into_iter();
        Saved {
            schema: SCHEMA,
            model: self.model.clone(),
            settings: self.settings.clone(),
            messages: messages
                .map(|message| SavedMessage {
                    role: message.role,
                    content: message.content,
                })
                .collect(),
        }
    }

    /// Takes a saved conversation in the place of this one; says what it is.
    ///
    /// # Errors
    /// When it is none: the conversation stays.
    pub(super) fn load(&mut self, saved: Saved) -> Result<String, String> {
        if saved.schema != SCHEMA {
            return Err(format!(
                "it is of schema {}, this program reads {SCHEMA}",
                saved.schema
            ));
        }
        let mut messages = saved.messages.into_iter().peekable();
        let system = messages.next_if(|message| message.role == "system");
        let mut exchanges = Vec::new();
        while let Some(question) = messages.next() {
            let answer = messages.next();
            match (question.role.as_str(), answer) {
                ("user", Some(answer)) if answer.role == "assistant" => exchanges.push(Exchange {
                    question: question.content,
                    answer: answer.content,
                    used_tokens: None,
                }),
                _ => return Err("its messages are not questions, each with an answer".to_owned()),
            }
        }
        let note = format!("{} questions and their answers", exchanges.len());
        self.system = system.map(|message| message.content);
        self.exchanges = exchanges;
        self.settings = saved.settings;
        self.unanswered = None;
        self.model = saved.model.or_else(|| self.model.take());
        Ok(note)
    }
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage {
        role: role.to_owned(),
        content: content.to_owned(),
        ..ChatMessage::default()
    }
}

/// The beginning of a question, in quotes.
fn named(question: &str) -> String {
    let line = question.lines().next().unwrap_or_default();
    let mut start: String = line.chars().take(NAMED_CHARS).collect();
    if start.len() < question.len() {
        start.push('…');
    }
    format!("\"{start}\"")
}

fn help() -> String {
    let usage = |name: &str, arguments: &str| format!("{name} {arguments}");
    let lines = COMMANDS
        .iter()
        .map(|(name, arguments, what)| format!("  {:<20} {what}\n", usage(name, arguments)));
    format!(
        "{}a line that ends with \\ goes on, and so does what stands between two \"\"\"; // begins a \
         question with a slash; Ctrl-C cancels an answer",
        lines.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(question: &str, used_tokens: Option<u32>) -> Exchange {
        Exchange {
            question: question.to_owned(),
            answer: format!("{question}!"),
            used_tokens,
        }
    }

    fn talk_of(used: &[u32]) -> Talk {
        let mut talk = Talk::new(None, Some("Be kind.".to_owned()), Settings::default());
        talk.context = Some(100);
        for (number, used) in used.iter().enumerate() {
            talk.answered(exchange(&format!("q{number}"), Some(*used)));
        }
        talk
    }

    fn roles(talk: &Talk, question: &str) -> Vec<String> {
        match talk.request(question).prompt {
            Prompt::Chat(messages) => messages
                .into_iter()
                .map(|message| format!("{}: {}", message.role, message.content))
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    fn note(step: Step) -> String {
        match step {
            Step::Note(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_has_all_that_was_said_and_what_is_set() {
        let mut talk = talk_of(&[10]);
        let text = note(talk.apply(Command::Set(Some(Setting::Temperature(0.5)))));
        assert!(
            text.contains("temperature 0.5") && text.contains("max_tokens none"),
            "{text}"
        );
        talk.apply(Command::Set(Some(Setting::MaxTokens(Some(9)))));
        assert_eq!(
            roles(&talk, "next"),
            [
                "system: Be kind.",
                "user: q0",
                "assistant: q0!",
                "user: next"
            ]
        );
        let request = talk.request("next");
        assert_eq!(
            (request.temperature, request.completion_tokens_max),
            (0.5, Some(9))
        );
        talk.apply(Command::System(None));
        assert_eq!(roles(&talk, "next").len(), 3);
    }

    #[test]
    fn retry_asks_again_and_undo_forgets() {
        let mut talk = talk_of(&[10, 20]);
        assert_eq!(talk.apply(Command::Retry), Step::Ask("q1".to_owned()));
        talk.failed("q1".to_owned());
        assert_eq!(
            roles(&talk, "x").len(),
            4,
            "without an answer it was not said"
        );
        assert_eq!(talk.apply(Command::Retry), Step::Ask("q1".to_owned()));
        talk.failed("q1".to_owned());
        assert!(note(talk.apply(Command::Undo)).contains("unanswered question \"q1\""));
        assert!(note(talk.apply(Command::Undo)).contains("\"q0\""));
        assert!(note(talk.apply(Command::Undo)).contains("nothing"));
        assert!(note(talk.apply(Command::Retry)).contains("nothing"));
    }

    #[test]
    fn a_full_context_is_told_and_only_trimmed_on_demand() {
        let mut talk = talk_of(&[]);
        assert_eq!(talk.answered(exchange("q0", Some(30))), None);
        assert_eq!(talk.answered(exchange("q1", Some(79))), None);
        let told = talk.answered(exchange("q2", Some(80))).unwrap();
        assert!(
            told.contains("80 of 100") && told.contains("/trim"),
            "{told}"
        );
        assert_eq!(roles(&talk, "x").len(), 8, "nothing is dropped by itself");
        // Of 80 tokens, 30 go with the first: the rest fits into half.
        let text = note(talk.apply(Command::Trim(None)));
        assert!(
            text.contains("the 1 oldest") && text.contains("\"q0\""),
            "{text}"
        );
        // Not counted any more: half of what is left.
        assert!(note(talk.apply(Command::Trim(None))).contains("\"q1\""));
        assert!(note(talk.apply(Command::Trim(Some(9)))).contains("\"q2\""));
        assert!(note(talk.apply(Command::Trim(Some(9)))).contains("nothing to trim"));
        let mut small = talk_of(&[10, 20]);
        assert!(note(small.apply(Command::Trim(None))).contains("less than half"));
    }

    #[test]
    fn a_saved_conversation_comes_back_and_anything_else_is_refused() {
        let mut talk = talk_of(&[10, 20]);
        talk.apply(Command::Set(Some(Setting::Seed(Some(7)))));
        let text = serde_json::to_string(&talk.save()).unwrap();
        let mut other = Talk::new(Some("demo".to_owned()), None, Settings::default());
        let saved: Saved = serde_json::from_str(&text).unwrap();
        assert!(other.load(saved).unwrap().starts_with("2 questions"));
        assert_eq!(roles(&other, "x"), roles(&talk, "x"));
        assert_eq!(
            (other.settings.seed, other.model.as_deref()),
            (Some(7), Some("demo"))
        );
        for wrong in [
            r#"{"schema":2,"temperature":0,"top_p":1,"messages":[]}"#,
            r#"{"schema":1,"temperature":0,"top_p":1,"messages":[{"role":"user","content":"x"}]}"#,
            r#"{"schema":1,"temperature":0,"top_p":1,"messages":[{"role":"assistant","content":"x"},{"role":"user","content":"x"}]}"#,
        ] {
            let saved: Saved = serde_json::from_str(wrong).unwrap();
            assert!(other.load(saved).is_err(), "{wrong}");
        }
        assert_eq!(roles(&other, "x"), roles(&talk, "x"), "the old one stays");
    }

    #[test]
    fn names_are_short_and_help_lists_all() {
        assert_eq!(named("two\nlines"), "\"two…\"");
        assert_eq!(named(&"é".repeat(50)).chars().count(), NAMED_CHARS + 3);
        let text = help();
        assert!(COMMANDS.iter().all(|(name, ..)| text.contains(name)));
        let mut talk = talk_of(&[1]);
        assert!(note(talk.apply(Command::Clear)).contains("forgot 1"));
        assert_eq!(roles(&talk, "x"), ["system: Be kind.", "user: x"]);
    }
}
