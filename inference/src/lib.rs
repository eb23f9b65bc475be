//! From a checkpoint to tokens.
//!
//! A [`Checkpoint`] is a directory (or embedded files) whose every tensor has
//! been checked; a [`Shard`] holds some of its layers and runs sessions on them;
//! [`TokenSampler`] turns logits into a token; an [`AskerModel`] turns text into
//! tokens and back and needs no layers at all.
//!
//! The crate knows no network, starts no thread of its own unless told to, reads no clock
//! and draws no hidden randomness. Its law is that a model cut at any layers
//! gives bit for bit what the whole model gives.

mod arithmetic;
mod asker;
mod checkpoint;
mod config;
mod constraint;
mod device;
mod estimate;
mod families;
mod generate;
pub mod kernels;
mod ops;
mod packing;
mod progress;
mod rope;
mod sampler;
mod session;
mod shard;
mod stop;
mod stored;
mod template;
mod token_bytes;
mod tokenizer;
mod weights;

pub use arithmetic::{
    ARITHMETIC_BURN_CUDA_F32, ARITHMETIC_BURN_FLEX_F32, ARITHMETIC_KERNELS_BF16,
    ARITHMETIC_KERNELS_F32, ARITHMETIC_KERNELS_INT8, Backend,
};
pub use asker::{AskerConfig, AskerError, AskerModel, ChatMessage};
pub use checkpoint::{Checkpoint, CheckpointError, TensorRecord};
pub use config::{
    ConfigError, ExpertSettings, ModelConfig, ModelSettings, RopeConfig, RopeScaling,
};
pub use constraint::{Allowed, Constraint, ConstraintError, Constraints};
pub use device::DeviceError;
pub use estimate::{Estimate, EstimateError, LayerBytes};
pub use generate::{
    Finish, GenerateError, GenerateOptions, Generated, PREFILL_CHUNK_TOKENS, generate,
};
pub use progress::{LoadEvent, LoadObserver};
pub use sampler::{Sampled, Sampler, Scored, TokenLogprob, TokenSampler, score};
pub use session::{SessionConfig, SessionId, session_bytes};
pub use shard::{Shard, ShardError, ShardOptions, StepInput, StepItem, StepOutput, Wanted};
pub use stop::StopMatcher;
pub use stored::StoredFormat;
pub use template::{ChatTemplate, TemplateError};
pub use tokenizer::{Detokenizer, Tokenizer, TokenizerError};
