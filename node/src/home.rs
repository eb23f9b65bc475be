//! Where a node keeps what it owns: one home of four directories.
//!
//! `TALKOOT_HOME` moves all four; else XDG decides. One process works in a home
//! at a time (a lock that the system frees when the process ends, however it
//! ends). The seed is private: it is created with 0600 and refused with wider
//! permissions. This file knows names and permissions, not what the files of
//! the ledger mean.

use crate::exit::{Exit, Failure};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use talkoot_protocol::{Genesis, Keypair, NetworkId};

/// Bytes of the seed.
const SEED_BYTES: usize = 32;

/// The directories of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Settings of the owner.
    pub config: PathBuf,
    /// Identity and ledgers: what must not be lost.
    pub data: PathBuf,
    /// The lock and `api.json`: what belongs to a running process.
    pub state: PathBuf,
    /// What can be fetched or computed again.
    pub cache: PathBuf,
}

/// Holds the home for this process until dropped.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// How the owner's programs reach a running node: `api.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiFile {
    /// Version of this shape.
    pub schema: u32,
    /// Base address of the HTTP API, without a slash at the end.
    pub url: String,
    /// The cookie for writes, new at every start.
    pub token: String,
    /// The process.
    pub pid: u32,
    /// Version of the software.
    pub version: String,
    /// Wallet of the node.
    pub wallet: String,
    /// Its libp2p peer id.
    pub peer_id: String,
    /// Its network.
    pub network_id: String,
    /// libp2p addresses, with the peer id.
    pub addresses: Vec<String>,
    /// Data-plane addresses.
    pub data_addresses: Vec<String>,
}

impl Home {
    /// The home that the environment names: `TALKOOT_HOME`, else XDG. Instance
    /// 0 is the plain one; others have their number as suffix.
    ///
    /// # Errors
    /// When neither `TALKOOT_HOME` nor `HOME` is set.
    pub fn from_env(instance: u16) -> Result<Self, Failure> {
        Self::from_lookup(instance, |name| {
            std::env::var_os(name).filter(|value| !value.is_empty())
        })
    }

