//! Tokenizer, streaming, template and what an asker has without layers.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{fixture, shared_models};
use proptest::prelude::*;
use std::path::{Path, PathBuf};
use talkoot_inference::{
    AskerConfig, AskerError, AskerModel, ChatMessage, Checkpoint, Tokenizer, TokenizerError,
};
use talkoot_protocol::hash::Hash;

fn tokenizer(model: &Path) -> Tokenizer {
    Tokenizer::from_json(&std::fs::read(model.join("tokenizer.json")).unwrap()).unwrap()
}

fn message(role: &str, content: &str) -> ChatMessage {
    ChatMessage {
        role: role.to_owned(),
        content: content.to_owned(),
        ..ChatMessage::default()
    }
}

/// All pieces of a stream; each is also checked to be a stable prefix.
fn stream(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let mut detokenizer = tokenizer.detokenizer();
    let mut text = String::new();
    for &id in ids {
        text += &detokenizer.push(id).unwrap();
    }
    text + &detokenizer.finish().unwrap()
}

// Two kinds of tokenizer: byte-level (tiny), and pieces with single bytes as a
// last resort and a swallowed first space (stories260k).
const MODELS: [&str; 2] = ["tiny", "stories260k"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn streamed_text_is_the_whole_text(text in "(\\PC|[ a-zé\u{1F642}\u{4e2d}\n]){0,40}") {
        for name in MODELS {
            let tokenizer = tokenizer(&fixture(name));
            for special in [false, true] {
                let ids = tokenizer.encode(&text, special).unwrap();
                let whole = tokenizer.decode(&ids).unwrap();
                prop_assert_eq!(stream(&tokenizer, &ids), whole, "{}", name);
            }
        }
    }

    /// Ids in any order: broken characters, special tokens, lone spaces.
    #[test]
    fn streamed_ids_are_the_whole_decoding(ids in proptest::collection::vec(0_u32..512, 0..60)) {
        for name in MODELS {
            let tokenizer = tokenizer(&fixture(name));
            let whole = tokenizer.decode(&ids).unwrap();
            prop_assert_eq!(stream(&tokenizer, &ids), whole, "{}", name);
        }
    }

    /// What a stream has given out is a prefix of the text of any continuation.
    #[test]
    fn no_later_id_changes_what_was_given_out(
        ids in proptest::collection::vec(0_u32..512, 0..20),
        more in proptest::collection::vec(0_u32..512, 0..6),
    ) {
        for name in MODELS {
            let tokenizer = tokenizer(&fixture(name));
            let mut detokenizer = tokenizer.detokenizer();
            let given: String = ids.iter().map(|id| detokenizer.push(*id).unwrap()).collect();
            let whole = tokenizer.decode(&[ids.as_slice(), &more].concat()).unwrap();
            prop_assert!(whole.starts_with(&given), "{name}: {given:?} {whole:?}");
        }
    }
}

#[test]
fn half_a_character_is_held_back() {
    let tokenizer = tokenizer(&fixture("tiny"));
    let ids = tokenizer.encode("a🙂b", false).unwrap();
    assert!(
        ids.len() > 3,
        "the test wants a character of several tokens"
    );
    let mut detokenizer = tokenizer.detokenizer();
    let pieces: Vec<String> = ids
        .iter()
        .map(|id| detokenizer.push(*id).unwrap())
        .collect();
    assert_eq!(pieces.concat(), "a🙂b");
    assert!(pieces.iter().any(String::is_empty));
    assert!(pieces.iter().all(|piece| !piece.contains('\u{FFFD}')));
}

#[test]
fn an_asker_is_built_from_the_blobs_of_the_card_alone() {
    let mut models: Vec<PathBuf> = MODELS.iter().map(|name| fixture(name)).collect();
    models.extend(shared_models().map(|shared| shared.join("tiny-tied-llama3rope")));
    for path in models {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let card = checkpoint.card("a name").unwrap();
        let blobs = checkpoint.blobs().unwrap();
        for (hash, blob) in &blobs {
            assert_eq!(*hash, Hash::of_blob(blob));
        }
        let template = (card.template != Hash::ZERO).then(|| blobs[&card.template].as_ref());
        let asker = AskerModel::from_blobs(&blobs[&card.config], &blobs[&card.tokenizer], template)
            .unwrap();
        let local = checkpoint.asker().unwrap();
        assert_eq!(asker.config(), local.config());
        assert_eq!(&asker.config().model, checkpoint.config());
        let chat = [message("user", "Once upon a time")];
        let ids = asker.encode_chat(&chat, &[], true).unwrap();
        assert_eq!(ids, local.encode_chat(&chat, &[], true).unwrap());
        assert!(!asker.stop_ids().is_empty());
        assert!(blobs.contains_key(&card.tensors));
        assert_eq!(asker.context_tokens(), card.shape.context);
    }
}

