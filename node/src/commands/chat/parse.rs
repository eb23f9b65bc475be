//! What a typed line means: a question, or a command with its arguments; and
//! which lines belong together. Pure: nothing is asked or printed here.

use std::path::PathBuf;

/// Bytes of one question or command, all its lines together.
pub(super) const INPUT_BYTES_MAX: usize = 4 << 20;
/// What opens and closes a block of lines.
const FENCE: &str = "\"\"\"";

/// Commands with their arguments and what they do, as `/help` lists them.
pub(super) const COMMANDS: &[(&str, &str, &str)] = &[
    ("/help", "", "this list"),
    ("/model", "[NAME]", "show or change the model"),
    (
        "/route",
        "",
        "who computed the last answer: layers, compute and hop times",
    ),
    ("/stats", "", "tokens, speed and costs of this conversation"),
    ("/credits", "", "what is available, and why not more"),
    (
        "/quote",
        "[TEXT]",
        "what the next answer would cost at most",
    ),
    (
        "/system",
        "[TEXT]",
        "an instruction before the conversation; without text none",
    ),
    (
        "/set",
        "[NAME VALUE]",
        "temperature, top_p, top_k, max_tokens or seed; `none` takes a limit away",
    ),
    (
        "/retry",
        "",
        "ask the last question again, without its answer",
    ),
    ("/undo", "", "forget the last question and its answer"),
    (
        "/trim",
        "[N]",
        "forget the N oldest questions, or what fills more than half the context",
    ),
    ("/clear", "", "forget the conversation"),
    ("/save", "FILE", "write the conversation as JSON"),
    ("/load", "FILE", "go on with a saved conversation"),
    ("/exit", "", "leave (Ctrl-D too)"),
];

/// What can be set.
pub(super) const SETTINGS: &[&str] = &["temperature", "top_p", "top_k", "max_tokens", "seed"];

/// What a whole input means.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Input {
    /// An empty line.
    Nothing,
    /// A question.
    Say(String),
    /// A command.
    Do(Command),
}

/// A command.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Command {
    Help,
    Model(Option<String>),
    Route,
    Stats,
    Credits,
    Quote(Option<String>),
    System(Option<String>),
    Set(Option<Setting>),
    Retry,
    Undo,
    Trim(Option<usize>),
    Clear,
    Save(PathBuf),
    Load(PathBuf),
    Exit,
}

/// One setting; `None` is the default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Setting {
    Temperature(f32),
    TopP(f32),
    TopK(u32),
    MaxTokens(Option<u32>),
    Seed(Option<u64>),
}

/// Lines that belong together.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: String,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Empty,
    /// The last line ended with a backslash.
    Continued,
    /// Between two fences.
    Fenced,
}

impl Lines {
    /// Whether another line belongs to what has come.
    pub(super) fn is_open(&self) -> bool {
        self.state != State::Empty
    }

    /// Takes a line without its newline; gives the input that it completes.
    ///
    /// # Errors
    /// When the input is too long (it is dropped), or means nothing.
    pub(super) fn push(&mut self, line: &str) -> Result<Option<Input>, String> {
        if self.text.len().saturating_add(line.len()) > INPUT_BYTES_MAX {
            self.abandon();
            return Err(format!("an input has at most {INPUT_BYTES_MAX} bytes"));
        }
        match self.state {
            State::Fenced => Ok(self.fenced(line)),
            State::Empty => match line.trim_start().strip_prefix(FENCE) {
                Some(rest) => {
                    self.state = State::Fenced;
                    let is_blank = rest.trim().is_empty();
                    Ok(if is_blank { None } else { self.fenced(rest) })
                }
                None => self.plain(line),
            },
            State::Continued => self.plain(line),
        }
    }

    fn fenced(&mut self, line: &str) -> Option<Input> {
        match line.trim_end().strip_suffix(FENCE) {
            Some(rest) => {
                self.text.push_str(rest);
                self.finish()
            }
            None => {
                self.text.push_str(line);
                self.text.push('\n');
                None
            }
        }
    }

    fn plain(&mut self, line: &str) -> Result<Option<Input>, String> {
        if let Some(rest) = line.strip_suffix('\\') {
            self.text.push_str(rest);
            self.text.push('\n');
            self.state = State::Continued;
            return Ok(None);
        }
        self.text.push_str(line);
        let text = self.take();
        parse(&text).map(Some)
    }

    /// No line follows: what has come, as a question.
    pub(super) fn finish(&mut self) -> Option<Input> {
        let text = self.take();
        let text = text.trim_end_matches('\n');
        (!text.trim().is_empty()).then(|| Input::Say(text.to_owned()))
    }

    /// Forgets what has come.
    pub(super) fn abandon(&mut self) {
        self.take();
    }

    fn take(&mut self) -> String {
        self.state = State::Empty;
        std::mem::take(&mut self.text)
    }
}

