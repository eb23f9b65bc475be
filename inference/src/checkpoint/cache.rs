//! A directory for what can be made again: hashes of tensors, packed matrices.
//!
//! Every file appears whole under its name or not at all, and whoever reads one
//! checks it. So several processes may share the directory, and its owner may
//! delete it at any time. Nothing here decides what the files hold.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The end of the name of a file that is being written.
const PART: &str = "part";

/// A folder of the cache.
#[derive(Debug, Clone)]
pub(crate) struct CacheFolder {
    directory: PathBuf,
}

impl CacheFolder {
    /// `directory/folder`; it need not exist.
    pub(crate) fn new(directory: &Path, folder: &str) -> Self {
        Self {
            directory: directory.join(folder),
        }
    }

    /// The file of this name.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file whole: beside its place, synced, then renamed.
    pub(crate) fn write(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        let process = std::process::id();
        let part = self.directory.join(format!("{name}.{process}.{PART}"));
        let written = File::create(&part).and_then(|mut file| {
            for bytes in parts {
                file.write_all(bytes)?;
            }
            file.sync_all()
        });
        let renamed = written.and_then(|()| fs::rename(&part, self.path(name)));
        if renamed.is_err() {
            drop(fs::remove_file(&part));
        }
        renamed
    }

    /// Removes what processes that were killed had begun to write.
    pub(crate) fn sweep(&self) {
        let entries = fs::read_dir(&self.directory).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            if is_abandoned(&path) {
                drop(fs::remove_file(&path));
            }
        }
    }
}

/// Whether `path` is a part whose writer is gone. Where processes cannot be
/// looked up, none is.
fn is_abandoned(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut ends = name.rsplit('.');
    let (end, process) = (ends.next(), ends.next());
    let processes = Path::new("/proc/self");
    let is_running = |process: &str| processes.with_file_name(process).exists();
    end == Some(PART)
        && processes.exists()
        && process.is_some_and(|process| process.parse::<u32>().is_ok() && !is_running(process))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_appear_whole_and_leftovers_go() {
        let directory = tempfile::tempdir().unwrap();
        let folder = CacheFolder::new(directory.path(), "packed");
        folder.write("a.b", &[b"one", b"two"]).unwrap();
        folder.write("a.b", &[b"three"]).unwrap();
        assert_eq!(fs::read(folder.path("a.b")).unwrap(), b"three");
        let (ours, theirs) = (std::process::id(), u32::MAX);
        let parts = [ours, theirs].map(|process| folder.path(&format!("c.{process}.part")));
        parts.iter().for_each(|part| fs::write(part, "").unwrap());
        folder.sweep();
        assert!(folder.path("a.b").exists());
        if cfg!(target_os = "linux") {
            assert_eq!(parts.map(|part| part.exists()), [true, false]);
        }
    }

    #[test]
    fn a_refused_write_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let folder = CacheFolder::new(directory.path(), "packed");
        fs::create_dir_all(folder.path("taken")).unwrap();
        assert!(folder.write("taken", &[b"x"]).is_err());
        assert_eq!(
            fs::read_dir(directory.path().join("packed"))
                .unwrap()
                .count(),
            1
        );
    }
}
