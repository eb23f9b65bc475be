//! Processor kernels: slices in, slices out, nothing of burn.
//!
//! Law: every output element is a fixed expression of its inputs. Sums over k
//! run in [`LANES`] lanes (lane l adds the products of k = l mod 16 in rising
//! order, then the lanes are halved 8, 4, 2, 1), softmax and the weighted sum
//! over positions in rising order of position; multiply and add are never
//! fused. Products of packed matrices have expressions of their own, stated in
//! [`linear::scalar`]. So neither rows in a step, nor batch, nor threads, nor
//! instruction set change a bit. [`scalar`] states each other expression plainly;
//! the bodies in `body`, `attention` and `turn` are the same expressions in the
//! shape of wide instructions, and tests hold them equal bit for bit.

mod activations;
mod attention;
mod body;
mod instruction_set;
mod limits;
pub mod linear;
mod memory;
mod packed;
mod pool;
pub mod scalar;
mod times;
mod turn;
mod variants;

pub use activations::Prologue;
pub use instruction_set::InstructionSet;
pub(crate) use memory::Region;
pub use memory::huge_zeroed;
pub use packed::{BLOCK, GROUP_ROWS, PackError, PackedFormat, PackedMatrix};
pub use pool::Pool;
pub use times::{KernelKind, KernelTimes};

use half::{bf16, f16};
use pool::Shares;
use std::ops::Range;
use std::sync::Arc;
use times::Running;

/// Partial sums of every sum over k.
pub const LANES: usize = 16;

/// Positions that lie together in a key cache.
pub const KEY_BLOCK: usize = 16;

/// Below this many products a linear is not worth a second thread.
const PRODUCTS_PER_THREAD_MIN: usize = 4_000_000;

/// Below this many elements a pass over rows is not worth a second thread.
const ELEMENTS_SHARED_MIN: usize = 32_768;

/// A matrix as stored, row-major.
#[derive(Debug, Clone, Copy)]
pub enum Matrix<'a> {
    /// 32-bit floats.
    F32(&'a [f32]),
    /// 16-bit brain floats.
    Bf16(&'a [bf16]),
    /// 16-bit IEEE floats.
    F16(&'a [f16]),
}

impl<'a> Matrix<'a> {
    /// How many elements.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::F32(elements) => elements.len(),
            Self::Bf16(elements) => elements.len(),
            Self::F16(elements) => elements.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn rows(&self, first: usize, count: usize, width: usize) -> Matrix<'a> {
        let range = first * width..(first + count) * width;
        match self {
            Self::F32(elements) => Matrix::F32(&elements[range]),
            Self::Bf16(elements) => Matrix::Bf16(&elements[range]),
            Self::F16(elements) => Matrix::F16(&elements[range]),
        }
    }
}

/// Sizes of one session's part in attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of one head.
    pub head_dim: usize,
    /// Positions the cache has room for.
    pub capacity: usize,
    /// Position of the first row.
    pub position: usize,
    /// Rows of this session in the step.
    pub rows: usize,
    /// How many positions a row sees, its own the last; `None`: all up to it.
    pub window: Option<usize>,
}

impl AttentionShape {
    /// Columns of the fused query, key and value rows.
    #[must_use]
    pub const fn qkv_width(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }

    /// Columns of query and output rows.
    #[must_use]
    pub const fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Elements of the key cache: whole blocks of positions.
    #[must_use]
    pub const fn keys_len(&self) -> usize {
        self.kv_heads * self.head_dim * self.capacity.next_multiple_of(KEY_BLOCK)
    }

    /// Elements of the value cache.
    #[must_use]
    pub const fn values_len(&self) -> usize {
        self.kv_heads * self.head_dim * self.capacity
    }

