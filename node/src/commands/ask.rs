//! `talkoot ask`: the answer streams to stdout; route and bill go to stderr.

pub mod report;

use super::models::stored_hint;
use super::{output, quote};
use crate::api::quote::{QuoteRequest, QuoteView};
use crate::api::{AskEvent, AskRequest, ChatMessage, Prompt, SCHEMA};
use crate::cli::{self, AskArgs};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use report::Answer;
use serde_json::json;
use std::io::{IsTerminal, Read};

/// Bytes of a prompt read from stdin.
const PROMPT_BYTES_MAX: u64 = 4 << 20;

/// Asks once.
///
/// # Errors
/// When no node runs, or the answer fails; the code says why.
pub fn run(args: AskArgs, home: &Home) -> Result<(), Failure> {
    let (json, show_route) = (args.json, args.show_route);
    let is_quoted = args.quote;
    let request = request(args)?;
    let client = Client::connect(home)?;
    exit_on_interrupt()?;
    if is_quoted {
        output::note(&quoted(&client, &request)?);
    }
    let mut answer = Answer::default();
    for event in client
        .ask(&request)
        .map_err(|failure| stored_hint(failure, request.model.as_deref(), home))?
    {
        let event = event?;
        match &event {
            AskEvent::Routed { stages, .. } if show_route => output::note(&report::stages(stages)),
            AskEvent::Delta { text, .. } if !json => output::print(text)?,
            _ => {}
        }
        if let Err(failure) = answer.add(event) {
            if !json && !answer.text.is_empty() {
                output::print("\n")?;
            }
            return Err(failure);
        }
    }
    let done = answer.done()?;
    if json {
        return output::print_json(&json!({
            "schema": SCHEMA,
            "answer": answer.text,
            "model": answer.model,
            "model_name": answer.model_name,
            "receipt": done,
        }));
    }
    if !answer.text.ends_with('\n') {
        output::print("\n")?;
    }
    output::note(&format!("\n{}{}", report::route(done), report::bill(done)));
    Ok(())
}

/// What the answer would cost at most, in words.
fn quoted(client: &Client, request: &AskRequest) -> Result<String, Failure> {
    let view: QuoteView = client.post(
        "ledger/quote",
        &QuoteRequest {
            model: request.model.clone(),
            prompt_tokens: 0,
            prompt: Some(request.prompt.clone()),
            completion_tokens_max: request.completion_tokens_max,
        },
    )?;
    Ok(format!("{}\n", quote::text(&view)))
}

/// The request that the arguments describe.
fn request(args: AskArgs) -> Result<AskRequest, Failure> {
    let text = prompt(&args.prompt)?;
    let prompt = if args.raw {
        Prompt::Text(text)
    } else {
        let message = |role: &str, content: String| ChatMessage {
            role: role.to_owned(),
            content,
            ..ChatMessage::default()
        };
        let system = args.system.map(|text| message("system", text));
        let user = message("user", text);
        Prompt::Chat(system.into_iter().chain([user]).collect())
    };
    Ok(AskRequest {
        completion_tokens_max: args.max_tokens,
        temperature: cli::within("--temperature", args.temperature, 0.0, 10.0)?,
        top_k: args.top_k,
        top_p: cli::within("--top-p", args.top_p, 0.0, 1.0)?,
        min_p: cli::within("--min-p", args.min_p, 0.0, 1.0)?,
        seed: args.seed,
        stop: args.stop,
        ..AskRequest::plain(args.model, prompt)
    })
}

fn prompt(words: &[String]) -> Result<String, Failure> {
    let mut text = words.join(" ");
    if words.is_empty() {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            output::note("type the question, then Ctrl-D\n");
        }
        stdin
            .lock()
            .take(PROMPT_BYTES_MAX)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(Exit::Usage, format!("stdin: {error}")))?;
        // The newline is the shell's, not the question's.
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
    }
    if text.trim().is_empty() {
        return Err(Failure::new(Exit::Usage, "the question is empty")
            .hint("talkoot ask \"Tell me a story.\""));
    }
    Ok(text)
}

/// Ctrl-C ends the process with its own code; the closed connection cancels the
/// job on all stages.
fn exit_on_interrupt() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::spawn(move || {
        if runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            output::note("\ncancelled\n");
            std::process::exit(Exit::Interrupted.code().into());
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &[&str]) -> AskArgs {
        let arguments = ["talkoot", "ask"]
            .iter()
            .chain(line)
            .map(|word| (*word).into());
        match cli::parse(arguments) {
            cli::Parsed::Run(cli::Cli {
                command: Some(cli::Command::Ask(args)),
                ..
            }) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_chat_by_default_and_greedy() {
        let request = request(args(&["Tell", "me"])).unwrap();
        assert_eq!(request.temperature, 0.0);
        assert!(matches!(
            &request.prompt,
            Prompt::Chat(messages) if messages.len() == 1 && messages[0].content == "Tell me"
        ));
    }

    #[test]
    fn raw_and_system() {
        let raw = request(args(&["--raw", "Once"])).unwrap();
        assert!(matches!(&raw.prompt, Prompt::Text(text) if text == "Once"));
        let system = request(args(&["--system", "Be kind.", "Hi"])).unwrap();
        assert!(matches!(
            &system.prompt,
            Prompt::Chat(messages) if messages[0].role == "system" && messages[1].content == "Hi"
        ));
    }

    #[test]
    fn wrong_numbers_are_usage_errors() {
        for line in [
            ["--top-p", "1.5", "x"],
            ["--temperature", "-1", "x"],
            ["--min-p", "NaN", "x"],
        ] {
            let line = [line[0], line[1], line[2]];
            let joined = format!("{}={}", line[0], line[1]);
            assert_eq!(
                request(args(&[&joined, line[2]])).unwrap_err().exit,
                Exit::Usage
            );
        }
        assert_eq!(request(args(&[" "])).unwrap_err().exit, Exit::Usage);
    }
}
