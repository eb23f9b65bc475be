//! Where the files of a checkpoint are: a directory, or memory.
//!
//! Small files are read whole, up to a bound; weight files are mapped. Names come
//! from this program or have been judged by the caller.

use super::CheckpointError;
use super::map::WeightFile;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::path::Path;

/// Bytes of a file that is no weight file.
const SMALL_FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the files are.
pub(super) enum Source<'a> {
    Directory(&'a Path),
    Files(&'a BTreeMap<String, Bytes>),
}

impl Source<'_> {
    pub(super) fn small(&self, file: &str) -> Result<Option<Bytes>, CheckpointError> {
        match self {
            Self::Files(files) => Ok(files.get(file).cloned()),
            Self::Directory(directory) => {
                let path = directory.join(file);
                let io = |source| CheckpointError::Io {
                    path: path.clone(),
                    source,
                };
                if !path.try_exists().map_err(io)? {
                    return Ok(None);
                }
                let bytes = std::fs::metadata(&path).map_err(io)?.len();
                if bytes > SMALL_FILE_BYTES_MAX {
                    return Err(CheckpointError::TooLarge {
                        file: file.to_owned(),
                        bytes,
                        bytes_max: SMALL_FILE_BYTES_MAX,
                    });
                }
                Ok(Some(Bytes::from(std::fs::read(&path).map_err(io)?)))
            }
        }
    }

    pub(super) fn required(&self, file: &str) -> Result<Bytes, CheckpointError> {
        self.small(file)?
            .ok_or_else(|| CheckpointError::MissingFile {
                file: file.to_owned(),
            })
    }

    pub(super) fn weights(&self, file: &str) -> Result<WeightFile, CheckpointError> {
        match self {
            Self::Files(files) => files
                .get(file)
                .cloned()
                .map(WeightFile::from)
                .ok_or_else(|| CheckpointError::MissingFile {
                    file: file.to_owned(),
                }),
            Self::Directory(directory) => {
                let path = directory.join(file);
                WeightFile::map(&path).map_err(|source| CheckpointError::Io { path, source })
            }
        }
    }

    pub(super) fn has(&self, file: &str) -> bool {
        match self {
            Self::Files(files) => files.contains_key(file),
            Self::Directory(directory) => directory.join(file).exists(),
        }
    }
}
