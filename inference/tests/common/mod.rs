//! Where the test models are, and their recorded answers.

#![allow(dead_code, reason = "every test file uses its own part of this one")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use talkoot_inference::{
    Checkpoint, SessionConfig, SessionId, Shard, ShardOptions, StepInput, StepItem, StepOutput,
    Wanted,
};
use talkoot_protocol::model::{DType, LayerRange};

/// A model of this repository.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures")
        .join(name)
}

/// Further models beside the repository, if they are there.
pub(crate) fn shared_models() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let shared = std::env::var_os("TALKOOT_SHARED")
        .map_or_else(|| root.join("../shared"), PathBuf::from)
        .join("models");
    if shared.is_dir() {
        return Some(shared);
    }
    println!(
        "skipped: no models at {}; set TALKOOT_SHARED",
        shared.display()
    );
    None
}

/// One small model of each family, with recorded answers.
pub(crate) const FAMILIES: [&str; 6] =
    ["llama", "mistral", "mixtral", "qwen2", "qwen3", "qwen3_moe"];

/// The small model of a family.
pub(crate) fn family(name: &str) -> PathBuf {
    fixture("families").join(name)
}

/// Every model with recorded answers.
pub(crate) fn reference_models() -> Vec<PathBuf> {
    let mut models = vec![fixture("tiny"), fixture("stories260k")];
    models.extend(FAMILIES.iter().map(|name| family(name)));
    if let Some(shared) = shared_models() {
        let names = [
            "tiny",
            "tiny-32",
            "tiny-tied-llama3rope",
            "tiny-qwen2",
            "stories260k/hf",
        ];
        models.extend(
            names
                .iter()
                .map(|name| shared.join(name))
                .filter(|path| path.is_dir()),
        );
    }
    models
}

/// One recorded prompt.
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) ids: Vec<u32>,
    pub(crate) greedy: Vec<u32>,
    pub greedy_text: String,
    /// Logits of every prompt row, then of every decode step.
    pub(crate) prefill: Vec<f32>,
    pub(crate) decode: Vec<f32>,
}

/// The recorded answers of a model, with logits where they are kept.
pub(crate) fn references(model: &Path) -> Vec<Reference> {
    let json = std::fs::read(model.join("reference.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let bytes = std::fs::read(model.join("reference.safetensors")).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let logits = |name: String| -> Option<Vec<f32>> {
        let data = tensors.tensor(&name).ok()?.data();
        Some(
            data.chunks_exact(4)
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect(),
        )
    };
    let ids = |value: &serde_json::Value| -> Vec<u32> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|id| id.as_u64().unwrap() as u32)
            .collect()
    };
    let prompts = json["prompts"].as_object().unwrap();
    prompts
        .iter()
        .filter_map(|(name, prompt)| {
            Some(Reference {
                name: name.clone(),
                text: prompt["text"].as_str().unwrap().to_owned(),
                ids: ids(&prompt["ids"]),
                greedy: ids(&prompt["greedy"]),
                greedy_text: prompt["greedy_text"].as_str().unwrap().to_owned(),
                prefill: logits(format!("{name}.prefill"))?,
                decode: logits(format!("{name}.decode"))?,
            })
        })
        .collect()
}

pub(crate) fn range(start: u32, end: u32) -> LayerRange {
    LayerRange::new(start, end).unwrap()
}

/// Loads one shard for each pair of neighbouring cuts.
pub(crate) fn load_cut(
    checkpoint: &Checkpoint,
    cuts: &[u32],
    options: &ShardOptions,
) -> Vec<Shard> {
    cuts.windows(2)
        .map(|cut| Shard::load(checkpoint, range(cut[0], cut[1]), options).unwrap())
        .collect()
}

pub(crate) fn whole(checkpoint: &Checkpoint) -> Vec<u32> {
    vec![0, checkpoint.config().shape.layers]
}

pub(crate) fn open_all(
    shards: &mut [Shard],
    session: SessionId,
    capacity_tokens: u32,
    dtype: DType,
) {
    for shard in shards {
        let config = SessionConfig {
            range: shard.range(),
            capacity_tokens,
            hidden_dtype: dtype,
        };
        shard.open(session, config).unwrap();
    }
}

/// Runs `ids` from `position` through all shards; logits of every row.
pub(crate) fn forward(
    shards: &mut [Shard],
    session: SessionId,
    position: u32,
    ids: &[u32],
) -> Vec<f32> {
    let count = shards.len();
    let mut hidden = Vec::new();
    for (index, shard) in shards.iter_mut().enumerate() {
        let input = if index == 0 {
            StepInput::Tokens(ids)
        } else {
            StepInput::Hidden(&hidden)
        };
        let wanted = if index + 1 == count {
            Wanted::AllLogits
        } else {
            Wanted::Hidden
        };
        match shard
            .step(&[StepItem {
                session,
                position,
                input,
                wanted,
            }])
            .unwrap()
            .remove(0)
        {
            StepOutput::Hidden(rows) => hidden = rows,
            StepOutput::Logits(logits) => return logits,
            StepOutput::Nothing => unreachable!(),
        }
    }
    unreachable!()
}

/// Logits of every row of `ids`, fed in chunks of these sizes (repeating).
pub(crate) fn logits_of(
    shards: &mut [Shard],
    ids: &[u32],
    chunks: &[usize],
    dtype: DType,
) -> Vec<f32> {
    let session = SessionId(7);
    open_all(shards, session, ids.len() as u32, dtype);
    let (mut logits, mut position) = (Vec::new(), 0);
    let mut sizes = chunks.iter().cycle();
    while position < ids.len() {
        let size = (*sizes.next().unwrap()).min(ids.len() - position);
        let chunk = &ids[position..position + size];
        logits.extend(forward(shards, session, position as u32, chunk));
        position += size;
    }
    for shard in shards {
        shard.close(session);
    }
    logits
}

pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The files of a checkpoint, to be changed.
pub(crate) fn files(model: &Path) -> BTreeMap<String, Vec<u8>> {
    std::fs::read_dir(model)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with("reference"))
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                std::fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

pub(crate) fn from_files(
    files: BTreeMap<String, Vec<u8>>,
) -> Result<Checkpoint, talkoot_inference::CheckpointError> {
    Checkpoint::from_files(
        &files
            .into_iter()
            .map(|(name, file)| (name, file.into()))
            .collect(),
    )
}
