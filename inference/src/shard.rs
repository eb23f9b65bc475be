//! A contiguous range of layers at work for any number of sessions.
//!
//! Law: a model cut at any layers, its prompt cut at any rows, its sessions
//! batched in any way, gives bit for bit what the whole gives, for one
//! arithmetic id. A step is checked completely before anything is computed, so a
//! refused step changes nothing. One thread owns a shard; it starts none of its own
//! unless told to, reads no clock and does no I/O after loading.

mod batch;
mod step;

pub use step::{StepInput, StepItem, StepOutput, Wanted};

use crate::arithmetic::Backend;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::config::ModelConfig;
use crate::device::{self, DeviceError};
use crate::families::Decoder;
use crate::kernels::{InstructionSet, KernelTimes, Kernels};
use crate::ops::Ops;
use crate::packing;
use crate::progress::{LoadObserver, unobserved};
use crate::rope::RotaryTable;
use crate::session::{Session, SessionConfig, SessionId, session_bytes};
use crate::weights::Loader;
use burn::tensor::Device;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use talkoot_protocol::model::{ArithmeticId, DType, LayerRange};

/// How a shard is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardOptions {
    /// Who computes the coarse operations.
    pub backend: Backend,
    /// Bytes that the caches of all sessions together may take.
    pub session_bytes_max: u64,
    /// Threads of one matrix product. They change no bit of the result.
    pub threads: usize,
}

impl Default for ShardOptions {
    fn default() -> Self {
        Self {
            backend: Backend::Kernels,
            session_bytes_max: 1 << 30,
            threads: 1,
        }
    }
}

/// Why a shard refuses.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// The weights cannot be loaded.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// What the backend computes on cannot be used.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The layers asked for are not those there are.
    #[error("layers {asked} are not within {held}")]
    Range {
        /// What was asked.
        asked: LayerRange,
        /// What is there.
        held: LayerRange,
    },
    /// The caches of one more session do not fit.
    #[error("a session needs {needed_bytes} bytes, {used_bytes} of {bytes_max} are in use")]
    Memory {
        /// Bytes the session needs.
        needed_bytes: u64,
        /// Bytes of open sessions.
        used_bytes: u64,
        /// The bound.
        bytes_max: u64,
    },
    /// More positions than the model was made for.
    #[error("a session of {tokens} tokens is longer than the context of {context_tokens}")]
    TooLong {
        /// Positions asked for.
        tokens: u32,
        /// Positions the model was made for.
        context_tokens: u32,
    },
    /// Hidden states travel as f32 or bf16.
    #[error("hidden states cannot be {0}; supported: f32, bf16")]
    HiddenDtype(DType),
    /// The id is taken.
    #[error("session {0} is already open")]
    SessionExists(SessionId),
    /// No such session.
    #[error("session {0} is not open")]
    UnknownSession(SessionId),
    /// A step names a session twice.
    #[error("session {0} occurs twice in one step")]
    DuplicateSession(SessionId),
    /// The rows do not continue where the session stands.
    #[error("session {session} stands at position {expected}, the rows start at {found}")]
    Position {
        /// Which session.
        session: SessionId,
        /// Its length.
        expected: u32,
        /// What the step says.
        found: u32,
    },
    /// The rows do not fit the session.
    #[error("session {session} has room for {capacity} tokens, the step would make it {tokens}")]
    Full {
        /// Which session.
        session: SessionId,
        /// Its capacity.
        capacity: u32,
        /// Its length after the step.
        tokens: u64,
    },
    /// A token id outside the vocabulary.
    #[error("token {id} is outside the vocabulary of {vocabulary}")]
    Token {
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocabulary: u32,
    },
    /// The input has no rows, or not a whole number of them.
    #[error("{bytes} bytes are no whole number of hidden rows of {row_bytes} bytes")]
    HiddenBytes {
        /// Bytes given.
        bytes: usize,
        /// Bytes of one row.
        row_bytes: usize,
    },
    /// Token ids go to layer 0 and hidden states to every other; logits come
    /// from the last layer.
    #[error("session {session} of layers {range}: {reason}")]
    Border {
        /// Which session.
        session: SessionId,
        /// Its layers.
        range: LayerRange,
        /// What does not fit.
        reason: &'static str,
    },
}

