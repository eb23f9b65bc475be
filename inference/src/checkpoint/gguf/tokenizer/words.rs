//! How byte-level tokenizers cut a text into words before they merge, by the names
//! that GGUF files give their pre-tokenizers.
//!
//! The patterns are those of the published `tokenizer.json` files.

use serde_json::{Value, json};

/// The names that are understood, for messages; some have aliases.
pub(super) const NAMES: &str = "gpt-2, llama-bpe, qwen2, smollm, tekken";

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// What the name of a pre-tokenizer means.
pub(super) struct Words {
    pub(super) pre_tokenizer: Value,
    pub(super) normalizer: Value,
    /// A word that is a token is that token, whatever the merges say.
    pub(super) are_tokens: bool,
    /// A document begins with the begin mark where the file does not say.
    pub(super) is_framed: bool,
}

impl Words {
    pub(super) fn named(name: &str) -> Option<Self> {
        let plain = Self {
            pre_tokenizer: bytes(true),
            normalizer: Value::Null,
            are_tokens: false,
            is_framed: false,
        };
        Some(match name {
            "gpt-2" => plain,
            "smollm" => Self {
                pre_tokenizer: sequence(
                    &json!({"type": "Digits", "individual_digits": true}),
                    true,
                ),
                ..plain
            },
            "llama-bpe" | "llama3" | "llama-v3" | "falcon3" => Self {
                pre_tokenizer: split(LLAMA3),
                are_tokens: true,
                is_framed: true,
                ..plain
            },
            "tekken" => Self {
                pre_tokenizer: split(TEKKEN),
                are_tokens: true,
                is_framed: true,
                ..plain
            },
            "qwen2" | "deepseek-r1-qwen" => Self {
                pre_tokenizer: split(QWEN2),
                normalizer: json!({"type": "NFC"}),
                ..plain
            },
            _ => return None,
        })
    }
}

/// Bytes as characters; with `is_cut`, cut into words as GPT-2 did.
fn bytes(is_cut: bool) -> Value {
    json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": is_cut
    })
}

fn sequence(first: &Value, is_cut: bool) -> Value {
    json!({"type": "Sequence", "pretokenizers": [first, bytes(is_cut)]})
}

fn split(pattern: &str) -> Value {
    let split = json!({
        "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false
    });
    sequence(&split, false)
}
