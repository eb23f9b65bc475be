//! Opens a weight file as memory, without reading it, and lets go of what was
//! read.
//!
//! The only `unsafe` outside the kernels. A mapped file that another program
//! truncates or rewrites while we hold it breaks Rust's rule that shared bytes
//! do not change; weight files are written once and then left alone, which is
//! the usual bargain of every program that maps weights.

#![expect(
    unsafe_code,
    reason = "mapping a file is unsafe by nature; see the module text"
)]

use bytes::Bytes;
use memmap2::Mmap;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The content of one weight file. Cloning shares it.
#[derive(Debug, Clone)]
pub(super) struct WeightFile {
    bytes: Bytes,
    map: Option<Arc<Mmap>>,
    origin: Option<Arc<(PathBuf, Metadata)>>,
}

/// A map as the owner of [`Bytes`].
struct Mapped(Arc<Mmap>);

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl WeightFile {
    /// Maps `path` read-only.
    pub(super) fn map(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() == 0 {
            return Ok(Self::from(Bytes::new()));
        }
        // SAFETY: the map is read-only and private to this process's view; the
        // file is a weight file that nobody rewrites in place (module text).
        let map = Arc::new(unsafe { Mmap::map(&file)? });
        Ok(Self {
            bytes: Bytes::from_owner(Mapped(Arc::clone(&map))),
            map: Some(map),
            origin: Some(Arc::new((path.to_owned(), metadata))),
        })
    }

    /// What the file holds.
    pub(super) const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where it lies and what the system said of it when it was opened; `None`
    /// for files in memory.
    pub(super) fn origin(&self) -> Option<(&Path, &Metadata)> {
        let (path, metadata) = &**self.origin.as_ref()?;
        Some((path, metadata))
    }

    /// Gives the pages of `range` back to the system, which reads them again
    /// when they are touched. Nothing for files in memory.
    pub(super) fn let_go(&self, range: Range<usize>) {
        #[cfg(unix)]
        if let Some(map) = &self.map {
            // SAFETY: pages of a read-only file map were never written by us,
            // so what comes back when they are touched again is the file's
            // content, the same bytes as before (module text). A wish: refused,
            // the pages only stay.
            drop(unsafe {
                map.unchecked_advise_range(
                    memmap2::UncheckedAdvice::DontNeed,
                    range.start,
                    range.len(),
                )
            });
        }
    }
}

impl From<Bytes> for WeightFile {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes,
            map: None,
            origin: None,
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    /// Bytes of mapped files that this process has in memory.
    fn resident_bytes() -> Option<u64> {
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("RssFile:"));
        let kib = line?.trim().trim_end_matches(" kB");
        Some(kib.parse::<u64>().ok()? * 1024)
    }

    #[test]
    fn what_is_let_go_leaves_memory_and_comes_back_the_same() {
        const BYTES: usize = 64 << 20;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("weights");
        let content: Vec<u8> = [1, 2, 3, 4].repeat(BYTES / 4);
        std::fs::write(&path, &content).unwrap();
        let file = WeightFile::map(&path).unwrap();
        assert!(file.bytes() == &content);
        let read = resident_bytes().unwrap();
        file.let_go(100..BYTES);
        let gone = resident_bytes().unwrap();
        assert!(gone + (BYTES as u64 / 4 * 3) < read, "{read} {gone}");
        assert!(file.bytes() == &content);
        // In memory there is nothing to let go.
        let memory = WeightFile::from(Bytes::from(content));
        memory.let_go(0..BYTES);
        assert_eq!(memory.bytes().len(), BYTES);
    }
}