/// Some layers of a model and the sessions that run on them.
#[derive(Debug)]
pub struct Shard {
    config: ModelConfig,
    range: LayerRange,
    options: ShardOptions,
    model: Decoder,
    weight_bytes: u64,
    products: Vec<Bytes>,
    arithmetic: ArithmeticId,
    rotary: RotaryTable,
    ops: Ops,
    device: Device,
    sessions: BTreeMap<SessionId, Session>,
    session_bytes: u64,
}

impl Shard {
    /// Loads the layers of `range`, and no others.
    ///
    /// # Errors
    /// [`ShardError::Range`], [`ShardError::Device`], or
    /// [`ShardError::Checkpoint`] naming the tensor.
    pub fn load(
        checkpoint: &Checkpoint,
        range: LayerRange,
        options: &ShardOptions,
    ) -> Result<Self, ShardError> {
        Self::load_observed(checkpoint, range, options, &unobserved)
    }

    /// The same, telling `observer` how far it is.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_observed(
        checkpoint: &Checkpoint,
        range: LayerRange,
        options: &ShardOptions,
        observer: LoadObserver<'_>,
    ) -> Result<Self, ShardError> {
        let config = checkpoint.config().clone();
        let held = config.layers();
        if !held.covers(range) {
            return Err(ShardError::Range { asked: range, held });
        }
        let device = device::open(options.backend)?;
        let head_dim = config.shape.head_dim as usize;
        let kernels = Kernels::detect(options.threads);
        let packed = packing::pack(checkpoint, range, kernels.pool(), observer)?;
        let mut loader = Loader::new(checkpoint, options.backend, &device, packed);
        let model = Decoder::load(&mut loader, range)?;
        Ok(Self {
            model,
            weight_bytes: loader.bytes(),
            products: loader.into_products(),
            arithmetic: options.backend.arithmetic(checkpoint.packed_format()),
            rotary: RotaryTable::new(&config.settings.rope, head_dim),
            ops: Ops {
                backend: options.backend,
                kernels,
            },
            config,
            range,
            options: *options,
            device,
            sessions: BTreeMap::new(),
            session_bytes: 0,
        })
    }

    /// The layers held.
    #[must_use]
    pub const fn range(&self) -> LayerRange {
        self.range
    }

    /// The model's configuration.
    #[must_use]
    pub const fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The arithmetic this shard computes with.
    #[must_use]
    pub const fn arithmetic(&self) -> ArithmeticId {
        self.arithmetic
    }

    /// Bytes of the weights held.
    #[must_use]
    pub const fn weight_bytes(&self) -> u64 {
        self.weight_bytes
    }

    /// The instruction set of the kernels.
    #[must_use]
    pub const fn instruction_set(&self) -> InstructionSet {
        self.ops.kernels.set()
    }

    /// Threads of one matrix product, as many as the system gave.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.ops.kernels.threads()
    }

    /// Bytes of the matrices that every step reads whole: layers and head.
    #[must_use]
    pub fn product_bytes(&self) -> u64 {
        self.products.iter().map(|bytes| bytes.len() as u64).sum()
    }

    /// Reads those matrices once, with the threads of a step, and returns a sum
    /// of them: no step of one row can be faster.
    #[must_use]
    pub fn read_products(&self) -> u64 {
        let places: Vec<&[u8]> = self.products.iter().map(AsRef::as_ref).collect();
        self.ops.kernels.read_memories(&places)
    }

    /// Times every kernel from now on. `clock` gives nanoseconds since any fixed
    /// moment; results do not depend on it.
    pub fn time_kernels(&mut self, clock: fn() -> u64) -> Arc<KernelTimes> {
        let times = Arc::new(KernelTimes::new(clock));
        self.ops.kernels = self.ops.kernels.timed(Arc::clone(&times));
        times
    }

    /// Bytes of the caches of all open sessions.
    #[must_use]
    pub const fn session_bytes(&self) -> u64 {
        self.session_bytes
    }

    /// How many sessions are open.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Positions done by a session, or `None` if it is not open.
    #[must_use]
    pub fn session_length(&self, session: SessionId) -> Option<u32> {
        self.sessions.get(&session).map(|session| session.length)
    }

    /// How many further sessions of this kind would fit.
    #[must_use]
    pub fn free_sessions(&self, config: &SessionConfig) -> u64 {
        let free = self
            .options
            .session_bytes_max
            .saturating_sub(self.session_bytes);
        free / session_bytes(&self.config.shape, config).max(1)
    }

    /// Opens a session and reserves its memory.
    ///
    /// # Errors
    /// [`ShardError`] with the numbers; nothing is reserved then.
    pub fn open(&mut self, id: SessionId, config: SessionConfig) -> Result<(), ShardError> {
        if self.sessions.contains_key(&id) {
            return Err(ShardError::SessionExists(id));
        }
        if !self.range.covers(config.range) {
            return Err(ShardError::Range {
                asked: config.range,
                held: self.range,
            });
        }
        if !matches!(config.hidden_dtype, DType::F32 | DType::Bf16) {
            return Err(ShardError::HiddenDtype(config.hidden_dtype));
        }
        let context_tokens = self.config.shape.context;
        if config.capacity_tokens == 0 || config.capacity_tokens > context_tokens {
            return Err(ShardError::TooLong {
                tokens: config.capacity_tokens,
                context_tokens,
            });
        }
        let needed_bytes = session_bytes(&self.config.shape, &config);
        let total = self.session_bytes.saturating_add(needed_bytes);
        if total > self.options.session_bytes_max {
            return Err(ShardError::Memory {
                needed_bytes,
                used_bytes: self.session_bytes,
                bytes_max: self.options.session_bytes_max,
            });
        }
        self.sessions
            .insert(id, Session::new(&self.config.shape, config, &self.device));
        self.session_bytes = total;
        Ok(())
    }

    /// Closes a session and frees its memory. Says whether it was open.
    pub fn close(&mut self, id: SessionId) -> bool {
        match self.sessions.remove(&id) {
            Some(session) => {
                self.session_bytes -= session.bytes;
                true
            }
            None => false,
        }
    }

    /// Times `tokens` decode steps over the held layers and returns the layers per
    /// second of the median one: a step that another program interrupts says
    /// nothing about this machine. `elapsed_us` is the caller's clock: microseconds since any fixed
    /// moment. The session id `u64::MAX` is reserved for it.
    ///
    /// # Errors
    /// [`ShardError`], for example when no session fits any more.
    pub fn measure_layers_per_second(
        &mut self,
        tokens: u32,
        mut elapsed_us: impl FnMut() -> u64,
    ) -> Result<f64, ShardError> {
        let session = SessionId(u64::MAX);
        let tokens = tokens.clamp(1, self.config.shape.context.saturating_sub(1).max(1));
        let capacity_tokens = (tokens + 1).min(self.config.shape.context);
        let range = self.range;
        self.open(
            session,
            SessionConfig {
                range,
                capacity_tokens,
                hidden_dtype: DType::F32,
            },
        )?;
        let hidden = vec![0; self.config.shape.hidden as usize * 4];
        let input = if range.is_first() {
            StepInput::Tokens(&[0])
        } else {
            StepInput::Hidden(&hidden)
        };
        let last = range.is_last(self.config.shape.layers);
        let wanted = if last {
            Wanted::LastLogits
        } else {
            Wanted::Hidden
        };
        let run = |shard: &mut Self, position| {
            shard
                .step(&[StepItem {
                    session,
                    position,
                    input,
                    wanted,
                }])
                .map(drop)
        };
        // The first step touches cold memory and is not counted.
        let mut result = run(self, 0);
        let mut before_us = elapsed_us();
        let mut steps_us = Vec::new();
        for position in 1..capacity_tokens {
            result = result.and_then(|()| run(self, position));
            let now_us = elapsed_us();
            steps_us.push(now_us.saturating_sub(before_us));
            before_us = now_us;
        }
        self.close(session);
        result?;
        steps_us.sort_unstable();
        let median_us = steps_us
            .get(steps_us.len() / 2)
            .map_or(1, |us| (*us).max(1));
        Ok(f64::from(range.count()) * 1e6 / median_us as f64)
    }
}
