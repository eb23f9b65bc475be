//! Placement: which layers a node takes when its owner names none.
//!
//! As many neighbouring layers as the lent memory holds; of all such windows
//! the one that the network covers least, counted first by its least covered
//! layers; ties go to the lower layers. Nothing moves once chosen.

use talkoot_protocol::LayerRange;

/// Positions that room is kept for beside the weights, at most. Models are
/// trained for contexts that few answers fill; keeping room for all of one would
/// leave little for layers. A longer session gets it if the memory is there.
const RESERVED_TOKENS_MAX: u32 = 8192;

/// Positions of the session that a node keeps room for when it chooses layers of
/// a model with this context.
#[must_use]
pub fn reserved_tokens(context: u32) -> u32 {
    context.min(RESERVED_TOKENS_MAX)
}

/// Chooses a range of a model with `layers` layers, or `None` when not even one
/// layer fits. `bytes_of` is what a range needs in memory.
#[must_use]
pub fn least_covered(
    layers: u32,
    bytes_of: impl Fn(LayerRange) -> u64,
    memory_bytes: u64,
    coverage: &[u32],
) -> Option<LayerRange> {
    for count in (1..=layers).rev() {
        let windows =
            (0..=layers - count).filter_map(|start| LayerRange::new(start, start + count).ok());
        let fitting = windows.filter(|range| bytes_of(*range) <= memory_bytes);
        let best = fitting.min_by_key(|range| {
            let covered = |layer: u32| coverage.get(layer as usize).copied().unwrap_or(0);
            let mut counts: Vec<u32> = (range.start()..range.end()).map(covered).collect();
            counts.sort_unstable();
            (counts, range.start())
        });
        if best.is_some() {
            return best;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 bytes a layer, 5 for the embedding, 7 for the head, 1 for sessions.
    fn chosen(memory_bytes: u64, coverage: &[u32]) -> Option<String> {
        let layers = u32::try_from(coverage.len()).unwrap();
        let bytes_of = |range: LayerRange| {
            let embedding = if range.is_first() { 5 } else { 0 };
            let head = if range.is_last(layers) { 7 } else { 0 };
            1 + u64::from(range.count()) * 10 + embedding + head
        };
        least_covered(layers, bytes_of, memory_bytes, coverage).map(|range| range.to_string())
    }

    #[test]
    fn takes_everything_that_fits() {
        assert_eq!(chosen(1000, &[3, 3, 3, 3]), Some("0..4".into()));
    }

    #[test]
    fn takes_the_gap_first() {
        assert_eq!(chosen(26, &[1, 1, 0, 0, 1, 1]), Some("2..4".into()));
        // The last layer is the rarest, and head and all it still fits with one more.
        assert_eq!(chosen(28, &[1, 1, 2, 2, 2, 0]), Some("4..6".into()));
        // A little less memory leaves no room for the head.
        assert_eq!(chosen(27, &[1, 1, 2, 2, 2, 0]), Some("0..2".into()));
    }

    /// Layers as Llama-3.2-1B has them at 16 bits: 116 MiB, and 512 MiB for a
    /// session of its whole context.
    #[test]
    fn a_long_context_leaves_room_for_layers() {
        let layers = 16;
        let layer_bytes = |context: u32| 121_643_008 + u64::from(context) * 8 * 64 * 4 * 2;
        let chosen = |context: u32| {
            let bytes_of = |range: LayerRange| u64::from(range.count()) * layer_bytes(context);
            least_covered(layers, bytes_of, 2 << 30, &[0; 16]).map(LayerRange::count)
        };
        assert_eq!(chosen(131_072), Some(3));
        assert_eq!(chosen(reserved_tokens(131_072)), Some(13));
        assert_eq!(reserved_tokens(512), 512);
    }

    #[test]
    fn counts_embedding_and_head() {
        assert_eq!(chosen(18, &[0, 0, 0]), Some("0..1".into()));
        assert_eq!(chosen(12, &[0, 0, 0]), Some("1..2".into()));
        assert_eq!(chosen(9, &[0, 0, 0]), None);
    }
}
