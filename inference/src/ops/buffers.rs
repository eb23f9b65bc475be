//! Memory of activations that was done with, for the next operation.
//!
//! A step makes the same large outputs again for every layer; fresh memory would
//! be zeroed by the allocator, and often by the kernel too, for nothing, because
//! every element is written. Buffers belong to the thread that computes; few are
//! kept, and nothing here is read.

use std::cell::RefCell;

/// Buffers kept at most.
const KEPT: usize = 6;
/// Larger ones go back to the allocator at once.
const KEPT_ELEMENTS_MAX: usize = 16 << 20;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// `len` elements whose values mean nothing.
pub(super) fn take(len: usize) -> Vec<f32> {
    let found = FREE.with_borrow_mut(|free| {
        let fits = free.iter().enumerate().filter(|(_, one)| one.len() >= len);
        let least = fits
            .min_by_key(|(_, one)| one.len())
            .map(|(index, _)| index);
        least.map(|index| free.swap_remove(index))
    });
    match found {
        Some(mut buffer) => {
            buffer.truncate(len);
            buffer
        }
        None => vec![0.0; len],
    }
}

/// Keeps a buffer for the next [`take`]; the smallest makes place for it.
pub(super) fn give(buffer: Vec<f32>) {
    if buffer.is_empty() || buffer.len() > KEPT_ELEMENTS_MAX {
        return;
    }
    FREE.with_borrow_mut(|free| {
        free.push(buffer);
        if free.len() > KEPT {
            let smallest = free.iter().enumerate().min_by_key(|(_, one)| one.len());
            if let Some((index, _)) = smallest {
                free.swap_remove(index);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_that_is_large_enough_comes_back() {
        for len in [100, 10, 50] {
            give(vec![1.0; len]);
        }
        let found = take(20);
        assert_eq!((found.len(), found.capacity()), (20, 50));
        assert_eq!(take(60).capacity(), 100);
        // None is left that is large enough: fresh memory.
        assert_eq!(take(20), vec![0.0; 20]);
    }

    #[test]
    fn few_are_kept_and_no_huge_ones() {
        give(vec![0.0; KEPT_ELEMENTS_MAX + 1]);
        for len in 1..=KEPT + 3 {
            give(vec![0.0; len]);
        }
        let mut kept = FREE.with_borrow(|free| free.iter().map(Vec::len).collect::<Vec<_>>());
        kept.sort_unstable();
        assert_eq!(kept, (4..=KEPT + 3).collect::<Vec<_>>());
    }
}
