//! Checkpoints: one file or several, from disk or memory, honest or lying.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{files, fixture, from_files, logits_of, range, whole};
use safetensors::tensor::{Dtype, TensorView};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use talkoot_inference::{Checkpoint, CheckpointError, ConfigError, LoadEvent, Shard, ShardOptions};
use talkoot_protocol::hash::Hash;
use talkoot_protocol::model::DType;

const WEIGHTS: &str = "model.safetensors";
const QUERY: &str = "model.layers.1.self_attn.q_proj.weight";

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn tensors() -> Tensors {
    let bytes = std::fs::read(fixture("tiny").join(WEIGHTS)).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    file.tensors()
        .into_iter()
        .map(|(name, view)| {
            (
                name,
                (view.dtype(), view.shape().to_vec(), view.data().to_vec()),
            )
        })
        .collect()
}

fn written<'a>(
    tensors: impl Iterator<Item = (&'a String, &'a (Dtype, Vec<usize>, Vec<u8>))>,
) -> Vec<u8> {
    let views = tensors.map(|(name, (dtype, dims, data))| {
        (
            name.clone(),
            TensorView::new(*dtype, dims.clone(), data).unwrap(),
        )
    });
    safetensors::serialize(views.collect::<Vec<_>>(), None).unwrap()
}

fn with_weights(weights: Vec<u8>) -> Result<Checkpoint, CheckpointError> {
    let mut files = files(&fixture("tiny"));
    files.insert(WEIGHTS.to_owned(), weights);
    from_files(files)
}

fn changed(change: impl FnOnce(&mut Tensors)) -> Result<Checkpoint, CheckpointError> {
    let mut tensors = tensors();
    change(&mut tensors);
    with_weights(written(tensors.iter()))
}

/// Changes the JSON header of the weight file, leaving the data.
fn with_header(change: impl FnOnce(&mut serde_json::Value)) -> Result<Checkpoint, CheckpointError> {
    let bytes = std::fs::read(fixture("tiny").join(WEIGHTS)).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string();
    let mut out = (header.len() as u64).to_le_bytes().to_vec();
    out.extend(header.as_bytes());
    out.extend(&bytes[8 + length..]);
    with_weights(out)
}

fn names_tensor(result: Result<Checkpoint, CheckpointError>, expected: &str) -> String {
    match result {
        Err(CheckpointError::Tensor { name, reason }) if name == expected => reason,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("a lying file was accepted"),
    }
}

#[test]
fn memory_and_disk_give_the_same_model() {
    let disk = Checkpoint::open(&fixture("tiny")).unwrap();
    let memory = from_files(files(&fixture("tiny"))).unwrap();
    assert_eq!(disk.card("x").unwrap(), memory.card("x").unwrap());
    assert_eq!(disk.dtype(), DType::Bf16);
    let card = disk.card("x").unwrap();
    assert_eq!(card.weight_bytes, disk.weight_bytes(range(0, 4)));
    for part in [range(0, 1), range(1, 3), range(3, 4)] {
        let shard = Shard::load(&disk, part, &ShardOptions::default()).unwrap();
        assert_eq!(shard.weight_bytes(), disk.weight_bytes(part));
    }
    // 4 layers of 46,208 weights, embedding and head of 32,768, a norm of 64.
    assert_eq!(card.weight_bytes, 2 * (4 * 46_208 + 2 * 32_768 + 64));
    assert_ne!(card.id(), disk.card("y").unwrap().id());
}

#[test]
fn a_header_of_any_length_leaves_the_numbers_right() {
    // Odd headers put the data at odd addresses; the loader copies then.
    let expected = Checkpoint::open(&fixture("tiny")).unwrap();
    let ids = [1, 2, 3, 4, 5];
    let logits = |checkpoint: &Checkpoint| {
        let options = ShardOptions::default();
        let mut shards = common::load_cut(checkpoint, &whole(checkpoint), &options);
        common::bits(&logits_of(&mut shards, &ids, &[5], DType::F32))
    };
    for padding in 0..4 {
        let shifted = with_header(|header| {
            header["__metadata__"] = serde_json::json!({ "pad": "x".repeat(padding) });
        })
        .unwrap();
        assert!(logits(&shifted) == logits(&expected));
    }
}

