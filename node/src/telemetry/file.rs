//! A log file that does not fill the disk: when it has grown too large it
//! becomes the older one, and a new one begins.

use super::older_log_path;
use crate::home::append_private;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tracing_subscriber::fmt::MakeWriter;

/// Bytes of the file; the older one is as large at most.
const BYTES_MAX: u64 = 8 << 20;

/// Writes whole lines; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct LogFile(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    /// Opens a file to go on at its end; makes its directory.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::bounded(path, BYTES_MAX)
    }

    fn bounded(path: &Path, bytes_max: u64) -> io::Result<Self> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let file = append_private(path)?;
        Ok(Self(Arc::new(Mutex::new(Open {
            path: path.to_owned(),
            bytes: file.metadata()?.len(),
            file,
            bytes_max,
        }))))
    }
}

impl Open {
    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        if self.bytes > 0 && self.bytes.saturating_add(line.len() as u64) > self.bytes_max {
            // Where that fails the log goes on in the old file: better than none.
            if fs::rename(&self.path, older_log_path(&self.path)).is_ok() {
                self.file = append_private(&self.path)?;
            }
            self.bytes = 0;
        }
        self.file.write_all(line)?;
        self.bytes = self.bytes.saturating_add(line.len() as u64);
        Ok(())
    }
}

/// One line on its way.
#[derive(Debug)]
pub(super) struct Line(LogFile);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut open = (self.0).0.lock().unwrap_or_else(PoisonError::into_inner);
        open.write_line(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogFile {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_becomes_the_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log").join("talkoot.log");
        let log = LogFile::bounded(&path, 20).unwrap();
        for line in ["12345678\n", "abcdefgh\n", "ABCDEFGH\n"] {
            log.make_writer().write_all(line.as_bytes()).unwrap();
        }
        let read = |path: &Path| fs::read_to_string(path).unwrap();
        assert_eq!(read(&path), "ABCDEFGH\n");
        assert_eq!(read(&older_log_path(&path)), "12345678\nabcdefgh\n");
        drop(log);
        let again = LogFile::bounded(&path, 20).unwrap();
        again.make_writer().write_all(b"on\n").unwrap();
        assert_eq!(read(&path), "ABCDEFGH\non\n");
    }
}
