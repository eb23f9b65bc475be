//! A Hugging Face checkpoint: its files, checked, and its tensors by name.
//!
//! Opening reads the small files and the headers of the weight files; tensor
//! bytes stay in the mapped file until a shard of their layers is loaded or the
//! card is computed. What is handed out has passed the checks of shape and
//! number format against the configuration. Files may also come from memory
//! (a model embedded in the program).

pub(crate) mod cache;
mod card;
mod files;
mod gguf;
mod hashes;
mod map;
mod safetensors;
mod source;
mod tensors;

pub use card::TensorRecord;
pub(crate) use tensors::TensorBytes;

use crate::asker::{AskerConfig, AskerError, AskerModel};
use crate::config::{ConfigError, ModelConfig};
use crate::kernels::PackedFormat;
use crate::packing;
use crate::tokenizer::{Tokenizer, TokenizerError};
use bytes::Bytes;
use map::WeightFile;
use source::Source;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use talkoot_protocol::hash::Hash;
use talkoot_protocol::model::DType;
use tensors::{Located, Products, check_manifest};

/// Weight files of one checkpoint.
const WEIGHT_FILES_MAX: usize = 1024;

const CONFIG: &str = "config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const TOKENIZER: &str = "tokenizer.json";
const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const TEMPLATE: &str = "chat_template.jinja";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// There is nothing at the path that was given.
    #[error(
        "there is no {path}; a model is a folder with config.json, tokenizer.json and \
         *.safetensors, or a .gguf file"
    )]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// The path leads to a file of a format that is not read.
    #[error(
        "{path} is no GGUF file; a model is a folder with config.json, tokenizer.json and \
         *.safetensors, or a .gguf file"
    )]
    UnknownFormat {
        /// The path.
        path: PathBuf,
    },
    /// A GGUF file is wrong, or holds what is not supported.
    #[error("{file}: {reason}")]
    Gguf {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The operating system refused.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What it said.
        source: std::io::Error,
    },
    /// A file that every checkpoint has is not there.
    #[error("the checkpoint has no {file}")]
    MissingFile {
        /// Its name.
        file: String,
    },
    /// A small file is implausibly large.
    #[error("{file} has {bytes} bytes, the limit is {bytes_max}")]
    TooLarge {
        /// Its name.
        file: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        bytes_max: u64,
    },
    /// A file is not the JSON it should be.
    #[error("{file} is malformed: {reason}")]
    Json {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The header of a weight file is wrong.
    #[error("{file} is no safetensors file: {reason}")]
    Header {
        /// Its name.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// A tensor that the model needs is in none of the files.
    #[error("tensor {name} is missing")]
    MissingTensor {
        /// Its name.
        name: String,
    },
    /// A tensor is described wrongly, or not as the configuration says.
    #[error("tensor {name}: {reason}")]
    Tensor {
        /// Its name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// There is not so much memory for packed weights.
    #[error("no memory for {bytes} bytes of packed weights: {source}")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The tokenizer is refused.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The texts around the tokenizer are refused.
    #[error(transparent)]
    Asker(#[from] AskerError),
    /// The model does not fit a card.
    #[error("no card can describe this model: {0}")]
    Card(String),
}

impl CheckpointError {
    pub(crate) fn tensor(name: &str, reason: String) -> Self {
        Self::Tensor {
            name: name.to_owned(),
            reason,
        }
    }
}

/// An opened checkpoint. Cloning shares its files and what is known of them.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    config: ModelConfig,
    asker_config: AskerConfig,
    tokenizer: Bytes,
    tokenizer_read: Tokenizer,
    template: Option<String>,
    weights: BTreeMap<String, WeightFile>,
    tensors: BTreeMap<String, Located>,
    products: Products,
    list: OnceLock<(Vec<TensorRecord>, Hash)>,
    cache: Option<PathBuf>,
}

#[derive(serde::Deserialize)]
struct WeightIndex {
    weight_map: BTreeMap<String, String>,
}

impl Checkpoint {
    /// Opens a directory as published on a model hub, or a GGUF file, of several
    /// the first.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the file, setting or tensor.
    pub fn open(path: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io {
            path: path.to_owned(),
            source,
        };
        if !path.try_exists().map_err(io)? {
            let path = path.to_owned();
            return Err(CheckpointError::NoSuchPath { path });
        }
        if path.is_dir() {
            return Self::from_source(&Source::Directory(path));
        }
        gguf::open(path)
    }

    /// Takes the same files by name from memory: a published directory, or GGUF. `Bytes::from_static` holds
    /// embedded ones without a copy.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the file, setting or tensor.
    pub fn from_files(files: &BTreeMap<String, Bytes>) -> Result<Self, CheckpointError> {
        let source = Source::Files(files);
        let is_gguf = |name: &&String| name.ends_with(gguf::EXTENSION);
        match files.keys().find(is_gguf) {
            Some(name) if !source.has(CONFIG) => gguf::from_source(&source, name),
            _ => Self::from_source(&source),
        }
    }

    fn from_source(source: &Source<'_>) -> Result<Self, CheckpointError> {
        let texts = Texts {
            config: source.required(CONFIG)?,
            generation: source.small(GENERATION_CONFIG)?,
            tokenizer: source.required(TOKENIZER)?,
            tokenizer_config: source.small(TOKENIZER_CONFIG)?,
            template: source.small(TEMPLATE)?,
        };
        let config = ModelConfig::from_json(&texts.config)?;
        Self::assemble(config, texts, read_weights(source)?)
    }

    fn assemble(
        config: ModelConfig,
        texts: Texts,
        (weights, tensors): Weights,
    ) -> Result<Self, CheckpointError> {
        let composed = AskerConfig::compose(
            &config,
            &texts.config,
            texts.generation.as_deref(),
            texts.tokenizer_config.as_deref(),
            &texts.tokenizer,
        )?;
        let template = match texts.template {
            Some(text) => Some(utf8(TEMPLATE, &text)?),
            None => composed.template,
        };
        let products = check_manifest(&config, &tensors)?;
        Ok(Self {
            config,
            asker_config: composed.config,
            tokenizer: fit_blob(texts.tokenizer),
            tokenizer_read: composed.tokenizer,
            template,
            weights,
            tensors,
            products,
            list: OnceLock::new(),
            cache: None,
        })
    }

    /// Keeps what is costly to make (hashes, packed matrices) in files below
    /// `directory`. Nothing but time depends on them.
    #[must_use]
    pub fn cached_in(mut self, directory: &Path) -> Self {
        self.cache = Some(directory.to_owned());
        self
    }

    /// The validated configuration.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The directory of the cache.
    pub(crate) fn cache(&self) -> Option<&Path> {
        self.cache.as_deref()
    }

    /// The number format of the matrices, as they are used.
    #[must_use]
    pub const fn dtype(&self) -> DType {
        match self.products {
            Products::Stored(dtype) => dtype,
            Products::Packed(format) | Products::Native { main: format, .. } => {
                packing::dtype_of(format)
            }
        }
    }

    /// The same checkpoint, its matrices of products used in `format`: another
    /// model, with a card and an arithmetic of its own.
    #[must_use]
    pub const fn packed_as(mut self, format: PackedFormat) -> Self {
        self.products = Products::Packed(format);
        self
    }

    /// The format that matrices of products are packed to, if they are: that of
    /// most of them where a file brings several.
    #[must_use]
    pub const fn packed_format(&self) -> Option<PackedFormat> {
        match self.products {
            Products::Stored(_) => None,
            Products::Packed(format) | Products::Native { main: format, .. } => Some(format),
        }
    }

    /// Tokenizer, template and stop ids: the same as an asker without layers
    /// builds from [`Self::blobs`].
    ///
    /// # Errors
    /// [`AskerError`].
    pub fn asker(&self) -> Result<AskerModel, AskerError> {
        AskerModel::from_parts(
            self.asker_config.clone(),
            self.tokenizer_read.clone(),
            self.template.as_deref().map(str::as_bytes),
        )
    }
}

fn utf8(file: &str, bytes: &[u8]) -> Result<String, CheckpointError> {
    String::from_utf8(bytes.to_vec()).map_err(|error| CheckpointError::Json {
        file: file.to_owned(),
        reason: error.to_string(),
    })
}

/// The files besides the weights.
struct Texts {
    config: Bytes,
    generation: Option<Bytes>,
    tokenizer: Bytes,
    tokenizer_config: Option<Bytes>,
    template: Option<Bytes>,
}

type Weights = (BTreeMap<String, WeightFile>, BTreeMap<String, Located>);

fn read_weights(source: &Source<'_>) -> Result<Weights, CheckpointError> {
    let files: BTreeSet<String> = if source.has(INDEX) && !source.has(WEIGHTS) {
        let index: WeightIndex =
            serde_json::from_slice(&source.required(INDEX)?).map_err(|error| {
                CheckpointError::Json {
                    file: INDEX.to_owned(),
                    reason: error.to_string(),
                }
            })?;
        index.weight_map.into_values().collect()
    } else {
        BTreeSet::from([WEIGHTS.to_owned()])
    };
    if files.len() > WEIGHT_FILES_MAX {
        return Err(CheckpointError::Json {
            file: INDEX.to_owned(),
            reason: format!(
                "{} weight files, the limit is {WEIGHT_FILES_MAX}",
                files.len()
            ),
        });
    }
    let mut weights = BTreeMap::new();
    let mut tensors = BTreeMap::new();
    for file in files {
        // The index must not lead out of the checkpoint's directory.
        if file.contains(['/', '\\']) || !file.ends_with(".safetensors") {
            return Err(CheckpointError::Json {
                file: INDEX.to_owned(),
                reason: format!("{file:?} is no name of a weight file"),
            });
        }
        let content = source.weights(&file)?;
        for (name, entry) in safetensors::read_header(&file, content.bytes())? {
            let located = Located {
                file: file.clone(),
                entry,
            };
            if let Some(before) = tensors.insert(name.clone(), located) {
                return Err(CheckpointError::tensor(
                    &name,
                    format!("is in both {} and {file}", before.file),
                ));
            }
        }
        weights.insert(file, content);
    }
    Ok((weights, tensors))
}

/// Published tokenizers of large vocabularies are indented JSON above the bound
/// of a blob; without the white space between tokens they fit.
fn fit_blob(json: Bytes) -> Bytes {
    if json.len() as u64 <= talkoot_protocol::limits::BLOB_BYTES_MAX {
        return json;
    }
    let mut compact = Vec::with_capacity(json.len() / 2);
    let (mut in_text, mut escaped) = (false, false);
    for &byte in json.iter() {
        if in_text {
            in_text = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if byte.is_ascii_whitespace() {
            continue;
        } else {
            in_text = byte == b'"';
        }
        compact.push(byte);
    }
    Bytes::from(compact)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oversized_tokenizer_loses_only_its_white_space() {
        let text = format!(
            "{{ \"a b\\\" c\" : [ 1 ,\n 2 ], \"p\": \"{}\" }}",
            " ".repeat(17 << 20)
        );
        let compact = fit_blob(Bytes::from(text.clone()));
        assert!(compact.starts_with(b"{\"a b\\\" c\":[1,2],\"p\":\" "));
        let parse = |bytes: &[u8]| serde_json::from_slice::<serde_json::Value>(bytes).unwrap();
        assert_eq!(parse(&compact), parse(text.as_bytes()));
    }
}
