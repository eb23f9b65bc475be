//! The tokenizer in a GGUF file -> the `tokenizer.json` that means the same, and the
//! few texts beside it.
//!
//! Two kinds are read: byte-level BPE with merges (`gpt2`), cut into words as the
//! named pre-tokenizer does, and SentencePiece's BPE (`llama`), whose merges follow
//! from its pieces and their scores. Others are refused by name. Every token keeps
//! its number.

mod merges;
#[cfg(test)]
mod tests;
mod words;

use super::super::CheckpointError;
use super::header::Header;
use super::reader::Number;
use merges::merges_of;
use serde_json::{Value, json};
use words::Words;

/// Tokens of a vocabulary, at most: as many as a configuration may have.
const TOKENS_MAX: usize = 1 << 20;

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";
const KINDS: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";
const WORDS: &str = "tokenizer.ggml.pre";

/// Kinds of tokens: those that stand in a text as they are written.
const UNKNOWN: i128 = 2;
const CONTROL: i128 = 3;
const USER_DEFINED: i128 = 4;

/// The texts that a published checkpoint has in files.
pub(super) struct Texts {
    pub(super) tokenizer: Value,
    /// `tokenizer_config.json`.
    pub(super) tokenizer_config: Value,
    /// `generation_config.json`.
    pub(super) generation: Value,
}

/// The tokens of a file.
struct Tokens<'a> {
    header: &'a Header,
    texts: Vec<&'a str>,
    kinds: Vec<i128>,
}

pub(super) fn texts(header: &Header) -> Result<Texts, CheckpointError> {
    let tokens = Tokens::read(header)?;
    let model = header.text(MODEL)?;
    let tokenizer = match model {
        Some("gpt2") => byte_level(&tokens)?,
        Some("llama") => sentence_piece(&tokens)?,
        Some(other) => {
            return Err(header.error(format!(
                "unsupported {MODEL} = {other}; supported: gpt2, llama"
            )));
        }
        None => return Err(header.error(format!("{MODEL} is missing"))),
    };
    let mut tokenizer_config = json!({});
    for (name, key) in [
        ("bos_token", "bos_token_id"),
        ("eos_token", "eos_token_id"),
        ("unk_token", "unknown_token_id"),
        ("pad_token", "padding_token_id"),
    ] {
        if let Some(token) = tokens.named(key)? {
            tokenizer_config[name] = json!(token);
        }
    }
    if let Some(template) = header.text("tokenizer.chat_template")? {
        tokenizer_config["chat_template"] = json!(template);
    }
    let mut stops = Vec::new();
    for key in ["eos_token_id", "eot_token_id", "eom_token_id"] {
        stops.extend(header.size(&format!("tokenizer.ggml.{key}"))?);
    }
    Ok(Texts {
        tokenizer,
        tokenizer_config,
        generation: json!({ "eos_token_id": stops }),
    })
}

impl<'a> Tokens<'a> {
    fn read(header: &'a Header) -> Result<Self, CheckpointError> {
        let texts = header.texts(TOKENS)?;
        if texts.is_empty() || texts.len() > TOKENS_MAX {
            let count = texts.len();
            return Err(header.error(format!(
                "{TOKENS} has {count} tokens, 1 to {TOKENS_MAX} are supported"
            )));
        }
        let kinds: Vec<i128> = header
            .numbers(KINDS)?
            .into_iter()
            .map(|number| match number {
                Number::Whole(kind) => kind,
                Number::Float(_) => 0,
            })
            .collect();
        if !kinds.is_empty() && kinds.len() != texts.len() {
            let (kinds, texts) = (kinds.len(), texts.len());
            return Err(header.error(format!("{KINDS} has {kinds} entries for {texts} tokens")));
        }
        Ok(Self {
            header,
            texts,
            kinds,
        })
    }

    fn kind(&self, id: usize) -> i128 {
        self.kinds.get(id).copied().unwrap_or(1)
    }

