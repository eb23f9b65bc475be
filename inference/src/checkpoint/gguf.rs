//! A GGUF file: recognised by its first bytes.
//!
//! Nothing but the magic number is judged here yet; a file that has it is refused
//! by name.

use super::map::WeightFile;
use super::{Checkpoint, CheckpointError};
use std::path::Path;

/// The first bytes of every GGUF file.
const MAGIC: &[u8] = b"GGUF";

/// Opens `path`, an existing file.
pub(super) fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let file = WeightFile::map(path).map_err(|source| CheckpointError::Io {
        path: path.to_owned(),
        source,
    })?;
    if !file.bytes().starts_with(MAGIC) {
        let path = path.to_owned();
        return Err(CheckpointError::UnknownFormat { path });
    }
    Err(CheckpointError::Gguf {
        file: path.display().to_string(),
        reason: "GGUF files cannot be read by this version".to_owned(),
    })
}
