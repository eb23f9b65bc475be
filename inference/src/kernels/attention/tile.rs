//! The product of a few rows with a panel, all of whose sums live in registers:
//! queries with keys, weights of positions with values.
//!
//! `sum[q, column] += row[q, k] * panel[k, column]` for k in rising order, one
//! rounded multiplication and one rounded addition each. A panel comes in groups
//! of [`GROUP`] adjacent columns; how far apart lines and groups lie is the
//! caller's, so that keys in blocks and values in rows are one case.

#![expect(
    unsafe_code,
    reason = "vector instructions, and loads without a check each"
)]

use super::super::KEY_BLOCK as GROUP;

/// Queries that share each load of a panel.
pub(super) const QUERIES: usize = 6;

/// A register of floats.
pub(super) trait Vector: Copy {
    /// How many.
    const LANES: usize;
    /// Registers of columns in one tile.
    const COLUMNS: usize;

    /// # Safety
    /// The processor has the instructions of this type; `LANES` floats can be
    /// read at `from`.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// The processor has the instructions of this type; `LANES` floats can be
    /// written at `to`.
    unsafe fn store(self, to: *mut f32);

    /// # Safety
    /// The processor has the instructions of this type.
    unsafe fn splat(value: f32) -> Self;

    /// `self + a * b`, rounded twice.
    ///
    /// # Safety
    /// The processor has the instructions of this type.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;

    /// # Safety
    /// The processor has the instructions of this type.
    unsafe fn times(self, factor: Self) -> Self;
}

macro_rules! vector {
    ($name:ident, $inner:ty, $lanes:literal, $columns:literal,
     $load:path, $store:path, $splat:path, $add:path, $mul:path) => {
        #[derive(Clone, Copy)]
        pub(in super::super) struct $name($inner);

        impl Vector for $name {
            const LANES: usize = $lanes;
            const COLUMNS: usize = $columns;

            #[inline(always)]
            unsafe fn load(from: *const f32) -> Self {
                // SAFETY: the caller's promises.
                Self(unsafe { $load(from) })
            }

            #[inline(always)]
            unsafe fn store(self, to: *mut f32) {
                // SAFETY: the caller's promises.
                unsafe { $store(to, self.0) }
            }

            #[inline(always)]
            unsafe fn splat(value: f32) -> Self {
                // SAFETY: the caller's promises.
                Self(unsafe { $splat(value) })
            }

            #[inline(always)]
            unsafe fn add_product(self, a: Self, b: Self) -> Self {
                // SAFETY: the caller's promises.
                Self(unsafe { $add(self.0, $mul(a.0, b.0)) })
            }

            #[inline(always)]
            unsafe fn times(self, factor: Self) -> Self {
                // SAFETY: the caller's promises.
                Self(unsafe { $mul(self.0, factor.0) })
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use super::Vector;
    use std::arch::x86_64::{
        __m128, __m256, __m512, _mm_add_ps, _mm_loadu_ps, _mm_mul_ps, _mm_set1_ps, _mm_storeu_ps,
        _mm256_add_ps, _mm256_loadu_ps, _mm256_mul_ps, _mm256_set1_ps, _mm256_storeu_ps,
        _mm512_add_ps, _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_storeu_ps,
    };

    vector!(
        Four,
        __m128,
        4,
        2,
        _mm_loadu_ps,
        _mm_storeu_ps,
        _mm_set1_ps,
        _mm_add_ps,
        _mm_mul_ps
    );
    vector!(
        Eight,
        __m256,
        8,
        2,
        _mm256_loadu_ps,
        _mm256_storeu_ps,
        _mm256_set1_ps,
        _mm256_add_ps,
        _mm256_mul_ps
    );
    vector!(
        Sixteen,
        __m512,
        16,
        4,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_set1_ps,
        _mm512_add_ps,
        _mm512_mul_ps
    );
}

#[cfg(target_arch = "aarch64")]
mod registers {
    use super::Vector;
    use std::arch::aarch64::{
        float32x4_t, vaddq_f32, vdupq_n_f32, vld1q_f32, vmulq_f32, vst1q_f32,
    };

    vector!(
        Four,
        float32x4_t,
        4,
        4,
        vld1q_f32,
        vst1q_f32,
        vdupq_n_f32,
        vaddq_f32,
        vmulq_f32
    );
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod registers {
    use super::Vector;

    unsafe fn load(from: *const f32) -> f32 {
        // SAFETY: the caller's promise.
        unsafe { *from }
    }

    unsafe fn store(to: *mut f32, value: f32) {
        // SAFETY: the caller's promise.
        unsafe { *to = value }
    }

    unsafe fn splat(value: f32) -> f32 {
        value
    }

    unsafe fn add(a: f32, b: f32) -> f32 {
        a + b
    }

    unsafe fn mul(a: f32, b: f32) -> f32 {
        a * b
    }

    vector!(Four, f32, 1, 4, load, store, splat, add, mul);
}

pub(super) use registers::*;

/// Rows to multiply with, `stride` apart.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) elements: &'a [f32],
    pub(super) stride: usize,
}

/// Lines of columns: line k of group g starts at `g * group_stride + k * line_stride`.
#[derive(Clone, Copy)]
pub(super) struct Panel<'a> {
    pub(super) elements: &'a [f32],
    pub(super) line_stride: usize,
    pub(super) group_stride: usize,
}

impl Panel<'_> {
    #[inline(always)]
    const fn offset(&self, column: usize) -> usize {
        column / GROUP * self.group_stride + column % GROUP
    }
}

/// Sums, `stride` apart.
pub(super) struct Sums<'a> {
    pub(super) elements: &'a mut [f32],
    pub(super) stride: usize,
}

