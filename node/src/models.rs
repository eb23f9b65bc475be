//! The models a node knows: its own checkpoints, and those it can only ask for.
//!
//! A model's files are opened once; what an asker needs of it (card, tokenizer,
//! template, settings) is served to others as blobs. A model that only others
//! hold is known by its card and the same blobs, fetched and verified. Loading
//! layers into memory is not done here.

mod demo;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use talkoot_inference::{AskerModel, Checkpoint};
use talkoot_protocol::{Hash, ModelCard, ModelId};

use crate::core::placement::Footprint;

/// Blobs that this node serves, by plain blake3.
pub type Blobs = Arc<RwLock<BTreeMap<Hash, bytes::Bytes>>>;

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
}

impl LocalModel {
    /// Opens the model that is embedded in the program.
    ///
    /// # Errors
    /// [`ModelError`]; the embedded files are tested, so this is a bug.
    pub fn demo() -> Result<Self, ModelError> {
        Self::of(Checkpoint::from_files(&demo::files()), demo::NAME, "embedded demo model")
    }

    /// Opens a Hugging Face directory. Its name is the directory's.
    ///
    /// # Errors
    /// [`ModelError`] naming the path.
    pub fn open(directory: &Path) -> Result<Self, ModelError> {
        let path = directory.display().to_string();
        let full = std::fs::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
        let name: String = full
            .file_name()
            .map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
            .chars()
            .take(48)
            .collect();
        Self::of(Checkpoint::open(directory), &name, &path)
    }

    fn of(
        opened: Result<Checkpoint, talkoot_inference::CheckpointError>,
        name: &str,
        path: &str,
    ) -> Result<Self, ModelError> {
        let wrong = |source| ModelError::Checkpoint { path: path.to_owned(), source };
        let checkpoint = opened.map_err(wrong)?;
        let card = checkpoint.card(name).map_err(wrong)?;
        let asker = checkpoint.asker().map_err(|source| ModelError::Asker { path: path.to_owned(), source })?;
        Ok(Self { id: card.id(), card, checkpoint: Arc::new(checkpoint), asker: Arc::new(asker) })
    }

    /// What each layer needs in memory.
    ///
    /// # Errors
    /// [`ModelError`] when the tensors cannot be listed.
    pub fn footprint(&self) -> Result<Footprint, ModelError> {
        let list = self
            .checkpoint
            .tensor_list()
            .map_err(|source| ModelError::Checkpoint { path: self.card.name.clone(), source })?;
        let mut footprint = Footprint {
            layer_bytes: vec![0; self.card.shape.layers as usize],
            embedding_bytes: 0,
            head_bytes: 0,
            session_bytes: 0,
        };
        for tensor in list {
            let elements = tensor.dims.iter().map(|dim| u64::from(*dim)).product::<u64>();
            let bytes = elements.saturating_mul(tensor.dtype.element_bytes().unwrap_or(1) as u64);
            let layer = tensor
                .name
                .strip_prefix("model.layers.")
                .and_then(|rest| rest.split('.').next())
                .and_then(|number| number.parse::<usize>().ok());
            match layer.and_then(|layer| footprint.layer_bytes.get_mut(layer)) {
                Some(sum) => *sum = sum.saturating_add(bytes),
                None if tensor.name.contains("embed") => footprint.embedding_bytes += bytes,
                None => footprint.head_bytes += bytes,
            }
        }
        // A tied head reads the embedding's matrix on the last stage too.
        if !list.iter().any(|tensor| tensor.name.starts_with("lm_head")) {
            footprint.head_bytes += footprint.embedding_bytes;
        }
        Ok(footprint)
    }
}

/// The registry.
#[derive(Debug, Clone, Default)]
pub struct Models {
    local: Arc<RwLock<BTreeMap<ModelId, LocalModel>>>,
    remote: Arc<RwLock<BTreeMap<ModelId, RemoteModel>>>,
    blobs: Blobs,
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
            .map_err(|source| ModelError::Checkpoint { path: model.card.name.clone(), source })?;
        let card = bytes::Bytes::from(model.card.to_bytes());
        let mut blobs = self.blobs.write().unwrap_or_else(PoisonError::into_inner);
        blobs.insert(Hash::of_blob(&card), card);
        blobs.extend(made);
        drop(blobs);
        self.local.write().unwrap_or_else(PoisonError::into_inner).insert(model.id, model);
        Ok(())
    }

    /// The blobs served.
    #[must_use]
    pub fn blobs(&self) -> Blobs {
        self.blobs.clone()
    }

    /// A checkpoint that is here.
    #[must_use]
    pub fn local(&self, id: ModelId) -> Option<LocalModel> {
        self.local.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// All checkpoints that are here.
    #[must_use]
    pub fn locals(&self) -> Vec<LocalModel> {
        self.local.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// What can be asked without fetching anything: a checkpoint of ours or a
    /// model whose blobs were fetched before.
    #[must_use]
    pub fn known(&self, id: ModelId) -> Option<RemoteModel> {
        if let Some(local) = self.local(id) {
            return Some(RemoteModel { card: local.card, asker: local.asker });
        }
        self.remote.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Remembers a model of others.
    pub fn remember(&self, id: ModelId, model: RemoteModel) {
        self.remote.write().unwrap_or_else(PoisonError::into_inner).insert(id, model);
    }
}