    /// The token whose id a key names.
    fn named(&self, key: &str) -> Result<Option<&'a str>, CheckpointError> {
        let key = format!("tokenizer.ggml.{key}");
        let Some(id) = self.header.size(&key)? else {
            return Ok(None);
        };
        let token = self.texts.get(id as usize).copied();
        let wrong = || self.header.error(format!("{key} = {id} is no token"));
        token.map(Some).ok_or_else(wrong)
    }

    /// Every text with its id. Of equal texts the first counts; the others can be
    /// decoded by nobody, so there may be none.
    fn vocabulary(&self) -> Result<Value, CheckpointError> {
        let mut vocabulary = serde_json::Map::new();
        for (id, &text) in self.texts.iter().enumerate() {
            if vocabulary.insert(text.to_owned(), json!(id)).is_some() {
                return Err(self
                    .header
                    .error(format!("token {id} = {text:?} occurs twice")));
            }
        }
        Ok(Value::Object(vocabulary))
    }

    /// Tokens that are found in a text before it is cut.
    fn added(&self) -> Vec<Value> {
        let is_added = |id: &usize| [UNKNOWN, CONTROL, USER_DEFINED].contains(&self.kind(*id));
        (0..self.texts.len())
            .filter(is_added)
            .map(|id| {
                json!({
                    "id": id, "content": self.texts[id], "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": self.kind(id) != USER_DEFINED,
                })
            })
            .collect()
    }

    /// Frames a document with the marks that the file asks for.
    fn frame(&self, has_bos: bool) -> Result<Value, CheckpointError> {
        let flag = |key: &str| self.header.flag(&format!("tokenizer.ggml.{key}"));
        let mark_of = |is_added: bool, key: &str| {
            let token = self.named(key)?;
            Ok::<_, CheckpointError>(token.filter(|_| is_added))
        };
        let bos = mark_of(flag("add_bos_token")?.unwrap_or(has_bos), "bos_token_id")?;
        let eos = mark_of(flag("add_eos_token")?.unwrap_or(false), "eos_token_id")?;
        let mark = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
        let text = json!({"Sequence": {"id": "A", "type_id": 0}});
        let single = bos.map(mark).into_iter().chain([text]).chain(eos.map(mark));
        let mut marks = serde_json::Map::new();
        for (token, key) in [(bos, "bos_token_id"), (eos, "eos_token_id")] {
            if let Some(token) = token {
                let id = self.header.size(&format!("tokenizer.ggml.{key}"))?;
                let mark = json!({"id": token, "ids": [id], "tokens": [token]});
                marks.insert(token.to_owned(), mark);
            }
        }
        Ok(json!({
            "type": "TemplateProcessing",
            "single": single.collect::<Vec<_>>(),
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}
            ],
            "special_tokens": marks,
        }))
    }
}

fn byte_level(tokens: &Tokens<'_>) -> Result<Value, CheckpointError> {
    let header = tokens.header;
    let named = header.text(WORDS)?;
    let words = named.and_then(Words::named).ok_or_else(|| {
        let (named, supported) = (named.unwrap_or("(missing)"), words::NAMES);
        header.error(format!(
            "unsupported {WORDS} = {named}; supported: {supported}"
        ))
    })?;
    let merges: Option<Vec<Value>> = header
        .texts(MERGES)?
        .into_iter()
        .map(|merge| {
            let (left, right) = merge.split_once(' ')?;
            Some(json!([left, right]))
        })
        .collect();
    let merges = merges.ok_or_else(|| header.error(format!("{MERGES} has one without a space")))?;
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": tokens.added(),
        "normalizer": words.normalizer,
        "pre_tokenizer": words.pre_tokenizer,
        "post_processor": tokens.frame(words.is_framed)?,
        "decoder": {
            "type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true
        },
        "model": {
            "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false,
            "ignore_merges": words.are_tokens, "vocab": tokens.vocabulary()?, "merges": merges,
        },
    }))
}

fn sentence_piece(tokens: &Tokens<'_>) -> Result<Value, CheckpointError> {
    let header = tokens.header;
    let scores: Vec<f64> = header
        .numbers(SCORES)?
        .into_iter()
        .map(|number| match number {
            Number::Whole(score) => score as f64,
            Number::Float(score) => score,
        })
        .collect();
    if scores.len() != tokens.texts.len() {
        let (scores, texts) = (scores.len(), tokens.texts.len());
        return Err(header.error(format!("{SCORES} has {scores} entries for {texts} tokens")));
    }
    let merges = merges_of(&tokens.texts, &scores).map_err(|reason| header.error(reason))?;
    let merges: Vec<Value> = merges
        .into_iter()
        .map(|(left, right)| json!([left, right]))
        .collect();
    let space = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
    let has_prefix = header
        .flag("tokenizer.ggml.add_space_prefix")?
        .unwrap_or(true);
    let normalizers = if has_prefix {
        json!([{"type": "Prepend", "prepend": "▁"}, space])
    } else {
        json!([space])
    };
    let unknown = (0..tokens.texts.len()).find(|&id| tokens.kind(id) == UNKNOWN);
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": "▁"}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if has_prefix {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": tokens.added(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": tokens.frame(true)?,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": unknown.map(|id| tokens.texts[id]),
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
            "byte_fallback": true, "ignore_merges": false, "vocab": tokens.vocabulary()?,
            "merges": merges,
        },
    }))
}
