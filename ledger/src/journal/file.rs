//! A file that can be made durable: the door to the disk.
//!
//! Small on purpose, so that a twin can fail at every call.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What the journal and the signer file need of a file.
pub trait DurableFile: std::fmt::Debug + Send {
    /// Bytes in it.
    ///
    /// # Errors
    /// The system's.
    fn length(&mut self) -> io::Result<u64>;

    /// Fills the buffer from an offset.
    ///
    /// # Errors
    /// The system's; an early end is one.
    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Writes all bytes at an offset. Nothing is durable yet.
    ///
    /// # Errors
    /// The system's; some of the bytes may be written then.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Shortens it.
    ///
    /// # Errors
    /// The system's.
    fn truncate(&mut self, length: u64) -> io::Result<()>;

    /// Makes everything before this call durable.
    ///
    /// # Errors
    /// The system's; then it is not known what is durable.
    fn sync(&mut self) -> io::Result<()>;
}

impl<F: DurableFile + ?Sized> DurableFile for Box<F> {
    fn length(&mut self) -> io::Result<u64> {
        (**self).length()
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_exact_at(offset, buffer)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (**self).write_at(offset, bytes)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        (**self).truncate(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        (**self).sync()
    }
}

/// A file of the system.
#[derive(Debug)]
pub struct RealFile(File);

impl RealFile {
    /// Opens a file for reading and writing; makes it, and its name durable, if
    /// it is not there.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        let is_new = !path.try_exists()?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        if is_new {
            file.sync_all()?;
            sync_directory_of(path)?;
        }
        Ok(Self(file))
    }

    /// Opens a file for reading; every write fails.
    ///
    /// # Errors
    /// The system's.
    pub fn open_read_only(path: &Path) -> io::Result<Self> {
        File::open(path).map(Self)
    }
}

/// Makes the names in a file's directory durable.
///
/// # Errors
/// The system's.
pub fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

impl DurableFile for RealFile {
    fn length(&mut self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn read_exact_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
