//! One answer that Ctrl-C can cancel: a thread reads the node's events, this one
//! prints them and looks whether the user has had enough.
//!
//! A cancelled answer is let go at once; its connection closes with the next
//! line from the node, which cancels the job on all stages.

use crate::api::{AskDone, AskEvent, AskRequest};
use crate::client::Client;
use crate::commands::ask::report::Answer;
use crate::commands::output;
use crate::exit::{Exit, Failure};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// Events that wait to be printed.
const EVENTS_MAX: usize = 256;
/// How often an answer that is silent looks for Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

/// Whether Ctrl-C was pressed.
#[derive(Debug, Clone, Default)]
pub(super) struct Interrupts(Arc<AtomicBool>);

impl Interrupts {
    /// Listens for the rest of the process. Where nobody sits at a terminal, it
    /// ends the process instead; closed connections cancel what runs.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub(super) fn listen(is_terminal: bool) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let interrupts = Self::default();
        let heard = interrupts.clone();
        std::thread::spawn(move || {
            while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
                if !is_terminal {
                    output::note("\ncancelled\n");
                    std::process::exit(Exit::Interrupted.code().into());
                }
                heard.press();
            }
        });
        Ok(interrupts)
    }

    fn press(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was pressed since the last call.
    fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// How an answer ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Whole.
    Done(Box<AskDone>),
    /// The user cancelled it.
    Cancelled,
    /// It failed.
    Failed(Failure),
}

/// Asks, and hands every piece of text to `print`. Gives all text and the end.
///
/// # Errors
/// Only those of `print`.
pub(super) fn ask(
    client: &Client,
    request: AskRequest,
    interrupts: &Interrupts,
    mut print: impl FnMut(&str) -> Result<(), Failure>,
) -> Result<(String, Ended), Failure> {
    // What was pressed before does not count.
    interrupts.take();
    let (sender, events) = sync_channel(EVENTS_MAX);
    let stop = Arc::new(AtomicBool::new(false));
    let reader = (client.clone(), Arc::clone(&stop));
    std::thread::spawn(move || read(&reader.0, &request, reader.1, &sender));
    let mut answer = Answer::default();
    let ended = loop {
        match next(&events, interrupts) {
            Next::Event(event) => {
                if let AskEvent::Delta { text, .. } = &event
                    && let Err(failure) = print(text)
                {
                    stop.store(true, Ordering::Relaxed);
                    return Err(failure);
                }
                if let Err(failure) = answer.add(event) {
                    break Ended::Failed(failure);
                }
            }
            Next::Failed(failure) => break Ended::Failed(failure),
            Next::Cancelled => {
                stop.store(true, Ordering::Relaxed);
                break Ended::Cancelled;
            }
            Next::End => match answer.done() {
                Ok(done) => break Ended::Done(Box::new(done.clone())),
                Err(failure) => break Ended::Failed(failure),
            },
        }
    };
    Ok((answer.text, ended))
}

enum Next {
    Event(AskEvent),
    Failed(Failure),
    Cancelled,
    End,
}

fn next(events: &Receiver<Result<AskEvent, Failure>>, interrupts: &Interrupts) -> Next {
    loop {
        if interrupts.take() {
            return Next::Cancelled;
        }
        match events.recv_timeout(LOOK) {
            Ok(Ok(event)) => return Next::Event(event),
            Ok(Err(failure)) => return Next::Failed(failure),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Next::End,
        }
    }
}

/// Reads events until the end, or until nobody takes them.
fn read(
    client: &Client,
    request: &AskRequest,
    stop: Arc<AtomicBool>,
    events: &SyncSender<Result<AskEvent, Failure>>,
) {
    match client.ask_until(request, stop) {
        // A receiver that is gone has cancelled.
        Err(failure) => drop(events.send(Err(failure))),
        Ok(stream) => {
            for event in stream {
                if events.send(event).is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{ErrorCode, Prompt};
    use crate::home::ApiFile;
    use crate::http::tests::fake::FakeNode;
    use crate::http::{PortSettings, serve};

    /// A node made of plain data behind a real port, for as long as the runtime
    /// lives.
    fn served(node: &FakeNode) -> (tokio::runtime::Runtime, Client) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listen = tokio::net::TcpListener::bind("127.0.0.1:0");
        let listener = runtime.block_on(listen).unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(serve(
            vec![listener],
            node.clone(),
            PortSettings::local("cookie"),
            std::future::pending(),
        ));
        let client = Client::new(ApiFile {
            schema: 1,
            url: format!("http://{address}"),
            token: "cookie".to_owned(),
            pid: 0,
            version: String::new(),
            wallet: String::new(),
            peer_id: String::new(),
            network_id: String::new(),
            addresses: Vec::new(),
            data_addresses: Vec::new(),
        });
        (runtime, client)
    }

    fn question() -> AskRequest {
        AskRequest::plain(None, Prompt::Text("x".to_owned()))
    }

    #[test]
    fn a_whole_answer_is_printed_piece_by_piece() {
        let (_runtime, client) = served(&FakeNode::default());
        let interrupts = Interrupts::default();
        // Pressed before the question: not meant for it.
        interrupts.press();
        let mut pieces = Vec::new();
        let print = |text: &str| {
            pieces.push(text.to_owned());
            Ok(())
        };
        let (text, ended) = ask(&client, question(), &interrupts, print).unwrap();
        assert_eq!(pieces.concat(), text);
        assert!(matches!(ended, Ended::Done(done) if done.burned_ugft == 600));
    }

    #[test]
    fn ctrl_c_keeps_what_came_and_cancels_the_job() {
        let node = FakeNode::endless();
        let (_runtime, client) = served(&node);
        let interrupts = Interrupts::default();
        let press = |_: &str| {
            interrupts.press();
            Ok(())
        };
        let (text, ended) = ask(&client, question(), &interrupts, press).unwrap();
        assert!(matches!(ended, Ended::Cancelled), "{ended:?}");
        assert!(!text.is_empty());
        assert!(node.wait_cancelled(Duration::from_secs(20)));
    }

    #[test]
    fn failures_are_told_apart_from_a_reader_that_is_gone() {
        let (_runtime, client) = served(&FakeNode::refusing(ErrorCode::NoRoute));
        let interrupts = Interrupts::default();
        let (_, ended) = ask(&client, question(), &interrupts, |_| Ok(())).unwrap();
        assert!(matches!(ended, Ended::Failed(failure) if failure.exit == Exit::NoRoute));
        let node = FakeNode::endless();
        let (_runtime, client) = served(&node);
        let gone = || Failure::new(Exit::Done, "broken pipe");
        let failure = ask(&client, question(), &interrupts, |_| Err(gone())).unwrap_err();
        assert!(failure.is_closed_pipe());
        assert!(node.wait_cancelled(Duration::from_secs(20)));
    }
}
