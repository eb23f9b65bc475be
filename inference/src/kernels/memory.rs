//! Memory for weights: zeroed, and on huge pages where the system has them.
//!
//! Above the caches, reading from 2 MiB pages is markedly faster than from
//! 4 KiB ones, and a program gets them only when it asks.

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};

/// A huge page of the processors we know.
const HUGE_PAGE_BYTES: usize = 2 << 20;

/// `bytes` zero bytes on huge pages, if the system agrees; else on small ones.
///
/// # Errors
/// The operating system's, when there is not so much memory.
pub fn huge_zeroed(bytes: usize) -> std::io::Result<MmapMut> {
    let memory = MmapOptions::new().len(bytes.max(1)).map_anon()?;
    // Refused where huge pages are switched off; the memory is good all the same.
    #[cfg(target_os = "linux")]
    drop(memory.advise(memmap2::Advice::HugePage));
    Ok(memory)
}

/// Memory that is filled once and then shared read-only; it starts on a huge
/// page.
#[derive(Debug)]
pub(crate) struct Region {
    memory: MmapMut,
    start: usize,
    len: usize,
}

impl Region {
    /// Reserves `len` zero bytes. They take real memory as they are written.
    ///
    /// # Errors
    /// The operating system's, when there is not so much memory.
    pub(crate) fn new(len: usize) -> std::io::Result<Self> {
        let reserved = len.checked_add(HUGE_PAGE_BYTES);
        let memory = huge_zeroed(reserved.ok_or(std::io::ErrorKind::OutOfMemory)?)?;
        let address = memory.as_ptr().addr();
        let start = address.next_multiple_of(HUGE_PAGE_BYTES) - address;
        Ok(Self { memory, start, len })
    }

    /// All of it, to be filled.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }

    /// Ends the filling. The memory lives as long as the last slice of it.
    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Region {
    fn as_ref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_starts_on_a_huge_page_and_outlives_its_maker() {
        for len in [1, 4096, HUGE_PAGE_BYTES + 1] {
            let mut region = Region::new(len).unwrap();
            assert_eq!(region.bytes_mut().len(), len);
            assert!(region.bytes_mut().iter().all(|byte| *byte == 0));
            region.bytes_mut()[len - 1] = 7;
            let bytes = region.freeze();
            assert!(bytes.as_ptr().addr().is_multiple_of(HUGE_PAGE_BYTES));
            let tail = bytes.slice(len - 1..);
            drop(bytes);
            assert_eq!(tail[0], 7);
        }
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(Region::new(usize::MAX).is_err());
        assert!(Region::new(usize::MAX / 2).is_err());
    }
}
