//! Computes a checked group of items: all rows through the linears together,
//! each session's rows through attention over its own cache.

use super::step::GroupKey;
use super::{Shard, StepInput, StepItem, StepOutput, Wanted};
use crate::families::StepContext;
use crate::ops::{Part, values};
use crate::session::{Session, SessionId, layer_caches};
use burn::tensor::{FloatDType, Tensor, TensorData};
use half::bf16;
use talkoot_protocol::model::DType;

/// A session taken out of the shard while its group is computed.
struct Member {
    id: SessionId,
    index: usize,
    rows: usize,
    session: Session,
}

impl Shard {
    /// `members` are (index of the item, its rows); every item was checked.
    pub(super) fn run_group(
        &mut self,
        key: GroupKey,
        items: &[StepItem<'_>],
        members: &[(usize, usize)],
        outputs: &mut [StepOutput],
    ) {
        let (range, dtype) = key;
        let mut group: Vec<Member> = members
            .iter()
            .filter_map(|&(index, rows)| {
                let id = items[index].session;
                self.sessions.remove(&id).map(|session| Member {
                    id,
                    index,
                    rows,
                    session,
                })
            })
            .collect();
        let context = self.context(&group);
        let mut hidden = self.input_rows(items, &group, dtype);
        for layer in range.start()..range.end() {
            let sessions = group.iter_mut().map(|member| &mut member.session);
            hidden = self
                .model
                .layer(layer, hidden, &context, layer_caches(sessions, layer));
            if dtype == DType::Bf16 {
                // After every layer, not only at borders: so a cut changes nothing.
                hidden = hidden.cast(FloatDType::BF16).cast(FloatDType::F32);
            }
        }
        self.write_outputs(&values(hidden), items, &group, outputs);
        for mut member in group {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "checked against a u32 capacity"
            )]
            {
                member.session.length += member.rows as u32;
            }
            self.sessions.insert(member.id, member.session);
        }
    }

    fn context(&self, group: &[Member]) -> StepContext {
        let head_dim = self.config.shape.head_dim as usize;
        let total_rows: usize = group.iter().map(|member| member.rows).sum();
        let mut rotation = Vec::with_capacity(total_rows * head_dim);
        let mut parts = Vec::with_capacity(group.len());
        let mut first_row = 0;
        for member in group {
            let shape = member.session.attention_shape(&self.config, member.rows);
            for row in 0..member.rows {
                self.rotary.push_row(shape.position + row, &mut rotation);
            }
            parts.push(Part { first_row, shape });
            first_row += member.rows;
        }
        let rotation = TensorData::new(rotation, [total_rows, head_dim]);
        StepContext {
            ops: self.ops.clone(),
            rotation: Tensor::from_data(rotation, &self.device),
            parts,
        }
    }

    /// All rows of the group, as f32. The members of a group start at the same
    /// layer, so either all bring token ids or all bring hidden states.
    fn input_rows(&self, items: &[StepItem<'_>], group: &[Member], dtype: DType) -> Tensor<2> {
        let (mut ids, mut rows) = (Vec::new(), Vec::new());
        for member in group {
            match items[member.index].input {
                StepInput::Tokens(tokens) => ids.extend_from_slice(tokens),
                StepInput::Hidden(bytes) => decode_hidden(bytes, dtype, &mut rows),
            }
        }
        if !ids.is_empty()
            && let Some(embedded) = self.model.embed(&ids)
        {
            return embedded;
        }
        let width = self.config.shape.hidden as usize;
        let count = rows.len() / width;
        Tensor::from_data(TensorData::new(rows, [count, width]), &self.device)
    }

    fn write_outputs(
        &self,
        hidden: &[f32],
        items: &[StepItem<'_>],
        group: &[Member],
        outputs: &mut [StepOutput],
    ) {
        let width = self.config.shape.hidden as usize;
        let mut head_rows: Vec<f32> = Vec::new();
        let mut head_parts: Vec<(usize, usize)> = Vec::new();
        let mut rest = hidden;
        for member in group {
            let (rows, after) = rest.split_at(member.rows * width);
            rest = after;
            let wanted_rows = match items[member.index].wanted {
                Wanted::Nothing => continue,
                Wanted::Hidden => {
                    let dtype = member.session.config.hidden_dtype;
                    outputs[member.index] = StepOutput::Hidden(encode_hidden(rows, dtype));
                    continue;
                }
                Wanted::LastLogits => &rows[rows.len() - width..],
                Wanted::AllLogits => rows,
            };
            head_rows.extend_from_slice(wanted_rows);
            head_parts.push((member.index, wanted_rows.len() / width));
        }
        if head_parts.is_empty() {
            return;
        }
        let count = head_rows.len() / width;
        let rows = Tensor::from_data(TensorData::new(head_rows, [count, width]), &self.device);
        let Some(logits) = self.model.logits(rows, &self.ops.for_head()) else {
            return;
        };
        let vocabulary = self.config.shape.vocabulary as usize;
        let mut logits = values(logits);
        // From the back, so that each part is cut off without moving the others.
        for (index, rows) in head_parts.into_iter().rev() {
            let part = logits.split_off(logits.len() - rows * vocabulary);
            outputs[index] = StepOutput::Logits(part);
        }
    }
}

fn decode_hidden(bytes: &[u8], dtype: DType, rows: &mut Vec<f32>) {
    if dtype == DType::Bf16 {
        let (pairs, _) = bytes.as_chunks::<2>();
        rows.extend(pairs.iter().map(|pair| bf16::from_le_bytes(*pair).to_f32()));
    } else {
        let (quads, _) = bytes.as_chunks::<4>();
        rows.extend(quads.iter().map(|quad| f32::from_le_bytes(*quad)));
    }
}

fn encode_hidden(values: &[f32], dtype: DType) -> Vec<u8> {
    if dtype == DType::Bf16 {
        values
            .iter()
            .flat_map(|value| bf16::from_f32(*value).to_le_bytes())
            .collect()
    } else {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect()
    }
}