/// Reads a whole input. `//` at the beginning is a slash that is meant.
///
/// # Errors
/// What is wrong with a command.
pub(super) fn parse(text: &str) -> Result<Input, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(Input::Nothing);
    }
    match trimmed.strip_prefix('/') {
        None => Ok(Input::Say(text.trim_end().to_owned())),
        Some(rest) if rest.starts_with('/') => Ok(Input::Say(rest.to_owned())),
        Some(rest) => command(rest).map(Input::Do),
    }
}

fn command(text: &str) -> Result<Command, String> {
    let (name, rest) = match text.split_once(char::is_whitespace) {
        Some((name, rest)) => (name, rest.trim()),
        None => (text, ""),
    };
    let words = (!rest.is_empty()).then(|| rest.to_owned());
    let command = match name {
        "model" => Command::Model(words),
        "quote" => Command::Quote(words),
        "system" => Command::System(words),
        "set" => Command::Set(words.map(|words| setting(&words)).transpose()?),
        "trim" => Command::Trim(words.map(|words| number(&words, "trim")).transpose()?),
        "save" => Command::Save(file(words, "save")?),
        "load" => Command::Load(file(words, "load")?),
        "help" | "?" => Command::Help,
        "route" => Command::Route,
        "stats" => Command::Stats,
        "credits" => Command::Credits,
        "retry" => Command::Retry,
        "undo" => Command::Undo,
        "clear" => Command::Clear,
        "exit" | "quit" | "bye" => Command::Exit,
        other => return Err(unknown(other)),
    };
    Ok(command)
}

fn unknown(name: &str) -> String {
    let begins = |command: &&(&str, &str, &str)| {
        let command = command.0.trim_start_matches('/');
        !name.is_empty() && (command.starts_with(name) || name.starts_with(command))
    };
    match COMMANDS.iter().find(begins) {
        Some((near, ..)) => format!("there is no /{name}; do you mean {near}? (/help lists all)"),
        None => format!(
            "there is no /{name}; /help lists the commands, // begins a question with a slash"
        ),
    }
}

fn file(words: Option<String>, name: &str) -> Result<PathBuf, String> {
    words
        .map(PathBuf::from)
        .ok_or_else(|| format!("/{name} needs a file: /{name} story.json"))
}

fn number<T: std::str::FromStr>(text: &str, name: &str) -> Result<T, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("/{name} takes a whole number, not \"{text}\""))
}

fn setting(words: &str) -> Result<Setting, String> {
    let (name, value) = words
        .split_once(|sign: char| sign.is_whitespace() || sign == '=')
        .map(|(name, value)| (name, value.trim()))
        .filter(|(_, value)| !value.is_empty())
        .ok_or_else(|| {
            format!(
                "/set needs a name and a value; names are {}",
                SETTINGS.join(", ")
            )
        })?;
    let is_none = matches!(value, "none" | "default");
    let set = format!("set {name}");
    match name {
        "temperature" if is_none => Ok(Setting::Temperature(0.0)),
        "temperature" => within(value, name, 10.0).map(Setting::Temperature),
        "top_p" if is_none => Ok(Setting::TopP(1.0)),
        "top_p" => within(value, name, 1.0).map(Setting::TopP),
        "top_k" if is_none => Ok(Setting::TopK(0)),
        "top_k" => number(value, &set).map(Setting::TopK),
        "max_tokens" if is_none => Ok(Setting::MaxTokens(None)),
        "max_tokens" => match number(value, &set)? {
            0 => Err("an answer has at least one token; `none` takes the limit away".to_owned()),
            most => Ok(Setting::MaxTokens(Some(most))),
        },
        "seed" if is_none => Ok(Setting::Seed(None)),
        "seed" => number(value, &set).map(|seed| Setting::Seed(Some(seed))),
        other => Err(format!(
            "{other} cannot be set; names are {}",
            SETTINGS.join(", ")
        )),
    }
}

fn within(value: &str, name: &str, high: f32) -> Result<f32, String> {
    let number: Option<f32> = value.parse().ok();
    number
        .filter(|number| (0.0..=high).contains(number))
        .ok_or_else(|| format!("{name} is a number from 0 to {high}, not \"{value}\""))
}

