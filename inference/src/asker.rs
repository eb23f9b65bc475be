//! What an asker needs of a model: text to tokens, tokens to text, where to stop.
//!
//! Built from the blobs a model card names (or a checkpoint, through the same
//! bytes), so a node without any layer asks exactly as the owner of the model
//! would. The `config` blob is composed here: a small JSON text with the sizes,
//! the settings, the special tokens and the stop ids, which in a published
//! checkpoint are spread over three files.

use crate::config::{ConfigError, ModelConfig, ModelSettings, OneOrMany};
use crate::constraint::{Constraint, ConstraintError, Constraints};
use crate::template::{ChatTemplate, TemplateError};
use crate::tokenizer::{Detokenizer, Tokenizer, TokenizerError};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use talkoot_protocol::limits;
use talkoot_protocol::model::ModelShape;
use talkoot_protocol::sampling::Grammar;

pub use crate::template::ChatMessage;

/// The version of the composed configuration.
const FORMAT: u32 = 1;
/// Bytes of one special token.
const TOKEN_BYTES_MAX: usize = 256;
/// The special tokens that templates may name.
const SPECIAL_TOKENS: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "pad_token",
    "sep_token",
    "cls_token",
    "mask_token",
];

/// Why a model cannot be asked, or a text not converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskerError {
    /// One of the small files is wrong.
    #[error("{file} is malformed: {reason}")]
    Malformed {
        /// Which file.
        file: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// The sizes or settings are wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tokenizer refuses.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The chat template refuses.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The tokenizer and the model do not fit each other.
    #[error("the tokenizer made token {id}, the model's vocabulary has {vocabulary}")]
    Vocabulary {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: u32,
    },
}

/// The composed configuration: the content of a card's `config` blob.
#[derive(Debug, Clone, PartialEq)]
pub struct AskerConfig {
    /// Family, sizes and settings.
    pub model: ModelConfig,
    /// Texts of special tokens by the name that templates use.
    pub special_tokens: BTreeMap<String, String>,
    /// Ids that end a completion.
    pub stop_ids: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenConfig {
    format: u32,
    family: String,
    layers: u32,
    hidden: u32,
    intermediate: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    vocabulary: u32,
    context: u32,
    active_experts: u32,
    settings: ModelSettings,
    special_tokens: BTreeMap<String, String>,
    stop_ids: Vec<u32>,
}

/// What the files of a checkpoint say besides the weights.
pub(crate) struct Composed {
    pub(crate) config: AskerConfig,
    /// The tokenizer, read.
    pub(crate) tokenizer: Tokenizer,
    /// A template inside `tokenizer_config.json`.
    pub(crate) template: Option<String>,
}

impl AskerConfig {
    /// Gathers the configuration of a published checkpoint from its files.
    pub(crate) fn compose(
        model: &ModelConfig,
        config_json: &[u8],
        generation_json: Option<&[u8]>,
        tokenizer_config_json: Option<&[u8]>,
        tokenizer_json: &[u8],
    ) -> Result<Composed, AskerError> {
        let config = parse("config.json", config_json)?;
        let generation = match generation_json {
            Some(json) => parse("generation_config.json", json)?,
            None => Value::Null,
        };
        let tokens = match tokenizer_config_json {
            Some(json) => parse("tokenizer_config.json", json)?,
            None => Value::Null,
        };
        let tokenizer = Tokenizer::from_json(tokenizer_json)?;
        let mut special_tokens: BTreeMap<String, String> = SPECIAL_TOKENS
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), token_text(tokens.get(name)?)?)))
            .collect();
        let mut stop_ids = BTreeSet::new();
        for (file, source) in [
            ("config.json", &config),
            ("generation_config.json", &generation),
        ] {
            stop_ids.extend(ids(file, source.get("eos_token_id"))?);
        }
        for (name, key) in [("bos_token", "bos_token_id"), ("eos_token", "eos_token_id")] {
            let first = ids("config.json", config.get(key))?.first().copied();
            if let Some(token) = first.and_then(|id| tokenizer.token_of(id)) {
                special_tokens.entry(name.to_owned()).or_insert(token);
            }
        }
        if stop_ids.is_empty() {
            let end = special_tokens
                .get("eos_token")
                .and_then(|token| tokenizer.id_of(token));
            stop_ids.extend(end);
        }
        let stop_ids = stop_ids.into_iter().collect();
        let config = Self {
            model: model.clone(),
            special_tokens,
            stop_ids,
        };
        config.check()?;
        Ok(Composed {
            config,
            tokenizer,
            template: template_text(&tokens),
        })
    }

    /// The canonical text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let shape = self.model.shape;
        let written = WrittenConfig {
            format: FORMAT,
            family: self.model.family.clone(),
            layers: shape.layers,
            hidden: shape.hidden,
            intermediate: shape.intermediate,
            heads: shape.heads,
            kv_heads: shape.kv_heads,
            head_dim: shape.head_dim,
            vocabulary: shape.vocabulary,
            context: shape.context,
            active_experts: shape.active_experts,
            settings: self.model.settings,
            special_tokens: self.special_tokens.clone(),
            stop_ids: self.stop_ids.clone(),
        };
        #[expect(
            clippy::expect_used,
            reason = "numbers and texts with fixed keys serialise"
        )]
        serde_json::to_string(&written).expect("plain data")
    }

    /// Reads [`Self::to_json`]'s text, from anywhere.
    ///
    /// # Errors
    /// [`AskerError`] naming what is wrong.
    pub fn from_json(json: &[u8]) -> Result<Self, AskerError> {
        const FILE: &str = "the model's configuration";
        let malformed = |reason: String| AskerError::Malformed { file: FILE, reason };
        let written: WrittenConfig =
            serde_json::from_slice(json).map_err(|error| malformed(error.to_string()))?;
        if written.format != FORMAT {
            return Err(malformed(format!(
                "format {}, this program reads {FORMAT}",
                written.format
            )));
        }
        let shape = ModelShape {
            layers: written.layers,
            hidden: written.hidden,
            intermediate: written.intermediate,
            heads: written.heads,
            kv_heads: written.kv_heads,
            head_dim: written.head_dim,
            vocabulary: written.vocabulary,
            context: written.context,
            active_experts: written.active_experts,
        };
        let config = Self {
            model: ModelConfig {
                family: written.family,
                shape,
                settings: written.settings,
            },
            special_tokens: written.special_tokens,
            stop_ids: written.stop_ids,
        };
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), AskerError> {
        self.model.check()?;
        let malformed = |reason: String| AskerError::Malformed {
            file: "the model's configuration",
            reason,
        };
        if self.stop_ids.len() > limits::STOP_IDS_MAX {
            return Err(malformed(format!("{} stop ids", self.stop_ids.len())));
        }
        let vocabulary = self.model.shape.vocabulary;
        if let Some(id) = self.stop_ids.iter().find(|&&id| id >= vocabulary) {
            return Err(AskerError::Vocabulary {
                id: *id,
                vocabulary,
            });
        }
        let known = |(name, token): (&String, &String)| {
            SPECIAL_TOKENS.contains(&name.as_str()) && token.len() <= TOKEN_BYTES_MAX
        };
        if !self.special_tokens.iter().all(known) {
            return Err(malformed("an unknown or overlong special token".to_owned()));
        }
        Ok(())
    }
}

