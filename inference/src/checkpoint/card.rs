//! The model card of a checkpoint and the blobs that the card names.
//!
//! The tensor list holds what the family needs, sorted by name, so two
//! checkpoints with equal weights have equal lists however their files are cut.
//! Computing it reads every weight byte once, or a record of an earlier reading
//! (`hashes`).

use super::tensors::Products;
use super::{Checkpoint, CheckpointError};
use crate::families;
use crate::kernels::{BLOCK, PackedFormat};
use crate::packing::QUANTISER_VERSION;
use crate::progress::{LoadObserver, unobserved};
use crate::stored::StoredFormat;
use bincode::{Decode, Encode};
use bytes::Bytes;
use std::collections::BTreeMap;
use talkoot_protocol::codec;
use talkoot_protocol::hash::Hash;
use talkoot_protocol::limits;
use talkoot_protocol::model::ModelCard;

/// Bytes of a tensor in the number format that it is used in. The embedding counts
/// like every matrix, so packing changes no price by size.
fn nominal_bytes(record: &TensorRecord, format: Option<PackedFormat>) -> u64 {
    let elements: u64 = record.dims.iter().map(|&dim| u64::from(dim)).product();
    let inner = record.dims.last().map_or(1, |&dim| u64::from(dim));
    let rows = elements / inner.max(1);
    let blocks = inner.div_ceil(BLOCK as u64) * rows;
    match format {
        None => elements * record.dtype.block_bytes() as u64,
        Some(_) if record.dims.len() < 2 => elements * 4,
        Some(PackedFormat::Bf16) => elements * 2,
        Some(PackedFormat::Q8_0) => blocks * 34,
        Some(PackedFormat::Q4_0) => blocks * 18,
    }
}

/// One line of the tensor list.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct TensorRecord {
    /// The tensor's name in the checkpoint.
    pub name: String,
    /// Number format.
    pub dtype: StoredFormat,
    /// Sizes, outermost first.
    pub dims: Vec<u32>,
    /// Plain blake3 of its bytes.
    pub hash: Hash,
}

impl Checkpoint {
    /// The list of tensors, sorted by name. The first call reads all weights,
    /// unless [`Self::hash_tensors`] did.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the tensor.
    pub fn tensor_list(&self) -> Result<&[TensorRecord], CheckpointError> {
        Ok(&self.tensor_list_and_hash()?.0)
    }

    /// Hashes all weights for [`Self::card`] on so many threads, or takes the
    /// hashes from the cache if the files have not changed. Says how far it is.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the tensor.
    pub fn hash_tensors(
        &self,
        threads: usize,
        observer: LoadObserver<'_>,
    ) -> Result<(), CheckpointError> {
        if self.list.get().is_none() {
            let list = self.compose_list(&self.tensor_hashes(threads, observer)?)?;
            // Another thread may have been faster, with the same list.
            drop(self.list.set(list));
        }
        Ok(())
    }

    fn tensor_list_and_hash(&self) -> Result<&(Vec<TensorRecord>, Hash), CheckpointError> {
        if let Some(list) = self.list.get() {
            return Ok(list);
        }
        let list = self.compose_list(&self.tensor_hashes(1, &unobserved)?)?;
        Ok(self.list.get_or_init(|| list))
    }

    fn compose_list(
        &self,
        hashes: &BTreeMap<String, Hash>,
    ) -> Result<(Vec<TensorRecord>, Hash), CheckpointError> {
        let mut records = families::tensors(&self.config, self.config.layers())
            .map(|spec| {
                let tensor = self.tensor(&spec)?;
                let dims = tensor.dims.iter().map(|&dim| u32::try_from(dim));
                let dims: Result<_, _> = dims.collect();
                let missing = || CheckpointError::MissingTensor {
                    name: spec.name.clone(),
                };
                Ok(TensorRecord {
                    dtype: tensor.format,
                    dims: dims.map_err(|_| {
                        CheckpointError::tensor(&spec.name, "a dimension above 2^32".to_owned())
                    })?,
                    hash: *hashes.get(&spec.name).ok_or_else(missing)?,
                    name: spec.name,
                })
            })
            .collect::<Result<Vec<_>, CheckpointError>>()?;
        records.sort_by(|a, b| a.name.cmp(&b.name));
        let hash = Hash::of_blob(&codec::encode(&records));
        Ok((records, hash))
    }

