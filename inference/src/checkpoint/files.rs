//! Which files on the disk a checkpoint was read from, for whoever wants to copy
//! them or to see later whether they are still the same.

use super::{CONFIG, Checkpoint, GENERATION_CONFIG, INDEX, TEMPLATE, TOKENIZER, TOKENIZER_CONFIG};
use std::path::PathBuf;

impl Checkpoint {
    /// The names of the files of a Hugging Face directory that hold no weights;
    /// not every checkpoint has all.
    pub const SMALL_FILES: [&str; 6] = [
        CONFIG,
        GENERATION_CONFIG,
        TOKENIZER,
        TOKENIZER_CONFIG,
        TEMPLATE,
        INDEX,
    ];

    /// The files of the weights, as they were opened, each once; none for a
    /// checkpoint that came from memory.
    #[must_use]
    pub fn weight_paths(&self) -> Vec<PathBuf> {
        let origin = |file: &super::WeightFile| Some(file.origin()?.0.to_owned());
        self.weights.values().filter_map(origin).collect()
    }
}
