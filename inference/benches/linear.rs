//! Packed linears of the shapes of a 1.2-billion-weight Llama against what the
//! memory gives and what the registers could multiply, in one run:
//! `cargo bench -p talkoot-inference --bench linear -- [THREADS..]`.
//!
//! Decode rows walk over enough copies of the matrix that none stays in a
//! cache. Every figure is a median.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints"
)]

use std::hint::black_box;
use talkoot_inference::kernels::{Kernels, PackedFormat, PackedMatrix, Prologue};

/// (outputs, inputs): query, gate, down.
const SHAPES: [(usize, usize); 3] = [(2048, 2048), (8192, 2048), (2048, 8192)];
/// Bytes of copies that a decode walks over: more than any cache holds.
const WALKED_BYTES: usize = 600 << 20;
const REPEATS: usize = 5;

fn main() {
    let threads: Vec<usize> = std::env::args()
        .filter_map(|word| word.parse().ok())
        .collect();
    let threads = if threads.is_empty() {
        vec![1, 2]
    } else {
        threads
    };
    let memory = talkoot_inference::kernels::huge_zeroed(WALKED_BYTES).unwrap();
    let mut memory = memory;
    memory.fill(0x5a);
    for threads in threads {
        let kernels = Kernels::detect(threads);
        println!("{} threads, {}", threads, kernels.set().name());
        for (rows, width, inner, format) in cases() {
            let bytes = format.matrix_bytes(width, inner);
            let copies = (memory.len() / bytes).min(2048 / rows).max(1);
            let input = vec![0.5; rows * inner];
            let mut out = vec![0.0; rows * width];
            let (mut reads, mut products) = (Vec::new(), Vec::new());
            for _ in 0..REPEATS {
                reads.push(
                    seconds(|| {
                        black_box(kernels.read_memory(&memory[..copies.max(8) * bytes]));
                    }) / copies.max(8) as f64,
                );
                products.push(
                    seconds(|| {
                        for copy in 0..copies {
                            let bytes = &memory[copy * bytes..(copy + 1) * bytes];
                            let matrix = PackedMatrix::new(format, bytes, width, inner).unwrap();
                            kernels.packed_linear(&input, &Prologue::None, &[matrix], &mut out);
                        }
                    }) / copies as f64,
                );
            }
            let (read, product) = (median(&mut reads), median(&mut products));
            let gops = 2.0 * (rows * width * inner) as f64 / product / 1e9;
            println!(
                "  {format:?} {width}x{inner} rows {rows:3}: {:9.1} us, {:5.1} GB/s, {:4.2} of memory, {gops:7.1} GOP/s",
                product * 1e6,
                bytes as f64 / product / 1e9,
                read / product,
            );
        }
    }
}

fn cases() -> impl Iterator<Item = (usize, usize, usize, PackedFormat)> {
    PackedFormat::ALL.into_iter().flat_map(|format| {
        [1, 8, 64, 128, 512].into_iter().flat_map(move |rows| {
            SHAPES
                .into_iter()
                .map(move |(width, inner)| (rows, width, inner, format))
        })
    })
}

fn seconds(work: impl FnOnce()) -> f64 {
    #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
    let start = std::time::Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
