//! Packing at load: the same bytes on any threads and from the cache, refusals
//! that name the tensor, cards that tell formats apart.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    reason = "a test may stop at the first surprise and tell about it"
)]

mod common;

use common::{bits, fixture, from_files, load_cut, logits_of, range, whole};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{Checkpoint, LoadEvent, Shard, ShardOptions};
use talkoot_protocol::model::{DType, LayerRange};

const IDS: [u32; 5] = [1, 2, 3, 4, 5];

fn tiny(format: PackedFormat) -> Checkpoint {
    Checkpoint::open(&fixture("tiny"))
        .unwrap()
        .packed_as(format)
}

fn all(checkpoint: &Checkpoint) -> LayerRange {
    checkpoint.config().layers()
}

/// What a load told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    made: usize,
    cached: usize,
    dropped: Vec<String>,
    refused: usize,
}

/// Loads a range and returns the logits of a prompt, if the range is whole.
fn load(checkpoint: &Checkpoint, range: LayerRange, threads: usize) -> (Shard, Told) {
    let told = Mutex::new((Told::default(), 0));
    let observer = |event: LoadEvent<'_>| {
        let (told, before) = &mut *told.lock().unwrap();
        match event {
            LoadEvent::Packed {
                is_cached,
                done_bytes,
                total_bytes,
                ..
            } => {
                assert!(*before < done_bytes && done_bytes <= total_bytes);
                *before = done_bytes;
                if is_cached {
                    told.cached += 1;
                } else {
                    told.made += 1;
                }
            }
            LoadEvent::Dropped { reason, .. } => told.dropped.push(reason),
            LoadEvent::CacheRefused { .. } => told.refused += 1,
            _ => {}
        }
    };
    let options = ShardOptions {
        threads,
        ..ShardOptions::default()
    };
    let shard = Shard::load_observed(checkpoint, range, &options, &observer).unwrap();
    (shard, told.into_inner().unwrap().0)
}

fn logits(checkpoint: &Checkpoint, threads: usize) -> (Vec<u32>, Told) {
    let (shard, told) = load(checkpoint, all(checkpoint), threads);
    let logits = logits_of(&mut [shard], &IDS, &[5], DType::F32);
    (bits(&logits), told)
}

/// The packed matrices in a cache, by file.
fn kept(cache: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<(PathBuf, Vec<u8>)> = fs::read_dir(cache.join("packed"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}

fn made(made: usize) -> Told {
    Told {
        made,
        ..Told::default()
    }
}

fn cached(cached: usize) -> Told {
    Told {
        cached,
        ..Told::default()
    }
}

/// Matrices of the small model: seven for each of four layers, and the head.
const MATRICES: usize = 4 * 7 + 1;

#[test]
fn threads_change_no_packed_byte() {
    for format in PackedFormat::ALL {
        let directories = [1, 3].map(|threads| {
            let directory = tempfile::tempdir().unwrap();
            let checkpoint = tiny(format).cached_in(directory.path());
            assert_eq!(logits(&checkpoint, threads).1, made(MATRICES));
            directory
        });
        let [alone, shared] = directories.each_ref().map(|directory| {
            let files = kept(directory.path()).into_iter();
            let names = files.map(|(path, bytes)| (path.file_name().unwrap().to_owned(), bytes));
            names.collect::<Vec<_>>()
        });
        assert_eq!(alone.len(), MATRICES);
        assert!(alone == shared, "{format:?}");
    }
}

#[test]
fn what_comes_from_the_cache_is_what_was_made() {
    for format in PackedFormat::ALL {
        let directory = tempfile::tempdir().unwrap();
        let plain = logits(&tiny(format), 1);
        let open = || tiny(format).cached_in(directory.path());
        for told in [made(MATRICES), cached(MATRICES)] {
            assert!(logits(&open(), 2) == (plain.0.clone(), told), "{format:?}");
        }
        // Another range of the same model uses the same files.
        assert_eq!(load(&open(), range(1, 3), 1).1, cached(14));
    }
}

#[test]
fn formats_share_a_directory_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    for format in PackedFormat::ALL {
        let checkpoint = tiny(format).cached_in(directory.path());
        assert_eq!(logits(&checkpoint, 1).1, made(MATRICES));
    }
    assert_eq!(kept(directory.path()).len(), 3 * MATRICES);
}

#[test]
fn a_damaged_file_is_dropped_said_and_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let open = || tiny(PackedFormat::Q8_0).cached_in(directory.path());
    let expected = logits(&open(), 1).0;
    let files = kept(directory.path());
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes[0] ^= 1,
        |bytes| bytes[50] ^= 1,
        |bytes| *bytes.last_mut().unwrap() ^= 0x80,
        |bytes| bytes.truncate(bytes.len() - 1),
        |bytes| bytes.push(0),
        Vec::clear,
    ];
    for damage in damages {
        let (path, good) = &files[7];
        let mut bytes = good.clone();
        damage(&mut bytes);
        fs::write(path, &bytes).unwrap();
        let (got, told) = logits(&open(), 2);
        assert!(got == expected);
        assert_eq!((told.made, told.cached), (1, MATRICES - 1));
        assert_eq!(told.dropped.len(), 1, "{told:?}");
        assert!(kept(directory.path()) == files);
    }
    // A good file under the name of another is not that other.
    fs::copy(&files[3].0, &files[4].0).unwrap();
    let (got, told) = logits(&open(), 2);
    assert!(got == expected);
    assert_eq!(told.dropped.len(), 1);
}

