//! The header of a GGUF file, version 3: metadata by key, and where each tensor lies.
//!
//! The file is from strangers: every count has a bound, every text and offset is
//! checked against the file before it is used, tensors lie on the file's alignment and
//! share no byte. Arrays are walked here and read when they are asked for, so a
//! header takes no memory that its bytes do not. No tensor data is read.

use super::super::safetensors::refuse_overlaps;
use super::super::tensors::{RowOrder, TensorEntry};
use super::super::{CheckpointError, WeightFile};
use super::reader::{Number, Reader, kind_bytes};
use crate::stored::StoredFormat;
use std::collections::BTreeMap;

/// The first bytes of every GGUF file.
pub(super) const MAGIC: &[u8; 4] = b"GGUF";
const VERSION: u32 = 3;
/// Metadata of a file; published ones have about fifty.
const KEYS_MAX: usize = 4096;
/// Tensors of a file.
const TENSORS_MAX: usize = 1 << 17;
/// Bytes of the name of a key or a tensor.
const NAME_BYTES_MAX: usize = 1024;
/// Bytes of one text: a chat template, or a token.
const TEXT_BYTES_MAX: usize = 1 << 24;
/// Elements of an array: a few times the merges of the largest tokenizers.
const ELEMENTS_MAX: usize = 1 << 23;
const DIMENSIONS_MAX: usize = 4;
/// Where the file names none.
const ALIGNMENT_BYTES: u64 = 32;
const ALIGNMENT_BYTES_MAX: u64 = 1 << 16;

const KIND_TEXT: u32 = 8;
const KIND_ARRAY: u32 = 9;

/// What a key says.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Number(Number),
    Text(String),
    /// Elements of one kind from a place in the file on.
    Array {
        kind: u32,
        count: usize,
        at: usize,
    },
}

/// A header that has been checked.
#[derive(Debug)]
pub(super) struct Header {
    file: String,
    content: WeightFile,
    values: BTreeMap<String, Value>,
    /// By the names in the file.
    pub(super) tensors: BTreeMap<String, TensorEntry>,
}

/// A tensor as the file describes it.
struct Described {
    name: String,
    dims: Vec<usize>,
    kind: u32,
    offset: u64,
}

impl Header {
    /// Reads the header of `content`, the content of `file`.
    pub(super) fn read(file: &str, content: WeightFile) -> Result<Self, CheckpointError> {
        let bytes = content.bytes().clone();
        let fail = |reason: String| CheckpointError::Gguf {
            file: file.to_owned(),
            reason,
        };
        let mut reader = Reader::new(&bytes, 0);
        let (values, described) = read_header(&mut reader).map_err(fail)?;
        let mut header = Self {
            file: file.to_owned(),
            content,
            values,
            tensors: BTreeMap::new(),
        };
        let alignment = header.alignment()?;
        let data_start = (reader.at() as u64).next_multiple_of(alignment);
        for tensor in described {
            let entry = locate(&tensor, data_start, alignment, bytes.len() as u64)
                .map_err(|reason| CheckpointError::tensor(&tensor.name, reason))?;
            if header.tensors.insert(tensor.name.clone(), entry).is_some() {
                let reason = "is described twice".to_owned();
                return Err(CheckpointError::tensor(&tensor.name, reason));
            }
        }
        refuse_overlaps(&header.tensors)?;
        Ok(header)
    }

    /// The name of the file.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    /// What the file holds.
    pub(super) const fn content(&self) -> &WeightFile {
        &self.content
    }

    /// An error about this file.
    pub(super) fn error(&self, reason: String) -> CheckpointError {
        CheckpointError::Gguf {
            file: self.file.clone(),
            reason,
        }
    }

