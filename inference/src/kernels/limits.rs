//! What the machine allows: how fast memory is read.
//!
//! Benches compare the kernels with these in the same run. The reader walks
//! several streams at once, because one alone does not reach the memory's
//! speed. No clock here: the caller times the calls.

use super::InstructionSet;
use super::pool::Pool;
use std::sync::atomic::{AtomicU64, Ordering};

/// Streams that one thread reads at once.
const STREAMS: usize = 8;
/// Bytes of one look at a stream.
const LINE_BYTES: usize = 64;
/// Bytes that one part reads at most: an odd number of lines for each stream, so
/// that the streams do not fall into the same sets of a cache.
const PART_BYTES: usize = STREAMS * LINE_BYTES * 8191;

/// Reads every byte of `places` once and returns a sum of them, so that nobody
/// can leave the reading out.
pub(super) fn read(set: InstructionSet, pool: &Pool, places: &[&[u8]]) -> u64 {
    let total = AtomicU64::new(0);
    let parts: Vec<&[u8]> = places
        .iter()
        .flat_map(|bytes| bytes.chunks(PART_BYTES))
        .collect();
    pool.run(parts.len(), &|part| {
        let sum = read_part(set, parts[part]);
        total.fetch_add(sum, Ordering::Relaxed);
    });
    total.into_inner()
}

fn read_part(set: InstructionSet, bytes: &[u8]) -> u64 {
    #[cfg(target_arch = "x86_64")]
    if set >= InstructionSet::Avx512 {
        #[expect(unsafe_code, reason = "calling a function for a detected set")]
        // SAFETY: the set was detected.
        return unsafe { avx512::read_streams(bytes) };
    }
    let _ = set;
    read_words(bytes)
}

fn read_words(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let start = rest.iter().fold(0, |sum, &byte| sum ^ u64::from(byte));
    words
        .iter()
        .fold(start, |sum, word| sum ^ u64::from_le_bytes(*word))
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use super::{LINE_BYTES, STREAMS, read_words};
    use std::arch::x86_64::{
        __m512i, _mm512_loadu_si512, _mm512_reduce_add_epi64, _mm512_setzero_si512,
        _mm512_xor_si512,
    };

    /// # Safety
    /// The processor has AVX-512 F.
    #[expect(unsafe_code, reason = "wide loads")]
    #[target_feature(enable = "avx512f")]
    #[expect(clippy::cast_sign_loss, reason = "only the bits matter")]
    pub(super) unsafe fn read_streams(bytes: &[u8]) -> u64 {
        let lines = bytes.len() / LINE_BYTES / STREAMS;
        // Odd, where there are enough.
        let lines = lines.saturating_sub(1 - lines % 2);
        let mut sums: [__m512i; STREAMS] = [_mm512_setzero_si512(); STREAMS];
        for line in 0..lines {
            for (stream, sum) in sums.iter_mut().enumerate() {
                let at = (stream * lines + line) * LINE_BYTES;
                // SAFETY: below `lines * STREAMS` whole lines.
                let value = unsafe { _mm512_loadu_si512(bytes.as_ptr().add(at).cast()) };
                *sum = _mm512_xor_si512(*sum, value);
            }
        }
        let sum = sums.into_iter().fold(_mm512_setzero_si512(), |sum, value| {
            _mm512_xor_si512(sum, value)
        });
        let rest = read_words(&bytes[lines * STREAMS * LINE_BYTES..]);
        (_mm512_reduce_add_epi64(sum) as u64).wrapping_add(rest)
    }
}
