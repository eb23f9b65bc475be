//! The models a node knows: its own checkpoints, and those it can only ask for.
//!
//! A model's files are opened once; what an asker needs of it (card, tokenizer,
//! template, settings) is served to others as blobs. A model that only others
//! hold is known by its card and the same blobs, fetched and verified. Loading
//! layers into memory is not done here.

mod advice;
mod demo;
pub mod names;
pub mod shelf;
pub mod store;

pub use advice::{advice, serve_command};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{AskerModel, Checkpoint, LoadObserver};
use talkoot_protocol::{Hash, ModelCard, ModelId, Wallet};

use crate::exchange::blobs::{BlobStore, FetchError};
use crate::exit::{Exit, Failure};
use crate::gossip::ControlPlane;
use store::{Condition, Record};

/// A checkpoint that is here.
#[derive(Debug, Clone)]
pub struct LocalModel {
    /// Its id.
    pub id: ModelId,
    /// Its card.
    pub card: ModelCard,
    /// Its files.
    pub checkpoint: Arc<Checkpoint>,
    /// Text in and text out.
    pub asker: Arc<AskerModel>,
}

/// What one `--quantize` makes of a model.
#[derive(Debug, Clone)]
pub struct Variant {
    /// What its matrices are packed to; none leaves them as stored.
    pub format: Option<PackedFormat>,
    /// Its card.
    pub card: ModelCard,
    /// Bytes of the weights of all layers in memory.
    pub weight_bytes: u64,
}

/// How a checkpoint is used.
#[derive(Clone, Copy)]
pub struct Use<'a> {
    /// What its matrices are packed to; none leaves them as stored.
    pub format: Option<PackedFormat>,
    /// Where hashes and packed matrices are kept.
    pub cache: Option<&'a Path>,
    /// Threads that hash it.
    pub threads: usize,
    /// Who hears how far it is.
    pub observer: LoadObserver<'a>,
}

impl Default for Use<'_> {
    fn default() -> Self {
        Self {
            format: None,
            cache: None,
            threads: 1,
            observer: &|_| {},
        }
    }
}

impl std::fmt::Debug for Use<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Use")
            .field("format", &self.format)
            .field("cache", &self.cache)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The checkpoint is refused.
    #[error("{path}: {source}")]
    Checkpoint {
        /// Which one.
        path: String,
        /// Why.
        source: talkoot_inference::CheckpointError,
    },
    /// Its tokenizer or template is refused.
    #[error("{path}: {source}")]
    Asker {
        /// Which one.
        path: String,
        /// Why.
        source: talkoot_inference::AskerError,
    },
    /// It is not what was imported, or its record is damaged.
    #[error("{0}")]
    Stored(Failure),
}

impl From<ModelError> for Failure {
    fn from(error: ModelError) -> Self {
        let message = error.to_string();
        match error {
            ModelError::Checkpoint { source, .. } => {
                Self::new(Exit::BadConfig, message).hint(advice(&source))
            }
            ModelError::Asker { .. } => {
                Self::new(Exit::BadConfig, message).hint("fetch tokenizer and template again")
            }
            ModelError::Stored(failure) => failure,
        }
    }
}

impl LocalModel {
    /// Opens the model that is embedded in the program.
    ///
    /// # Errors
    /// [`ModelError`]; the embedded files are tested, so this is a bug.
    pub fn demo() -> Result<Self, ModelError> {
        Self::open(None, &Use::default())
    }

    /// Opens a Hugging Face directory, a GGUF file or a directory of the store, or
    /// the demo model where none is given. Its name is the path's or the one it was
    /// imported by, with the format at the end where it is packed.
    ///
    /// # Errors
    /// [`ModelError`] naming the path.
    pub fn open(path: Option<&Path>, how: &Use<'_>) -> Result<Self, ModelError> {
        let Some(path) = path.filter(|path| !is_demo(path)) else {
            let opened = Checkpoint::from_files(&demo::files());
            return Self::of(opened, how, names::DEMO, "embedded demo model");
        };
        if let Some(record) = Record::read(path).map_err(ModelError::Stored)? {
            return Self::open_imported(path, &record, how);
        }
        let shown = path.display().to_string();
        Self::of(Checkpoint::open(path), how, &names::of_path(path), &shown)
    }