#[test]
fn several_files_are_one_checkpoint() {
    let tensors = tensors();
    let mut files = files(&fixture("tiny"));
    files.remove(WEIGHTS);
    let mut map = BTreeMap::new();
    for part in 0..3 {
        let name = format!("model-0000{}-of-00003.safetensors", part + 1);
        let mine: Vec<_> = tensors
            .iter()
            .enumerate()
            .filter(|(i, _)| i % 3 == part)
            .map(|(_, t)| t)
            .collect();
        map.extend(
            mine.iter()
                .map(|(tensor, _)| ((*tensor).clone(), name.clone())),
        );
        files.insert(name, written(mine.into_iter()));
    }
    let index = serde_json::json!({ "metadata": {}, "weight_map": map }).to_string();
    files.insert(
        "model.safetensors.index.json".to_owned(),
        index.into_bytes(),
    );
    let expected = Checkpoint::open(&fixture("tiny"))
        .unwrap()
        .card("x")
        .unwrap();
    assert_eq!(
        from_files(files.clone()).unwrap().card("x").unwrap(),
        expected
    );

    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in &files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    assert_eq!(
        Checkpoint::open(directory.path())
            .unwrap()
            .card("x")
            .unwrap(),
        expected
    );

    let second = "model-00002-of-00003.safetensors";
    let mut without = files.clone();
    without.remove(second);
    assert!(matches!(
        from_files(without),
        Err(CheckpointError::MissingFile { file }) if file == second
    ));
    let mut doubled = files.clone();
    doubled.insert(
        second.to_owned(),
        files["model-00001-of-00003.safetensors"].clone(),
    );
    assert!(matches!(
        from_files(doubled),
        Err(CheckpointError::Tensor { .. })
    ));
    let outside = serde_json::json!({ "weight_map": { "x": "../../secret.safetensors" } });
    files.insert(
        "model.safetensors.index.json".to_owned(),
        outside.to_string().into_bytes(),
    );
    assert!(matches!(
        from_files(files),
        Err(CheckpointError::Json { .. })
    ));
}

#[test]
fn f16_and_f32_weights_are_read_too() {
    let convert = |dtype: Dtype, to: &dyn Fn(f32) -> Vec<u8>| {
        changed(|tensors| {
            for (kind, _, data) in tensors.values_mut() {
                *data = data
                    .chunks_exact(2)
                    .flat_map(|pair| {
                        to(half::bf16::from_le_bytes(pair.try_into().unwrap()).to_f32())
                    })
                    .collect();
                *kind = dtype;
            }
        })
        .unwrap()
    };
    let wide = convert(Dtype::F32, &|value| value.to_le_bytes().to_vec());
    let short = convert(Dtype::F16, &|value| {
        half::f16::from_f32(value).to_le_bytes().to_vec()
    });
    let brain = Checkpoint::open(&fixture("tiny")).unwrap();
    assert_eq!((wide.dtype(), short.dtype()), (DType::F32, DType::F16));
    let ids = [1, 2, 3, 4, 5];
    let logits = |checkpoint: &Checkpoint| {
        let options = ShardOptions::default();
        let mut shards = common::load_cut(checkpoint, &whole(checkpoint), &options);
        logits_of(&mut shards, &ids, &[4, 1], DType::F32)
    };
    let exact = logits(&brain);
    // Widening is exact, so f32 copies of bf16 weights give the same bits.
    assert_eq!(common::bits(&exact), common::bits(&logits(&wide)));
    let worst = exact
        .iter()
        .zip(logits(&short))
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(worst < 0.02, "{worst}");
}

#[test]
fn lying_weight_files_are_refused_by_tensor() {
    let offsets = |begin: u64, end: u64| {
        names_tensor(
            with_header(|header| {
                header[QUERY]["data_offsets"] = serde_json::json!([begin, end]);
            }),
            QUERY,
        )
    };
    assert!(offsets(0, u64::MAX).contains("outside"));
    assert!(offsets(u64::MAX - 1, u64::MAX).contains("outside"));
    assert!(offsets(8, 4).contains("outside"));
    assert!(offsets(0, 4).contains("do not hold"));
    let overlap = with_header(|header| {
        let other = "model.layers.2.self_attn.q_proj.weight";
        header[QUERY]["data_offsets"] = header[other]["data_offsets"].clone();
    });
    assert!(
        matches!(overlap, Err(CheckpointError::Tensor { reason, .. }) if reason.contains("overlaps"))
    );
    let huge = with_header(|header| {
        header[QUERY]["shape"] = serde_json::json!([u64::MAX, u64::MAX]);
    });
    assert!(names_tensor(huge, QUERY).contains("do not hold"));
    let no_number = with_header(|header| header[QUERY]["shape"] = serde_json::json!([-1]));
    names_tensor(no_number, QUERY);
    assert!(matches!(
        changed(|tensors| {
            tensors.remove(QUERY);
        }),
        Err(CheckpointError::MissingTensor { name }) if name == QUERY
    ));
    let shape = changed(|tensors| tensors.get_mut(QUERY).unwrap().1 = vec![32, 128]);
    assert!(names_tensor(shape, QUERY).contains("[64, 64]"));
    let format = changed(|tensors| tensors.get_mut(QUERY).unwrap().0 = Dtype::I16);
    assert!(names_tensor(format, QUERY).contains("I16"));
    let mixed = changed(|tensors| tensors.get_mut(QUERY).unwrap().0 = Dtype::F16);
    assert!(names_tensor(mixed, QUERY).contains("f16"));
}

#[test]
fn truncated_files_are_refused_at_every_length() {
    let bytes = std::fs::read(fixture("tiny").join(WEIGHTS)).unwrap();
    let header_bytes = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for length in [
        0,
        7,
        8,
        9,
        header_bytes,
        8 + header_bytes,
        bytes.len() / 2,
        bytes.len() - 1,
    ] {
        let result = with_weights(bytes[..length].to_vec());
        assert!(
            matches!(
                result,
                Err(CheckpointError::Header { .. } | CheckpointError::Tensor { .. })
            ),
            "{length}"
        );
    }
    let mut claims = bytes;
    claims[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(
        with_weights(claims),
        Err(CheckpointError::Header { .. })
    ));
}

