//! Stored matrices -> packed ones, in one region of memory.
//!
//! A packed matrix is a function of the stored values and the format alone, so
//! two nodes that pack the same checkpoint hold the same bytes, whether they
//! made them or read them from the cache. Memory while packing: the region, and
//! a few rows for each thread.

mod cache;
mod matrix;

pub(crate) use matrix::{dtype_of, unpack};

use crate::checkpoint::{Checkpoint, CheckpointError, TensorBytes};
use crate::families::{self, TensorSpec};
use crate::kernels::{PackedFormat, Pool, Region};
use crate::ops::PackedShape;
use crate::progress::{LoadEvent, LoadObserver};
use bytes::Bytes;
use cache::PackedCache;
use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use talkoot_protocol::hash::Hash;
use talkoot_protocol::model::LayerRange;

/// Which version of the quantiser made the packed values; cards name it.
pub(crate) const QUANTISER_VERSION: u16 = 1;
/// Where matrices start in the region: on a page.
const ALIGNMENT_BYTES: usize = 4096;

/// One matrix to pack.
struct Job {
    name: String,
    tensor: TensorBytes,
    shape: PackedShape,
    /// Its name in the cache, if there is one.
    key: Option<Hash>,
}

/// A packed matrix on its way to the disk.
struct Kept<'a> {
    key: Hash,
    pieces: Vec<Hash>,
    packed: &'a [u8],
}

/// What `spec` looks like packed.
pub(crate) fn shape_of(spec: &TensorSpec, format: PackedFormat) -> PackedShape {
    PackedShape {
        format,
        width: spec.dims.first().copied().unwrap_or(0),
        inner: spec.dims.get(1).copied().unwrap_or(0),
    }
}

/// The packed matrices of a range, by the names of the stored ones: none when
/// the checkpoint is used as stored.
pub(crate) fn pack(
    checkpoint: &Checkpoint,
    range: LayerRange,
    pool: &Pool,
    observer: LoadObserver<'_>,
) -> Result<BTreeMap<String, Bytes>, CheckpointError> {
    if checkpoint.packed_format().is_none() {
        return Ok(BTreeMap::new());
    }
    let cache = checkpoint.cache().map(PackedCache::new);
    if cache.is_some() {
        checkpoint.hash_tensors(pool.threads(), observer)?;
    }
    let jobs = families::products(checkpoint.config(), range)
        .filter_map(|spec| Some((checkpoint.product_format(&spec)?, spec)))
        .map(|(format, spec)| Job::new(checkpoint, spec, format, cache.is_some()))
        .collect::<Result<Vec<_>, _>>()?;
    let bytes = jobs.iter().map(Job::padded_bytes).sum();
    let mut region =
        Region::new(bytes).map_err(|source| CheckpointError::Memory { bytes, source })?;
    fill(&jobs, region.bytes_mut(), cache.as_ref(), pool, observer)?;
    let packed = region.freeze();
    let mut start = 0;
    let slices = jobs.into_iter().map(|job| {
        let slice = packed.slice(start..start + job.shape.bytes());
        start += job.padded_bytes();
        (job.name, slice)
    });
    Ok(slices.collect())
}

impl Job {
    fn new(
        checkpoint: &Checkpoint,
        spec: TensorSpec,
        format: PackedFormat,
        is_cached: bool,
    ) -> Result<Self, CheckpointError> {
        let shape = shape_of(&spec, format);
        let records = if is_cached {
            checkpoint.tensor_list()?
        } else {
            &[]
        };
        let record = records
            .binary_search_by(|record| record.name.cmp(&spec.name))
            .ok();
        Ok(Self {
            tensor: checkpoint.tensor(&spec)?,
            key: record.map(|index| cache::key(&records[index], &shape)),
            name: spec.name,
            shape,
        })
    }

    const fn padded_bytes(&self) -> usize {
        self.shape.bytes().next_multiple_of(ALIGNMENT_BYTES)
    }
}

/// Where each matrix goes in the region.
fn places<'a>(jobs: &[Job], mut region: &'a mut [u8]) -> Vec<&'a mut [u8]> {
    let mut places = Vec::with_capacity(jobs.len());
    for job in jobs {
        let (place, rest) = region.split_at_mut(job.padded_bytes());
        places.push(&mut place[..job.shape.bytes()]);
        region = rest;
    }
    places
}

/// Fills the region, from the cache or from the checkpoint. What was made is
/// written to the cache by a thread of its own while the next is made.
fn fill(
    jobs: &[Job],
    region: &mut [u8],
    cache: Option<&PackedCache>,
    pool: &Pool,
    observer: LoadObserver<'_>,
) -> Result<(), CheckpointError> {
    let total_bytes = jobs.iter().map(|job| job.shape.bytes() as u64).sum();
    let mut done_bytes = 0;
    let places = places(jobs, region);
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(jobs.len());
        if let Some(cache) = cache {
            let writer = std::thread::Builder::new().name("packed-cache".to_owned());
            // Without the thread nobody receives, and nothing is kept.
            drop(writer.spawn_scoped(scope, move || keep(&receiver, cache, observer)));
        }
        for (job, packed) in jobs.iter().zip(places) {
            let is_cached = fill_one(job, packed, cache, &sender, (pool, observer))?;
            done_bytes += job.shape.bytes() as u64;
            observer(LoadEvent::Packed {
                tensor: &job.name,
                is_cached,
                done_bytes,
                total_bytes,
            });
        }
        Ok(())
    })
}

/// Fills one matrix. Says whether it came from the cache.
fn fill_one<'a>(
    job: &Job,
    packed: &'a mut [u8],
    cache: Option<&PackedCache>,
    sender: &SyncSender<Kept<'a>>,
    (pool, observer): (&Pool, LoadObserver<'_>),
) -> Result<bool, CheckpointError> {
    let wanted = cache.zip(job.key);
    if let Some((cache, key)) = wanted
        && cache.read(&key, &job.shape, packed, pool, observer)
    {
        return Ok(true);
    }
    let pieces = matrix::pack(&job.tensor, &job.shape, packed, pool)
        .map_err(|error| CheckpointError::tensor(&job.name, error.to_string()))?;
    if let Some((_, key)) = wanted {
        // Nobody receives any more when the cache has refused.
        drop(sender.try_send(Kept {
            key,
            pieces,
            packed,
        }));
    }
    Ok(false)
}

/// Writes what comes until there is no more or the disk refuses.
fn keep(receiver: &Receiver<Kept<'_>>, cache: &PackedCache, observer: LoadObserver<'_>) {
    let mut kept = receiver.iter();
    while kept
        .next()
        .is_some_and(|matrix| cache.write(&matrix.key, &matrix.pieces, matrix.packed, observer))
    {
    }
}
