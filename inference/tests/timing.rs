//! What a measurement asks of a shard: which bytes a step reads, and where its
//! time goes. Neither changes a bit of the result.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{bits, fixture, forward, load_cut, open_all, range, whole};
use std::sync::atomic::{AtomicU64, Ordering};
use talkoot_inference::kernels::{KernelKind, PackedFormat};
use talkoot_inference::{Checkpoint, SessionId, Shard, ShardOptions};
use talkoot_protocol::model::DType;

const IDS: [u32; 3] = [5, 6, 7];
const SESSION: SessionId = SessionId(1);

fn checkpoints(model: &str) -> impl Iterator<Item = Checkpoint> + use<> {
    let path = fixture(model);
    let formats = PackedFormat::ALL.map(Some).into_iter().chain([None]);
    formats.map(move |format| {
        let checkpoint = Checkpoint::open(&path).unwrap();
        match format {
            Some(format) => checkpoint.packed_as(format),
            None => checkpoint,
        }
    })
}

fn load(checkpoint: &Checkpoint, cuts: [u32; 2], threads: usize) -> Shard {
    let options = ShardOptions {
        threads,
        ..ShardOptions::default()
    };
    Shard::load(checkpoint, range(cuts[0], cuts[1]), &options).unwrap()
}

#[test]
fn products_are_the_matrices_of_the_layers_and_the_head() {
    // One model has its head apart, the other shares it with the embedding.
    for model in ["tiny", "stories260k"] {
        for checkpoint in checkpoints(model) {
            let shape = checkpoint.config().shape;
            let [hidden, inner, vocabulary] =
                [shape.hidden, shape.intermediate, shape.vocabulary].map(|size| size as usize);
            let query = (shape.heads * shape.head_dim) as usize;
            let key = (shape.kv_heads * shape.head_dim) as usize;
            let bytes = |(width, inner): (usize, usize)| match checkpoint.packed_format() {
                Some(format) => format.matrix_bytes(width, inner),
                None => width * inner * checkpoint.dtype().element_bytes().unwrap(),
            };
            let attention = [
                (query, hidden),
                (key, hidden),
                (key, hidden),
                (hidden, query),
            ];
            let feed_forward = [(inner, hidden), (inner, hidden), (hidden, inner)];
            let layer: usize = attention.into_iter().chain(feed_forward).map(bytes).sum();
            let head = bytes((vocabulary, hidden));
            let layers = shape.layers as usize;
            let whole = load(&checkpoint, [0, shape.layers], 1);
            assert_eq!(whole.product_bytes() as usize, layers * layer + head);
            let first = load(&checkpoint, [0, shape.layers - 1], 1);
            assert_eq!(first.product_bytes() as usize, (layers - 1) * layer);
            let last = load(&checkpoint, [shape.layers - 1, shape.layers], 2);
            assert_eq!(last.product_bytes() as usize, layer + head);
            let sum = first.read_products().wrapping_add(last.read_products());
            assert_eq!(whole.read_products(), sum);
        }
    }
}

#[test]
fn timed_kernels_give_the_same_bits_and_say_what_they_are() {
    fn ticking() -> u64 {
        static NOW_NS: AtomicU64 = AtomicU64::new(0);
        NOW_NS.fetch_add(1, Ordering::Relaxed)
    }
    for checkpoint in checkpoints("tiny") {
        let is_packed = checkpoint.packed_format().is_some();
        let mut shards = load_cut(&checkpoint, &whole(&checkpoint), &ShardOptions::default());
        let mut run = |session| {
            open_all(&mut shards, session, 8, DType::F32);
            bits(&forward(&mut shards, session, 0, &IDS))
        };
        let plain = run(SESSION);
        let times = shards[0].time_kernels(ticking);
        let mut run = |session| {
            open_all(&mut shards, session, 8, DType::F32);
            bits(&forward(&mut shards, session, 0, &IDS))
        };
        assert_eq!(run(SessionId(2)), plain);
        let layers = u64::from(checkpoint.config().shape.layers);
        for (kind, spent_ns) in times.take() {
            // The clock goes on by one from the start of a call to its end. A
            // stored linear is one call for each matrix, and its norm another.
            let calls = match kind {
                KernelKind::Head => 1,
                KernelKind::Rope | KernelKind::Attention => layers,
                KernelKind::Linear if is_packed => 4 * layers,
                KernelKind::Linear => 7 * layers,
                KernelKind::Norm | KernelKind::Gate if is_packed => 0,
                KernelKind::Norm => 2 * layers + 1,
                KernelKind::Gate => layers,
            };
            assert_eq!(spent_ns, calls, "{}", kind.name());
        }
    }
}
