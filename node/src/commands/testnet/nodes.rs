//! The processes of a testnet, and the directory they live in.
//!
//! Whatever happens, dropping [`Nodes`] leaves no process behind unless they
//! are kept on purpose: each child also watches its stdin, which ends with us.

use super::interrupt::Interrupt;
use super::plan::{Member, Plan};
use crate::api::StatusView;
use crate::cli::BackendArg;
use crate::client::Client;
use crate::clock;
use crate::commands::output;
use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use talkoot_inference::kernels::PackedFormat;

const START_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);
const LOG_LINES_SHOWN: usize = 12;

/// One running node.
#[derive(Debug)]
pub(super) struct Node {
    /// Its name.
    pub(super) name: String,
    /// Its wallet.
    pub(super) wallet: String,
    root: PathBuf,
    child: Child,
    client: Option<Client>,
}

impl Node {
    /// Its HTTP client.
    pub(super) fn client(&self) -> Result<&Client, Failure> {
        self.client
            .as_ref()
            .ok_or_else(|| Failure::new(Exit::NotRunning, format!("{} is not up", self.name)))
    }
}

/// All of them, the asker first.
#[derive(Debug)]
pub(super) struct Nodes {
    directory: PathBuf,
    running: Vec<Node>,
    kept: bool,
    logs_kept: bool,
}

impl Nodes {
    /// Prepares homes: identities and the genesis.
    pub(super) fn new(plan: &Plan, kept: bool) -> Result<Self, Failure> {
        let mut random = [0_u8; 6];
        home::fill_random(&mut random)?;
        let name = data_encoding::HEXLOWER.encode(&random);
        let directory = std::env::temp_dir().join(format!("talkoot-testnet-{name}"));
        for member in &plan.members {
            let home = Home::at(&directory.join(&member.name));
            home.create()?;
            home.write_identity(&member.seed)?;
            home.set_network(&plan.genesis)?;
            home.mark_new(plan.genesis.id())?;
        }
        Ok(Self {
            directory,
            running: Vec::new(),
            kept,
            logs_kept: false,
        })
    }

    /// Starts the asker, then all workers at once, each knowing only the asker.
    pub(super) fn start(&mut self, plan: &Plan, interrupt: &Interrupt) -> Result<(), Failure> {
        output::note(&format!(
            "starting an asker and {} workers in {}\n",
            plan.members.len() - 1,
            self.directory.display()
        ));
        let mut bootstrap = None;
        for member in &plan.members {
            let root = self.directory.join(&member.name);
            let child = spawn(&root, member, plan, bootstrap.as_deref(), self.kept)?;
            self.running.push(Node {
                name: member.name.clone(),
                wallet: member.wallet(),
                root,
                child,
                client: None,
            });
            if bootstrap.is_none() {
                self.wait_up(interrupt)?;
                bootstrap = Some(self.first_address()?);
            }
        }
        self.wait_up(interrupt)
    }

    /// All nodes.
    pub(super) fn all(&self) -> &[Node] {
        &self.running
    }

    /// The asker's client.
    pub(super) fn asker(&self) -> Result<&Client, Failure> {
        self.running
            .first()
            .ok_or_else(|| Failure::new(Exit::NotRunning, "the asker is not up"))?
            .client()
    }

    /// What nodes still load, in words.
    pub(super) fn loading(&self) -> Vec<String> {
        let of = |node: &Node| {
            let status: StatusView = node.client().ok()?.get("status").ok()?;
            Some(format!("{}: {}", node.name, status.loading?))
        };
        self.running.iter().filter_map(of).collect()
    }

    /// Fails when a process has ended by itself.
    pub(super) fn check_alive(&mut self) -> Result<(), Failure> {
        for node in &mut self.running {
            if let Some(status) = node.child.try_wait()? {
                return Err(Failure::new(
                    Exit::Failure,
                    format!("{} ended by itself ({status})", node.name),
                ));
            }
        }
        Ok(())
    }

    /// After a failure: show the ends of the logs and leave the directory.
    pub(super) fn keep_logs(&mut self) {
        self.logs_kept = true;
        for node in &self.running {
            let path = node.root.join("log");
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let skip = lines.len().saturating_sub(LOG_LINES_SHOWN);
            output::note(&format!("--- {} ({})\n", node.name, path.display()));
            for line in lines.iter().skip(skip) {
                output::note(&format!("{line}\n"));
            }
        }
    }

