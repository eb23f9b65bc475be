//! The one-door rule, purity, and other rules about what code may name.

use crate::source::{self, Named, Source};

/// What a rule forbids to name.
enum What {
    /// A crate: `name::…` or an import of it.
    Crate(&'static str),
    /// A path that begins so, or as the second case ends so (`Instant::now`).
    Path(&'static str),
    /// A single word: a keyword, a macro, a type.
    Word(&'static str),
}

struct Rule {
    name: &'static str,
    what: &'static [What],
    /// Where it holds, as beginnings of file paths; everywhere when empty.
    scope: &'static [&'static str],
    /// The exceptions, likewise.
    except: &'static [&'static str],
}

use What::{Crate, Path, Word};

const PURE: &[&str] = &["protocol/src/", "ledger/src/", "node/src/core"];
/// The ledger's files that touch the disk.
const LEDGER_STORE: &[&str] = &[
    "ledger/src/journal",
    "ledger/src/store",
    "ledger/src/books",
    "ledger/src/signer",
];
const TESTS: &[&str] = &["tests/", "protocol/tests/", "ledger/tests/"];

const RULES: &[Rule] = &[
    Rule {
        name: "sled has one door",
        what: &[Crate("sled")],
        scope: &[],
        except: &["ledger/src/store/sled.rs"],
    },
    Rule {
        name: "libp2p has one door, and its identity one more",
        what: &[
            Crate("libp2p"),
            Crate("libp2p_identity"),
            Crate("libp2p_swarm"),
        ],
        scope: &[],
        except: &["node/src/swarm", "node/src/data/quinn"],
    },
    Rule {
        name: "quinn, TLS and raw sockets live in the data plane",
        what: &[
            Crate("quinn"),
            Crate("rustls"),
            Crate("libp2p_tls"),
            Crate("socket2"),
        ],
        scope: &[],
        except: &["node/src/data/"],
    },
    Rule {
        name: "axum has one door",
        what: &[Crate("axum"), Crate("hyper"), Crate("tower")],
        scope: &[],
        except: &["node/src/http"],
    },
    Rule {
        name: "utoipa describes what HTTP shows, and nothing else",
        what: &[Crate("utoipa")],
        scope: &[],
        except: &["node/src/http", "node/src/api"],
    },
    Rule {
        name: "clap has one door",
        what: &[Crate("clap")],
        scope: &[],
        except: &["node/src/cli.rs", "node/src/cli/"],
    },
    Rule {
        name: "rustyline has one door",
        what: &[Crate("rustyline")],
        scope: &[],
        except: &["node/src/commands/chat/input.rs"],
    },
    Rule {
        name: "prometheus-client has one door",
        what: &[Crate("prometheus_client")],
        scope: &[],
        except: &["node/src/metrics.rs", "node/src/metrics/"],
    },
    Rule {
        name: "rust-embed has one door",
        what: &[Crate("rust_embed")],
        scope: &[],
        except: &["node/src/http/dashboard.rs"],
    },
    Rule {
        name: "qrcode has one door",
        what: &[Crate("qrcode")],
        scope: &[],
        except: &["node/src/commands/invite/qr.rs"],
    },
    Rule {
        name: "llguidance has one door",
        what: &[Crate("llguidance")],
        scope: &[],
        except: &["inference/src/constraint.rs"],
    },
    Rule {
        name: "unsafe code stays in the kernels and the memory-map opener",
        what: &[
            Word("unsafe"),
            Path("std::arch"),
            Path("core::arch"),
            Crate("memmap2"),
        ],
        scope: &[],
        except: &["inference/src/kernels", "inference/src/checkpoint"],
    },
    Rule {
        name: "time zones have one door",
        what: &[Crate("jiff")],
        scope: &[],
        except: &["node/src/clock.rs"],
    },
    Rule {
        name: "calls to the system have one door",
        what: &[Crate("rustix")],
        scope: &[],
        except: &["node/src/machine/"],
    },
    Rule {
        name: "the clock is read in one file",
        what: &[
            Path("Instant::now"),
            Path("SystemTime::now"),
            Path("std::time::UNIX_EPOCH"),
        ],
        scope: &[],
        except: &[
            "node/src/clock.rs",
            "tests/",
            "ledger/tests/",
            "inference/benches/",
            "ledger/benches/",
        ],
    },
    Rule {
        name: "bytes are made and read in one file",
        what: &[
            Path("bincode::config"),
            Path("bincode::encode_to_vec"),
            Path("bincode::decode_from_slice"),
            Path("bincode::encode_into_slice"),
            Path("bincode::serde"),
        ],
        scope: &[],
        except: &["protocol/src/codec.rs"],
    },
    Rule {
        name: "pure code does no I/O, starts no thread, reads no environment",
        what: &[
            Crate("tokio"),
            Crate("futures"),
            Crate("rand"),
            Crate("getrandom"),
            Path("std::fs"),
            Path("std::io"),
            Path("std::env"),
            Path("std::process"),
            Path("std::thread"),
            Path("std::time::SystemTime"),
            Path("std::time::Instant"),
            Path("std::net::TcpStream"),
            Path("std::net::TcpListener"),
            Path("std::net::UdpSocket"),
            Path("std::net::ToSocketAddrs"),
        ],
        scope: PURE,
        except: LEDGER_STORE,
    },
    Rule {
        name: "inference knows no network and no async",
        what: &[Crate("tokio"), Crate("futures"), Path("std::net")],
        scope: &["inference/src/"],
        except: &[],
    },
    Rule {
        name: "no floats in what is signed or in money",
        what: &[Word("f32"), Word("f64")],
        scope: &["protocol/src/", "ledger/src/"],
        // Sampling and log-probabilities travel, but are never signed.
        except: &[
            "protocol/src/sampling.rs",
            "protocol/src/frame.rs",
            "ledger/src/divy",
        ],
    },
    Rule {
        name: "every queue has a bound",
        what: &[
            Path("unbounded_channel"),
            Path("mpsc::unbounded"),
            Path("std::sync::mpsc::channel"),
            Word("UnboundedSender"),
            Word("UnboundedReceiver"),
        ],
        scope: &[],
        except: &["tests/"],
    },
    Rule {
        name: "nothing unfinished",
        what: &[Word("todo"), Word("unimplemented"), Word("dbg")],
        scope: &[],
        except: &[],
    },
];

impl What {
    fn matches(&self, named: &Named) -> bool {
        let path = named.path.as_str();
        match self {
            Crate(name) => {
                let inside = path
                    .strip_prefix(name)
                    .is_some_and(|rest| rest.starts_with("::"));
                inside || (named.imported && path == *name)
            }
            Path(part) => {
                let padded = format!("::{path}::");
                padded.contains(&format!("::{part}::"))
            }
            Word(word) => path.split("::").any(|segment| segment == *word),
        }
    }
}

impl Rule {
    fn holds_in(&self, file: &str) -> bool {
        let any = |beginnings: &[&str]| beginnings.iter().any(|start| file.starts_with(start));
        (self.scope.is_empty() || any(self.scope)) && !any(self.except)
    }

