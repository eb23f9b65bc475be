//! The hash of every tensor, on several threads, and a record of them so that
//! the next start need not read gigabytes to know which model it has.
//!
//! A record is believed while file, size, time of change and header are those
//! it was made of, as build tools believe; whoever rewrites weights and sets the
//! clock back gets the old id. Pages are let go as they are hashed.

use super::cache::CacheFolder;
use super::map::WeightFile;
use super::{Checkpoint, CheckpointError, TensorBytes};
use crate::families::{self, TensorSpec};
use crate::kernels::Pool;
use crate::progress::{LoadEvent, LoadObserver};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::Metadata;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use talkoot_protocol::hash::Hash;

/// Bytes hashed between two returns of memory.
const STRIDE_BYTES: usize = 8 << 20;
/// The folder of the records.
const FOLDER: &str = "hashes";

/// Which content a record speaks of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    path: String,
    bytes: u64,
    modified_s: i64,
    modified_ns: i64,
    inode: u64,
    header: String,
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    identity: Identity,
    tensors: BTreeMap<String, String>,
}

impl Identity {
    /// Only of a file on a disk that tells when it changed.
    fn of(file: &WeightFile, header_bytes: usize) -> Option<Self> {
        let (path, metadata) = file.origin()?;
        let (modified_s, modified_ns, inode) = change_of(metadata)?;
        let full = std::fs::canonicalize(path).ok()?;
        Some(Self {
            path: full.to_str()?.to_owned(),
            bytes: metadata.len(),
            modified_s,
            modified_ns,
            inode,
            header: Hash::of_blob(file.bytes().get(..header_bytes)?).to_string(),
        })
    }

    fn record_name(&self) -> String {
        format!("{}.json", Hash::of_blob(self.path.as_bytes()))
    }
}

#[cfg(unix)]
#[expect(
    clippy::unnecessary_wraps,
    reason = "systems without these numbers have no records"
)]
fn change_of(metadata: &Metadata) -> Option<(i64, i64, u64)> {
    use std::os::unix::fs::MetadataExt;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.ino()))
}

#[cfg(not(unix))]
fn change_of(_: &Metadata) -> Option<(i64, i64, u64)> {
    None
}

impl Record {
    fn read(folder: &CacheFolder, identity: Identity) -> Option<Self> {
        let text = std::fs::read(folder.path(&identity.record_name())).ok()?;
        let record: Self = serde_json::from_slice(&text).ok()?;
        (record.identity == identity).then_some(record)
    }

    fn hash(&self, tensor: &str) -> Option<Hash> {
        self.tensors.get(tensor)?.parse().ok()
    }
}

impl Checkpoint {
    /// The hash of every tensor the family needs, by name. Reads what no record
    /// knows.
    pub(super) fn tensor_hashes(
        &self,
        threads: usize,
        observer: LoadObserver<'_>,
    ) -> Result<BTreeMap<String, Hash>, CheckpointError> {
        let specs: Vec<TensorSpec> =
            families::tensors(&self.config, self.config.layers()).collect();
        let folder = self
            .cache
            .as_deref()
            .map(|cache| CacheFolder::new(cache, FOLDER));
        let records = self.records(folder.as_ref());
        let recorded = |spec: &TensorSpec| {
            let file = &self.tensors.get(&spec.name)?.file;
            records.get(file.as_str())?.hash(&spec.name)
        };
        let mut hashes = BTreeMap::new();
        let mut unknown = Vec::new();
        for spec in &specs {
            match recorded(spec) {
                Some(hash) => drop(hashes.insert(spec.name.clone(), hash)),
                None => unknown.push((spec.name.as_str(), self.tensor(spec)?)),
            }
        }
        if unknown.is_empty() {
            return Ok(hashes);
        }
        hashes.extend(hash_all(unknown, threads, observer));
        if let Some(folder) = &folder {
            self.remember(folder, &hashes, observer);
        }
        Ok(hashes)
    }

    fn identity(&self, file: &str) -> Option<Identity> {
        let located = self.tensors.values().filter(|located| located.file == file);
        let header_bytes = located.map(|located| located.entry.range.start).min()?;
        Identity::of(self.weights.get(file)?, header_bytes)
    }

    fn records(&self, folder: Option<&CacheFolder>) -> BTreeMap<&str, Record> {
        let record = |file: &String| Record::read(folder?, self.identity(file)?);
        self.weights
            .keys()
            .filter_map(|file| Some((file.as_str(), record(file)?)))
            .collect()
    }

    fn remember(
        &self,
        folder: &CacheFolder,
        hashes: &BTreeMap<String, Hash>,
        observer: LoadObserver<'_>,
    ) {
        folder.sweep();
        for file in self.weights.keys() {
            let Some(identity) = self.identity(file) else {
                continue;
            };
            let is_here = |name: &String| self.tensors.get(name).is_some_and(|t| &t.file == file);
            let tensors = hashes
                .iter()
                .filter(|(name, _)| is_here(name))
                .map(|(name, hash)| (name.clone(), hash.to_string()))
                .collect();
            let name = identity.record_name();
            let text = serde_json::to_vec(&Record { identity, tensors }).unwrap_or_default();
            if let Err(error) = folder.write(&name, &[&text]) {
                let path: &Path = &folder.path(&name);
                observer(LoadEvent::CacheRefused {
                    path,
                    error: &error,
                });
                return;
            }
        }
    }
}

/// Hashes tensors, one to a thread, the largest first.
fn hash_all(
    mut tensors: Vec<(&str, TensorBytes)>,
    threads: usize,
    observer: LoadObserver<'_>,
) -> Vec<(String, Hash)> {
    tensors.sort_by_key(|(_, tensor)| std::cmp::Reverse(tensor.len()));
    let total_bytes = tensors.iter().map(|(_, t)| t.len() as u64).sum();
    let done_bytes = AtomicU64::new(0);
    let hashes = Mutex::new(Vec::with_capacity(tensors.len()));
    Pool::new(threads).run(tensors.len(), &|index| {
        let (name, tensor) = &tensors[index];
        let mut hasher = blake3::Hasher::new();
        let stride = (STRIDE_BYTES / tensor.row_bytes().max(1)).max(1);
        for first in (0..tensor.row_count()).step_by(stride) {
            let rows = first..(first + stride).min(tensor.row_count());
            let bytes = tensor.rows(rows.clone());
            hasher.update(&bytes);
            tensor.let_go(rows);
            let bytes = bytes.len() as u64;
            observer(LoadEvent::Hashed {
                done_bytes: done_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes,
                total_bytes,
            });
        }
        let hash = Hash::from_bytes(*hasher.finalize().as_bytes());
        hashes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(((*name).to_owned(), hash));
    });
    hashes.into_inner().unwrap_or_else(PoisonError::into_inner)
}
