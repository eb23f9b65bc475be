//! The keys with which programs ask this node over HTTP: a file of the owner.
//!
//! A key is shown once, when it is made; the file holds its blake3 hash, which is
//! enough to know it again and useless to whoever reads it (a key is 32 random
//! bytes). The file is replaced whole. A running node looks at it at every
//! request that brings a key, so that a key removed is refused at once. What a
//! key may do is decided elsewhere; this file only says who it is.

pub mod usage;

use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use talkoot_protocol::Hash;

/// What every key begins with.
pub const KEY_PREFIX: &str = "tk-";
/// Keys of one node at most.
pub const KEYS_MAX: usize = 1000;

/// Characters of a key's name at most.
const NAME_MAX: usize = 64;
const KEY_BYTES: usize = 32;
/// Bytes of the file at most, several times what so many keys take.
const FILE_BYTES_MAX: u64 = 1 << 20;
const SCHEMA: u32 = 1;

/// What a key may do; none means as much as the node does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyCaps {
    /// Answers at the same time, waiting ones included.
    pub max_concurrent: Option<u32>,
    /// Requests in a minute.
    pub requests_per_minute: Option<u32>,
    /// Credits burned in a day of UTC, µGFT.
    pub ugft_per_day: Option<u64>,
}

/// One key, as the file has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// What its owner is called.
    pub name: String,
    /// The blake3 hash of its text, in hexadecimal.
    pub hash: String,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// What it may do.
    pub caps: KeyCaps,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeyFile {
    schema: u32,
    keys: Vec<Key>,
}

/// Reads all keys; none where there is no file.
///
/// # Errors
/// When the file cannot be read or is damaged.
pub fn read(home: &Home) -> Result<Vec<Key>, Failure> {
    read_file(&home.keys_path())
}

/// Makes a key and gives its text, which is stored nowhere.
///
/// # Errors
/// When the name is no name or taken, or the file cannot be written.
pub fn create(home: &Home, name: &str, caps: KeyCaps, now_ms: u64) -> Result<String, Failure> {
    if !is_plain_name(name) {
        return Err(
            Failure::new(Exit::Usage, format!("{name:?} cannot name a key")).hint(format!(
                "1 to {NAME_MAX} letters of a to z, digits, '.', '_' and '-'"
            )),
        );
    }
    let _lock = lock(home)?;
    let mut keys = read(home)?;
    if keys.iter().any(|key| key.name == name) {
        return Err(
            Failure::new(Exit::Failure, format!("there is a key {name} already"))
                .hint(format!("`talkoot key rm {name}` removes it")),
        );
    }
    if keys.len() >= KEYS_MAX {
        return Err(Failure::new(
            Exit::Failure,
            format!("there are {KEYS_MAX} keys already; `talkoot key rm NAME` removes one"),
        ));
    }
    let mut bytes = [0_u8; KEY_BYTES];
    home::fill_random(&mut bytes)?;
    let text = format!("{KEY_PREFIX}{}", data_encoding::HEXLOWER.encode(&bytes));
    keys.push(Key {
        name: name.to_owned(),
        hash: hash(&text),
        created_ms: now_ms,
        caps,
    });
    write(home, keys)?;
    Ok(text)
}

/// Removes a key.
///
/// # Errors
/// [`Exit::NotFound`] when there is none of that name; else when the file cannot
/// be written.
pub fn remove(home: &Home, name: &str) -> Result<(), Failure> {
    let _lock = lock(home)?;
    let mut keys = read(home)?;
    let before = keys.len();
    keys.retain(|key| key.name != name);
    if keys.len() == before {
        return Err(
            Failure::new(Exit::NotFound, format!("there is no key {name:?}"))
                .hint("`talkoot key ls` lists them"),
        );
    }
    write(home, keys)
}

/// Whether a text is 1 to 64 of the characters that names of keys and requests
/// are made of: letters and digits of ASCII, `.`, `_`, `-`.
#[must_use]
pub fn is_plain_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(plain)
}

fn hash(text: &str) -> String {
    Hash::of_blob(text.as_bytes()).to_string()
}

/// Two commands at the same time must not lose each other's change.
fn lock(home: &Home) -> Result<File, Failure> {
    let path = home.keys_path().with_extension("lock");
    let lock = File::create(&path).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|error| {
        Failure::new(
            Exit::BadConfig,
            format!("cannot lock {}: {error}", path.display()),
        )
    })
}

fn write(home: &Home, mut keys: Vec<Key>) -> Result<(), Failure> {
    keys.sort_by(|a, b| a.name.cmp(&b.name));
    let file = KeyFile {
        schema: SCHEMA,
        keys,
    };
    let mut text = serde_json::to_string_pretty(&file)
        .map_err(|error| Failure::new(Exit::Failure, format!("keys.json: {error}")))?;
    text.push('\n');
    home::write_atomic(&home.keys_path(), text.as_bytes())
}

