//! Fuzz bodies of the readers of checkpoints: any bytes as a GGUF file, and as the
//! weights of a published checkpoint.
//!
//! What opens is used: its card is made, its layers are loaded and run one step. A
//! body panics only if that does. The same bodies run in the gate (`main.rs`) and
//! under libFuzzer (`fuzz/`).

use std::collections::BTreeMap;
use talkoot_inference::{
    Checkpoint, SessionConfig, SessionId, Shard, ShardOptions, StepInput, StepItem, Wanted,
};
use talkoot_protocol::model::DType;

/// A body and its name, which is also that of its target and of its corpus.
pub(crate) type Body = (&'static str, fn(&[u8]) -> bool);

/// All bodies. Each says whether the bytes were a model.
pub(crate) const BODIES: [Body; 2] = [("gguf", gguf), ("safetensors", safetensors)];

const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 4, "intermediate_size": 4,
    "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1,
    "vocab_size": 4, "max_position_embeddings": 16, "tie_word_embeddings": true}"#;
const TOKENIZER: &str = r#"{"version": "1.0", "added_tokens": [], "model": {"type": "BPE",
    "vocab": {"a": 0, "b": 1, "c": 2, "d": 3}, "merges": []}}"#;

fn gguf(data: &[u8]) -> bool {
    open([("model.gguf", data)])
}

fn safetensors(data: &[u8]) -> bool {
    open([
        ("config.json", CONFIG.as_bytes()),
        ("tokenizer.json", TOKENIZER.as_bytes()),
        ("model.safetensors", data),
    ])
}

fn open<const N: usize>(files: [(&str, &[u8]); N]) -> bool {
    let files: BTreeMap<String, bytes::Bytes> = files
        .into_iter()
        .map(|(name, file)| (name.to_owned(), bytes::Bytes::copy_from_slice(file)))
        .collect();
    match Checkpoint::from_files(&files) {
        Ok(checkpoint) => {
            run(&checkpoint);
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// Card, text and one step. Each may be refused.
fn run(checkpoint: &Checkpoint) {
    drop(checkpoint.card("fuzzed"));
    drop(checkpoint.blobs());
    if let Ok(asker) = checkpoint.asker() {
        drop(asker.encode("a aa", true));
        drop(asker.render_chat(&[], &[], true));
    }
    let range = checkpoint.config().layers();
    let options = ShardOptions {
        session_bytes_max: 1 << 24,
        ..ShardOptions::default()
    };
    let Ok(mut shard) = Shard::load(checkpoint, range, &options) else {
        return;
    };
    let config = SessionConfig {
        range,
        capacity_tokens: checkpoint.config().shape.context.min(2),
        hidden_dtype: DType::F32,
    };
    if shard.open(SessionId(0), config).is_ok() {
        let ids = [checkpoint.config().shape.vocabulary - 1];
        let item = StepItem {
            session: SessionId(0),
            position: 0,
            input: StepInput::Tokens(&ids),
            wanted: Wanted::LastLogits,
        };
        drop(shard.step(&[item]));
    }
}
