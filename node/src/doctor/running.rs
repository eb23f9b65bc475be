//! The running node as its owner's programs see it: what `api.json` says, who
//! holds the home, and what the node answers.

use super::{Finding, Scene};
use crate::api::StatusView;
use crate::client::Client;
use crate::commands::status;
use crate::exit::{Exit, Failure};
use crate::home::{ApiFile, Home};
use serde::Deserialize;

/// Whether a node runs in a home.
#[derive(Debug)]
pub enum NodeState {
    /// None does, and none left anything.
    None,
    /// A process holds the home and has not opened its port yet.
    Starting,
    /// `api.json` cannot be read.
    Damaged(Failure),
    /// `api.json` is there, and nobody holds the home.
    Stale(Box<ApiFile>),
    /// A process holds the home and does not answer.
    Silent(Box<ApiFile>, Failure),
    /// It answers.
    Answers(Box<Running>),
}

/// What a running node says.
#[derive(Debug)]
pub struct Running {
    pub(super) api: ApiFile,
    pub(super) status: StatusView,
    pub(super) peers: Vec<PeerFacts>,
}

/// What counts of a peer.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PeerFacts {
    /// Who dialled: `inbound` or `outbound`.
    #[serde(default)]
    pub(super) direction: Option<String>,
    #[serde(default)]
    pub(super) clock_offset_ms: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Peers {
    peers: Vec<PeerFacts>,
}

impl NodeState {
    /// Looks.
    #[must_use]
    pub fn of(home: &Home) -> Self {
        let api = match home.read_api() {
            Ok(Some(api)) => api,
            Ok(None) if home.is_locked() => return Self::Starting,
            Ok(None) => return Self::None,
            Err(failure) => return Self::Damaged(failure),
        };
        let client = Client::new(api.clone());
        let said = client.get("status").and_then(|status| {
            let Peers { peers } = client.get("peers")?;
            Ok((status, peers))
        });
        match said {
            Ok((status, peers)) => Self::Answers(Box::new(Running { api, status, peers })),
            Err(_) if !home.is_locked() => Self::Stale(Box::new(api)),
            Err(failure) => Self::Silent(Box::new(api), failure),
        }
    }

    /// What it says, if it does.
    pub(super) fn running(&self) -> Option<&Running> {
        match self {
            Self::Answers(running) => Some(running),
            _ => None,
        }
    }
}

/// The finding of a check that needs a node where there is none.
pub(super) fn needs_a_node() -> Finding {
    Finding::skip("needs a running node")
}

/// `node`.
pub(super) fn node(scene: &Scene<'_>) -> Finding {
    judge(&scene.node, env!("CARGO_PKG_VERSION"))
}

fn judge(node: &NodeState, version: &str) -> Finding {
    match node {
        NodeState::None => Finding::skip("no node runs here; `talkoot up` starts one"),
        NodeState::Starting => Finding::warn(
            "a process holds the home and has not opened its port yet",
            "wait a moment; a long journal takes longer (the log says how far it is)",
        ),
        NodeState::Damaged(failure) => Finding::of(failure, "remove it and start the node again"),
        NodeState::Stale(api) => Finding::fail(
            format!(
                "api.json names process {} at {}, and no node runs here: it was killed",
                api.pid, api.url
            ),
            "start it again with `talkoot up`, which replaces the file",
        ),
        NodeState::Silent(api, failure) => Finding::fail(
            format!("process {} holds the home: {}", api.pid, failure.message),
            if failure.exit == Exit::TimedOut {
                format!(
                    "wait, or `kill {}` and start it again; its books survive that",
                    api.pid
                )
            } else {
                "see the node's log; `talkoot down` and `talkoot up` start it anew".to_owned()
            },
        ),
        NodeState::Answers(running) if running.status.version != version => Finding::warn(
            format!(
                "the node is of version {}, this program of {version}",
                running.status.version
            ),
            "start the node again, so that both are the same",
        ),
        NodeState::Answers(running) => Finding::pass(format!(
            "process {} answers at {}, version {version}",
            running.api.pid, running.api.url
        )),
    }
}

/// `limits`.
pub(super) fn limits(scene: &Scene<'_>) -> Finding {
    let Some(running) = scene.node.running() else {
        return needs_a_node();
    };
    match &running.status.paused {
        None if running.status.serving.is_empty() => {
            Finding::pass("nothing is served, nothing paused")
        }
        None => Finding::pass("lending is not paused"),
        Some(paused) => Finding::warn(
            status::pause(paused),
            match paused.kind.as_str() {
                "by_hand" => "`talkoot resume` ends it",
                "hours" => "it ends by itself; --hours of `up` says when layers are lent",
                _ => "it ends by itself; without --idle-only layers are always lent",
            },
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Verdict;
    use crate::doctor::tests::{api_file, running};

    #[test]
    fn each_state_of_a_node_has_its_verdict() {
        let said = |node: &NodeState| judge(node, "0").verdict;
        assert_eq!(said(&NodeState::None), Verdict::Skip);
        assert_eq!(said(&NodeState::Starting), Verdict::Warn);
        assert_eq!(said(&NodeState::Stale(Box::new(api_file()))), Verdict::Fail);
        let hung = Failure::new(Exit::TimedOut, "no answer in time");
        let silent = judge(&NodeState::Silent(Box::new(api_file()), hung), "0");
        assert_eq!(silent.verdict, Verdict::Fail);
        assert!(silent.fix.unwrap().contains("kill 7"));
        let answers = NodeState::Answers(Box::new(running()));
        assert_eq!(said(&answers), Verdict::Pass);
        assert_eq!(judge(&answers, "1").verdict, Verdict::Warn);
    }
}
