//! What goes into a step and what comes out: host memory at every border.
//!
//! All items are judged before any is computed. Hidden states are
//! little-endian rows in the session's number format.

use super::{Shard, ShardError};
use crate::session::{Session, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use talkoot_protocol::model::{DType, LayerRange};

/// The rows of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepInput<'a> {
    /// Token ids, for a session that starts at layer 0.
    Tokens(&'a [u32]),
    /// Hidden rows of the layer before, for every other session.
    Hidden(&'a [u8]),
}

/// What the caller wants back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing: the rows only fill the cache.
    Nothing,
    /// Hidden rows after the session's last layer.
    Hidden,
    /// Logits of the last row.
    LastLogits,
    /// Logits of every row.
    AllLogits,
}

/// Some further positions of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepItem<'a> {
    /// Which session.
    pub session: SessionId,
    /// The position of the first row; it must be the session's length.
    pub position: u32,
    /// The rows.
    pub input: StepInput<'a>,
    /// What comes back.
    pub wanted: Wanted,
}

/// What one item gave.
#[derive(Debug, Clone, PartialEq)]
pub enum StepOutput {
    /// Nothing was wanted.
    Nothing,
    /// Little-endian hidden rows.
    Hidden(Vec<u8>),
    /// Logits, one row of the vocabulary after the other.
    Logits(Vec<f32>),
}

/// Sessions that run the same layers in the same format are computed together.
pub(super) type GroupKey = (LayerRange, DType);

impl Shard {
    /// Computes further positions of any mix of sessions and returns one output
    /// for each item, in their order.
    ///
    /// # Errors
    /// [`ShardError`] naming the session; no session has moved then.
    pub fn step(&mut self, items: &[StepItem<'_>]) -> Result<Vec<StepOutput>, ShardError> {
        let mut seen = BTreeSet::new();
        let mut groups: BTreeMap<GroupKey, Vec<(usize, usize)>> = BTreeMap::new();
        for (index, item) in items.iter().enumerate() {
            if !seen.insert(item.session) {
                return Err(ShardError::DuplicateSession(item.session));
            }
            let session = self
                .sessions
                .get(&item.session)
                .ok_or(ShardError::UnknownSession(item.session))?;
            let rows = self.check_item(session, item)?;
            let key = (session.config.range, session.config.hidden_dtype);
            groups.entry(key).or_default().push((index, rows));
        }
        let mut outputs = vec![StepOutput::Nothing; items.len()];
        for (key, members) in groups {
            self.run_group(key, items, &members, &mut outputs);
        }
        Ok(outputs)
    }

    /// Judges one item and returns its number of rows.
    fn check_item(&self, session: &Session, item: &StepItem<'_>) -> Result<usize, ShardError> {
        let config = &session.config;
        let border = |reason| ShardError::Border {
            session: item.session,
            range: config.range,
            reason,
        };
        if item.position != session.length {
            return Err(ShardError::Position {
                session: item.session,
                expected: session.length,
                found: item.position,
            });
        }
        let rows = match item.input {
            StepInput::Tokens(ids) => {
                if !config.range.is_first() {
                    return Err(border("token ids go to layer 0, this needs hidden states"));
                }
                let vocabulary = self.config.shape.vocabulary;
                if let Some(&id) = ids.iter().find(|&&id| id >= vocabulary) {
                    return Err(ShardError::Token { id, vocabulary });
                }
                ids.len()
            }
            StepInput::Hidden(bytes) => {
                if config.range.is_first() {
                    return Err(border("layer 0 needs token ids"));
                }
                let row_bytes = self.row_bytes(config.hidden_dtype);
                if !bytes.len().is_multiple_of(row_bytes) {
                    return Err(ShardError::HiddenBytes {
                        bytes: bytes.len(),
                        row_bytes,
                    });
                }
                bytes.len() / row_bytes
            }
        };
        if rows == 0 {
            return Err(border("an item needs at least one row"));
        }
        let wants_logits = matches!(item.wanted, Wanted::LastLogits | Wanted::AllLogits);
        if wants_logits && !config.range.is_last(self.config.shape.layers) {
            return Err(border("logits come from the last layer"));
        }
        let tokens = u64::from(session.length) + rows as u64;
        if tokens > u64::from(config.capacity_tokens) {
            let (session, capacity) = (item.session, config.capacity_tokens);
            return Err(ShardError::Full {
                session,
                capacity,
                tokens,
            });
        }
        Ok(rows)
    }

    /// Bytes of one hidden row.
    fn row_bytes(&self, dtype: DType) -> usize {
        self.config.shape.hidden as usize * dtype.element_bytes().unwrap_or(4)
    }
}
