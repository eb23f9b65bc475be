//! `doctor` names what is broken, and nothing else: faults planted for real in
//! homes of their own, and a node of plain data where the fault is elsewhere.

use crate::{BINARY, alone};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::JoinHandle;
use talkoot::clock;
use talkoot::home::{ApiFile, Home};
use talkoot::invites::make_ticket;
use talkoot_protocol::{Founder, Genesis, Keypair, Policy};
use talkoot_tests::{Cluster, Member, chat};

/// A peer id that nobody here has.
const STRANGER: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

/// A sound home, and what lives beside it.
struct Stage {
    cluster: Cluster,
    sound: PathBuf,
}

/// A copy of the sound home in which something is about to break.
struct Patient<'a> {
    stage: &'a Stage,
    root: PathBuf,
    home: Home,
    /// A port that is held, and a node that is not one.
    held: Vec<TcpListener>,
    fake: Option<Fake>,
}

struct Fault {
    name: &'static str,
    /// The check that must fail.
    fails: &'static str,
    /// Breaks something; gives further arguments.
    plant: fn(&mut Patient<'_>) -> Vec<String>,
}

impl Stage {
    /// Two nodes of one network; the second one has a model, and stops.
    fn new() -> Self {
        let mut cluster = Cluster::start(BINARY, &[Member::default(), Member::asker()]);
        cluster.wait_ready(1);
        // A job leaves entries of both in the journal.
        cluster.nodes[1]
            .ask(&chat("Tell me about an owl.", 4))
            .unwrap();
        let chain = cluster.wait_equal(&[0, 1]);
        assert!(chain.length > 2, "{chain:?}");
        let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/demo");
        let node = &mut cluster.nodes[1];
        let model = model.display().to_string();
        let imported = node.run(&["import", &model, "--name", "small", "--copy"]);
        assert!(
            imported.status.success(),
            "{}",
            String::from_utf8_lossy(&imported.stderr)
        );
        node.stop();
        let sound = cluster.directory().join("node1");
        Self { cluster, sound }
    }

    fn patient(&self, name: &str) -> Patient<'_> {
        // Alone in its folder: homes side by side are compared.
        let folder = self.cluster.directory().join(name);
        std::fs::create_dir(&folder).unwrap();
        let root = folder.join("home");
        let copied = Command::new("cp")
            .arg("-a")
            .arg(&self.sound)
            .arg(&root)
            .status();
        assert!(copied.unwrap().success());
        Patient {
            stage: self,
            home: Home::at(&root),
            root,
            held: Vec::new(),
            fake: None,
        }
    }

    fn genesis(&self) -> Genesis {
        self.cluster.nodes[0]
            .home()
            .current_genesis()
            .unwrap()
            .unwrap()
    }
}

impl Patient<'_> {
    fn doctor(&self, arguments: &[String]) -> Output {
        let ports = ["--p2p-port", "0", "--data-port", "0", "--http-port", "0"];
        let mut command = Command::new(BINARY);
        command.env("TALKOOT_HOME", &self.root);
        command.args(["doctor", "--json", "--listen", "127.0.0.1"]);
        // What is given again counts.
        let is_given = |name: &&str| arguments.iter().any(|argument| argument == name);
        for pair in ports.chunks(2).filter(|pair| !is_given(&pair[0])) {
            command.args(pair);
        }
        command.args(arguments).output().unwrap()
    }

    fn network_file(&self, name: &str) -> PathBuf {
        self.home.network_dir(self.stage.genesis().id()).join(name)
    }

    /// Lets the home point to a node made of plain data.
    fn pretend(&mut self, change: impl FnOnce(&mut Value, &mut Value), foreign: u16) {
        let client = self.stage.cluster.nodes[0].client();
        let mut status: Value = client.get("status").unwrap();
        let mut peers = json!({"schema": 1, "peers": []});
        status["wallet"] = json!(self.home.existing_identity().unwrap().wallet().to_string());
        status["addresses"] = json!([]);
        status["data_addresses"] = json!([]);
        // Then no token is asked for.
        status["ready"] = json!(false);
        change(&mut status, &mut peers);
        let fake = Fake::start(status, peers, foreign);
        let api = ApiFile {
            url: fake.url.clone(),
            pid: std::process::id(),
            ..client.api().clone()
        };
        self.home.write_api(&api).unwrap();
        self.fake = Some(fake);
    }
}

