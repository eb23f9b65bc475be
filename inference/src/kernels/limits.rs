//! What the machine allows: reading memory, and multiplying in registers.
//!
//! Benches compare the kernels with these in the same run. The reader walks
//! several streams at once, because one alone does not reach the memory's
//! speed. No clock here: the caller times the calls.

use super::pool::Pool;
use super::{InstructionSet, variants};
use std::sync::atomic::{AtomicU64, Ordering};

/// Streams that one thread reads at once.
const STREAMS: usize = 8;
/// Bytes of one look at a stream.
const LINE_BYTES: usize = 64;
/// Bytes that one part reads.
const PART_BYTES: usize = 4 << 20;

/// Reads all of `bytes` once and returns a sum of them, so that nobody can
/// leave the reading out.
pub(super) fn read(set: InstructionSet, pool: &Pool, bytes: &[u8]) -> u64 {
    let total = AtomicU64::new(0);
    pool.run(bytes.len().div_ceil(PART_BYTES), &|part| {
        let end = bytes.len().min((part + 1) * PART_BYTES);
        let mut sum = 0;
        variants::read_streams(set, &bytes[part * PART_BYTES..end], &mut sum);
        total.fetch_add(sum, Ordering::Relaxed);
    });
    total.into_inner()
}

#[inline(always)]
pub(super) fn read_streams(bytes: &[u8], sum: &mut u64) {
    let (lines, rest) = bytes.as_chunks::<LINE_BYTES>();
    let share = lines.len() / STREAMS;
    let (even, tail) = lines.split_at(share * STREAMS);
    let mut lanes = [0_u64; LINE_BYTES / 8];
    let streams: [&[[u8; LINE_BYTES]]; STREAMS] =
        std::array::from_fn(|stream| &even[stream * share..][..share]);
    for line in 0..share {
        for stream in &streams {
            add(&mut lanes, &stream[line]);
        }
    }
    for line in tail {
        add(&mut lanes, line);
    }
    let start = rest.iter().fold(0, |sum, &byte| sum ^ u64::from(byte));
    *sum = lanes.iter().fold(start, |sum, lane| sum ^ lane);
}

#[inline(always)]
fn add(lanes: &mut [u64; LINE_BYTES / 8], line: &[u8; LINE_BYTES]) {
    let (words, _) = line.as_chunks::<8>();
    for (lane, word) in lanes.iter_mut().zip(words) {
        *lane ^= u64::from_le_bytes(*word);
    }
}