    fn open_imported(directory: &Path, record: &Record, how: &Use<'_>) -> Result<Self, ModelError> {
        let path = directory.join(&record.model);
        if !path.exists() {
            let (name, path) = (record.name(), path.display());
            let message = format!("the files of {name} are not at {path} any more");
            let failure = Failure::new(Exit::NotFound, message).hint(format!(
                "put them back there, or `talkoot rm {name} --yes` and import them from where they are"
            ));
            return Err(ModelError::Stored(failure));
        }
        let shown = path.display().to_string();
        let opened = Self::of(Checkpoint::open(&path), how, record.name(), &shown)?;
        // Of files that are the same another version of the program may make another
        // card; that is no damage.
        if record.condition(directory) != Condition::Whole {
            record.check(&opened.card).map_err(ModelError::Stored)?;
        }
        Ok(opened)
    }

    /// What a model that was opened as stored is in each format: as it is, then
    /// for each that it can be packed to. Nothing is packed for that.
    #[must_use]
    pub fn variants(&self) -> Vec<Variant> {
        let variant = |format: Option<PackedFormat>| {
            let mut checkpoint = (*self.checkpoint).clone();
            if let Some(format) = format {
                checkpoint = checkpoint.packed_as(format);
            }
            Some(Variant {
                format,
                // A name is short enough for any format, or it would have no card.
                card: checkpoint.card(&self.card.name).ok()?,
                weight_bytes: checkpoint.weight_bytes(checkpoint.config().layers()),
            })
        };
        let formats = PackedFormat::ALL.map(Some);
        [None]
            .into_iter()
            .chain(formats)
            .filter_map(variant)
            .collect()
    }

    fn of(
        opened: Result<Checkpoint, talkoot_inference::CheckpointError>,
        how: &Use<'_>,
        name: &str,
        path: &str,
    ) -> Result<Self, ModelError> {
        let wrong = |source| ModelError::Checkpoint {
            path: path.to_owned(),
            source,
        };
        let mut checkpoint = opened.map_err(wrong)?;
        if let Some(format) = how.format {
            checkpoint = checkpoint.packed_as(format);
        }
        if let Some(cache) = how.cache {
            checkpoint = checkpoint.cached_in(cache);
        }
        checkpoint
            .hash_tensors(how.threads, how.observer)
            .map_err(wrong)?;
        let card = checkpoint.card(name).map_err(wrong)?;
        let asker = checkpoint.asker().map_err(|source| ModelError::Asker {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            id: card.id(),
            card,
            checkpoint: Arc::new(checkpoint),
            asker: Arc::new(asker),
        })
    }
}

/// Whether a `--model` argument means the embedded model: its name, where there
/// is no such path.
fn is_demo(path: &Path) -> bool {
    path.as_os_str() == names::DEMO && !path.exists()
}

/// Whether `path` looks like a model: what [`LocalModel::open`] would try to open.
#[must_use]
pub fn is_model(path: &Path) -> bool {
    is_demo(path)
        || path.is_file()
        || path.join("config.json").is_file()
        || path.join(store::RECORD_FILE).is_file()
}

/// What a model is, for whoever named something else.
pub const NO_MODEL: &str = "a model is a name from `talkoot models`, a folder with config.json, \
    tokenizer.json and *.safetensors, or a .gguf file";

/// The files at `path`, which may be a place in the store, opened; no tensor is
/// looked at.
///
/// # Errors
/// [`ModelError`].
pub fn checkpoint(path: &Path) -> Result<Checkpoint, ModelError> {
    if is_demo(path) {
        return demo_checkpoint();
    }
    let record = Record::read(path).map_err(ModelError::Stored)?;
    let files = record.map_or_else(|| path.to_owned(), |record| path.join(record.model));
    Checkpoint::open(&files).map_err(|source| ModelError::Checkpoint {
        path: files.display().to_string(),
        source,
    })
}