fn parse(file: &'static str, json: &[u8]) -> Result<Value, AskerError> {
    serde_json::from_slice(json).map_err(|error| AskerError::Malformed {
        file,
        reason: error.to_string(),
    })
}

/// A token is written as its text or as an object with `content`.
fn token_text(value: &Value) -> Option<String> {
    value
        .as_str()
        .or_else(|| value.get("content")?.as_str())
        .map(str::to_owned)
}

fn ids(file: &'static str, value: Option<&Value>) -> Result<Vec<u32>, AskerError> {
    match value {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(value) => serde_json::from_value::<OneOrMany>(value.clone())
            .map(OneOrMany::into_vec)
            .map_err(|_| AskerError::Malformed {
                file,
                reason: format!("{value} is no token id and no list of them"),
            }),
    }
}

/// One template, or the default of several named ones.
fn template_text(tokenizer_config: &Value) -> Option<String> {
    match tokenizer_config.get("chat_template")? {
        Value::String(text) => Some(text.clone()),
        Value::Array(named) => named
            .iter()
            .find(|entry| entry.get("name").and_then(Value::as_str) == Some("default"))
            .or_else(|| named.first())
            .and_then(|entry| entry.get("template")?.as_str())
            .map(str::to_owned),
        _ => None,
    }
}

/// Tokenizer, template and stop ids of one model. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct AskerModel {
    config: AskerConfig,
    tokenizer: Tokenizer,
    template: Option<ChatTemplate>,
    token_bytes: Arc<OnceLock<Vec<Vec<u8>>>>,
    constraints: Arc<OnceLock<Result<Constraints, ConstraintError>>>,
}

impl AskerModel {
    /// From the blobs that a card names `config`, `tokenizer` and `template`
    /// (`None` where the card's hash is zero). The caller has checked the hashes.
    ///
    /// # Errors
    /// [`AskerError`] naming what is wrong.
    pub fn from_blobs(
        config: &[u8],
        tokenizer: &[u8],
        template: Option<&[u8]>,
    ) -> Result<Self, AskerError> {
        let config = AskerConfig::from_json(config)?;
        Self::from_parts(config, Tokenizer::from_json(tokenizer)?, template)
    }

