//! The work that is timed: prompts in the chunks of `generate`, then one token
//! of every stream a step, chosen like an answer at temperature 0; around it the
//! speed of reading.
//!
//! What limits a step of one row is reading the weights. So they are read by
//! themselves too, with the same threads and in the same seconds; where they
//! would stay in a cache, as much other memory as does not.

use super::plan::Plan;
use super::profile::{Profile, Timed};
use crate::clock;
use crate::exit::{Exit, Failure};
use std::hint::black_box;
use talkoot_inference::kernels::{Kernels, huge_zeroed};
use talkoot_inference::{
    PREFILL_CHUNK_TOKENS, Sampler, SessionId, Shard, ShardError, StepInput, StepItem, StepOutput,
    TokenSampler, Wanted,
};
use talkoot_protocol::control::SamplingParams;

/// No processor's cache is larger.
const READ_BYTES_MIN: u64 = 512 << 20;
/// Tokens of the prompt and after it that warm up.
const WARM_TOKENS: (u32, u32) = (32, 4);

/// What a run took.
#[derive(Debug, Clone)]
pub(super) struct Run {
    /// Until the first token of every stream was known.
    pub(super) prefill_s: f64,
    /// For all further tokens.
    pub(super) decode_s: f64,
    /// Speed of reading.
    pub(super) read_bytes_per_s: f64,
    /// Where the time went, if asked for: of the prefill, of the decode.
    pub(super) profile: Option<[Profile; 2]>,
}

/// A shard and what is done with it.
pub(super) struct Work {
    shard: Shard,
    plan: Plan,
    timed: Timed,
    limit: ReadLimit,
    sampler: TokenSampler,
}

/// What is read to see how fast reading is.
enum ReadLimit {
    /// The matrices that every step reads.
    Products,
    /// Other memory, because those are small.
    Other(Kernels, Box<dyn AsRef<[u8]>>),
}

/// Rows of one stream.
enum Rows {
    Tokens(Vec<u32>),
    /// Little-endian f32 rows of this many bytes each.
    Hidden(Vec<u8>, usize),
}

impl Rows {
    /// `count` rows of a stream that differ from row to row and stream to stream.
    fn new(shard: &Shard, count: u32, stream: u32) -> Self {
        let shape = &shard.config().shape;
        let pseudo = |index: u64, below: u32| {
            let number = (index + u64::from(stream) * 101) * 7919 + 13;
            u32::try_from(number % u64::from(below.max(1))).unwrap_or(0)
        };
        if shard.range().is_first() {
            let id = |index| pseudo(index, shape.vocabulary);
            return Self::Tokens((0..u64::from(count)).map(id).collect());
        }
        let elements = u64::from(count) * u64::from(shape.hidden);
        let element = |index| f64::from(pseudo(index, 2001)) / 1000.0 - 1.0;
        #[expect(clippy::cast_possible_truncation, reason = "three decimals")]
        let bytes = (0..elements).flat_map(|index| (element(index) as f32).to_le_bytes());
        Self::Hidden(bytes.collect(), shape.hidden as usize * 4)
    }

    fn input(&self, first: usize, count: usize) -> StepInput<'_> {
        match self {
            Self::Tokens(ids) => StepInput::Tokens(&ids[first..first + count]),
            Self::Hidden(bytes, width) => {
                StepInput::Hidden(&bytes[first * width..(first + count) * width])
            }
        }
    }

    /// The row that follows, where the last layer chose it.
    fn choose(&mut self, id: u32) {
        if let Self::Tokens(ids) = self {
            ids.clear();
            ids.push(id);
        }
    }
}

impl Work {
    /// Prepares; with `is_profiled`, every kernel is timed.
    pub(super) fn new(mut shard: Shard, plan: Plan, is_profiled: bool) -> Result<Self, Failure> {
        let limit = if shard.product_bytes() >= READ_BYTES_MIN {
            ReadLimit::Products
        } else {
            let bytes = usize::try_from(READ_BYTES_MIN).unwrap_or(usize::MAX);
            let mut memory = huge_zeroed(bytes)?;
            // Pages that were never written are one page.
            memory.fill(1);
            ReadLimit::Other(Kernels::detect(shard.threads()), Box::new(memory))
        };
        Ok(Self {
            timed: Timed::new(is_profiled.then(|| shard.time_kernels(clock::monotonic_ns))),
            shard,
            plan,
            limit,
            sampler: TokenSampler::new(SamplingParams::default(), &[]),
        })
    }

