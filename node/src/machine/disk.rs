//! Room on the disk: the one place that asks the system for it.

use std::path::Path;

/// Entries of directories that are added up at most.
const ENTRIES_MAX: usize = 100_000;

/// Bytes that this user may still write where `path` is.
///
/// # Errors
/// When there is nothing at `path`.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(path)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Bytes of the files below `path`, links not followed.
#[must_use]
pub fn used_bytes(path: &Path) -> u64 {
    let (mut sum, mut entries) = (0_u64, 0_usize);
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            entries += 1;
            if entries > ENTRIES_MAX {
                return sum;
            }
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => sum = sum.saturating_add(metadata.len()),
                Err(_) => {}
            }
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_and_use_are_told() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("a")).unwrap();
        std::fs::write(directory.path().join("a/b"), [0; 70]).unwrap();
        std::fs::write(directory.path().join("c"), [0; 7]).unwrap();
        assert_eq!(used_bytes(directory.path()), 77);
        assert!(free_bytes(directory.path()).unwrap() > 0);
        assert!(free_bytes(&directory.path().join("nowhere")).is_err());
    }
}
