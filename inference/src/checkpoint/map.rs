//! Opens a weight file as memory, without reading it.
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
use std::fs::File;
use std::io;
use std::path::Path;

/// Maps `path` read-only.
pub(super) fn map_file(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: the map is read-only and private to this process's view; the
    // file is a weight file that nobody rewrites in place (module text).
    let map = unsafe { memmap2::Mmap::map(&file)? };
    Ok(Bytes::from_owner(map))
}
