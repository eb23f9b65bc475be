//! Taking a model out of the store: first what would go, then the deed.
//!
//! Only the model's own directory goes. Files that were not copied stay where
//! they are, and what a link leads to is never followed.

use super::record::{self, Record};
use super::{Store, refused};
use crate::exit::Failure;
use crate::models::names;
use std::fs;
use std::path::{Path, PathBuf};

/// What would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// The name of the model.
    pub name: String,
    /// Its directory in the store.
    pub directory: PathBuf,
    /// Bytes in it.
    pub bytes: u64,
    /// Those of them that belong to files elsewhere as well, so that removing
    /// gives no room.
    pub shared_bytes: u64,
    /// Where the files stay, if they are not in the store.
    pub stays: Option<PathBuf>,
}

impl Store {
    /// What removing the model `name` would delete; `None` when the store has no
    /// such model.
    ///
    /// # Errors
    /// When its directory cannot be read.
    pub fn removal(&self, name: &str) -> Result<Option<Removal>, Failure> {
        let directory = self.place(name);
        if names::objection(name).is_some() || !directory.join(record::FILE).exists() {
            return Ok(None);
        }
        let (bytes, shared_bytes) = if directory.is_symlink() {
            (0, 0)
        } else {
            bytes_in(&directory).map_err(|error| refused(&directory, &error))?
        };
        // A damaged record must not keep its directory from going.
        let record = Record::read(&directory).ok().flatten();
        let stays = record.filter(|record| !record.is_copy);
        Ok(Some(Removal {
            name: name.to_owned(),
            directory,
            bytes,
            shared_bytes,
            stays: stays.map(|record| record.origin),
        }))
    }

    /// Deletes what [`Self::removal`] has shown.
    ///
    /// # Errors
    /// When something cannot be deleted.
    pub fn remove(&self, removal: &Removal) -> Result<(), Failure> {
        let _lock = self.lock()?;
        let directory = &removal.directory;
        let removed = if directory.is_symlink() {
            fs::remove_file(directory)
        } else {
            // Without its mark a rest that stays would be taken for a model that
            // somebody put there.
            fs::write(directory.join(super::UNFINISHED), "")
                .and_then(|()| fs::remove_file(directory.join(record::FILE)))
                .and_then(|()| fs::remove_dir_all(directory))
        };
        removed.map_err(|error| refused(directory, &error))
    }
}

/// Bytes of the files below `directory`, and of those with a second name; links
/// count as themselves.
fn bytes_in(directory: &Path) -> std::io::Result<(u64, u64)> {
    let (mut sum, mut shared): (u64, u64) = (0, 0);
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let metadata = fs::symlink_metadata(&path)?;
        let (bytes, of_several) = if metadata.is_dir() {
            bytes_in(&path)?
        } else if has_other_names(&metadata) {
            (metadata.len(), metadata.len())
        } else {
            (metadata.len(), 0)
        };
        sum = sum.saturating_add(bytes);
        shared = shared.saturating_add(of_several);
    }
    Ok((sum, shared))
}

#[cfg(unix)]
fn has_other_names(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::nlink(metadata) > 1
}

#[cfg(not(unix))]
fn has_other_names(_: &fs::Metadata) -> bool {
    false
}