    /// Where element `element` of the key of `head` at `position` lies:
    /// `[kv_heads, blocks, head_dim, KEY_BLOCK]`, so that both an append and
    /// the scores of a block touch one piece of memory.
    #[must_use]
    pub const fn key_index(&self, head: usize, position: usize, element: usize) -> usize {
        let blocks = self.capacity.div_ceil(KEY_BLOCK);
        let block = head * blocks + position / KEY_BLOCK;
        (block * self.head_dim + element) * KEY_BLOCK + position % KEY_BLOCK
    }

    /// The positions that row `row` of the step sees.
    #[must_use]
    pub fn seen(&self, row: usize) -> Range<usize> {
        let end = self.position + row + 1;
        self.window.map_or(0, |window| end.saturating_sub(window))..end
    }
}

/// Where a linear writes: columns `column..column + width` of rows that are
/// `stride` wide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Columns {
    /// First column.
    pub column: usize,
    /// Width of a whole output row.
    pub stride: usize,
}

/// The kernels of one instruction set and the threads that share a call.
/// Cloning shares the threads.
#[derive(Debug, Clone)]
pub struct Kernels {
    set: InstructionSet,
    pool: Arc<Pool>,
    times: Option<Arc<KernelTimes>>,
    /// What packed and stored products are timed as.
    product_kind: KernelKind,
}

impl Kernels {
    /// The best this machine has.
    #[must_use]
    pub fn detect(threads: usize) -> Self {
        Self::new(InstructionSet::best(), threads)
    }

    fn new(set: InstructionSet, threads: usize) -> Self {
        Self {
            set,
            pool: Arc::new(Pool::new(threads)),
            times: None,
            product_kind: KernelKind::Linear,
        }
    }

    /// The kernels of `set`, or `None` if this machine lacks it.
    #[must_use]
    pub fn with_set(set: InstructionSet, threads: usize) -> Option<Self> {
        InstructionSet::available()
            .contains(&set)
            .then(|| Self::new(set, threads))
    }

    /// The same kernels, their calls timed into `times`.
    #[must_use]
    pub fn timed(&self, times: Arc<KernelTimes>) -> Self {
        Self {
            times: Some(times),
            ..self.clone()
        }
    }

    /// The same kernels, their products timed as those of the head.
    #[must_use]
    pub fn for_head(&self) -> Self {
        Self {
            product_kind: KernelKind::Head,
            ..self.clone()
        }
    }

