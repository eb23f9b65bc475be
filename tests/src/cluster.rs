//! A network of real processes on loopback, and questions to its nodes.

use crate::wait_for;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;
use talkoot::api::{
    AskDone, AskError, AskEvent, AskRequest, BalancesView, ChainView, ChatMessage, EntriesView,
    Prompt, StatusView,
};
use talkoot::client::Client;
use talkoot::home::Home;
use talkoot_protocol::{Founder, Genesis, Keypair, Policy};
use tempfile::TempDir;

/// How long a node may take to come up or to find what it needs.
pub const WAIT: Duration = Duration::from_secs(60);
/// How long equal books may take after the last job.
pub const QUIET: Duration = Duration::from_secs(20);

/// What one node of a cluster shall do.
#[derive(Debug, Clone, Default)]
pub struct Member {
    /// Arguments of `up` beyond the common ones.
    pub arguments: Vec<String>,
}

impl Member {
    /// A node without layers.
    #[must_use]
    pub fn asker() -> Self {
        Self {
            arguments: vec!["--no-serve".into()],
        }
    }

    /// A node that serves these layers of the demo model.
    #[must_use]
    pub fn worker(layers: &str) -> Self {
        Self {
            arguments: vec!["--layers".into(), layers.into()],
        }
    }

    /// A node that serves these layers of a model directory.
    #[must_use]
    pub fn worker_of(model: &Path, layers: &str) -> Self {
        let model = model.display().to_string();
        Self {
            arguments: vec!["--model".into(), model, "--layers".into(), layers.into()],
        }
    }
}

/// A network of nodes; the first one is everybody's bootstrap.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes.
    pub nodes: Vec<Node>,
    directory: TempDir,
}

/// One node and its home.
#[derive(Debug)]
pub struct Node {
    binary: PathBuf,
    root: PathBuf,
    arguments: Vec<String>,
    child: Option<Child>,
    client: Option<Client>,
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The text.
    pub text: String,
    /// The ids of the tokens shown.
    pub tokens: Vec<u32>,
    /// The end.
    pub done: AskDone,
}

/// An answer that failed, and what came before.
#[derive(Debug, Clone)]
pub struct Failed {
    /// The text so far.
    pub text: String,
    /// Why.
    pub error: AskError,
}

/// Lines of each node's log that a failed test shows.
const LOG_LINES_SHOWN: usize = 60;

/// Credit line of each founder: 1,000 GFT.
const LINE_UGFT: u64 = 1_000_000_000;

impl Cluster {
    /// Starts the members and waits until each answers.
    ///
    /// # Panics
    /// When a home cannot be made or a node does not come up.
    #[must_use]
    pub fn start(binary: &str, members: &[Member]) -> Self {
        Self::start_under(Policy::default(), binary, members)
    }

    /// Starts the members of a network with this policy and waits until each
    /// answers.
    ///
    /// # Panics
    /// When a home cannot be made or a node does not come up.
    #[must_use]
    pub fn start_under(policy: Policy, binary: &str, members: &[Member]) -> Self {
        let directory = TempDir::new().unwrap();
        let keys: Vec<[u8; 32]> = (1_u8..)
            .take(members.len())
            .map(|byte| [byte; 32])
            .collect();
        let founder = |seed: &[u8; 32]| Founder {
            wallet: Keypair::from_seed(seed).wallet(),
            line_ugft: LINE_UGFT,
        };
        let founders = keys.iter().map(founder).collect();
        let genesis = Genesis::new("cluster", 1, policy, founders).unwrap();
        let mut nodes: Vec<Node> = Vec::new();
        for (index, (member, seed)) in members.iter().zip(&keys).enumerate() {
            let root = directory.path().join(format!("node{index}"));
            let home = Home::at(&root);
            home.create().unwrap();
            home.write_identity(seed).unwrap();
            home.set_network(&genesis).unwrap();
            home.mark_new(genesis.id()).unwrap();
            let mut node = Node::new(binary, &root, &member.arguments);
            if let Some(first) = nodes.first() {
                node.arguments
                    .extend(["--bootstrap".to_owned(), first.p2p_address()]);
            }
            node.spawn();
            if index == 0 {
                node.wait_up();
            }
            nodes.push(node);
        }
        for node in &mut nodes {
            node.wait_up();
        }
        Self { nodes, directory }
    }

