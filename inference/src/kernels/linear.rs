//! Packed linears: which groups of rows which thread multiplies, and with what.
//!
//! Law: an output is one expression of its weight row and its activation row
//! (see `scalar` below), the same for every instruction set, row count, thread
//! and place in the matrix. Weights are read once for all rows of a panel; for
//! many panels a block of weights stays in the second-level cache while the
//! panels pass.

#![expect(
    unsafe_code,
    reason = "parts write their own columns of shared output rows"
)]

/// Calls `$body::<R, G>` over all groups, `$most` groups at a time, then one.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
macro_rules! sweep {
    ($tile:ident, $output:ident, $body:ident, $rows:literal, $most:literal) => {{
        let mut first = 0;
        while $tile.groups - first >= $most {
            // SAFETY: the caller's promises.
            unsafe { $body::<$rows, $most>($tile, Place { first }, $output) };
            first += $most;
        }
        while first < $tile.groups {
            // SAFETY: the caller's promises.
            unsafe { $body::<$rows, 1>($tile, Place { first }, $output) };
            first += 1;
        }
    }};
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
pub mod scalar;

use super::activations::Activations;
use super::packed::{GROUP_ROWS, PackedFormat, PackedMatrix};
use super::pool::{Pool, Shares};
use super::{InstructionSet, Prologue};

/// Weights that stay in the second-level cache while panels pass, in bytes.
const CACHED_WEIGHTS_BYTES: usize = 256 * 1024;
/// Groups that a part has at least: as many streams as the widest tile reads.
const PART_GROUPS_MIN: usize = 8;
/// Parts for each thread, so that a delayed one is made up for.
const PARTS_PER_THREAD: usize = 4;
/// Bytes of weights that are worth a part.
const PART_BYTES_MIN: usize = 64 * 1024;

/// Some groups of one matrix against all rows.
struct Part<'a> {
    matrix: PackedMatrix<'a>,
    /// Column of the matrix's first row in the output.
    column: usize,
    first_group: usize,
    groups: usize,
}

/// Where the results of a tile go.
#[derive(Clone, Copy)]
struct Output {
    /// The first row's first column of this tile.
    start: *mut f32,
    /// Elements from one row to the next.
    stride: usize,
    /// Columns that exist from there on; what a group has beyond is padding.
    columns: usize,
}

/// One call of an instruction set's body: some groups against one panel.
struct Tile<'a> {
    format: PackedFormat,
    /// The first group and what follows.
    weights: &'a [u8],
    group_bytes: usize,
    groups: usize,
    /// Interleaved activation words.
    panel: &'a [u32],
    /// How many rows lie interleaved.
    rows: usize,
}

/// Groups `first..first + G` of a tile.
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[derive(Clone, Copy)]
struct Place {
    first: usize,
}

/// `out[r, column(m) + n] = sum over k of matrices[m][n, k] * prologue(input)[r, k]`,
/// the matrices' columns side by side.
pub(super) fn linear(
    set: InstructionSet,
    pool: &Pool,
    (input, prologue): (&[f32], &Prologue<'_>),
    matrices: &[PackedMatrix<'_>],
    out: &mut [f32],
) {
    let Some(first) = matrices.first() else {
        return;
    };
    let (format, inner) = (first.format(), first.inner());
    let activations = Activations::new(set, pool, format, (input, inner), prologue);
    if activations.rows() == 0 {
        return;
    }
    let stride = out.len() / activations.rows();
    let parts = parts(matrices, pool.threads());
    let shares = Shares::new(out);
    pool.run(parts.len(), &|index| {
        run_part(set, &parts[index], &activations, &shares, stride);
    });
}

fn parts<'a>(matrices: &[PackedMatrix<'a>], threads: usize) -> Vec<Part<'a>> {
    let total: usize = matrices.iter().map(PackedMatrix::groups).sum();
    let mut parts = Vec::new();
    let mut column = 0;
    for &matrix in matrices {
        let group_bytes = matrix.format().group_bytes(matrix.inner());
        let share = if threads == 1 {
            usize::MAX
        } else {
            total
                .div_ceil(threads * PARTS_PER_THREAD)
                .max(PART_BYTES_MIN / group_bytes)
                .next_multiple_of(PART_GROUPS_MIN)
        };
        let mut first_group = 0;
        while first_group < matrix.groups() {
            let groups = share.min(matrix.groups() - first_group);
            parts.push(Part {
                matrix,
                column,
                first_group,
                groups,
            });
            first_group += groups;
        }
        column += matrix.width();
    }
    parts
}

fn run_part(
    set: InstructionSet,
    part: &Part<'_>,
    activations: &Activations,
    out: &Shares<'_, f32>,
    stride: usize,
) {
    let Part { matrix, .. } = part;
    let format = matrix.format();
    let group_bytes = format.group_bytes(matrix.inner());
    let block = if activations.panels() == 1 {
        part.groups
    } else {
        (CACHED_WEIGHTS_BYTES / group_bytes).next_multiple_of(PART_GROUPS_MIN / 2)
    };
    let mut done = 0;
    while done < part.groups {
        let groups = block.min(part.groups - done);
        let first = part.first_group + done;
        let columns = (matrix.width() - first * GROUP_ROWS).min(groups * GROUP_ROWS);
        let column = part.column + first * GROUP_ROWS;
        for panel in 0..activations.panels() {
            let (rows, panel) = activations.panel(panel);
            let from = rows.start * stride + column;
            let to = from + (rows.len() - 1) * stride + columns;
            // SAFETY: not a slice, because between a row's columns lie those of
            // other parts; the range is checked, and no other part writes
            // columns `column..column + columns`.
            let start = unsafe { out.start(from..to) };
            let output = Output {
                start,
                stride,
                columns,
            };
            let tile = Tile {
                format,
                weights: &matrix.groups_from(first)[..groups * group_bytes],
                group_bytes,
                groups,
                panel,
                rows: rows.len(),
            };
            // SAFETY: as above: rows and columns of this panel and part only.
            unsafe { run_tile(set, &tile, output) };
        }
        done += groups;
    }
}

/// Whether products of `format` are computed with 512-bit registers.
pub(super) fn has_wide_body(set: InstructionSet, format: PackedFormat) -> bool {
    let least = match format {
        PackedFormat::Bf16 => InstructionSet::Avx512Bf16,
        PackedFormat::Q8_0 | PackedFormat::Q4_0 => InstructionSet::Avx512Vnni,
    };
    cfg!(target_arch = "x86_64") && set >= least
}

/// # Safety
/// `output` is valid for writing `tile.rows` rows of its columns.
unsafe fn run_tile(set: InstructionSet, tile: &Tile<'_>, output: Output) {
    #[cfg(target_arch = "x86_64")]
    {
        if has_wide_body(set, tile.format) {
            // SAFETY: the set was detected; the output is the caller's promise.
            return unsafe { avx512::run(tile, output) };
        }
        if set >= InstructionSet::Avx2 {
            // SAFETY: as above.
            return unsafe { avx2::run(tile, output) };
        }
    }
    #[cfg(target_arch = "aarch64")]
    if set >= InstructionSet::Neon {
        let has_dot_products = set >= InstructionSet::NeonDotprod;
        // SAFETY: the set was detected; the output is the caller's promise.
        return unsafe { neon::run(has_dot_products, tile, output) };
    }
    let _ = set;
    // SAFETY: the caller's promise.
    unsafe { scalar::run(tile, output) };
}