/// How far a product goes, and from where.
#[derive(Clone, Copy)]
pub(super) struct Extent {
    /// Rows, at most [`QUERIES`].
    pub(super) queries: usize,
    /// Steps of k.
    pub(super) steps: usize,
    /// Columns, whole groups.
    pub(super) columns: usize,
    /// `None`: go on from the sums there are. `Some(scale)`: begin with 0 and
    /// multiply each sum with `scale` when it is complete.
    pub(super) scale: Option<f32>,
}

/// All columns of `extent`.
///
/// # Safety
/// The processor has the instructions of `V`.
///
/// # Panics
/// When a slice is too short.
#[inline(always)]
pub(super) unsafe fn product<V: Vector>(
    rows: Rows<'_>,
    panel: Panel<'_>,
    sums: &mut Sums<'_>,
    extent: Extent,
) {
    let Extent {
        queries,
        steps,
        columns,
        ..
    } = extent;
    if queries == 0 || steps == 0 || columns == 0 {
        return;
    }
    assert!(columns.is_multiple_of(GROUP), "whole groups");
    let last_line = (steps - 1) * panel.line_stride + panel.offset(columns - 1);
    assert!(last_line < panel.elements.len(), "panel");
    let last_row = (queries - 1) * rows.stride + steps;
    assert!(last_row <= rows.elements.len(), "rows");
    let last_sum = (queries - 1) * sums.stride + columns;
    assert!(last_sum <= sums.elements.len(), "sums");
    // SAFETY: the largest indices are within the slices, by the checks above;
    // the instructions are there by the caller's promise.
    unsafe {
        match queries {
            1 => sweep::<V, 1>(rows, panel, sums, extent),
            2 => sweep::<V, 2>(rows, panel, sums, extent),
            3 => sweep::<V, 3>(rows, panel, sums, extent),
            4 => sweep::<V, 4>(rows, panel, sums, extent),
            5 => sweep::<V, 5>(rows, panel, sums, extent),
            6 => sweep::<V, 6>(rows, panel, sums, extent),
            _ => unreachable!("at most six queries"),
        }
    }
}

/// # Safety
/// As [`tile`], for all columns.
#[inline(always)]
unsafe fn sweep<V: Vector, const Q: usize>(
    rows: Rows<'_>,
    panel: Panel<'_>,
    sums: &mut Sums<'_>,
    extent: Extent,
) {
    let mut column = 0;
    // SAFETY: the caller's promises.
    unsafe {
        if V::COLUMNS == 4 {
            while column + 4 * V::LANES <= extent.columns {
                tile::<V, Q, 4>(rows, panel, sums, (extent, column));
                column += 4 * V::LANES;
            }
        }
        while column + 2 * V::LANES <= extent.columns {
            tile::<V, Q, 2>(rows, panel, sums, (extent, column));
            column += 2 * V::LANES;
        }
        while column < extent.columns {
            tile::<V, Q, 1>(rows, panel, sums, (extent, column));
            column += V::LANES;
        }
    }
}

/// # Safety
/// The processor has the instructions of `V`; `Q` rows of `extent.steps`
/// elements, as many lines of `N` registers of columns, and the sums are there.
#[inline(always)]
unsafe fn tile<V: Vector, const Q: usize, const N: usize>(
    rows: Rows<'_>,
    panel: Panel<'_>,
    sums: &mut Sums<'_>,
    (extent, column): (Extent, usize),
) {
    let offsets: [usize; N] = std::array::from_fn(|n| panel.offset(column + n * V::LANES));
    let (row, line) = (rows.elements.as_ptr(), panel.elements.as_ptr());
    let sum = sums.elements.as_mut_ptr();
    // SAFETY: every index is at most one of those the caller answers for.
    unsafe {
        let mut totals = [[V::splat(0.0); N]; Q];
        if extent.scale.is_none() {
            for (q, totals) in totals.iter_mut().enumerate() {
                for (n, total) in totals.iter_mut().enumerate() {
                    *total = V::load(sum.add(q * sums.stride + column + n * V::LANES));
                }
            }
        }
        for k in 0..extent.steps {
            let line = line.add(k * panel.line_stride);
            let mut columns = [V::splat(0.0); N];
            for (column, offset) in columns.iter_mut().zip(offsets) {
                *column = V::load(line.add(offset));
            }
            for (q, totals) in totals.iter_mut().enumerate() {
                let factor = V::splat(*row.add(q * rows.stride + k));
                for (total, column) in totals.iter_mut().zip(columns) {
                    *total = total.add_product(factor, column);
                }
            }
        }
        for (q, totals) in totals.iter().enumerate() {
            for (n, total) in totals.iter().enumerate() {
                let total = match extent.scale {
                    Some(scale) => total.times(V::splat(scale)),
                    None => *total,
                };
                total.store(sum.add(q * sums.stride + column + n * V::LANES));
            }
        }
    }
}