    fn from_lookup(
        instance: u16,
        lookup: impl Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, Failure> {
        let suffix = if instance == 0 {
            String::new()
        } else {
            format!("-{instance}")
        };
        if let Some(home) = lookup("TALKOOT_HOME") {
            let mut root = home;
            root.push(&suffix);
            return Ok(Self::at(Path::new(&root)));
        }
        let user = lookup("HOME").map(PathBuf::from);
        let directory = |variable: &str, below: &str| {
            let base = lookup(variable)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
                .or_else(|| user.as_ref().map(|home| home.join(below)));
            base.map(|base| base.join(format!("talkoot{suffix}")))
                .ok_or_else(|| {
                    Failure::new(Exit::BadConfig, "neither TALKOOT_HOME nor HOME is set")
                        .hint("set TALKOOT_HOME to a directory for this node")
                })
        };
        Ok(Self {
            config: directory("XDG_CONFIG_HOME", ".config")?,
            data: directory("XDG_DATA_HOME", ".local/share")?,
            state: directory("XDG_STATE_HOME", ".local/state")?,
            cache: directory("XDG_CACHE_HOME", ".cache")?,
        })
    }

    /// A home whose directories all lie below `root`.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self {
            config: root.join("config"),
            data: root.join("data"),
            state: root.join("state"),
            cache: root.join("cache"),
        }
    }

    /// Creates the directories that are missing, readable by the owner only.
    ///
    /// # Errors
    /// When a directory cannot be created.
    pub fn create(&self) -> Result<(), Failure> {
        for directory in [&self.config, &self.data, &self.state, &self.cache] {
            create_private_dir(directory)?;
        }
        Ok(())
    }

    /// Takes the home for this process.
    ///
    /// # Errors
    /// When another process holds it (the message names it).
    pub fn lock(&self) -> Result<HomeLock, Failure> {
        let path = self.state.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(|error| cannot("open", &path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let _ = file.read_to_string(&mut holder);
                return Err(held_by(&holder, &self.state));
            }
            Err(TryLockError::Error(error)) => return Err(cannot("lock", &path, &error)),
        }
        file.set_len(0)
            .and_then(|()| write!(file, "{}", std::process::id()))
            .map_err(|error| cannot("write", &path, &error))?;
        Ok(HomeLock { _file: file })
    }

    /// Whether a process holds the home now.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        File::open(self.state.join("lock"))
            .is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
    }

    /// Reads the identity; creates it at first use.
    ///
    /// # Errors
    /// When the seed file is readable by others, damaged or not accessible.
    pub fn identity(&self) -> Result<Keypair, Failure> {
        let path = self.seed_path();
        if !path.exists() {
            let mut seed = [0_u8; SEED_BYTES];
            fill_random(&mut seed)?;
            write_private(&path, &seed)?;
        }
        self.existing_identity()
    }

    /// Reads the identity.
    ///
    /// # Errors
    /// [`Exit::NotFound`] when there is none yet; else as [`Home::identity`].
    pub fn existing_identity(&self) -> Result<Keypair, Failure> {
        let path = self.seed_path();
        if !path.exists() {
            return Err(Failure::new(
                Exit::NotFound,
                format!("there is no identity yet in {}", self.data.display()),
            )
            .hint("`talkoot up` creates one"));
        }
        check_private(&path)?;
        let bytes = fs::read(&path).map_err(|error| cannot("read", &path, &error))?;
        let seed: [u8; SEED_BYTES] = bytes.try_into().map_err(|bytes: Vec<u8>| {
            Failure::new(
                Exit::BadConfig,
                format!(
                    "the identity {} has {} bytes, not {SEED_BYTES}",
                    path.display(),
                    bytes.len()
                ),
            )
            .hint("restore it from a backup; moving it away makes a new identity")
        })?;
        Ok(Keypair::from_seed(&seed))
    }

    /// Writes an identity into a home that has none (the testnet does).
    ///
    /// # Errors
    /// When it exists or cannot be written.
    pub fn write_identity(&self, seed: &[u8; SEED_BYTES]) -> Result<(), Failure> {
        write_private(&self.seed_path(), seed)
    }

    /// The file of the identity.
    #[must_use]
    pub fn seed_path(&self) -> PathBuf {
        self.data.join("identity.seed")
    }

    /// Where the ledger of a network lies.
    #[must_use]
    pub fn network_dir(&self, network: NetworkId) -> PathBuf {
        self.data.join(network.to_string())
    }

    /// The genesis of the network this node is in, if it is in one.
    ///
    /// # Errors
    /// When `network` or its genesis is damaged.
    pub fn current_genesis(&self) -> Result<Option<Genesis>, Failure> {
        let path = self.data.join("network");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let damaged = |what: String| {
            Failure::new(Exit::BadConfig, what)
                .hint("restore it from a backup, or remove it to begin a network of your own")
        };
        let id = text
            .trim()
            .parse()
            .map(NetworkId)
            .map_err(|_| damaged(format!("{} holds no network id", path.display())))?;
        let path = self.network_dir(id).join("genesis.bin");
        let bytes = fs::read(&path).map_err(|error| cannot("read", &path, &error))?;
        let genesis = Genesis::decode(&bytes)
            .ok()
            .filter(|genesis| genesis.id() == id)
            .ok_or_else(|| damaged(format!("{} is not the genesis of {id}", path.display())))?;
        Ok(Some(genesis))
    }

    /// Makes a network the current one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_network(&self, genesis: &Genesis) -> Result<(), Failure> {
        let id = genesis.id();
        let directory = self.network_dir(id);
        create_private_dir(&directory)?;
        write_atomic(&directory.join("genesis.bin"), &genesis.to_bytes())?;
        write_atomic(&self.data.join("network"), format!("{id}\n").as_bytes())
    }

    /// Remembers that nothing of ours can have been signed in this network yet,
    /// because it or our identity was made just now: so a missing journal is a
    /// beginning, not a loss.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark_new(&self, network: NetworkId) -> Result<(), Failure> {
        write_atomic(&self.new_mark_path(network), b"")
    }

    /// Whether the mark stands.
    #[must_use]
    pub fn is_new(&self, network: NetworkId) -> bool {
        self.new_mark_path(network).exists()
    }

    /// A node runs in the network now: from here on a missing journal is a loss.
    pub fn clear_new(&self, network: NetworkId) {
        let _ = fs::remove_file(self.new_mark_path(network));
    }

    fn new_mark_path(&self, network: NetworkId) -> PathBuf {
        self.network_dir(network).join("new")
    }

    /// Writes `api.json`; readers see the old one or the whole new one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_api(&self, api: &ApiFile) -> Result<(), Failure> {
        let mut text = serde_json::to_string_pretty(api)
            .map_err(|error| Failure::new(Exit::Failure, format!("api.json: {error}")))?;
        text.push('\n');
        write_atomic(&self.api_path(), text.as_bytes())
    }

    /// Reads `api.json`; `None` when no node has written one.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read_api(&self) -> Result<Option<ApiFile>, Failure> {
        let path = self.api_path();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        let api = serde_json::from_str(&text).map_err(|error| {
            Failure::new(Exit::BadConfig, format!("{}: {error}", path.display()))
                .hint("remove it and start the node again")
        })?;
        Ok(Some(api))
    }

    /// Removes `api.json` at an orderly stop.
    pub fn remove_api(&self) {
        let _ = fs::remove_file(self.api_path());
    }

    fn api_path(&self) -> PathBuf {
        self.state.join("api.json")
    }

    /// The keys of programs that ask over HTTP.
    #[must_use]
    pub fn keys_path(&self) -> PathBuf {
        self.config.join("keys.json")
    }

    /// What those keys have burned today.
    #[must_use]
    pub fn key_usage_path(&self) -> PathBuf {
        self.state.join("key-usage.json")
    }

    /// The pause of lending that the owner began by hand.
    #[must_use]
    pub fn pause_path(&self) -> PathBuf {
        self.state.join("pause.json")
    }

    /// The ticket that the next `talkoot up` shall use.
    #[must_use]
    pub fn pending_join_path(&self) -> PathBuf {
        self.data.join("join.ticket")
    }

    /// The ticket by which this node came into a network.
    #[must_use]
    pub fn ticket_path(&self, network: NetworkId) -> PathBuf {
        self.network_dir(network).join("ticket")
    }
}