    fn wrong_kind(&self, key: &str, wanted: &str) -> CheckpointError {
        self.error(format!("{key} is no {wanted}"))
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&str>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong_kind(key, "text")),
        }
    }

    /// A size, a count or an id.
    pub(super) fn size(&self, key: &str) -> Result<Option<u32>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Number(Number::Whole(number))) => u32::try_from(*number)
                .map(Some)
                .map_err(|_| self.error(format!("{key} = {number} is out of bounds"))),
            Some(_) => Err(self.wrong_kind(key, "whole number (one for all layers)")),
        }
    }

    /// The same for a key that must be there.
    pub(super) fn required(&self, key: &str) -> Result<u32, CheckpointError> {
        self.size(key)?
            .ok_or_else(|| self.error(format!("{key} is missing")))
    }

    pub(super) fn float(&self, key: &str) -> Result<Option<f64>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(None),
            Some(Value::Number(Number::Float(number))) if number.is_finite() => Ok(Some(*number)),
            Some(_) => Err(self.wrong_kind(key, "finite number")),
        }
    }

    pub(super) fn flag(&self, key: &str) -> Result<Option<bool>, CheckpointError> {
        Ok(self.size(key)?.map(|number| number != 0))
    }

    /// The texts of an array; none if the key is not there.
    pub(super) fn texts(&self, key: &str) -> Result<Vec<&str>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array { kind, count, at }) if *kind == KIND_TEXT => {
                let mut reader = Reader::new(self.content.bytes(), *at);
                let texts = (0..*count).map(|_| reader.text(TEXT_BYTES_MAX));
                texts
                    .collect::<Result<_, _>>()
                    .map_err(|reason| self.error(reason))
            }
            Some(_) => Err(self.wrong_kind(key, "list of texts")),
        }
    }

    /// The numbers of an array; none if the key is not there.
    pub(super) fn numbers(&self, key: &str) -> Result<Vec<Number>, CheckpointError> {
        match self.values.get(key) {
            None => Ok(Vec::new()),
            Some(Value::Array { kind, count, at }) if kind_bytes(*kind).is_some() => {
                let mut reader = Reader::new(self.content.bytes(), *at);
                let mut numbers = Vec::with_capacity(*count);
                for _ in 0..*count {
                    let number = reader.number(*kind).map_err(|reason| self.error(reason))?;
                    numbers.extend(number);
                }
                Ok(numbers)
            }
            Some(_) => Err(self.wrong_kind(key, "list of numbers")),
        }
    }

    fn alignment(&self) -> Result<u64, CheckpointError> {
        const KEY: &str = "general.alignment";
        let alignment = self.size(KEY)?.map_or(ALIGNMENT_BYTES, u64::from);
        if alignment.is_power_of_two() && (8..=ALIGNMENT_BYTES_MAX).contains(&alignment) {
            return Ok(alignment);
        }
        Err(self.error(format!(
            "{KEY} = {alignment} is no power of two from 8 to {ALIGNMENT_BYTES_MAX}"
        )))
    }
}

type Read = (BTreeMap<String, Value>, Vec<Described>);

fn read_header(reader: &mut Reader<'_>) -> Result<Read, String> {
    if reader.take(MAGIC.len())? != MAGIC {
        return Err("does not begin with GGUF".to_owned());
    }
    let version = reader.u32()?;
    if version != VERSION {
        return Err(format!(
            "version {version} of the format (or another order of bytes), supported: {VERSION}"
        ));
    }
    let tensors = reader.count("tensors", TENSORS_MAX)?;
    let keys = reader.count("keys", KEYS_MAX)?;
    let mut values = BTreeMap::new();
    for _ in 0..keys {
        let key = reader.text(NAME_BYTES_MAX)?.to_owned();
        let kind = reader.u32()?;
        let value = read_value(reader, kind).map_err(|reason| format!("key {key}: {reason}"))?;
        if values.contains_key(&key) {
            return Err(format!("key {key} occurs twice"));
        }
        values.insert(key, value);
    }
    let mut described = Vec::new();
    for _ in 0..tensors {
        described.push(read_tensor(reader)?);
    }
    Ok((values, described))
}

fn read_value(reader: &mut Reader<'_>, kind: u32) -> Result<Value, String> {
    if let Some(number) = reader.number(kind)? {
        return Ok(Value::Number(number));
    }
    match kind {
        KIND_TEXT => Ok(Value::Text(reader.text(TEXT_BYTES_MAX)?.to_owned())),
        KIND_ARRAY => {
            let kind = reader.u32()?;
            let count = reader.count("elements", ELEMENTS_MAX)?;
            let at = reader.at();
            match kind_bytes(kind) {
                Some(bytes) => drop(reader.take(count * bytes)?),
                None if kind == KIND_TEXT => {
                    for _ in 0..count {
                        reader.text(TEXT_BYTES_MAX)?;
                    }
                }
                None => return Err(format!("a list of kind {kind} is not supported")),
            }
            Ok(Value::Array { kind, count, at })
        }
        _ => Err(format!("kind {kind} is not one of the format")),
    }
}

