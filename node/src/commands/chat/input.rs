//! Where lines come from: an edited line at a terminal, or stdin. The only file
//! that knows rustyline.
//!
//! At a terminal lines are kept in a history file that only its owner can read.

use super::parse::{self, INPUT_BYTES_MAX};
use crate::exit::{Exit, Failure};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::config::{Behavior, CompletionType, Config};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use std::io::{BufRead, IsTerminal, Read};
use std::path::{Path, PathBuf};

/// Inputs that the history file keeps.
const HISTORY_MAX: usize = 1000;
/// Before a line, and before a further line of the same input.
const PROMPTS: [&str; 2] = [">>> ", "... "];

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// A line without its newline.
    Line(String),
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D, or the end of stdin.
    End,
}

/// Gives lines.
pub(super) enum Source {
    Terminal(Box<Terminal>),
    Stdin,
}

/// A line editor and where its history is kept.
pub(super) struct Terminal {
    editor: Editor<Words, FileHistory>,
    history: PathBuf,
}

impl Source {
    /// The terminal if stdin is one, else stdin.
    ///
    /// # Errors
    /// When the terminal cannot be used.
    pub(super) fn open(history: &Path, models: Vec<String>) -> Result<Self, Failure> {
        if !std::io::stdin().is_terminal() {
            return Ok(Self::Stdin);
        }
        let config = Config::builder()
            .max_history_size(HISTORY_MAX)
            .map_err(terminal)?
            .completion_type(CompletionType::List)
            // Prompts must not get into a pipe that stdout is.
            .behavior(Behavior::PreferTerm)
            .build();
        let words = Words {
            models,
            files: FilenameCompleter::new(),
        };
        let kept = FileHistory::with_config(&config);
        let mut editor = Editor::with_history(config, kept).map_err(terminal)?;
        editor.set_helper(Some(words));
        // There is none before the first conversation.
        drop(editor.load_history(history));
        Ok(Self::Terminal(Box::new(Terminal {
            editor,
            history: history.to_owned(),
        })))
    }

    /// Whether somebody sits there.
    pub(super) const fn is_terminal(&self) -> bool {
        matches!(self, Self::Terminal(_))
    }

    /// The next line; `is_open` when it goes on with the one before.
    ///
    /// # Errors
    /// When there is no reading on.
    pub(super) fn next(&mut self, is_open: bool) -> Result<Typed, Failure> {
        let Self::Terminal(terminal_) = self else {
            return read(&mut std::io::stdin().lock());
        };
        let prompt = PROMPTS[usize::from(is_open)];
        match terminal_.editor.readline(prompt) {
            Ok(line) => Ok(Typed::Line(line)),
            Err(ReadlineError::Interrupted) => Ok(Typed::Interrupted),
            Err(ReadlineError::Eof) => Ok(Typed::End),
            Err(error) => Err(terminal(error)),
        }
    }

    /// Keeps a line in the history.
    pub(super) fn remember(&mut self, line: &str) {
        if let Self::Terminal(terminal) = self
            && terminal.editor.add_history_entry(line).unwrap_or(false)
        {
            // A conversation goes on without a history.
            drop(terminal.editor.append_history(&terminal.history));
        }
    }
}

fn terminal(error: ReadlineError) -> Failure {
    Failure::new(
        Exit::Failure,
        format!("the terminal cannot be used: {error}"),
    )
}

/// One bounded line of a stream.
fn read(stream: &mut impl BufRead) -> Result<Typed, Failure> {
    let most = INPUT_BYTES_MAX as u64 + 2;
    let mut line = String::new();
    let length = stream
        .take(most)
        .read_line(&mut line)
        .map_err(|error| Failure::new(Exit::Usage, format!("stdin: {error}")))?;
    if length == 0 {
        return Ok(Typed::End);
    }
    if length as u64 == most {
        let message = format!("a line has at most {INPUT_BYTES_MAX} bytes");
        return Err(Failure::new(Exit::Usage, message));
    }
    line.truncate(line.trim_end_matches(['\n', '\r']).len());
    Ok(Typed::Line(line))
}

/// What Tab completes.
pub(super) struct Words {
    models: Vec<String>,
    files: FilenameCompleter,
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        at: usize,
        _context: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..at).unwrap_or_default();
        let Some((start, words)) = parse::completions(typed, &self.models) else {
            return self.files.complete_path(line, at);
        };
        let pair = |word: String| Pair {
            display: word.clone(),
            replacement: word,
        };
        Ok((start, words.into_iter().map(pair).collect()))
    }
}

impl Hinter for Words {
    type Hint = String;
}
impl Highlighter for Words {}
impl Validator for Words {}
impl Helper for Words {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_stream_end_and_have_a_bound() {
        let mut stream: &[u8] = b"one\r\n\ntwo";
        let mut next = || read(&mut stream).unwrap();
        assert_eq!(next(), Typed::Line("one".to_owned()));
        assert_eq!(next(), Typed::Line(String::new()));
        assert_eq!(next(), Typed::Line("two".to_owned()));
        assert_eq!(next(), Typed::End);
        let long = vec![b'x'; INPUT_BYTES_MAX + 9];
        assert_eq!(read(&mut long.as_slice()).unwrap_err().exit, Exit::Usage);
        assert_eq!(read(&mut &b"\xff\n"[..]).unwrap_err().exit, Exit::Usage);
    }
}