fn read_file(path: &Path) -> Result<Vec<Key>, Failure> {
    let bad = |what: String| {
        Failure::new(Exit::BadConfig, format!("{}: {what}", path.display()))
            .hint("restore it, or remove it and make new keys with `talkoot key new NAME`")
    };
    let length = match fs::metadata(path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(bad(error.to_string())),
    };
    if length > FILE_BYTES_MAX {
        return Err(bad(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    let text = fs::read_to_string(path).map_err(|error| bad(error.to_string()))?;
    let file: KeyFile = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
    if file.schema != SCHEMA {
        return Err(bad(format!(
            "is of schema {}, this version reads {SCHEMA}",
            file.schema
        )));
    }
    Ok(file.keys)
}

/// The keys as a running node sees them; cheap to clone.
#[derive(Debug, Clone)]
pub struct KeyRing(Arc<Ring>);

#[derive(Debug)]
struct Ring {
    path: Option<PathBuf>,
    seen: Mutex<Seen>,
}

/// What the file was when it was last read, and what it held.
#[derive(Debug, Default)]
struct Seen {
    stamp: Option<Stamp>,
    keys: BTreeMap<String, Arc<Key>>,
}

/// Tells one version of the file from the next: each is a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl KeyRing {
    /// Reads the keys of a home.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn open(home: &Home) -> Result<Self, Failure> {
        let path = home.keys_path();
        let seen = Seen {
            stamp: stamp(&path),
            keys: by_hash(read_file(&path)?),
        };
        Ok(Self(Arc::new(Ring {
            path: Some(path),
            seen: Mutex::new(seen),
        })))
    }

    /// No keys, ever.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::new(Ring {
            path: None,
            seen: Mutex::default(),
        }))
    }

    /// Whether there is no key now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read(BTreeMap::is_empty)
    }

    /// The key with this text, if there is one now.
    ///
    /// Found by its hash, so the time it takes says nothing about any key.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<Arc<Key>> {
        if !text.starts_with(KEY_PREFIX) {
            return None;
        }
        let hash = hash(text);
        self.read(|keys| keys.get(&hash).cloned())
    }

    /// Looks at the file (one system call) and reads it when it is another one.
    /// A damaged file changes nothing: the keys known stay.
    fn read<T>(&self, look: impl FnOnce(&BTreeMap<String, Arc<Key>>) -> T) -> T {
        let mut seen = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &self.0.path {
            let now = stamp(path);
            if now != seen.stamp {
                seen.stamp = now;
                match read_file(path) {
                    Ok(keys) => {
                        tracing::info!(keys = keys.len(), "the keys have changed");
                        seen.keys = by_hash(keys);
                    }
                    Err(failure) => tracing::warn!("the keys stay what they were: {failure}"),
                }
            }
        }
        look(&seen.keys)
    }
}

fn by_hash(keys: Vec<Key>) -> BTreeMap<String, Arc<Key>> {
    let entry = |key: Key| (key.hash.clone(), Arc::new(key));
    keys.into_iter().map(entry).collect()
}

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    #[cfg(unix)]
    let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let inode = 0;
    Some(Stamp {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        inode,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(directory: &Path) -> Home {
        let home = Home::at(directory);
        home.create().unwrap();
        home
    }

    #[test]
    fn a_key_is_shown_once_found_by_its_text_and_gone_when_removed() {
        let directory = tempfile::tempdir().unwrap();
        let home = home(directory.path());
        let ring = KeyRing::open(&home).unwrap();
        assert!(ring.is_empty());
        let caps = KeyCaps {
            max_concurrent: Some(2),
            ..KeyCaps::default()
        };
        let text = create(&home, "alice", caps, 7).unwrap();
        // No restart: the ring sees the file of now.
        let found = ring.find(&text).unwrap();
        assert_eq!((found.name.as_str(), found.caps), ("alice", caps));
        assert!(ring.find(&format!("{text}0")).is_none());
        let stored = fs::read_to_string(home.keys_path()).unwrap();
        assert!(!stored.contains(&text[KEY_PREFIX.len()..]), "{stored}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(home.keys_path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let second = create(&home, "bob", KeyCaps::default(), 8).unwrap();
        assert_eq!(
            create(&home, "bob", caps, 9).unwrap_err().exit,
            Exit::Failure
        );
        remove(&home, "alice").unwrap();
        assert!(ring.find(&text).is_none() && ring.find(&second).is_some());
        assert_eq!(remove(&home, "alice").unwrap_err().exit, Exit::NotFound);
    }

    #[test]
    fn a_damaged_file_stops_a_start_and_not_a_running_node() {
        let directory = tempfile::tempdir().unwrap();
        let home = home(directory.path());
        let text = create(&home, "alice", KeyCaps::default(), 1).unwrap();
        let ring = KeyRing::open(&home).unwrap();
        for damage in ["{", "{\"schema\":2,\"keys\":[]}", "[]"] {
            fs::write(home.keys_path(), damage).unwrap();
            assert_eq!(KeyRing::open(&home).unwrap_err().exit, Exit::BadConfig);
            assert!(ring.find(&text).is_some(), "{damage}");
        }
        fs::remove_file(home.keys_path()).unwrap();
        assert!(ring.find(&text).is_none());
    }

    #[test]
    fn names_are_plain() {
        let long = "x".repeat(NAME_MAX);
        for name in ["a", "A-1.b_c", long.as_str()] {
            assert!(is_plain_name(name), "{name}");
        }
        for name in ["", "a b", "ä", "a/b", "a\n", &format!("{long}x")] {
            assert!(!is_plain_name(name), "{name}");
        }
        let directory = tempfile::tempdir().unwrap();
        let refused = create(&home(directory.path()), "a b", KeyCaps::default(), 1);
        assert_eq!(refused.unwrap_err().exit, Exit::Usage);
    }
}
