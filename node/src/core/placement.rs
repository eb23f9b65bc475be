//! Placement: which layers a node takes when its owner names none.
//!
//! As many neighbouring layers as the lent memory holds; of all such windows
//! the one that the network covers least, counted first by its least covered
//! layers; ties go to the lower layers. Nothing moves once chosen.

use talkoot_protocol::LayerRange;

/// What one layer of a model needs in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    /// Bytes of each layer.
    pub layer_bytes: Vec<u64>,
    /// Bytes of the embedding, for the first layer.
    pub embedding_bytes: u64,
    /// Bytes of final norm and head, for the last layer.
    pub head_bytes: u64,
    /// Bytes kept for sessions.
    pub session_bytes: u64,
}

impl Footprint {
    /// Bytes that a range needs; nothing is shared between ends of the model.
    #[must_use]
    pub fn bytes(&self, range: LayerRange) -> u64 {
        let window = self
            .layer_bytes
            .get(range.start() as usize..range.end() as usize)
            .unwrap_or_default();
        let layers = window
            .iter()
            .fold(self.session_bytes, |sum, bytes| sum.saturating_add(*bytes));
        let embedding = if range.is_first() {
            self.embedding_bytes
        } else {
            0
        };
        let head = if range.end() as usize == self.layer_bytes.len() {
            self.head_bytes
        } else {
            0
        };
        layers.saturating_add(embedding).saturating_add(head)
    }
}

/// Chooses a range, or `None` when not even one layer fits.
#[must_use]
pub fn least_covered(
    footprint: &Footprint,
    memory_bytes: u64,
    coverage: &[u32],
) -> Option<LayerRange> {
    let layers = u32::try_from(footprint.layer_bytes.len()).ok()?;
    for count in (1..=layers).rev() {
        let windows =
            (0..=layers - count).filter_map(|start| LayerRange::new(start, start + count).ok());
        let fitting = windows.filter(|range| footprint.bytes(*range) <= memory_bytes);
        let best = fitting.min_by_key(|range| {
            let mut counts: Vec<u32> = (range.start()..range.end())
                .map(|layer| coverage.get(layer as usize).copied().unwrap_or(0))
                .collect();
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

    fn footprint(layers: usize) -> Footprint {
        Footprint {
            layer_bytes: vec![10; layers],
            embedding_bytes: 5,
            head_bytes: 7,
            session_bytes: 1,
        }
    }

    fn chosen(memory_bytes: u64, coverage: &[u32]) -> Option<String> {
        least_covered(&footprint(coverage.len()), memory_bytes, coverage)
            .map(|range| range.to_string())
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

    #[test]
    fn counts_embedding_and_head() {
        assert_eq!(chosen(18, &[0, 0, 0]), Some("0..1".into()));
        assert_eq!(chosen(12, &[0, 0, 0]), Some("1..2".into()));
        assert_eq!(chosen(9, &[0, 0, 0]), None);
    }
}