/// The files of the embedded demo model, opened; no tensor is looked at.
///
/// # Errors
/// [`ModelError`]; the embedded files are tested, so this is a bug.
pub fn demo_checkpoint() -> Result<Checkpoint, ModelError> {
    Checkpoint::from_files(&demo::files()).map_err(|source| ModelError::Checkpoint {
        path: "embedded demo model".to_owned(),
        source,
    })
}

/// The registry.
#[derive(Debug, Clone, Default)]
pub struct Models {
    local: Arc<RwLock<BTreeMap<ModelId, LocalModel>>>,
    remote: Arc<RwLock<BTreeMap<ModelId, RemoteModel>>>,
    blobs: BlobStore,
}

/// A model of others: enough to ask it.
#[derive(Debug, Clone)]
pub struct RemoteModel {
    /// Its card.
    pub card: ModelCard,
    /// Text in and text out.
    pub asker: Arc<AskerModel>,
}

impl Models {
    /// Adds a checkpoint and serves its blobs.
    ///
    /// # Errors
    /// [`ModelError`] when its blobs cannot be made.
    pub fn add(&self, model: LocalModel) -> Result<(), ModelError> {
        let made = model
            .checkpoint
            .blobs()
            .map_err(|source| ModelError::Checkpoint {
                path: model.card.name.clone(),
                source,
            })?;
        self.blobs.insert(model.card.to_bytes().into());
        for blob in made.values() {
            self.blobs.insert(blob.to_vec().into());
        }
        self.local
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(model.id, model);
        Ok(())
    }

    /// The blobs served.
    #[must_use]
    pub fn blobs(&self) -> BlobStore {
        self.blobs.clone()
    }

    /// A checkpoint that is here.
    #[must_use]
    pub fn local(&self, id: ModelId) -> Option<LocalModel> {
        self.local
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// All checkpoints that are here.
    #[must_use]
    pub fn locals(&self) -> Vec<LocalModel> {
        self.local
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }

    /// What can be asked without fetching anything: a checkpoint of ours or a
    /// model whose blobs were fetched before.
    #[must_use]
    pub fn known(&self, id: ModelId) -> Option<RemoteModel> {
        if let Some(local) = self.local(id) {
            return Some(RemoteModel {
                card: local.card,
                asker: local.asker,
            });
        }
        self.remote
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&id)
            .cloned()
    }

    /// Remembers a model of others.
    pub fn remember(&self, id: ModelId, model: RemoteModel) {
        self.remote
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, model);
    }
}

/// Why a model of others could not be learned.
#[derive(Debug, thiserror::Error)]
pub enum LearnError {
    /// Nobody who serves it is present.
    #[error("no peer that serves it is present")]
    Nobody,
    /// A blob could not be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The card is malformed or another model's.
    #[error("its card does not belong to it")]
    Card,
    /// Tokenizer, template or settings are refused.
    #[error(transparent)]
    Asker(#[from] talkoot_inference::AskerError),
}

/// Fetches what it takes to ask a model that only others hold: its card, then
/// the settings, tokenizer and template that the card names.
///
/// # Errors
/// [`LearnError`].
pub async fn fetch(id: ModelId, control: &ControlPlane) -> Result<RemoteModel, LearnError> {
    let providers = control
        .directory()
        .read(|directory, now_ms| directory.providers(id, now_ms));
    let candidates: Vec<Wallet> = providers.iter().map(|provider| provider.wallet).collect();
    let card_blob = providers
        .first()
        .map(|provider| provider.served.card)
        .ok_or(LearnError::Nobody)?;
    let bytes = control.fetch_blob(card_blob, &candidates).await?;
    let card = ModelCard::decode(&bytes).map_err(|_| LearnError::Card)?;
    if card.id() != id {
        return Err(LearnError::Card);
    }
    let config = control.fetch_blob(card.config, &candidates).await?;
    let tokenizer = control.fetch_blob(card.tokenizer, &candidates).await?;
    let template = if card.template == Hash::ZERO {
        None
    } else {
        Some(control.fetch_blob(card.template, &candidates).await?)
    };
    let asker = AskerModel::from_blobs(&config, &tokenizer, template.as_deref())?;
    Ok(RemoteModel {
        card,
        asker: Arc::new(asker),
    })
}