/// What could stand at the end of a line that was typed up to there: where the
/// word begins, and the words. `None` where a file's name is meant.
pub(super) fn completions(line: &str, models: &[String]) -> Option<(usize, Vec<String>)> {
    let Some((command, rest)) = line.split_once(' ') else {
        let names = COMMANDS.iter().map(|(name, ..)| *name);
        let begins = names.filter(|name| line.starts_with('/') && name.starts_with(line));
        return Some((0, begins.map(str::to_owned).collect()));
    };
    let start = line.len() - rest.len();
    let begins = |words: &[String]| {
        let words = words.iter().filter(|word| word.starts_with(rest));
        words.cloned().collect()
    };
    match command {
        "/model" => Some((start, begins(models))),
        "/set" => {
            let names: Vec<String> = SETTINGS.iter().map(|name| format!("{name} ")).collect();
            Some((start, begins(&names)))
        }
        "/save" | "/load" => None,
        _ => Some((start, Vec::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(text: &str) -> Command {
        match parse(text) {
            Ok(Input::Do(command)) => command,
            other => panic!("{text}: {other:?}"),
        }
    }

    fn said(text: &str) -> Option<Input> {
        Some(Input::Say(text.to_owned()))
    }

    #[test]
    fn every_listed_command_is_read() {
        for (name, arguments, _) in COMMANDS {
            let needs = !arguments.is_empty() && !arguments.starts_with('[');
            assert_eq!(parse(name).is_err(), needs, "{name}");
        }
        assert_eq!(done("/model demo"), Command::Model(Some("demo".to_owned())));
        assert_eq!(done(" /quit "), Command::Exit);
        assert_eq!(done("/save a b.json"), Command::Save("a b.json".into()));
        assert_eq!(done("/trim 2"), Command::Trim(Some(2)));
        assert_eq!(
            done("/system Be kind.\nAlways."),
            Command::System(Some("Be kind.\nAlways.".to_owned()))
        );
    }

    #[test]
    fn questions_and_slashes() {
        assert_eq!(parse("  "), Ok(Input::Nothing));
        assert_eq!(parse("hi there "), Ok(Input::Say("hi there".to_owned())));
        assert_eq!(
            parse("//etc is a folder"),
            Ok(Input::Say("/etc is a folder".to_owned()))
        );
        let error = parse("/rou").unwrap_err();
        assert!(error.contains("do you mean /route?"), "{error}");
        assert!(parse("/fly").unwrap_err().contains("/help"));
        assert!(parse("/ ").unwrap_err().contains("/help"));
    }

    #[test]
    fn settings_have_bounds_and_can_be_taken_away() {
        let set = |text: &str| match parse(text) {
            Ok(Input::Do(Command::Set(Some(setting)))) => Ok(setting),
            Err(error) => Err(error),
            other => panic!("{text}: {other:?}"),
        };
        assert_eq!(set("/set temperature 0.7"), Ok(Setting::Temperature(0.7)));
        assert_eq!(set("/set top_p=0.9"), Ok(Setting::TopP(0.9)));
        assert_eq!(set("/set max_tokens none"), Ok(Setting::MaxTokens(None)));
        assert_eq!(set("/set seed 7"), Ok(Setting::Seed(Some(7))));
        for wrong in [
            "/set temperature hot",
            "/set temperature -1",
            "/set top_p NaN",
            "/set max_tokens 0",
            "/set seed -3",
            "/set colour red",
            "/set seed",
        ] {
            assert!(set(wrong).is_err(), "{wrong}");
        }
        assert_eq!(done("/set"), Command::Set(None));
    }

    #[test]
    fn lines_are_joined_by_backslashes_and_fences() {
        let mut lines = Lines::default();
        assert_eq!(lines.push("one\\"), Ok(None));
        assert!(lines.is_open());
        assert_eq!(lines.push("two"), Ok(said("one\ntwo")));
        assert!(!lines.is_open());
        assert_eq!(lines.push("\"\"\""), Ok(None));
        assert_eq!(lines.push("/help is text here\\"), Ok(None));
        assert_eq!(lines.push(""), Ok(None));
        assert_eq!(
            lines.push("end\"\"\""),
            Ok(said("/help is text here\\\n\nend"))
        );
        assert_eq!(lines.push("\"\"\"all in one\"\"\""), Ok(said("all in one")));
        assert_eq!(lines.push("\"\"\""), Ok(None));
        assert_eq!(lines.push("\"\"\""), Ok(None), "an empty block is nothing");
        assert!(!lines.is_open());
        lines.push("\"\"\"cut").unwrap();
        assert_eq!(lines.finish(), said("cut"));
        assert_eq!(lines.finish(), None);
        lines.push("gone\\").unwrap();
        lines.abandon();
        assert_eq!(lines.push("here"), Ok(said("here")));
        assert!(lines.push(&"x".repeat(INPUT_BYTES_MAX + 1)).is_err());
        assert_eq!(lines.push("on"), Ok(said("on")));
    }

    #[test]
    fn words_are_completed() {
        let models = ["demo".to_owned(), "dummy".to_owned()];
        let words = |line: &str| completions(line, &models).unwrap();
        assert_eq!(words("/s").1, ["/stats", "/system", "/set", "/save"]);
        assert_eq!(words("s").1, [""; 0]);
        assert_eq!(words("/model de"), (7, vec!["demo".to_owned()]));
        assert_eq!(words("/set t").1, ["temperature ", "top_p ", "top_k "]);
        assert_eq!(words("tell me").1, [""; 0]);
        assert_eq!(completions("/save x", &models), None);
    }
}
