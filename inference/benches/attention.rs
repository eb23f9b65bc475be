//! Time for attention of one layer in the shape of a 1B Llama: decode against
//! bytes read, prefill against operations. `cargo bench --bench attention`.
//!
//! Keys and values of a decode are of as many layers as exceed the caches, as
//! in a real step, so what it prints is memory's speed and not the cache's.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark stops at the first surprise and prints"
)]

use std::time::Duration;
use talkoot_inference::kernels::{AttentionShape, Kernels};

const HEADS: usize = 32;
const KV_HEADS: usize = 8;
const HEAD_DIM: usize = 64;
const LAYERS: usize = 16;
const ROUNDS: usize = 15;

struct Layer {
    keys: Vec<f32>,
    values: Vec<f32>,
}

fn shape(position: usize, rows: usize) -> AttentionShape {
    AttentionShape {
        heads: HEADS,
        kv_heads: KV_HEADS,
        head_dim: HEAD_DIM,
        capacity: position + rows,
        position,
        rows,
        window: None,
    }
}

fn layers(shape: &AttentionShape) -> Vec<Layer> {
    let fill = |count: usize| (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    (0..LAYERS)
        .map(|_| Layer {
            keys: fill(shape.keys_len()),
            values: fill(shape.values_len()),
        })
        .collect()
}

/// The median time of one call over all layers, for one layer.
fn median(mut call: impl FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            #[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
            let start = std::time::Instant::now();
            (0..LAYERS).for_each(&mut call);
            start.elapsed()
        })
        .collect();
    times.sort();
    times[ROUNDS / 2] / u32::try_from(LAYERS).unwrap()
}

fn measure(kernels: &Kernels, position: usize, rows: usize) {
    let shape = shape(position, rows);
    let mut layers = layers(&shape);
    let threads = kernels.threads();
    let qkv: Vec<f32> = (0..rows * shape.qkv_width())
        .map(|i| (i as f32 * 0.11).cos())
        .collect();
    let rotation = vec![0.6; rows * HEAD_DIM];
    let mut queries = vec![0.0; rows * shape.query_width()];
    let append = median(|layer| {
        let Layer { keys, values } = &mut layers[layer];
        kernels.rope_append(&shape, &qkv, &rotation, &mut queries, (keys, values));
    });
    let mut out = vec![0.0; queries.len()];
    let attend = median(|layer| {
        let Layer { keys, values } = &layers[layer];
        kernels.attention(&shape, &queries, keys, values, &mut out);
    });
    let seconds = attend.as_secs_f64();
    let pairs: usize = (1..=rows).map(|row| position + row).sum();
    let gflops = (pairs * HEADS * HEAD_DIM * 4) as f64 / seconds / 1e9;
    let bytes = (position + rows) * KV_HEADS * HEAD_DIM * 8;
    let gigabytes = bytes as f64 / seconds / 1e9;
    println!(
        "{threads} threads, {rows} rows after {position}: attention {:.1} us, {gflops:.1} GFLOP/s, \
         {gigabytes:.1} GB/s; turn and append {:.1} us",
        seconds * 1e6,
        append.as_secs_f64() * 1e6,
    );
}

fn main() {
    for threads in [1, 2] {
        let kernels = Kernels::detect(threads);
        println!("{}", kernels.set().name());
        for positions in [128, 1024, 4096] {
            measure(&kernels, positions - 1, 1);
        }
        for rows in [128, 512] {
            measure(&kernels, 0, rows);
        }
    }
}
