//! The header of a safetensors file -> where each tensor lies.
//!
//! The file is from strangers: every offset is checked against the file, the
//! shape and the neighbours before a byte is handed out, and the error names
//! the tensor. No tensor data is read here.

use super::CheckpointError;
use super::tensors::{RowOrder, TensorEntry};
use crate::stored::StoredFormat;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of a header; that of a 400-billion-parameter model has about 200 KB.
const HEADER_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The length prefix of the header.
const PREFIX_BYTES: usize = 8;

/// The number format of this name, if it is one that weights may have.
fn float_format(dtype: &str) -> Option<StoredFormat> {
    match dtype {
        "F32" => Some(StoredFormat::F32),
        "F16" => Some(StoredFormat::F16),
        "BF16" => Some(StoredFormat::Bf16),
        _ => None,
    }
}

/// Bytes of one element, for the types whose size is a whole number of bytes.
/// Others cannot be weights and are passed over.
fn element_bytes(dtype: &str) -> Option<usize> {
    match dtype {
        "F64" | "I64" | "U64" => Some(8),
        "F32" | "I32" | "U32" => Some(4),
        "F16" | "BF16" | "I16" | "U16" => Some(2),
        "BOOL" | "I8" | "U8" | "F8_E4M3" | "F8_E5M2" => Some(1),
        _ => None,
    }
}

#[derive(Deserialize)]
struct RawEntry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// Reads the header of `bytes`, the content of `file`.
pub(super) fn read_header(
    file: &str,
    bytes: &Bytes,
) -> Result<BTreeMap<String, TensorEntry>, CheckpointError> {
    let malformed = |reason: String| CheckpointError::Header {
        file: file.to_owned(),
        reason,
    };
    let prefix: [u8; PREFIX_BYTES] = bytes
        .get(..PREFIX_BYTES)
        .and_then(|prefix| prefix.try_into().ok())
        .ok_or_else(|| malformed("shorter than its length prefix".to_owned()))?;
    let header_bytes = u64::from_le_bytes(prefix);
    if header_bytes > HEADER_BYTES_MAX {
        return Err(malformed(format!(
            "header of {header_bytes} bytes, the limit is {HEADER_BYTES_MAX}"
        )));
    }
    let data_start = usize::try_from(header_bytes)
        .ok()
        .and_then(|length| length.checked_add(PREFIX_BYTES))
        .filter(|end| *end <= bytes.len())
        .ok_or_else(|| malformed("the header is cut off".to_owned()))?;
    let mut raw: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&bytes[PREFIX_BYTES..data_start])
            .map_err(|error| malformed(error.to_string()))?;
    raw.remove("__metadata__");
    let mut entries = BTreeMap::new();
    for (name, value) in raw {
        let entry: RawEntry = serde_json::from_value(value)
            .map_err(|error| CheckpointError::tensor(&name, error.to_string()))?;
        let entry = locate(&name, entry, data_start, bytes.len())?;
        entries.insert(name, entry);
    }
    refuse_overlaps(&entries)?;
    Ok(entries)
}

fn locate(
    name: &str,
    raw: RawEntry,
    data_start: usize,
    file_bytes: usize,
) -> Result<TensorEntry, CheckpointError> {
    let [begin, end] = raw.data_offsets;
    let absolute = |offset: u64| usize::try_from(offset).ok()?.checked_add(data_start);
    let range = match (absolute(begin), absolute(end)) {
        (Some(begin), Some(end)) if begin <= end && end <= file_bytes => begin..end,
        _ => {
            let data_bytes = file_bytes - data_start;
            return Err(CheckpointError::tensor(
                name,
                format!("offsets {begin}..{end} lie outside the {data_bytes} bytes of data"),
            ));
        }
    };
    let dims = raw
        .shape
        .iter()
        .map(|&dim| usize::try_from(dim).ok())
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| CheckpointError::tensor(name, "impossible shape".to_owned()))?;
    let entry = TensorEntry {
        format: float_format(&raw.dtype),
        order: RowOrder::Plain,
        dtype: raw.dtype,
        dims,
        range,
    };
    if let Some(element_bytes) = element_bytes(&entry.dtype) {
        let expected = entry
            .dims
            .iter()
            .try_fold(element_bytes, |bytes, &dim| bytes.checked_mul(dim));
        if expected != Some(entry.range.len()) {
            return Err(CheckpointError::tensor(
                name,
                format!(
                    "{} bytes do not hold {} of shape {:?}",
                    entry.range.len(),
                    entry.dtype,
                    entry.dims
                ),
            ));
        }
    }
    Ok(entry)
}

/// No two tensors share bytes.
pub(super) fn refuse_overlaps(
    entries: &BTreeMap<String, TensorEntry>,
) -> Result<(), CheckpointError> {
    let mut by_start: Vec<(&String, &Range<usize>)> = entries
        .iter()
        .filter(|(_, entry)| !entry.range.is_empty())
        .map(|(name, entry)| (name, &entry.range))
        .collect();
    by_start.sort_by_key(|(_, range)| range.start);
    for pair in by_start.windows(2) {
        if let [(first, before), (second, after)] = pair
            && before.end > after.start
        {
            return Err(CheckpointError::tensor(
                second,
                format!("overlaps tensor {first}"),
            ));
        }
    }
    Ok(())
}