    fn breaches(&self, file: &Source, code: &[Named]) -> Vec<String> {
        if !self.holds_in(&file.path) {
            return Vec::new();
        }
        code.iter()
            .filter(|named| self.what.iter().any(|what| what.matches(named)))
            .map(|named| {
                format!(
                    "{}: {}:{} names {}",
                    self.name, file.path, named.line, named.path
                )
            })
            .collect()
    }
}

/// `crate::x` in the node's core, where x is not the core.
fn core_imports(file: &Source, code: &[Named]) -> Vec<String> {
    if !file.path.starts_with("node/src/core") {
        return Vec::new();
    }
    code.iter()
        .filter(|named| {
            named
                .path
                .strip_prefix("crate::")
                .is_some_and(|rest| rest != "core" && !rest.starts_with("core::"))
        })
        .map(|named| {
            format!(
                "core sees no other module: {}:{} {}",
                file.path, named.line, named.path
            )
        })
        .collect()
}

#[test]
fn the_workspace_keeps_the_rules() {
    let breaches: Vec<String> = source::all()
        .iter()
        .flat_map(|file| {
            let code = source::named(&file.library_code());
            let mut breaches = core_imports(file, &code);
            breaches.extend(RULES.iter().flat_map(|rule| rule.breaches(file, &code)));
            breaches
        })
        .collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

/// The exceptions name files that exist, so that a moved door is noticed.
#[test]
fn every_door_leads_somewhere() {
    let files = source::all();
    let doors = [
        "ledger/src/store/sled.rs",
        "node/src/clock.rs",
        "protocol/src/codec.rs",
    ];
    for door in doors.iter().chain(TESTS) {
        assert!(
            files.iter().any(|file| file.path.starts_with(door)),
            "{door}"
        );
    }
}

fn snippet(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn broken_by(rule: &Rule, path: &str, text: &str) -> Vec<String> {
    let file = snippet(path, text);
    rule.breaches(&file, &source::named(&file.library_code()))
}

/// For each rule code that breaks it, and a file where it does.
const BREACHES: &[(&str, &str, &str)] = &[
    ("sled has one door", "use sled::Db;", "ledger/src/chain.rs"),
    (
        "libp2p has",
        "let p = libp2p::PeerId::random();",
        "node/src/core/route.rs",
    ),
    (
        "quinn, TLS",
        "use {quinn::Endpoint, std::fmt};",
        "node/src/jobs.rs",
    ),
    (
        "axum has",
        "#[axum::debug_handler] fn f() {}",
        "node/src/ask.rs",
    ),
    (
        "utoipa describes",
        "use utoipa::ToSchema;",
        "node/src/ask.rs",
    ),
    (
        "clap has",
        "#[derive(clap::Parser)] struct A;",
        "node/src/main.rs",
    ),
    (
        "rust-embed has",
        "use rust_embed::Embed;",
        "node/src/http/live.rs",
    ),
    (
        "qrcode has",
        "use qrcode::QrCode;",
        "node/src/commands/join.rs",
    ),
    (
        "rustyline has",
        "use rustyline::DefaultEditor;",
        "node/src/commands/chat.rs",
    ),
    (
        "llguidance has",
        "use llguidance::Matcher;",
        "node/src/jobs/stage/run.rs",
    ),
    (
        "prometheus-client has",
        "use prometheus_client::registry::Registry;",
        "node/src/http/metrics.rs",
    ),
    (
        "unsafe code",
        "fn f() { unsafe { g() } }",
        "inference/src/shard.rs",
    ),
    (
        "time zones have",
        "let now = jiff::Zoned::now();",
        "node/src/lending.rs",
    ),
    (
        "calls to the system",
        "use rustix::fs::statvfs;",
        "node/src/doctor/home.rs",
    ),
    (
        "the clock",
        "let now = std::time::Instant::now();",
        "node/src/node.rs",
    ),
    (
        "bytes are",
        "use bincode::config::standard;",
        "ledger/src/entry.rs",
    ),
    ("pure code", "use std::{fmt, fs};", "ledger/src/fold.rs"),
    (
        "pure code",
        "use std::{fmt, thread};",
        "node/src/core/job.rs",
    ),
    (
        "inference knows",
        "tokio::spawn(f())",
        "inference/src/shard.rs",
    ),
    ("no floats", "fn f(x: f64) {}", "ledger/src/split.rs"),
    (
        "every queue",
        "use std::sync::mpsc::{Sender, channel};",
        "node/src/books.rs",
    ),
    (
        "nothing unfinished",
        "fn f() { todo!() }",
        "node/src/books.rs",
    ),
];

#[test]
fn every_rule_can_fail() {
    for (rule, code, file) in BREACHES {
        let broken: Vec<&str> = RULES
            .iter()
            .filter(|candidate| !broken_by(candidate, file, code).is_empty())
            .map(|candidate| candidate.name)
            .collect();
        assert_eq!(broken.len(), 1, "{code} in {file}: {broken:?}");
        assert!(broken[0].starts_with(rule), "{code} in {file}: {broken:?}");
    }
    for rule in RULES {
        assert!(
            BREACHES
                .iter()
                .any(|(name, ..)| rule.name.starts_with(name)),
            "{}",
            rule.name
        );
    }
}

#[test]
fn doors_are_open_and_words_are_not_paths() {
    let allowed = [
        ("use sled::Db;", "ledger/src/store/sled.rs"),
        (
            "mod sled; pub use self::sled::Index;",
            "ledger/src/store.rs",
        ),
        ("// sled::Db and unsafe { todo!() }", "ledger/src/chain.rs"),
        ("let text = \"tokio::spawn\";", "ledger/src/chain.rs"),
        ("std::fs::read(p)", "ledger/src/journal/file.rs"),
        ("use std::net::SocketAddr;", "node/src/core/directory.rs"),
        ("fn todo_list() {}", "node/src/books.rs"),
        (
            "code\n#[cfg(test)]\nmod tests { fn f(x: f64) {} }",
            "ledger/src/split.rs",
        ),
    ];
    for (code, file) in allowed {
        let broken: Vec<String> = RULES
            .iter()
            .flat_map(|rule| broken_by(rule, file, code))
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

#[test]
fn the_core_rule_can_fail() {
    let imports = |path, text| {
        let file = snippet(path, text);
        core_imports(&file, &source::named(&file.library_code())).len()
    };
    let file = "node/src/core/route.rs";
    assert_eq!(imports(file, "use crate::core::peers;"), 0);
    assert_eq!(imports(file, "use crate::swarm::Swarm;"), 1);
    assert_eq!(imports("node/src/node.rs", "use crate::swarm::Swarm;"), 0);
}
