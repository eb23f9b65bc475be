//! Packed matrices on the disk, one to a file, so that shards of any layers of
//! any model share what they have in common.
//!
//! A file is named by what it is made of: the hash of the stored tensor, its
//! shape and format, the versions of quantiser and layout. It holds
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `TALKPACK` |
//! | 32 | its name, as bytes |
//! | 32 each | blake3 of every piece |
//! | 32 | blake3 of all before |
//! | to a multiple of 4096 | zeros |
//! | the rest | the packed matrix |
//!
//! Pieces are read into their place, not mapped, by several threads at once, and
//! checked while they are in the cache. A file that does not verify is removed.

use super::matrix::by_piece;
use super::{QUANTISER_VERSION, dtype_of};
use crate::checkpoint::TensorRecord;
use crate::checkpoint::cache::CacheFolder;
use crate::kernels::Pool;
use crate::ops::PackedShape;
use crate::progress::{LoadEvent, LoadObserver};
use std::fs::File;
use std::io;
use std::path::Path;
use talkoot_protocol::hash::Hash;

const MAGIC: &[u8; 8] = b"TALKPACK";
const HASH_BYTES: usize = 32;
/// The matrix starts at a multiple of this.
const PAGE_BYTES: usize = 4096;
/// Raised when the order of bytes in a packed matrix changes.
const LAYOUT_VERSION: u16 = 1;
const FOLDER: &str = "packed";

/// The folder of packed matrices.
#[derive(Debug, Clone)]
pub(super) struct PackedCache {
    folder: CacheFolder,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("its header is not what was written")]
    Header,
    #[error("piece {0} is not what was written")]
    Piece(usize),
}

/// The name of what is made of `record` in this shape.
pub(super) fn key(record: &TensorRecord, shape: &PackedShape) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("talkoot packed matrix");
    let text = |text: &str| [text, "\0"].concat().into_bytes();
    hasher.update(record.hash.as_bytes());
    hasher.update(&text(record.dtype.name()));
    hasher.update(&text(dtype_of(shape.format).name()));
    hasher.update(&(shape.width as u64).to_le_bytes());
    hasher.update(&(shape.inner as u64).to_le_bytes());
    hasher.update(&QUANTISER_VERSION.to_le_bytes());
    hasher.update(&LAYOUT_VERSION.to_le_bytes());
    Hash::from_bytes(*hasher.finalize().as_bytes())
}

impl PackedCache {
    pub(super) fn new(directory: &Path) -> Self {
        let folder = CacheFolder::new(directory, FOLDER);
        folder.sweep();
        Self { folder }
    }

    /// Fills `packed` from the file of `key`. Says whether it did.
    pub(super) fn read(
        &self,
        key: &Hash,
        shape: &PackedShape,
        packed: &mut [u8],
        pool: &Pool,
        observer: LoadObserver<'_>,
    ) -> bool {
        let path = self.folder.path(&name(key));
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                drop_file(&path, &Unusable::Io(error), observer);
                return false;
            }
        };
        match read_verified(&file, key, shape, packed, pool) {
            Ok(()) => true,
            Err(unusable) => {
                drop_file(&path, &unusable, observer);
                false
            }
        }
    }

    /// Keeps a packed matrix. Says whether that worked.
    pub(super) fn write(
        &self,
        key: &Hash,
        pieces: &[Hash],
        packed: &[u8],
        observer: LoadObserver<'_>,
    ) -> bool {
        let written = self
            .folder
            .write(&name(key), &[&header(key, pieces), packed]);
        if let Err(error) = &written {
            observer(LoadEvent::CacheRefused {
                path: &self.folder.path(&name(key)),
                error,
            });
        }
        written.is_ok()
    }
}

fn name(key: &Hash) -> String {
    format!("{key}.packed")
}

fn drop_file(path: &Path, unusable: &Unusable, observer: LoadObserver<'_>) {
    drop(std::fs::remove_file(path));
    observer(LoadEvent::Dropped {
        path,
        reason: unusable.to_string(),
    });
}

const fn header_bytes(pieces: usize) -> usize {
    (MAGIC.len() + (pieces + 2) * HASH_BYTES).next_multiple_of(PAGE_BYTES)
}

fn header(key: &Hash, pieces: &[Hash]) -> Vec<u8> {
    let mut header = MAGIC.to_vec();
    header.extend(key.as_bytes());
    header.extend(pieces.iter().flat_map(Hash::as_bytes));
    header.extend(Hash::of_blob(&header).as_bytes());
    header.resize(header_bytes(pieces.len()), 0);
    header
}

fn read_verified(
    file: &File,
    key: &Hash,
    shape: &PackedShape,
    packed: &mut [u8],
    pool: &Pool,
) -> Result<(), Unusable> {
    let mut found = vec![0; header_bytes(shape.pieces())];
    read_exact_at(file, &mut found, 0)?;
    let (hashes, _) = found[MAGIC.len() + HASH_BYTES..].as_chunks::<HASH_BYTES>();
    let pieces: Vec<Hash> = hashes
        .iter()
        .take(shape.pieces())
        .map(|hash| Hash::from_bytes(*hash))
        .collect();
    let bytes = (found.len() + packed.len()) as u64;
    if found != header(key, &pieces) || file.metadata()?.len() != bytes {
        return Err(Unusable::Header);
    }
    let (start, piece_bytes) = (found.len(), shape.piece_bytes());
    by_piece(shape, packed, pool, |index, piece| {
        read_exact_at(file, piece, (start + index * piece_bytes) as u64)?;
        if pieces.get(index) == Some(&Hash::of_blob(piece)) {
            Ok(())
        } else {
            Err(Unusable::Piece(index))
        }
    })?;
    Ok(())
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn read_exact_at(mut file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    use std::io::{Read, Seek};
    // One place in the file for all threads.
    static PLACE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _place = PLACE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    file.seek(io::SeekFrom::Start(offset))?;
    file.read_exact(bytes)
}
