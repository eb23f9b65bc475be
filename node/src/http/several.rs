//! Several answers to one request, asked at the same time and read as one
//! sequence of events.
//!
//! The choices of `n` and the prompts of a list are answers of their own: each
//! takes a place, each is a job. What fails ends all of them, since a client
//! cannot use a part of what it asked for; dropping a [`Several`] cancels what
//! still runs.

use super::node_api::{Answer, NodeApi};
use crate::api::{AskError, AskEvent, AskRequest, ErrorCode};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;

/// Answers of one request that run at the same time; the others wait for one of
/// these to end.
const RUNNING_MAX: usize = 8;

/// One event of one of the answers.
#[derive(Debug)]
pub(crate) struct Part {
    /// Which answer, in the order of the requests.
    pub(crate) index: usize,
    /// What happened.
    pub(crate) event: AskEvent,
}

/// Answers that are made at the same time.
pub(crate) struct Several {
    parts: BoxStream<'static, Part>,
    open: usize,
    is_begun: bool,
}

impl std::fmt::Debug for Several {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Several")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

impl Several {
    /// Asks all of `requests`, as soon as the first part is read.
    pub(crate) fn ask<N: NodeApi>(node: &N, requests: Vec<AskRequest>) -> Self {
        let node = node.clone();
        let open = requests.len();
        let parts = stream::iter(requests.into_iter().enumerate())
            .map(move |(index, request)| answer(node.clone(), index, request))
            .flatten_unordered(RUNNING_MAX);
        Self {
            parts: parts.boxed(),
            open,
            is_begun: false,
        }
    }

    /// The next part; `None` after the end of the last answer and after the
    /// first failure. Nothing is lost when the future is dropped.
    pub(crate) async fn next(&mut self) -> Option<Part> {
        if self.open == 0 {
            return None;
        }
        let part = self.parts.next().await?;
        match &part.event {
            AskEvent::Routed { .. } => self.is_begun = true,
            AskEvent::Done(_) => self.open -= 1,
            AskEvent::Failed(_) => {
                self.open = 0;
                self.parts = stream::empty().boxed();
            }
            AskEvent::Prompt { .. } | AskEvent::Delta { .. } => {}
        }
        Some(part)
    }

    /// Whether work on some answer has begun, which may have been paid.
    pub(crate) fn is_begun(&self) -> bool {
        self.is_begun
    }
}

fn answer<N: NodeApi>(node: N, index: usize, request: AskRequest) -> BoxStream<'static, Part> {
    let opened = async move { node.ask(request).await };
    stream::once(opened)
        .flat_map(events)
        .map(move |event| Part { index, event })
        .boxed()
}

/// The events of an answer; the last is `Done` or `Failed`.
fn events(opened: Answer<mpsc::Receiver<AskEvent>>) -> BoxStream<'static, AskEvent> {
    let receiver = match opened {
        Ok(receiver) => receiver,
        Err(error) => return stream::iter([AskEvent::Failed(error)]).boxed(),
    };
    stream::unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        // A cut stream looks like a finished answer to most clients.
        let event = receiver.recv().await.unwrap_or_else(|| {
            AskEvent::Failed(AskError::new(
                ErrorCode::Internal,
                "the node stopped in the middle of the answer",
            ))
        });
        let is_last = matches!(event, AskEvent::Done(_) | AskEvent::Failed(_));
        Some((event, (!is_last).then_some(receiver)))
    })
    .boxed()
}