#[test]
fn without_a_writable_cache_a_model_loads_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let taken = directory.path().join("taken");
    fs::write(&taken, "a file where a folder should be").unwrap();
    let checkpoint = tiny(PackedFormat::Q4_0).cached_in(&taken);
    let (got, told) = logits(&checkpoint, 2);
    assert!(got == logits(&tiny(PackedFormat::Q4_0), 1).0);
    // Once for the hashes, once for the matrices.
    assert_eq!((told.made, told.refused), (MATRICES, 2));
}

#[test]
fn a_value_that_is_no_number_is_refused_by_tensor_and_row() {
    const UP: &str = "model.layers.2.mlp.up_proj.weight";
    let mut files = common::files(&fixture("tiny"));
    let weights = files.get_mut("model.safetensors").unwrap();
    let header_bytes = u64::from_le_bytes(weights[..8].try_into().unwrap());
    let data = 8 + usize::try_from(header_bytes).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&weights[8..data]).unwrap();
    let start = header[UP]["data_offsets"][0].as_u64().unwrap();
    let inner = header[UP]["shape"][1].as_u64().unwrap();
    // The first value of row 37, bf16.
    let at = data + usize::try_from(start + 37 * inner * 2).unwrap();
    weights[at..at + 2].copy_from_slice(&[0x80, 0x7f]);
    for format in PackedFormat::ALL {
        let checkpoint = from_files(files.clone()).unwrap().packed_as(format);
        let options = ShardOptions::default();
        let error = Shard::load(&checkpoint, all(&checkpoint), &options).unwrap_err();
        let error = error.to_string();
        assert!(error.contains(UP) && error.contains("row 37"), "{error}");
        // Layers without it load.
        Shard::load(&checkpoint, range(0, 2), &options).unwrap();
    }
}

#[test]
fn every_format_is_a_model_of_its_own() {
    let stored = Checkpoint::open(&fixture("tiny"))
        .unwrap()
        .card("tiny")
        .unwrap();
    assert_eq!(
        (stored.name.as_str(), stored.quantiser_version),
        ("tiny", 0)
    );
    // 4 layers of 46,080 weights in matrices, embedding and head of 32,768
    // each; 4 x 128 + 64 in norms.
    let (matrices, norms) = (4 * 46_080 + 2 * 32_768, 4 * 128 + 64);
    // The 64 rows of each down projection have 176 elements, 5 blocks and a half.
    let blocks = matrices / 32 + 4 * 64 / 2;
    let expected = [
        (PackedFormat::Bf16, DType::Bf16, "tiny-bf16", matrices * 2),
        (PackedFormat::Q8_0, DType::Q8_0, "tiny-q8_0", blocks * 34),
        (PackedFormat::Q4_0, DType::Q4_0, "tiny-q4_0", blocks * 18),
    ];
    let mut ids = vec![stored.id()];
    for (format, dtype, name, bytes) in expected {
        let checkpoint = tiny(format);
        let card = checkpoint.card("tiny").unwrap();
        assert_eq!((card.dtype, card.name.as_str()), (dtype, name));
        assert_eq!(card.dtype, checkpoint.dtype());
        assert_eq!(card.quantiser_version, 1);
        assert_eq!(card.tensors, stored.tensors);
        assert_eq!(card.weight_bytes, bytes + norms * 4);
        // By size it costs what it did.
        let (half, whole) = (card.half_precision_bytes(), stored.half_precision_bytes());
        assert!(half.abs_diff(whole) * 30 < whole, "{half} {whole}");
        ids.push(card.id());
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
}

#[test]
fn bytes_are_known_before_a_shard_is_loaded() {
    for name in ["tiny", "stories260k"] {
        for format in PackedFormat::ALL {
            let checkpoint = Checkpoint::open(&fixture(name)).unwrap().packed_as(format);
            let layers = checkpoint.config().shape.layers;
            for part in [range(0, 1), range(1, layers), all(&checkpoint)] {
                let shard = Shard::load(&checkpoint, part, &ShardOptions::default()).unwrap();
                assert_eq!(
                    shard.weight_bytes(),
                    checkpoint.weight_bytes(part),
                    "{name} {part}"
                );
            }
        }
    }
}

#[test]
fn a_tied_head_is_packed_and_the_embedding_stays() {
    let path = fixture("stories260k");
    let stored = Checkpoint::open(&path).unwrap();
    assert!(stored.config().settings.tied);
    let packed = Checkpoint::open(&path)
        .unwrap()
        .packed_as(PackedFormat::Bf16);
    let run = |checkpoint: &Checkpoint| {
        let mut shards = load_cut(checkpoint, &whole(checkpoint), &ShardOptions::default());
        logits_of(&mut shards, &IDS, &[5], DType::F32)
    };
    let (expected, got) = (run(&stored), run(&packed));
    let most = expected.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let close = |(a, b): (&f32, &f32)| (a - b).abs() < 0.03 * most;
    assert!(expected.iter().zip(&got).all(close));
    assert!(expected != got);
}