#[test]
fn a_chat_follows_the_models_template_or_continues_plainly() {
    let chat = [
        message("user", "hi"),
        message("assistant", "ho"),
        message("user", "and?"),
    ];
    let tiny = Checkpoint::open(&fixture("tiny")).unwrap().asker().unwrap();
    assert_eq!(
        tiny.render_chat(&chat, &[], true).unwrap(),
        "user: hi\nassistant: ho\nuser: and?\nassistant:"
    );
    assert_eq!(tiny.stop_ids(), [511]);
    let stories = Checkpoint::open(&fixture("stories260k"))
        .unwrap()
        .asker()
        .unwrap();
    assert!(!stories.has_template());
    let ids = stories
        .encode_chat(&[message("user", "Once upon a time")], &[], true)
        .unwrap();
    assert_eq!(ids, stories.encode("Once upon a time", true).unwrap());
    assert_eq!(ids[0], 1, "a document starts with the begin mark");
}

#[test]
fn templates_stop_ids_and_special_tokens_come_from_any_of_the_files() {
    let mut files = common::files(&fixture("tiny"));
    files.insert(
        "chat_template.jinja".to_owned(),
        b"{{ bos_token }}{% for m in messages %}{{ m.content | trim }}{{ eos_token }}{% endfor %}"
            .to_vec(),
    );
    files.insert(
        "generation_config.json".to_owned(),
        b"{\"eos_token_id\": [5, 511]}".to_vec(),
    );
    files.insert(
        "tokenizer_config.json".to_owned(),
        br#"{"eos_token": {"content": "<|end_of_text|>"}, "chat_template": [{"name": "default", "template": "unused"}]}"#.to_vec(),
    );
    let asker = common::from_files(files).unwrap().asker().unwrap();
    assert_eq!(asker.stop_ids(), [5, 511]);
    let text = asker
        .render_chat(&[message("user", " hi ")], &[], false)
        .unwrap();
    assert_eq!(text, "<|begin_of_text|>hi<|end_of_text|>");
    // The marks are tokens, not text.
    assert_eq!(asker.encode(&text, false).unwrap().first(), Some(&510));
}

#[test]
fn blobs_of_strangers_are_judged() {
    let checkpoint = Checkpoint::open(&fixture("tiny")).unwrap();
    let config = checkpoint.asker().unwrap().config().clone();
    assert_eq!(
        AskerConfig::from_json(config.to_json().as_bytes()).unwrap(),
        config
    );
    let changed = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut value: serde_json::Value = serde_json::from_str(&config.to_json()).unwrap();
        change(&mut value);
        AskerConfig::from_json(value.to_string().as_bytes())
    };
    assert!(matches!(
        changed(&|value| value["format"] = 2.into()),
        Err(AskerError::Malformed { .. })
    ));
    assert!(matches!(
        changed(&|value| value["surprise"] = 2.into()),
        Err(AskerError::Malformed { .. })
    ));
    assert!(matches!(
        changed(&|value| value["stop_ids"] = vec![512].into()),
        Err(AskerError::Vocabulary {
            id: 512,
            vocabulary: 512
        })
    ));
    assert!(matches!(
        changed(&|value| value["heads"] = 0.into()),
        Err(AskerError::Config(_))
    ));
    assert!(matches!(
        changed(&|value| value["stop_ids"] = vec![1; 65].into()),
        Err(AskerError::Malformed { .. })
    ));
    let blob = config.to_json();
    assert!(matches!(
        AskerModel::from_blobs(blob.as_bytes(), b"{}", None),
        Err(AskerError::Tokenizer(TokenizerError::Malformed(_)))
    ));
    let tokenizer = std::fs::read(fixture("tiny").join("tokenizer.json")).unwrap();
    assert!(matches!(
        AskerModel::from_blobs(blob.as_bytes(), &tokenizer, Some(b"{% if %}")),
        Err(AskerError::Template(_))
    ));
}
