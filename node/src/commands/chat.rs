//! `talkoot chat`: a conversation with a model, its costs in sight. Answers go to
//! stdout, everything else to stderr.
//!
//! The loop is here; what a line means is in `parse`, what it does to the
//! conversation in `talk`, and who carries it out in `session`.

mod answer;
mod input;
mod parse;
mod session;
mod shown;
mod talk;

use super::output;
use crate::cli::{self, ChatArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use answer::Interrupts;
use input::{Source, Typed};
use parse::{Input, Lines};
use session::Session;
use std::io::IsTerminal;
use talk::{Settings, Talk};

/// The history of inputs, in the directory of a home's state.
const HISTORY_FILE: &str = "chat_history";

/// Talks until the user leaves. Without a terminal it ends with the code of the
/// last question, if that failed.
///
/// # Errors
/// When no node runs, the model is unknown, or stdin or stdout is gone.
pub fn run(args: ChatArgs, home: &Home) -> Result<(), Failure> {
    let settings = Settings {
        temperature: cli::within("--temperature", args.temperature, 0.0, 10.0)?,
        top_p: cli::within("--top-p", args.top_p, 0.0, 1.0)?,
        max_tokens: args.max_tokens,
        seed: args.seed,
        ..Settings::default()
    };
    let client = Client::connect(home)?;
    let interrupts = Interrupts::listen(std::io::stdin().is_terminal())?;
    let talk = Talk::new(args.model, args.system, settings);
    let mut session = Session::new(home, client, talk, interrupts)?;
    if let Some(file) = &args.load {
        let text = session.load(file)?;
        session.note(&text);
    }
    let history = home.state.join(HISTORY_FILE);
    let mut source = Source::open(&history, session.model_names())?;
    if source.is_terminal() {
        session.greet();
    }
    talk_on(&mut source, &mut session)?;
    match session.failed() {
        Some(exit) if !source.is_terminal() => {
            Err(Failure::new(exit, "the last question got no answer"))
        }
        _ => Ok(()),
    }
}

fn talk_on(source: &mut Source, session: &mut Session<'_>) -> Result<(), Failure> {
    let mut lines = Lines::default();
    loop {
        let input = match source.next(lines.is_open())? {
            Typed::Line(line) => {
                source.remember(&line);
                lines.push(&line)
            }
            Typed::Interrupted => {
                if !lines.is_open() {
                    session.note("Ctrl-D leaves");
                }
                lines.abandon();
                continue;
            }
            Typed::End => {
                if source.is_terminal() {
                    output::note("\n");
                } else if let Some(input) = lines.finish() {
                    session.take(input)?;
                }
                return Ok(());
            }
        };
        let input = match input {
            Ok(input) => input.unwrap_or(Input::Nothing),
            Err(message) => {
                session.complain(&Failure::new(Exit::Usage, message));
                continue;
            }
        };
        if !session.take(input)? {
            return Ok(());
        }
    }
}