    /// From what has been read before: a large tokenizer takes half a second.
    pub(crate) fn from_parts(
        config: AskerConfig,
        tokenizer: Tokenizer,
        template: Option<&[u8]>,
    ) -> Result<Self, AskerError> {
        let template = match template {
            None => None,
            Some(text) => {
                let text = std::str::from_utf8(text)
                    .map_err(|error| TemplateError::Malformed(error.to_string()))?;
                Some(ChatTemplate::new(text)?)
            }
        };
        Ok(Self {
            config,
            tokenizer,
            template,
            token_bytes: Arc::default(),
            constraints: Arc::default(),
        })
    }

    /// The bytes that a token stands for in a text; none for special tokens and
    /// ids without a token. The first call walks the vocabulary.
    #[must_use]
    pub fn token_bytes(&self, id: u32) -> &[u8] {
        let vocabulary = self.config.model.shape.vocabulary;
        self.token_bytes
            .get_or_init(|| self.tokenizer.token_bytes(vocabulary))
            .get(id as usize)
            .map_or(&[], Vec::as_slice)
    }

    /// Reads a grammar for completions of this model: milliseconds, and at the
    /// first call up to a second more for a large vocabulary.
    ///
    /// # Errors
    /// [`ConstraintError`] saying what is wrong with it.
    pub fn read_grammar(&self, grammar: &Grammar) -> Result<Constraint, ConstraintError> {
        let vocabulary = self.config.model.shape.vocabulary;
        let made = || Constraints::new(&self.tokenizer, vocabulary, self.stop_ids());
        match self.constraints.get_or_init(made) {
            Ok(constraints) => constraints.read(grammar),
            Err(error) => Err(error.clone()),
        }
    }

    /// Sizes, settings, special tokens and stop ids.
    #[must_use]
    pub const fn config(&self) -> &AskerConfig {
        &self.config
    }

    /// Tokens a session may hold, prompt and completion together.
    #[must_use]
    pub const fn context_tokens(&self) -> u32 {
        self.config.model.shape.context
    }

    /// Ids that end a completion.
    #[must_use]
    pub fn stop_ids(&self) -> &[u32] {
        &self.config.stop_ids
    }

    /// Whether the model has a chat template.
    #[must_use]
    pub const fn has_template(&self) -> bool {
        self.template.is_some()
    }

    /// The chat template as the model brings it.
    #[must_use]
    pub fn template_source(&self) -> Option<&str> {
        self.template.as_ref().map(ChatTemplate::source)
    }

    /// Whether the model has a chat template that knows tools.
    #[must_use]
    pub fn has_tools(&self) -> bool {
        self.template.as_ref().is_some_and(ChatTemplate::has_tools)
    }

    /// The tokenizer.
    #[must_use]
    pub const fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A fresh stream of text.
    #[must_use]
    pub fn detokenizer(&self) -> Detokenizer {
        self.tokenizer.detokenizer()
    }

    /// The ids of a text; with `add_special`, framed as a document.
    ///
    /// # Errors
    /// [`AskerError`].
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, AskerError> {
        let ids = self.tokenizer.encode(text, add_special)?;
        let vocabulary = self.config.model.shape.vocabulary;
        match ids.iter().find(|&&id| id >= vocabulary) {
            Some(&id) => Err(AskerError::Vocabulary { id, vocabulary }),
            None => Ok(ids),
        }
    }

    /// The text of a chat. Without a template the contents follow each other,
    /// a line each: such a model continues text and knows no roles, nor tools.
    ///
    /// # Errors
    /// [`AskerError::Template`].
    pub fn render_chat(
        &self,
        messages: &[ChatMessage],
        tools: &[Value],
        add_generation_prompt: bool,
    ) -> Result<String, AskerError> {
        match &self.template {
            Some(template) => Ok(template.render(
                messages,
                tools,
                &self.config.special_tokens,
                add_generation_prompt,
            )?),
            None => {
                let contents: Vec<&str> = messages
                    .iter()
                    .map(|message| message.content.as_str())
                    .collect();
                Ok(contents.join("\n"))
            }
        }
    }

    /// The ids of a chat. A template writes the special tokens itself; without
    /// one the tokenizer adds them.
    ///
    /// # Errors
    /// [`AskerError`].
    pub fn encode_chat(
        &self,
        messages: &[ChatMessage],
        tools: &[Value],
        add_generation_prompt: bool,
    ) -> Result<Vec<u32>, AskerError> {
        let text = self.render_chat(messages, tools, add_generation_prompt)?;
        self.encode(&text, !self.has_template())
    }
}