/// An HTTP port that answers with the same page to everybody.
struct Fake {
    url: String,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Fake {
    fn start(status: Value, peers: Value, foreign: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Some((path, host)) = question(stream.as_ref().unwrap()) else {
                    return;
                };
                let (code, body) = match path.as_str() {
                    "/api/v1/status" if host.contains("invalid") => (foreign, "{}".to_owned()),
                    "/api/v1/status" => (200, status.to_string()),
                    "/api/v1/peers" => (200, peers.to_string()),
                    "/livez" => (200, "ok".to_owned()),
                    "/stop" => return,
                    _ => (503, "{}".to_owned()),
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {code} x\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let mut stream = stream.unwrap();
                stream.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self {
            url: format!("http://127.0.0.1:{port}"),
            port,
            thread: Some(thread),
        }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)) {
            let _ = stream.write_all(b"GET /stop HTTP/1.1\r\n\r\n");
            let _ = stream.read(&mut [0]);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Path and host of a request.
fn question(stream: &TcpStream) -> Option<(String, String)> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let heads: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let host = heads.iter().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host")
            .then(|| value.trim().to_owned())
    });
    Some((path, host.unwrap_or_default()))
}

/// Far before the last record: there it could be a write that was cut off.
fn flip_a_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let early = bytes.len() / 4;
    bytes[early] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[cfg(unix)]
fn open_to_all(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
}

/// The bootstrap of the cluster as somebody else.
fn as_stranger(address: &str) -> String {
    let (address, _) = address.rsplit_once('/').unwrap();
    format!("{address}/{STRANGER}")
}

fn texts(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|text| (*text).to_owned()).collect()
}

/// A ticket of the first node, over since 1970.
fn old_ticket(stage: &Stage) -> String {
    let inviter = &stage.cluster.nodes[0];
    let key = inviter.home().existing_identity().unwrap();
    let addresses = vec![inviter.p2p_address()];
    make_ticket(&key, &stage.genesis(), addresses, 1, 1, 0).unwrap()
}