fn held_by(holder: &str, state: &Path) -> Failure {
    let holder = holder.trim();
    let who = if holder.is_empty() {
        "another process".to_owned()
    } else {
        format!("process {holder}")
    };
    Failure::new(
        Exit::BadConfig,
        format!(
            "{who} already runs a node in this home ({})",
            state.display()
        ),
    )
    .hint("`talkoot down` stops it; `talkoot up --instance 1` starts another one beside it")
}

/// Fills with bytes from the system's random source.
///
/// # Errors
/// When the system has none.
pub fn fill_random(bytes: &mut [u8]) -> Result<(), Failure> {
    getrandom::fill(bytes)
        .map_err(|error| Failure::new(Exit::Failure, format!("no randomness: {error}")))
}

/// Opens a file to write at its end, private to the owner.
///
/// # Errors
/// The system's.
pub fn append_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a file that readers see in its old or its whole new form, private to
/// the owner.
///
/// # Errors
/// When it cannot be written.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let temporary = PathBuf::from(temporary);
    let _ = fs::remove_file(&temporary);
    write_private(&temporary, bytes)?;
    fs::rename(&temporary, path).map_err(|error| cannot("write", path, &error))
}

fn cannot(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::BadConfig,
        format!("cannot {verb} {}: {error}", path.display()),
    )
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()
        })
        .map_err(|error| cannot("write", path, &error))
}

fn create_private_dir(path: &Path) -> Result<(), Failure> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
        .create(path)
        .map_err(|error| cannot("create", path, &error))
}

#[cfg(unix)]
fn check_private(path: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)
        .map_err(|error| cannot("read", path, &error))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(Failure::new(
        Exit::BadConfig,
        format!(
            "the identity {} can be read by others (mode {mode:03o})",
            path.display()
        ),
    )
    .hint(format!("chmod 600 {}", path.display())))
}

#[cfg(not(unix))]
fn check_private(_path: &Path) -> Result<(), Failure> {
    Ok(())
}

#[cfg(test)]
mod tests;
