//! The demo model, embedded in the program: a toy that tells small stories, so
//! that a first start answers without a download.

use bytes::Bytes;
use std::collections::BTreeMap;

macro_rules! embedded {
    ($($file:literal),+ $(,)?) => {
        BTreeMap::from([$((
            $file.to_owned(),
            Bytes::from_static(include_bytes!(concat!("../../../models/demo/", $file))),
        )),+])
    };
}

/// Its files by name, as in a Hugging Face directory.
pub(super) fn files() -> BTreeMap<String, Bytes> {
    embedded!(
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    )
}
