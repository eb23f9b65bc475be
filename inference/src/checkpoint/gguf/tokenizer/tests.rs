//! Every pre-tokenizer that is understood makes a tokenizer, and, where llama.cpp's
//! own vocabularies are at hand, the ids that llama.cpp says.

use super::words::NAMES;
use super::*;
use crate::checkpoint::map::WeightFile;
use crate::tokenizer::Tokenizer;
use std::path::Path;

fn tokenizer(words: &Words) -> Tokenizer {
    let json = json!({
        "version": "1.0", "added_tokens": [], "normalizer": words.normalizer,
        "pre_tokenizer": words.pre_tokenizer,
        "model": {
            "type": "BPE", "vocab": {"1": 0, "2": 1, "12": 2, "Ġ": 3, "a": 4, "Ġa": 5},
            "merges": [["1", "2"], ["Ġ", "a"]],
        },
    });
    Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
}

#[test]
fn names_of_pre_tokenizers_are_understood_and_cut_digits_their_own_way() {
    for name in NAMES.split(", ") {
        let words = Words::named(name).unwrap();
        let ids = tokenizer(&words).encode(" a12", false).unwrap();
        let is_one = matches!(name, "gpt-2" | "llama-bpe");
        let expected: &[u32] = if is_one { &[5, 2] } else { &[5, 0, 1] };
        assert_eq!(ids, expected, "{name}");
    }
    assert!(Words::named("default").is_none());
}

/// Set `TALKOOT_GGUF_VOCABULARIES` to the folder `models` of llama.cpp's source: its
/// `ggml-vocab-NAME.gguf` files come with texts and the ids of their tokens.
#[test]
fn real_vocabularies_give_the_ids_of_llama_cpp() {
    const END: &str = "\n__ggml_vocab_test__\n";
    let Some(folder) = std::env::var_os("TALKOOT_GGUF_VOCABULARIES") else {
        println!("skipped: TALKOOT_GGUF_VOCABULARIES names no folder");
        return;
    };
    for name in ["gpt-2", "llama-bpe", "qwen2", "llama-spm", "phi-3"] {
        let path = Path::new(&folder).join(format!("ggml-vocab-{name}.gguf"));
        let header = Header::read(name, WeightFile::map(&path).unwrap()).unwrap();
        let json = texts(&header).unwrap().tokenizer.to_string();
        let tokenizer = Tokenizer::from_json(json.as_bytes()).unwrap();
        let read = |end: &str| std::fs::read_to_string(path.with_extension(end)).unwrap();
        let (texts, ids) = (read("gguf.inp"), read("gguf.out"));
        assert!(ids.lines().count() > 40, "{name}");
        for (text, ids) in texts.split(END).zip(ids.lines()) {
            let ids = ids.split_whitespace().map(|id| id.parse::<u32>());
            let ids: Vec<u32> = ids.collect::<Result<_, _>>().unwrap();
            assert_eq!(
                tokenizer.encode(text, false).unwrap(),
                ids,
                "{name} {text:?}"
            );
        }
    }
}
