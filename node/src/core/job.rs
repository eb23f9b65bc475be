//! What all parties of a job know before it starts, and the waits they allow.

use talkoot_protocol::{DType, JobId, LayerRange, Policy, Wallet};

/// One job: who computes which layers of what.
#[derive(Debug, Clone)]
pub struct JobShape {
    /// Its id.
    pub job: JobId,
    /// Which attempt.
    pub epoch: u32,
    /// Who asks.
    pub submitter: Wallet,
    /// The route, in order; it tiles all layers.
    pub stages: Vec<(Wallet, LayerRange)>,
    /// Prompt tokens, at least 1.
    pub prompt_tokens: u32,
    /// Completion tokens at most, at least 1.
    pub completion_tokens_max: u32,
    /// Elements of one row between stages.
    pub hidden: u32,
    /// Token ids are below this.
    pub vocabulary: u32,
    /// Number format between stages.
    pub hidden_dtype: DType,
    /// The network's numbers: window, chunk, attestation interval.
    pub policy: Policy,
}

impl JobShape {
    /// How many stages.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.stages.len()
    }

    /// Rows that pass through a stage at most: the last token is never fed.
    #[must_use]
    pub const fn rows_max(&self) -> u32 {
        self.prompt_tokens
            .saturating_add(self.completion_tokens_max.saturating_sub(1))
    }

    /// Bytes of one row between stages.
    #[must_use]
    pub fn row_bytes(&self) -> u64 {
        let element = self.hidden_dtype.element_bytes().unwrap_or(4) as u64;
        u64::from(self.hidden).saturating_mul(element)
    }

    /// The layers of one stage.
    #[must_use]
    pub fn range(&self, index: usize) -> Option<LayerRange> {
        self.stages.get(index).map(|stage| stage.1)
    }
}

/// How long each side waits, µs.
#[derive(Debug, Clone, Copy)]
pub struct Deadlines {
    /// For the previous stage while the prompt is being read.
    pub prompt_hop_us: u64,
    /// For the previous stage between tokens.
    pub token_hop_us: u64,
    /// For one computation of our own.
    pub compute_us: u64,
    /// For the submitter's acknowledgement when the window is used up.
    pub ack_us: u64,
    /// After a neighbour's link ended: its end may be the end of the job, whose
    /// message is still on another link.
    pub link_grace_us: u64,
    /// For the final acknowledgement after a failure, and for stages to close.
    pub end_grace_us: u64,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            prompt_hop_us: 120_000_000,
            token_hop_us: 20_000_000,
            compute_us: 120_000_000,
            ack_us: 10_000_000,
            link_grace_us: 400_000,
            end_grace_us: 3_000_000,
        }
    }
}