    /// Touches weights and caches once; nothing is counted.
    pub(super) fn warm_up(&mut self) -> Result<(), Failure> {
        let plan = self.plan;
        self.plan.prompt_tokens = plan.prompt_tokens.min(WARM_TOKENS.0);
        self.plan.decode_tokens = plan.decode_tokens.min(WARM_TOKENS.1);
        let result = self.run();
        self.plan = plan;
        result.map(drop)
    }

    /// One prefill and one decode.
    pub(super) fn run(&mut self) -> Result<Run, Failure> {
        let config = self.plan.session();
        let opened = self
            .sessions()
            .try_for_each(|id| self.shard.open(id, config));
        let result = opened.and_then(|()| self.run_open());
        for id in self.sessions() {
            self.shard.close(id);
        }
        result.map_err(|error| Failure::new(Exit::Failure, error.to_string()))
    }

    fn run_open(&mut self) -> Result<Run, ShardError> {
        let mut rows: Vec<Rows> = (0..self.plan.streams)
            .map(|stream| Rows::new(&self.shard, self.plan.prompt_tokens, stream))
            .collect();
        self.timed.restart();
        let began = clock::monotonic();
        self.prefill(&mut rows)?;
        let prefill_s = began.elapsed().as_secs_f64();
        let prefill_profile = self.timed.profile(prefill_s);
        let before = self.read();
        self.timed.restart();
        let began = clock::monotonic();
        for step in 0..self.plan.decode_tokens {
            self.step(&mut rows, (self.plan.prompt_tokens + step, 0, 1), true)?;
        }
        let decode_s = began.elapsed().as_secs_f64();
        let decode_profile = self.timed.profile(decode_s);
        let after = self.read();
        Ok(Run {
            prefill_s,
            decode_s,
            read_bytes_per_s: (before.0 + after.0) / (before.1 + after.1),
            profile: prefill_profile
                .zip(decode_profile)
                .map(<[Profile; 2]>::from),
        })
    }

    fn prefill(&mut self, rows: &mut [Rows]) -> Result<(), ShardError> {
        let tokens = self.plan.prompt_tokens as usize;
        let mut first = 0;
        while first < tokens {
            let count = PREFILL_CHUNK_TOKENS.min(tokens - first);
            let position = u32::try_from(first).unwrap_or(u32::MAX);
            let is_last = first + count == tokens;
            self.step(rows, (position, first, count), is_last)?;
            first += count;
        }
        Ok(())
    }

    /// `count` rows of every stream from its row `first` on, at `position`; a
    /// token of each is chosen if it `is_answered`.
    fn step(
        &mut self,
        rows: &mut [Rows],
        (position, first, count): (u32, usize, usize),
        is_answered: bool,
    ) -> Result<(), ShardError> {
        let is_last = self.plan.range.is_last(self.plan.layers);
        let wanted = match (is_last, is_answered) {
            (true, true) => Wanted::LastLogits,
            (true, false) => Wanted::Nothing,
            // A stage in the middle hands on every row.
            (false, _) => Wanted::Hidden,
        };
        let items: Vec<StepItem<'_>> = (0..)
            .zip(rows.iter())
            .map(|(stream, rows)| StepItem {
                session: SessionId(stream),
                position,
                input: rows.input(first, count),
                wanted,
            })
            .collect();
        let outputs = self.shard.step(&items)?;
        let (sampler, timed) = (&mut self.sampler, &mut self.timed);
        timed.choice(|| {
            for (rows, output) in rows.iter_mut().zip(&outputs) {
                if let StepOutput::Logits(logits) = output {
                    // Without a grammar a sampler picks always.
                    if let Ok(sampled) = sampler.sample(position, logits) {
                        rows.choose(sampled.id);
                    }
                }
            }
        });
        Ok(())
    }

    /// Reads; bytes and seconds.
    fn read(&self) -> (f64, f64) {
        let began = clock::monotonic();
        let bytes = match &self.limit {
            ReadLimit::Products => {
                black_box(self.shard.read_products());
                self.shard.product_bytes()
            }
            ReadLimit::Other(kernels, memory) => {
                let memory = (**memory).as_ref();
                black_box(kernels.read_memory(memory));
                memory.len() as u64
            }
        };
        (bytes as f64, began.elapsed().as_secs_f64())
    }

    fn sessions(&self) -> impl Iterator<Item = SessionId> + use<> {
        (0..u64::from(self.plan.streams)).map(SessionId)
    }
}