fn read_tensor(reader: &mut Reader<'_>) -> Result<Described, String> {
    let name = reader.text(NAME_BYTES_MAX)?.to_owned();
    let dimensions = reader.u32()?;
    let count = usize::try_from(dimensions).unwrap_or(usize::MAX);
    if !(1..=DIMENSIONS_MAX).contains(&count) {
        return Err(format!("tensor {name} has {dimensions} dimensions"));
    }
    let mut dims = Vec::with_capacity(count);
    for _ in 0..count {
        let dim = reader.u64()?;
        let dim = usize::try_from(dim).ok().filter(|dim| *dim > 0);
        dims.push(dim.ok_or_else(|| format!("tensor {name} has an impossible shape"))?);
    }
    // The file names the innermost first.
    dims.reverse();
    Ok(Described {
        name,
        dims,
        kind: reader.u32()?,
        offset: reader.u64()?,
    })
}

/// The format's numbers of number formats, for those that are known by name.
fn format_of(kind: u32) -> (&'static str, Option<StoredFormat>) {
    match kind {
        0 => ("F32", Some(StoredFormat::F32)),
        1 => ("F16", Some(StoredFormat::F16)),
        2 => ("Q4_0", Some(StoredFormat::Q4_0)),
        3 => ("Q4_1", Some(StoredFormat::Q4_1)),
        6 => ("Q5_0", Some(StoredFormat::Q5_0)),
        7 => ("Q5_1", Some(StoredFormat::Q5_1)),
        8 => ("Q8_0", Some(StoredFormat::Q8_0)),
        10 => ("Q2_K", None),
        11 => ("Q3_K", None),
        12 => ("Q4_K", Some(StoredFormat::Q4K)),
        13 => ("Q5_K", Some(StoredFormat::Q5K)),
        14 => ("Q6_K", Some(StoredFormat::Q6K)),
        16..=23 | 29 => ("one of the IQ formats", None),
        30 => ("BF16", Some(StoredFormat::Bf16)),
        39 => ("MXFP4", None),
        _ => ("an unknown one", None),
    }
}

fn locate(
    tensor: &Described,
    data_start: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<TensorEntry, String> {
    let Described { dims, offset, .. } = tensor;
    let (name, format) = format_of(tensor.kind);
    if !offset.is_multiple_of(alignment) {
        return Err(format!("offset {offset} is no multiple of {alignment}"));
    }
    let start = data_start
        .checked_add(*offset)
        .filter(|start| *start <= file_bytes);
    let start = start.ok_or_else(|| format!("offset {offset} lies outside the file"))?;
    let bytes = match format {
        // Its size is unknown; whoever needs the tensor refuses the format by name.
        None => 0,
        Some(format) => {
            let inner = dims.last().copied().unwrap_or(0);
            let row_bytes = format.row_bytes(inner).ok_or_else(|| {
                let block = format.block();
                format!("rows of {inner} elements are no whole blocks of {block}")
            })?;
            let outer = &dims[..dims.len() - 1];
            let bytes = outer
                .iter()
                .try_fold(row_bytes, |bytes, dim| bytes.checked_mul(*dim));
            bytes.map_or(u64::MAX, |bytes| bytes as u64)
        }
    };
    let end = start.checked_add(bytes).filter(|end| *end <= file_bytes);
    let place =
        end.and_then(|end| Some((usize::try_from(start).ok()?, usize::try_from(end).ok()?)));
    let (start, end) = place.ok_or_else(|| {
        format!("{name} of shape {dims:?} from byte {start} on goes beyond the file")
    })?;
    Ok(TensorEntry {
        dtype: name.to_owned(),
        format,
        dims: dims.clone(),
        range: start..end,
        order: RowOrder::Plain,
    })
}
