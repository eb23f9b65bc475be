//! Directories of models that are only read: each folder with a `config.json`
//! and each GGUF file in them is a model by its name. The cache of the model hub's
//! own tools is such a directory, too: of each repository the newest snapshot counts.
//!
//! Looking lists names and sizes; no weight is read and nothing is written.

use super::names;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Models of one directory that are listed.
const MODELS_MAX: usize = 1024;
/// Entries of one directory that are looked at.
const ENTRIES_MAX: usize = 16 * 1024;

/// Bytes of the name of a revision.
const REVISION_BYTES_MAX: u64 = 128;

/// A model that lies in such a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShelfModel {
    /// Its name.
    pub name: String,
    /// What is opened: a folder, or the first GGUF file.
    pub path: PathBuf,
    /// Bytes of its weight files.
    pub bytes: u64,
}

/// The models in `directory`, by name; none where it cannot be read.
#[must_use]
pub fn list(directory: &Path) -> Vec<ShelfModel> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries
        .take(ENTRIES_MAX)
        .flatten()
        .map(|entry| entry.path())
        .collect();
    paths.sort();
    let mut models: Vec<ShelfModel> = Vec::new();
    for path in &paths {
        let found = if path.is_dir() {
            folder(path)
        } else if names::is_gguf(path) {
            file(path, &paths)
        } else {
            None
        };
        models.extend(found);
        if models.len() == MODELS_MAX {
            break;
        }
    }
    models
}

fn folder(path: &Path) -> Option<ShelfModel> {
    let path = snapshot(path).unwrap_or_else(|| path.to_owned());
    path.join("config.json").is_file().then(|| ShelfModel {
        name: names::of_path(&path),
        bytes: weight_bytes(&path),
        path,
    })
}

/// The snapshot that the branch `main` of a repository in a hub's cache means.
fn snapshot(repository: &Path) -> Option<PathBuf> {
    let name = repository.file_name()?.to_str()?;
    name.strip_prefix(names::HUB_PREFIX)?;
    let mut revision = String::new();
    let file = File::open(repository.join("refs/main")).ok()?;
    file.take(REVISION_BYTES_MAX)
        .read_to_string(&mut revision)
        .ok()?;
    let revision = revision.trim();
    let is_plain =
        !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_plain.then(|| repository.join("snapshots").join(revision))
}

fn weight_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let paths = entries
        .take(ENTRIES_MAX)
        .flatten()
        .map(|entry| entry.path());
    paths
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .fold(0, |sum: u64, path| sum.saturating_add(size(&path)))
}

/// Of a model in several files only the first is one.
fn file(path: &Path, all: &[PathBuf]) -> Option<ShelfModel> {
    let stem = path.file_stem()?.to_string_lossy();
    let bytes = match names::part_of(&stem) {
        None => size(path),
        Some((name, 1)) => {
            let is_part = |other: &&PathBuf| {
                let stem = other.file_stem().unwrap_or_default().to_string_lossy();
                names::is_gguf(other) && names::part_of(&stem).is_some_and(|part| part.0 == name)
            };
            let parts = all.iter().filter(is_part);
            parts.fold(0, |sum: u64, path| sum.saturating_add(size(path)))
        }
        Some(_) => return None,
    };
    Some(ShelfModel {
        name: names::of_path(path),
        path: path.to_owned(),
        bytes,
    })
}

/// Bytes of the weight files of the folder or file at `path`.
#[must_use]
pub fn bytes_at(path: &Path) -> u64 {
    if path.is_dir() {
        return weight_bytes(path);
    }
    let siblings = std::fs::read_dir(path.parent().unwrap_or(path));
    let siblings = siblings.into_iter().flatten().take(ENTRIES_MAX).flatten();
    let siblings: Vec<PathBuf> = siblings.map(|entry| entry.path()).collect();
    file(path, &siblings).map_or_else(|| size(path), |model| model.bytes)
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_files_are_found_and_parts_are_one_model() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: usize| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; bytes]).unwrap();
        };
        write("whole/config.json", 2);
        write("whole/model.safetensors", 7);
        write("whole/tokenizer.json", 100);
        write("notes/readme.txt", 1);
        write("small.gguf", 3);
        write("big-00001-of-00002.gguf", 4);
        write("big-00002-of-00002.gguf", 5);
        write("loose.safetensors", 9);
        write("models--some--hub/snapshots/abc/config.json", 2);
        write("models--some--hub/snapshots/abc/model.safetensors", 6);
        write("models--some--hub/snapshots/older/config.json", 2);
        std::fs::create_dir(directory.path().join("models--some--hub/refs")).unwrap();
        std::fs::write(
            directory.path().join("models--some--hub/refs/main"),
            "abc\n",
        )
        .unwrap();
        write("models--some--none/refs/main", 1);
        let found: Vec<(String, u64)> = list(directory.path())
            .into_iter()
            .map(|model| (model.name, model.bytes))
            .collect();
        let expected = [("big", 9), ("hub", 6), ("small", 3), ("whole", 7)];
        assert_eq!(
            found,
            expected.map(|(name, bytes)| (name.to_owned(), bytes))
        );
        assert!(list(&directory.path().join("nowhere")).is_empty());
    }
}