#[test]
fn missing_and_wrong_small_files_are_named() {
    for file in ["config.json", "tokenizer.json", WEIGHTS] {
        let mut files = files(&fixture("tiny"));
        files.remove(file);
        assert!(matches!(
            from_files(files),
            Err(CheckpointError::MissingFile { file: missing }) if missing == file
        ));
    }
    let mut files = files(&fixture("tiny"));
    files.insert(
        "config.json".to_owned(),
        b"{\"model_type\": \"mamba\"}".to_vec(),
    );
    assert!(matches!(
        from_files(files),
        Err(CheckpointError::Config(ConfigError::Unsupported {
            setting: "model_type",
            ..
        }))
    ));
    let nowhere = Checkpoint::open(std::path::Path::new("/nowhere"));
    assert!(matches!(nowhere, Err(CheckpointError::NoSuchPath { .. })));
    let other = Checkpoint::open(&fixture("tiny").join("config.json"));
    assert!(matches!(other, Err(CheckpointError::UnknownFormat { .. })));
}

#[test]
fn the_tensor_list_names_every_weight_once() {
    let checkpoint = Checkpoint::open(&fixture("tiny")).unwrap();
    let list = checkpoint.tensor_list().unwrap();
    let tensors = tensors();
    assert_eq!(list.len(), tensors.len());
    for (record, (name, (_, dims, data))) in list.iter().zip(&tensors) {
        assert_eq!(&record.name, name);
        assert_eq!(
            record
                .dims
                .iter()
                .map(|&dim| dim as usize)
                .collect::<Vec<_>>(),
            *dims
        );
        assert_eq!(record.hash, Hash::of_blob(data));
    }
    // One changed weight is another model.
    let other = changed(|tensors| tensors.get_mut(QUERY).unwrap().2[0] ^= 1).unwrap();
    let (card, other) = (checkpoint.card("x").unwrap(), other.card("x").unwrap());
    assert_ne!(card.tensors, other.tensors);
    assert_eq!(
        (card.config, card.tokenizer),
        (other.config, other.tokenizer)
    );
}

/// A copy of the small model, and a folder for its cache.
fn on_disk() -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files(&fixture("tiny")) {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let cache = directory.path().join("cache");
    (directory, cache)
}

/// Bytes that had to be hashed.
fn hashed(checkpoint: &Checkpoint, threads: usize) -> u64 {
    let most = AtomicU64::new(0);
    let observer = |event: LoadEvent<'_>| match event {
        LoadEvent::Hashed {
            done_bytes,
            total_bytes,
        } => {
            assert!(done_bytes <= total_bytes);
            most.fetch_max(done_bytes, Ordering::Relaxed);
        }
        other => panic!("{other:?}"),
    };
    checkpoint.hash_tensors(threads, &observer).unwrap();
    most.into_inner()
}

#[test]
fn hashes_are_remembered_until_the_file_changes() {
    let (directory, cache) = on_disk();
    let open = || {
        Checkpoint::open(directory.path())
            .unwrap()
            .cached_in(&cache)
    };
    let expected = Checkpoint::open(&fixture("tiny")).unwrap();
    let card = expected.card("x").unwrap();
    for (threads, bytes) in [(3, card.weight_bytes), (1, 0)] {
        let checkpoint = open();
        assert_eq!(hashed(&checkpoint, threads), bytes);
        assert_eq!(checkpoint.card("x").unwrap(), card);
    }
    // Another file under the same name, with the same length.
    let path = directory.path().join(WEIGHTS);
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, bytes).unwrap();
    let changed = open();
    assert_eq!(hashed(&changed, 2), card.weight_bytes);
    assert_ne!(changed.card("x").unwrap().tensors, card.tensors);
    // A record that is no record counts for nothing.
    for entry in std::fs::read_dir(cache.join("hashes")).unwrap() {
        std::fs::write(entry.unwrap().path(), "{}").unwrap();
    }
    assert_eq!(hashed(&open(), 2), card.weight_bytes);
}

#[test]
fn a_cache_that_cannot_be_written_is_said_and_not_needed() {
    let (directory, cache) = on_disk();
    std::fs::write(&cache, "a file where a folder should be").unwrap();
    let checkpoint = Checkpoint::open(directory.path())
        .unwrap()
        .cached_in(&cache);
    let refused = AtomicU64::new(0);
    let observer = |event: LoadEvent<'_>| {
        if let LoadEvent::CacheRefused { path, .. } = event {
            assert!(path.starts_with(&cache));
            refused.fetch_add(1, Ordering::Relaxed);
        }
    };
    checkpoint.hash_tensors(2, &observer).unwrap();
    assert_eq!(refused.into_inner(), 1);
    checkpoint.card("x").unwrap();
}
