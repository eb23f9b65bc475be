//! What this machine says about its memory, its load and its disk. Nothing is
//! known where there is no `/proc`; callers have an answer for that.

pub mod disk;
pub mod load;

/// Bytes that programs could still get.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    field("/proc/meminfo", "MemAvailable:")
}

/// Bytes of this process in memory now.
#[must_use]
pub fn resident_bytes() -> Option<u64> {
    field("/proc/self/status", "VmRSS:")
}

/// Bytes of this process in memory at most so far.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    field("/proc/self/status", "VmHWM:")
}

/// Threads that this process may run at once.
#[must_use]
pub fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

fn field(path: &str, name: &str) -> Option<u64> {
    bytes_of(&std::fs::read_to_string(path).ok()?, name)
}

/// `VmHWM:     1234 kB` -> bytes.
fn bytes_of(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_name_and_unit() {
        let text = "VmPeak:\t     900 kB\nVmHWM:\t     512 kB\nThreads:\t3\n";
        assert_eq!(bytes_of(text, "VmHWM:"), Some(512 * 1024));
        assert_eq!(bytes_of(text, "VmRSS:"), None);
        assert_eq!(bytes_of(text, "Threads:"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_takes_some_memory() {
        let now = resident_bytes().unwrap();
        assert!(now > 0 && peak_resident_bytes().unwrap() >= now);
        assert!(available_bytes().unwrap() > 0);
    }
}
