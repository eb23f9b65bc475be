//! One job on one shard: how many positions are done, and their caches.
//!
//! All memory is reserved when the session opens; nothing grows afterwards.

use crate::config::ModelConfig;
use crate::families::LayerCaches;
use crate::kernels::{AttentionShape, KEY_BLOCK};
use crate::ops::LayerCache;
use burn::tensor::{Device, Tensor};
use talkoot_protocol::model::{DType, LayerRange, ModelShape};

/// Names a session of a shard. The caller chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What a session is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Which of the held layers it runs.
    pub range: LayerRange,
    /// Positions it has room for, prompt and completion together.
    pub capacity_tokens: u32,
    /// Number format of hidden states at its borders: f32, or bf16, to which
    /// the residual is then rounded after every layer.
    pub hidden_dtype: DType,
}

/// Bytes of the key and value caches of a session.
#[must_use]
pub fn session_bytes(shape: &ModelShape, config: &SessionConfig) -> u64 {
    let per_position = u64::from(shape.kv_heads) * u64::from(shape.head_dim) * 4;
    let values = u64::from(config.capacity_tokens);
    let keys = values.next_multiple_of(KEY_BLOCK as u64);
    per_position * u64::from(config.range.count()) * (keys + values)
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) config: SessionConfig,
    /// Positions done.
    pub(crate) length: u32,
    /// Bytes of its caches.
    pub(crate) bytes: u64,
    layers: Vec<Option<LayerCache>>,
}

impl Session {
    pub(crate) fn new(shape: &ModelShape, config: SessionConfig, device: &Device) -> Self {
        let [kv_heads, head_dim, capacity] =
            [shape.kv_heads, shape.head_dim, config.capacity_tokens].map(|size| size as usize);
        let layer = |_| {
            Some(LayerCache {
                keys: Tensor::zeros(
                    [kv_heads, head_dim, capacity.next_multiple_of(KEY_BLOCK)],
                    device,
                ),
                values: Tensor::zeros([kv_heads, capacity, head_dim], device),
            })
        };
        Self {
            config,
            length: 0,
            bytes: session_bytes(shape, &config),
            layers: (0..config.range.count()).map(layer).collect(),
        }
    }

    /// The sizes of `rows` further positions.
    pub(crate) fn attention_shape(&self, config: &ModelConfig, rows: usize) -> AttentionShape {
        let shape = &config.shape;
        AttentionShape {
            heads: shape.heads as usize,
            kv_heads: shape.kv_heads as usize,
            head_dim: shape.head_dim as usize,
            capacity: self.config.capacity_tokens as usize,
            position: self.length as usize,
            rows,
            window: config.settings.window.map(|window| window as usize),
        }
    }

    /// The cache of one layer of the model, to be put back after use.
    pub(crate) fn cache(&mut self, layer: u32) -> &mut Option<LayerCache> {
        &mut self.layers[(layer - self.config.range.start()) as usize]
    }
}

/// The caches of one layer for every session of a batch.
pub(crate) fn layer_caches<'a>(
    sessions: impl Iterator<Item = &'a mut Session>,
    layer: u32,
) -> LayerCaches<'a> {
    sessions.map(|session| session.cache(layer)).collect()
}