/// A ticket of a village of its own; whoever reads it finds himself there.
fn other_ticket(patient: &Patient<'_>) -> String {
    let key = Keypair::from_seed(&[9; 32]);
    let founder = Founder {
        wallet: key.wallet(),
        line_ugft: 1,
    };
    let genesis = Genesis::new("village", 7, Policy::default(), vec![founder]).unwrap();
    let own: Value = serde_json::from_slice(
        &Command::new(BINARY)
            .env("TALKOOT_HOME", &patient.root)
            .args(["id", "--json"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    let own = own["peer_id"].as_str().unwrap();
    let address = format!("/ip4/127.0.0.1/udp/1/quic-v1/p2p/{own}");
    make_ticket(&key, &genesis, vec![address], 0, 1, 0).unwrap()
}

/// What is wrong in the home, or on its machine.
const AT_HOME: &[Fault] = &[
    Fault {
        name: "seed-readable",
        fails: "identity",
        plant: |patient| {
            open_to_all(&patient.home.seed_path());
            Vec::new()
        },
    },
    Fault {
        name: "seed-short",
        fails: "identity",
        plant: |patient| {
            let seed = std::fs::File::options()
                .write(true)
                .open(patient.home.seed_path());
            seed.unwrap().set_len(31).unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "seed-copied",
        fails: "twin",
        plant: |patient| {
            let other = Home::at(&patient.root.with_file_name("copy"));
            other.create().unwrap();
            std::fs::copy(patient.home.seed_path(), other.seed_path()).unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "file-for-directory",
        fails: "home",
        plant: |patient| {
            std::fs::remove_dir_all(&patient.home.cache).unwrap();
            std::fs::write(&patient.home.cache, "").unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "disk-full",
        fails: "disk",
        plant: |_| texts(&["--min-free", "900TiB"]),
    },
    Fault {
        name: "port-taken",
        fails: "ports",
        plant: |patient| {
            let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let port = held.local_addr().unwrap().port().to_string();
            patient.held.push(held);
            texts(&["--http-port", &port])
        },
    },
    Fault {
        name: "journal-damaged",
        fails: "ledger",
        plant: |patient| {
            flip_a_byte(&patient.network_file("journal.log"));
            Vec::new()
        },
    },
    Fault {
        name: "journal-gone",
        fails: "ledger",
        plant: |patient| {
            std::fs::remove_file(patient.network_file("journal.log")).unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "model-gone",
        fails: "models",
        plant: |patient| {
            let files = patient.home.data.join("models/small/files");
            std::fs::remove_file(files.join("model.safetensors")).unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "model-short",
        fails: "models",
        plant: |patient| {
            let path = patient
                .home
                .data
                .join("models/small/files/model.safetensors");
            let file = std::fs::File::options().write(true).open(path).unwrap();
            file.set_len(1_000).unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "open-without-keys",
        fails: "keys",
        plant: |_| texts(&["--http-listen", "0.0.0.0"]),
    },
];

/// What is wrong between this node and others.
const ABROAD: &[Fault] = &[
    Fault {
        name: "killed",
        fails: "node",
        plant: |patient| {
            let api = patient.stage.cluster.nodes[0].client().api();
            let api = ApiFile {
                url: "http://127.0.0.1:9".to_owned(),
                ..api.clone()
            };
            patient.home.write_api(&api).unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "bootstrap-nobody",
        fails: "bootstrap",
        plant: |_| {
            let address = format!("/ip4/127.0.0.1/udp/9/quic-v1/p2p/{STRANGER}");
            texts(&["--fast", "--bootstrap", &address])
        },
    },
    Fault {
        name: "bootstrap-another",
        fails: "bootstrap",
        plant: |patient| {
            let address = as_stranger(&patient.stage.cluster.nodes[0].p2p_address());
            texts(&["--bootstrap", &address])
        },
    },
    Fault {
        name: "ticket-old",
        fails: "ticket",
        plant: |patient| texts(&["--join", &old_ticket(patient.stage)]),
    },
    Fault {
        name: "ticket-elsewhere",
        fails: "ticket",
        plant: |patient| {
            let ticket = other_ticket(patient);
            std::fs::write(patient.home.pending_join_path(), ticket).unwrap();
            Vec::new()
        },
    },
    Fault {
        name: "clock-off",
        fails: "clock",
        plant: |patient| {
            let peer = |offset: i64| json!({"wallet": "w", "clock_offset_ms": offset});
            let skewed = json!([peer(-3_600_000), peer(-3_599_000), peer(0)]);
            patient.pretend(|_, peers| peers["peers"] = skewed, 403);
            Vec::new()
        },
    },
    Fault {
        name: "layers-missing",
        fails: "coverage",
        plant: |patient| {
            let gap = json!([1, 1, 1, 1, 0, 0, 1, 1]);
            patient.pretend(|status, _| status["models"][0]["coverage"] = gap, 403);
            Vec::new()
        },
    },
    Fault {
        name: "twin-heard",
        fails: "twin",
        plant: |patient| {
            let now = json!(clock::now_ms());
            patient.pretend(|status, _| status["twin_ms"] = now, 403);
            Vec::new()
        },
    },
    Fault {
        name: "foreign-host",
        fails: "api",
        plant: |patient| {
            patient.pretend(|_, _| {}, 200);
            Vec::new()
        },
    },
];

/// Names of the checks with a verdict; each that fails says what to do.
fn found(output: &Output, verdict: &str) -> Vec<String> {
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!(report["schema"], 1);
    let checks = report["checks"].as_array().unwrap();
    let with = checks.iter().filter(|check| check["verdict"] == verdict);
    with.map(|check| {
        let has_fix = check["fix"].as_str().is_some_and(|fix| !fix.is_empty());
        assert_eq!(has_fix, ["warn", "fail"].contains(&verdict), "{check}");
        assert!(!check["evidence"].as_str().unwrap().is_empty(), "{check}");
        check["name"].as_str().unwrap().to_owned()
    })
    .collect()
}

#[test]
fn each_fault_is_named_and_no_other() {
    let _alone = alone();
    let stage = Stage::new();
    let address = stage.cluster.nodes[0].p2p_address();
    let sound = stage.patient("sound");
    let output = sound.doctor(&texts(&["--full", "--bootstrap", &address]));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(found(&output, "fail").is_empty(), "{shown}");
    let passed = found(&output, "pass");
    for name in [
        "home",
        "identity",
        "ports",
        "udp",
        "bootstrap",
        "models",
        "ledger",
        "processor",
    ] {
        assert!(
            passed.iter().any(|passed| passed == name),
            "{name}: {shown}"
        );
    }
    for fault in AT_HOME.iter().chain(ABROAD) {
        let mut patient = stage.patient(fault.name);
        let arguments = (fault.plant)(&mut patient);
        let output = patient.doctor(&arguments);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            found(&output, "fail"),
            [fault.fails],
            "{}: {shown}",
            fault.name
        );
        assert_eq!(output.status.code(), Some(10), "{}", fault.name);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains(fault.fails), "{}: {said}", fault.name);
    }
}

#[test]
fn a_running_node_is_sound_and_one_that_lacks_layers_is_not() {
    let _alone = alone();
    let cluster = Cluster::start(BINARY, &[Member::default(), Member::worker("0..4")]);
    cluster.wait_ready(0);
    cluster.wait_equal(&[0, 1]);
    let node = &cluster.nodes[0];
    let output = node.run(&["doctor", "--json"]);
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    let passed = found(&output, "pass");
    for name in [
        "node", "twin", "ports", "coverage", "sync", "tips", "api", "answer", "clock", "limits",
    ] {
        assert!(
            passed.iter().any(|passed| passed == name),
            "{name}: {shown}"
        );
    }
    // People get lines, and what to do.
    assert!(node.run(&["pause", "--for", "1h"]).status.success());
    let page = node.run(&["doctor", "--only", "limits,coverage"]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.starts_with("pass  coverage"), "{page}");
    assert!(page.contains("\nwarn  limits"), "{page}");
    assert!(
        page.contains("what to do:\n1. limits: `talkoot resume`"),
        "{page}"
    );
    let wrong = node.run(&["doctor", "--only", "weather"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("the checks are home, identity"));
}