    /// A directory for further homes and files of the test.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Waits until node `index` sees a full route.
    pub fn wait_ready(&self, index: usize) {
        wait_for("a full route", WAIT, || {
            let status = self.nodes[index].status();
            if status.ready {
                Ok(())
            } else {
                Err(status.reasons.join("; "))
            }
        });
    }

    /// Waits until the running nodes among `indices` hold the same chain.
    pub fn wait_equal(&self, indices: &[usize]) -> ChainView {
        wait_for("equal chains", QUIET, || {
            let chains: Vec<ChainView> = indices
                .iter()
                .map(|index| self.nodes[*index].status().chain)
                .collect();
            match chains.as_slice() {
                [first, rest @ ..] if rest.iter().all(|chain| chain == first) => Ok(first.clone()),
                _ => Err(format!("{chains:?}")),
            }
        })
    }
}

impl Node {
    /// A node in `root`, not started.
    #[must_use]
    pub fn new(binary: &str, root: &Path, arguments: &[String]) -> Self {
        Self {
            binary: binary.into(),
            root: root.to_owned(),
            arguments: arguments.to_vec(),
            child: None,
            client: None,
        }
    }

    /// Its home.
    #[must_use]
    pub fn home(&self) -> Home {
        Home::at(&self.root)
    }