    /// The card of this model under `name`. The first call reads all weights.
    ///
    /// Used packed, it is another model: its name ends with the format, and its
    /// weights are a function of the stored tensors, the format and the version
    /// of the quantiser, which the card names.
    ///
    /// # Errors
    /// [`CheckpointError::Card`] when a bound of the card is broken, for
    /// example by the name.
    pub fn card(&self, name: &str) -> Result<ModelCard, CheckpointError> {
        let (records, tensors) = self.tensor_list_and_hash()?;
        let bytes_of = |record: &TensorRecord| nominal_bytes(record, self.format_of(record));
        let weight_bytes = records.iter().map(bytes_of).sum();
        let (suffix, quantiser_version) = match self.products {
            Products::Stored(_) => (None, 0),
            Products::Packed(format) => (Some(format), QUANTISER_VERSION),
            Products::Native { is_converted, .. } if is_converted => (None, QUANTISER_VERSION),
            Products::Native { .. } => (None, 0),
        };
        let card = ModelCard {
            name: match suffix {
                Some(_) => format!("{name}-{}", self.dtype()),
                None => name.to_owned(),
            },
            family: self.config.family.clone(),
            shape: self.config.shape,
            dtype: self.dtype(),
            quantiser_version,
            settings: Hash::of_blob(self.config.settings.canonical_json().as_bytes()),
            config: Hash::of_blob(self.asker_config.to_json().as_bytes()),
            tokenizer: Hash::of_blob(&self.tokenizer),
            template: self
                .template
                .as_deref()
                .map_or(Hash::ZERO, |template| Hash::of_blob(template.as_bytes())),
            tensors: *tensors,
            weight_bytes,
        };
        card.check()
            .map_err(|error| CheckpointError::Card(error.to_string()))?;
        Ok(card)
    }

    /// The packed format that the tensor of a record is used in, or counted in.
    fn format_of(&self, record: &TensorRecord) -> Option<PackedFormat> {
        match self.products {
            Products::Stored(_) => None,
            Products::Packed(format) => Some(format),
            Products::Native { other, .. } => Some(match record.dtype {
                StoredFormat::Q8_0 => PackedFormat::Q8_0,
                StoredFormat::Q4_0 => PackedFormat::Q4_0,
                _ => other,
            }),
        }
    }

    /// Everything the card names, by hash: composed configuration, tokenizer,
    /// template if there is one, tensor list.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the tensor, or a blob above
    /// [`limits::BLOB_BYTES_MAX`].
    pub fn blobs(&self) -> Result<BTreeMap<Hash, Bytes>, CheckpointError> {
        let list = codec::encode(&self.tensor_list_and_hash()?.0);
        let template = self
            .template
            .clone()
            .map(|text| Bytes::from(text.into_bytes()));
        let config = Bytes::from(self.asker_config.to_json().into_bytes());
        let blobs = [
            Some(config),
            Some(self.tokenizer.clone()),
            template,
            Some(list.into()),
        ];
        let mut by_hash = BTreeMap::new();
        for blob in blobs.into_iter().flatten() {
            if blob.len() as u64 > limits::BLOB_BYTES_MAX {
                return Err(CheckpointError::Card(format!(
                    "a file of {} bytes does not fit a blob of {}",
                    blob.len(),
                    limits::BLOB_BYTES_MAX
                )));
            }
            by_hash.insert(Hash::of_blob(&blob), blob);
        }
        Ok(by_hash)
    }
}