    fn time(&self, kind: KernelKind) -> Option<Running<'_>> {
        self.times.as_ref().map(|times| times.start(kind))
    }

    /// Which instruction set.
    #[must_use]
    pub const fn set(&self) -> InstructionSet {
        self.set
    }

    /// Threads that share a call.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The threads, for other work that is cut into parts.
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Reads all of `bytes` as fast as these threads can and returns a sum of
    /// them: the limit that a product with one row can reach.
    #[must_use]
    pub fn read_memory(&self, bytes: &[u8]) -> u64 {
        self.read_memories(&[bytes])
    }

    /// The same for memory in several places, read as one.
    #[must_use]
    pub fn read_memories(&self, places: &[&[u8]]) -> u64 {
        limits::read(self.set, &self.pool, places)
    }

    /// The prologue of every input row, then its products with all packed
    /// matrices, whose outputs lie side by side in each row of `out`. The
    /// matrices share one format and inner width.
    ///
    /// # Panics
    /// When the sizes do not fit: the caller checked shapes at load.
    pub fn packed_linear(
        &self,
        input: &[f32],
        prologue: &Prologue<'_>,
        matrices: &[PackedMatrix<'_>],
        out: &mut [f32],
    ) {
        let Some(first) = matrices.first() else {
            return;
        };
        let (format, inner) = (first.format(), first.inner());
        let is_alike =
            |matrix: &PackedMatrix<'_>| matrix.format() == format && matrix.inner() == inner;
        assert!(
            inner > 0 && matrices.iter().all(is_alike),
            "packed matrices"
        );
        let width: usize = matrices.iter().map(PackedMatrix::width).sum();
        let input_width = prologue.input_width(inner);
        assert!(input.len().is_multiple_of(input_width), "input rows");
        assert_eq!(out.len(), input.len() / input_width * width, "output rows");
        if let Prologue::RmsNorm { gain, .. } = prologue {
            assert_eq!(gain.len(), inner, "norm gain");
        }
        let _running = self.time(self.product_kind);
        linear::linear(self.set, &self.pool, (input, prologue), matrices, out);
    }

    /// `out[r, column + n] = sum over k of weights[n, k] * input[r, k]`.
    ///
    /// # Panics
    /// When the sizes do not fit: the caller checked shapes at load.
    pub fn linear(
        &self,
        input: &[f32],
        inner: usize,
        weights: Matrix<'_>,
        out: &mut [f32],
        columns: Columns,
    ) {
        assert!(inner > 0 && columns.stride > 0, "empty linear");
        let (rows, width) = (input.len() / inner, weights.len() / inner);
        assert_eq!(input.len(), rows * inner, "input rows");
        assert_eq!(weights.len(), width * inner, "weight rows");
        assert_eq!(out.len(), rows * columns.stride, "output rows");
        assert!(columns.column + width <= columns.stride, "output columns");
        let threads = self
            .threads()
            .min(rows * width * inner / PRODUCTS_PER_THREAD_MIN)
            .max(1);
        let _running = self.time(self.product_kind);
        let shares = Shares::new(out);
        let set = self.set;
        if rows == 1 {
            let share = width.div_ceil(threads);
            self.pool.run(width.div_ceil(share.max(1)), &|index| {
                let first = index * share;
                let count = share.min(width - first);
                let range = columns.column + first..columns.column + first + count;
                #[expect(unsafe_code, reason = "parts write their own columns")]
                // SAFETY: the ranges of different parts are disjoint.
                let out = unsafe { shares.slice(range) };
                let columns = Columns {
                    column: 0,
                    stride: count,
                };
                variants::linear(
                    set,
                    input,
                    inner,
                    weights.rows(first, count, inner),
                    out,
                    columns,
                );
            });
        } else {
            let share = rows.div_ceil(threads);
            self.pool.run(rows.div_ceil(share.max(1)), &|index| {
                let first = index * share;
                let count = share.min(rows - first);
                let range = first * columns.stride..(first + count) * columns.stride;
                #[expect(unsafe_code, reason = "parts write their own rows")]
                // SAFETY: the ranges of different parts are disjoint.
                let out = unsafe { shares.slice(range) };
                let input = &input[first * inner..(first + count) * inner];
                variants::linear(set, input, inner, weights, out, columns);
            });
        }
    }

    /// `out[r] = gain * input[r] / sqrt(mean(input[r]^2) + epsilon)`.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn rms_norm(&self, input: &[f32], gain: &[f32], epsilon: f32, out: &mut [f32]) {
        assert!(
            !gain.is_empty() && input.len().is_multiple_of(gain.len()),
            "norm rows"
        );
        assert_eq!(input.len(), out.len(), "norm output");
        let _running = self.time(KernelKind::Norm);
        let width = gain.len();
        self.share_rows(out, width, &|rows, out| {
            let input = &input[rows.start * width..rows.end * width];
            variants::rms_norm(self.set, input, gain, epsilon, out);
        });
    }

    /// `out[r, i] = silu(input[r, i]) * input[r, width + i]`.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn silu_mul(&self, input: &[f32], width: usize, out: &mut [f32]) {
        assert!(
            width > 0 && input.len().is_multiple_of(2 * width),
            "gate and up rows"
        );
        assert_eq!(input.len(), 2 * out.len(), "gate and up output");
        let _running = self.time(KernelKind::Gate);
        self.share_rows(out, width, &|rows, out| {
            let input = &input[2 * rows.start * width..2 * rows.end * width];
            variants::silu_mul(self.set, input, width, out);
        });
    }

    /// Turns queries and keys of the fused rows by their positions, writes the
    /// queries to `queries`, keys and values into the cache.
    ///
    /// `rotation` holds for each row `head_dim / 2` cosines, then as many
    /// sines. Keys lie as [`AttentionShape::key_index`] says, values as
    /// `[kv_heads, capacity, head_dim]`.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn rope_append(
        &self,
        shape: &AttentionShape,
        qkv: &[f32],
        rotation: &[f32],
        queries: &mut [f32],
        cache: (&mut [f32], &mut [f32]),
    ) {
        let (keys, values) = cache;
        check_cache(shape, keys, values);
        assert_eq!(qkv.len(), shape.rows * shape.qkv_width(), "qkv rows");
        assert_eq!(rotation.len(), shape.rows * shape.head_dim, "rotation rows");
        assert_eq!(
            queries.len(),
            shape.rows * shape.query_width(),
            "query rows"
        );
        let _running = self.time(KernelKind::Rope);
        let task = turn::Turn {
            shape,
            qkv,
            rotation,
            queries: &Shares::new(queries),
            keys: &Shares::new(keys),
            values: &Shares::new(values),
        };
        let (first, end) = (shape.position, shape.position + shape.rows);
        let first_block = first / KEY_BLOCK;
        let work = |block: usize| {
            let start = (first_block + block) * KEY_BLOCK;
            let rows = start.max(first) - first..(start + KEY_BLOCK).min(end) - first;
            variants::rope_append(self.set, task, rows);
        };
        let blocks = end.div_ceil(KEY_BLOCK) - first_block;
        self.share(qkv.len(), blocks, &work);
    }

    /// Runs `parts` parts, on one thread if all of them touch few elements.
    fn share(&self, elements: usize, parts: usize, work: &(impl Fn(usize) + Sync)) {
        if elements < ELEMENTS_SHARED_MIN {
            (0..parts).for_each(work);
        } else {
            self.pool.run(parts, work);
        }
    }

    /// Runs `work(rows, their place in out)` for all rows of `out`.
    fn share_rows(
        &self,
        out: &mut [f32],
        width: usize,
        work: &(impl Fn(Range<usize>, &mut [f32]) + Sync),
    ) {
        let (rows, elements) = (out.len() / width, out.len());
        let part_rows = rows.div_ceil(4 * self.threads()).max(1);
        let shares = Shares::new(out);
        self.share(elements, rows.div_ceil(part_rows), &|part| {
            let rows = part * part_rows..((part + 1) * part_rows).min(rows);
            #[expect(unsafe_code, reason = "parts write their own rows")]
            // SAFETY: the rows of different parts are disjoint.
            let out = unsafe { shares.slice(rows.start * width..rows.end * width) };
            work(rows, out);
        });
    }

    /// Causal attention of each row over the cache up to its own position;
    /// `heads / kv_heads` query heads share one key and value head. A window
    /// leaves out what lies further back.
    ///
    /// # Panics
    /// When the sizes do not fit.
    pub fn attention(
        &self,
        shape: &AttentionShape,
        queries: &[f32],
        keys: &[f32],
        values: &[f32],
        out: &mut [f32],
    ) {
        check_cache(shape, keys, values);
        assert_eq!(
            queries.len(),
            shape.rows * shape.query_width(),
            "query rows"
        );
        assert_eq!(queries.len(), out.len(), "attention output");
        let _running = self.time(KernelKind::Attention);
        let with = (self.set, &*self.pool);
        attention::attention(with, shape, queries, (keys, values), out);
    }
}

fn check_cache(shape: &AttentionShape, keys: &[f32], values: &[f32]) {
    assert!(
        shape.kv_heads > 0 && shape.heads.is_multiple_of(shape.kv_heads),
        "head groups"
    );
    assert!(
        shape.head_dim > 0 && shape.head_dim.is_multiple_of(2),
        "head width"
    );
    assert!(
        shape.position + shape.rows <= shape.capacity,
        "cache capacity"
    );
    assert!(shape.window != Some(0), "a row sees itself");
    assert_eq!(keys.len(), shape.keys_len(), "key cache");
    assert_eq!(values.len(), shape.values_len(), "value cache");
}