    /// A command of the program in this node's home.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("TALKOOT_HOME", &self.root).args(arguments);
        command
    }

    /// Runs a command in this node's home to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Runs a command in this node's home to its end, with `input` as its stdin.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn run_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = self.command(arguments);
        command.stdin(Stdio::piped());
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A process that ends early closes it: what it says of that is looked at.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        child.wait_with_output().unwrap()
    }

    /// Starts the process.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(&mut self) {
        let ports = ["--p2p-port", "0", "--data-port", "0", "--http-port", "0"];
        let mut command = self.command(&["up", "--listen", "127.0.0.1", "--no-mdns"]);
        if !self.arguments.iter().any(|word| word == "--threads") {
            command.args(["--threads", "1"]);
        }
        command.args(ports).args(&self.arguments);
        self.spawn_by(command);
    }

    /// Starts the process by another command, which must become it.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn_by(&mut self, mut command: Command) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.root.with_extension("log"));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.stderr(log.unwrap()).spawn().unwrap());
    }

    /// Waits until the process has written its addresses and answers.
    pub fn wait_up(&mut self) {
        let api = wait_for("the node to come up", WAIT, || {
            let ended = self
                .child
                .as_mut()
                .and_then(|child| child.try_wait().ok())
                .flatten();
            assert!(ended.is_none(), "the node ended: {ended:?}\n{}", self.log());
            self.home()
                .read_api()
                .map_err(|error| error.to_string())?
                .ok_or_else(|| "no api.json".to_owned())
        });
        let client = Client::new(api);
        wait_for("the layers to be loaded", WAIT, || {
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok());
            assert!(ended.flatten().is_none(), "the node ended\n{}", self.log());
            let status: StatusView = client.get("status").map_err(|error| error.to_string())?;
            status
                .loading
                .map_or(Ok(()), |loading| Err(loading.to_string()))
        });
        self.client = Some(client);
    }

    /// What the process logged.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.root.with_extension("log")).unwrap_or_default()
    }

    /// Kills the process as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        self.client = None;
    }

    /// Stops the process in order.
    pub fn stop(&mut self) {
        assert!(self.run(&["down"]).status.success());
        if let Some(mut child) = self.child.take() {
            assert!(child.wait().unwrap().success(), "{}", self.log());
        }
        self.client = None;
    }

    /// Starts a stopped process again.
    pub fn restart(&mut self) {
        self.home().remove_api();
        self.spawn();
        self.wait_up();
    }

    /// Adds arguments for the next start.
    pub fn add_arguments(&mut self, arguments: &[&str]) {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
    }

    /// Its client.
    ///
    /// # Panics
    /// When the node is not up.
    #[must_use]
    pub fn client(&self) -> &Client {
        self.client.as_ref().expect("the node is up")
    }

    /// Its first QUIC address.
    ///
    /// # Panics
    /// When it listens nowhere.
    #[must_use]
    pub fn p2p_address(&self) -> String {
        let addresses = &self.client().api().addresses;
        addresses
            .iter()
            .find(|address| address.contains("quic-v1"))
            .expect("a QUIC address")
            .clone()
    }

    /// `status`.
    #[must_use]
    pub fn status(&self) -> StatusView {
        self.client().get("status").unwrap()
    }

    /// `ledger balances`.
    #[must_use]
    pub fn balances(&self) -> BalancesView {
        self.client().get("ledger/balances").unwrap()
    }

    /// The newest entries.
    #[must_use]
    pub fn entries(&self) -> EntriesView {
        self.client().get("ledger/entries?count=1000").unwrap()
    }

    /// Asks and waits for the whole answer. `watch` is called with the number
    /// of tokens so far.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn ask_watched(
        &self,
        request: &AskRequest,
        mut watch: impl FnMut(usize),
    ) -> Result<Answer, Failed> {
        let (mut text, mut tokens) = (String::new(), Vec::new());
        let wrong = |text: &str, message: String| Failed {
            text: text.to_owned(),
            error: AskError::new(talkoot::api::ErrorCode::Internal, message),
        };
        let stream = self
            .client()
            .ask(request)
            .map_err(|failure| wrong("", failure.to_string()))?;
        for event in stream {
            match event.map_err(|failure| wrong(&text, failure.to_string()))? {
                AskEvent::Routed { .. } | AskEvent::Prompt { .. } => {}
                AskEvent::Delta {
                    text: more,
                    tokens: new,
                } => {
                    text.push_str(&more);
                    tokens.extend(new.into_iter().map(|token| token.id));
                    watch(tokens.len());
                }
                AskEvent::Done(done) => {
                    return Ok(Answer {
                        text,
                        tokens,
                        done: *done,
                    });
                }
                AskEvent::Failed(error) => return Err(Failed { text, error }),
            }
        }
        Err(wrong(&text, "the stream ended without an end".to_owned()))
    }

    /// Asks and waits for the whole answer.
    ///
    /// # Errors
    /// [`Failed`].
    pub fn ask(&self, request: &AskRequest) -> Result<Answer, Failed> {
        self.ask_watched(request, |_| {})
    }
}

impl Drop for Node {
    #[expect(
        clippy::print_stderr,
        reason = "a failed test shows what its nodes said"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let newest = lines
                .split_at(lines.len().saturating_sub(LOG_LINES_SHOWN))
                .1;
            eprintln!("--- {}\n{}", self.root.display(), newest.join("\n"));
        }
        if let Some(mut child) = self.child.take() {
            // Already gone is as good as killed.
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// A greedy chat request with one user message.
#[must_use]
pub fn chat(prompt: &str, completion_tokens_max: u32) -> AskRequest {
    let message = ChatMessage {
        role: "user".into(),
        content: prompt.into(),
        ..ChatMessage::default()
    };
    let prompt = Prompt::Chat(vec![message]);
    let json =
        serde_json::json!({ "prompt": prompt, "completion_tokens_max": completion_tokens_max });
    serde_json::from_value(json).expect("defaults fill the rest")
}
