//! `talkoot testnet`: an asker and workers as real processes on this machine,
//! one question, and the proof that all of them hold the same books.
//!
//! Everything it starts it stops, also on failure and on Ctrl-C; nodes started
//! without `--keep` also end when this process dies in any other way.

mod interrupt;
mod nodes;
mod plan;
mod report;
mod wait;

use super::ask::report::{Answer, bill, route};
use super::output;
use crate::api::{AskDone, AskEvent, AskRequest, ChatMessage, Prompt};
use crate::cli::TestnetArgs;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::models::store::Store;
use interrupt::Interrupt;
use nodes::Nodes;
use plan::Plan;
use std::sync::mpsc;
use std::time::Duration;

const DEFAULT_PROMPT: &str = "Tell me a story about a fox who lost a drum.";
const EVENT_STEP: Duration = Duration::from_millis(100);

/// Runs the whole show.
///
/// # Errors
/// When any part of it does not hold.
pub fn run(mut args: TestnetArgs, home: &Home) -> Result<(), Failure> {
    let store = Store::new(home, &args.directories.model_dirs);
    args.model = args.model.map(|path| store.resolve(&path)).transpose()?;
    let args = &args;
    let interrupt = Interrupt::listen()?;
    let plan = Plan::new(args)?;
    let mut nodes = Nodes::new(&plan, args.keep)?;
    let result = show(args, &plan, &mut nodes, &interrupt);
    if let Err(failure) = &result
        && failure.exit != Exit::Interrupted
    {
        nodes.keep_logs();
    }
    if args.keep {
        nodes.explain();
    } else {
        nodes.stop();
    }
    result
}

fn show(
    args: &TestnetArgs,
    plan: &Plan,
    nodes: &mut Nodes,
    interrupt: &Interrupt,
) -> Result<(), Failure> {
    nodes.start(plan, interrupt)?;
    wait::for_coverage(nodes, plan.layers, interrupt)?;
    let answer = ask(args, nodes, interrupt)?;
    let done = answer.done()?;
    say(args, &format!("\n{}{}", route(done), bill(done)))?;
    let books = wait::for_quiet(nodes, done, interrupt)?;
    say(args, &books.text())?;
    books.check(done, plan.layers)?;
    if args.json {
        output::print_json(&books.report(done, &answer.text))?;
    }
    Ok(())
}

/// Asks the asker; the text streams as it comes.
fn ask(args: &TestnetArgs, nodes: &Nodes, interrupt: &Interrupt) -> Result<Answer, Failure> {
    let request = request(args);
    let client = nodes.asker()?.clone();
    let (sender, events) = mpsc::sync_channel::<Result<AskEvent, Failure>>(64);
    // Reading cannot be interrupted, so it has its own thread; when this
    // process ends, so does the connection, and with it the job.
    std::thread::spawn(move || match client.ask(&request) {
        Ok(stream) => {
            for event in stream {
                if sender.send(event).is_err() {
                    return;
                }
            }
        }
        Err(failure) => {
            let _ = sender.send(Err(failure));
        }
    });
    let mut answer = Answer::default();
    loop {
        interrupt.check()?;
        let event = match events.recv_timeout(EVENT_STEP) {
            Ok(event) => event?,
            Err(mpsc::RecvTimeoutError::Timeout) => continue,
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
        };
        if let AskEvent::Delta { text, .. } = &event {
            say(args, text)?;
        }
        let result = answer.add(event);
        if result.is_err() || answer.done().is_ok() {
            say(args, "\n")?;
        }
        result?;
    }
    Ok(answer)
}

fn request(args: &TestnetArgs) -> AskRequest {
    let text = if args.prompt.is_empty() {
        DEFAULT_PROMPT.to_owned()
    } else {
        args.prompt.join(" ")
    };
    let prompt = Prompt::Chat(vec![ChatMessage {
        role: "user".to_owned(),
        content: text,
        ..ChatMessage::default()
    }]);
    AskRequest {
        completion_tokens_max: args.max_tokens,
        ..AskRequest::plain(None, prompt)
    }
}

/// To stdout, or with `--json`, where stdout is one object, to stderr.
fn say(args: &TestnetArgs, text: &str) -> Result<(), Failure> {
    if args.json {
        output::note(text);
        return Ok(());
    }
    output::print(text)
}

/// Whether the stages of an answer tile the model in order.
fn tiles(done: &AskDone, layers: u32) -> bool {
    let mut next = 0;
    for stage in &done.stages {
        let [start, end] = stage.layers;
        if start != next || end <= start {
            return false;
        }
        next = end;
    }
    next == layers
}
