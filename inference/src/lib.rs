//! From a checkpoint to tokens.