    /// How to use and stop what `--keep` leaves running.
    pub(super) fn explain(&self) {
        output::note("\nthe nodes keep running; to use one:\n");
        for node in &self.running {
            let url = node
                .client
                .as_ref()
                .map_or("not up", |client| &client.api().url);
            output::note(&format!(
                "  export TALKOOT_HOME={}   # {url}\n",
                node.root.display()
            ));
        }
        let directory = self.directory.display();
        let program = std::env::current_exe()
            .map_or_else(|_| "talkoot".into(), |path| path.display().to_string());
        output::note(&format!(
            "to stop and remove all:\n  for home in {directory}/*; do TALKOOT_HOME=$home {program} down; done; \
             rm -r {directory}\n"
        ));
    }

    /// Stops every node in order, by force if need be, and removes the
    /// directory unless its logs are wanted.
    pub(super) fn stop(&mut self) {
        for node in &mut self.running {
            if let Some(client) = &node.client {
                let _ = client.post::<serde_json::Value>("shutdown", &serde_json::json!({}));
            }
            drop(node.child.stdin.take());
        }
        let began = clock::monotonic();
        for node in &mut self.running {
            while let Ok(None) = node.child.try_wait() {
                if began.elapsed() > STOP_TIMEOUT {
                    output::note(&format!("{} did not stop; killed\n", node.name));
                    let _ = node.child.kill();
                    let _ = node.child.wait();
                    break;
                }
                std::thread::sleep(STEP);
            }
        }
        self.running.clear();
        if !self.logs_kept {
            let _ = std::fs::remove_dir_all(&self.directory);
        }
    }

    /// Waits until every started process has written its `api.json`.
    fn wait_up(&mut self, interrupt: &Interrupt) -> Result<(), Failure> {
        let began = clock::monotonic();
        loop {
            interrupt.check()?;
            self.check_alive()?;
            for node in &mut self.running {
                if node.client.is_none() {
                    node.client = Home::at(&node.root).read_api()?.map(Client::new);
                }
            }
            let missing: Vec<&str> = self
                .running
                .iter()
                .filter(|node| node.client.is_none())
                .map(|node| node.name.as_str())
                .collect();
            if missing.is_empty() {
                return Ok(());
            }
            if began.elapsed() > START_TIMEOUT {
                return Err(Failure::new(
                    Exit::TimedOut,
                    format!("{} did not come up", missing.join(", ")),
                ));
            }
            std::thread::sleep(STEP);
        }
    }

    fn first_address(&self) -> Result<String, Failure> {
        let api = self.asker()?.api();
        let quic = api.addresses.iter().find(|text| text.contains("quic-v1"));
        quic.or_else(|| api.addresses.first())
            .cloned()
            .ok_or_else(|| Failure::new(Exit::Failure, "the asker listens nowhere"))
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        if !self.kept {
            self.stop();
        }
    }
}

fn spawn(
    root: &Path,
    member: &Member,
    plan: &Plan,
    bootstrap: Option<&str>,
    kept: bool,
) -> Result<Child, Failure> {
    let mut command = Command::new(std::env::current_exe()?);
    for (name, _) in std::env::vars_os() {
        // Settings of the caller's own node are not meant for these.
        if name.to_string_lossy().starts_with("TALKOOT_") && name != "TALKOOT_LOG" {
            command.env_remove(name);
        }
    }
    command.env("TALKOOT_HOME", root);
    command.args(["up", "--listen", "127.0.0.1", "--no-mdns"]);
    command.args(["--p2p-port", "0", "--data-port", "0", "--http-port", "0"]);
    if let Some(address) = bootstrap {
        command.args(["--bootstrap", address]);
    }
    match member.layers {
        None => {
            command.arg("--no-serve");
        }
        Some(range) => {
            command.args(["--layers", &range.to_string()]);
            if let Some(model) = &plan.model {
                command.arg("--model").arg(model);
            }
            match plan.backend {
                BackendArg::Kernels => {}
                BackendArg::Burn => {
                    command.args(["--backend", "burn"]);
                }
                BackendArg::Cuda => {
                    command.args(["--backend", "cuda"]);
                }
            }
            if let Some(format) = Option::<PackedFormat>::from(plan.quantize) {
                command.args(["--quantize", format.name()]);
            }
            command.args(["--threads", &plan.threads.to_string()]);
        }
    }
    let log = File::create(root.join("log"))?;
    command.stdout(log.try_clone()?).stderr(log);
    if kept {
        command.stdin(Stdio::null());
    } else {
        command.stdin(Stdio::piped()).arg("--stop-with-stdin");
    }
    // A process group of its own: Ctrl-C reaches us, and we stop them in order.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    Ok(command.spawn()?)
}
