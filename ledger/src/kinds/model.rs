//! `Model`: a model card, so that every node can read price and shape.

use bincode::{Decode, Encode};

/// A model card in its canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Model {
    /// The canonical bytes of the card; their hash is the model's id.
    pub card: Vec<u8>,
}
