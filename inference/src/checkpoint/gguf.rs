//! GGUF files, one or several of a split: read as the published checkpoint that they
//! were made of.
//!
//! Opening reads headers alone. Metadata become the texts of a checkpoint (`config`,
//! `tokenizer`), tensors get their published names (`names`), and from there on
//! nothing knows where they came from. Blocks of q8_0 and q4_0 are computed with as
//! they are, K-quants are converted when a shard is loaded ([`super::tensors`]).

mod config;
mod header;
mod names;
mod reader;
mod tokenizer;

use super::map::WeightFile;
use super::source::Source;
use super::{Checkpoint, CheckpointError, Texts, WEIGHT_FILES_MAX};
use crate::config::ModelConfig;
use bytes::Bytes;
use header::{Header, MAGIC};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The end of the name of a GGUF file.
pub(super) const EXTENSION: &str = ".gguf";

/// Opens `path`, an existing file, and the others of its split beside it.
pub(super) fn open(path: &Path) -> Result<Checkpoint, CheckpointError> {
    let unknown = || CheckpointError::UnknownFormat {
        path: path.to_owned(),
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let (name, folder) = name.zip(path.parent()).ok_or_else(unknown)?;
    let source = Source::Directory(folder);
    let content = source.weights(name)?;
    if !content.bytes().starts_with(MAGIC) {
        return Err(unknown());
    }
    from_first(&source, name, content)
}

/// The first file of `source` has this name.
pub(super) fn from_source(source: &Source<'_>, name: &str) -> Result<Checkpoint, CheckpointError> {
    let content = source.weights(name)?;
    from_first(source, name, content)
}

fn from_first(
    source: &Source<'_>,
    name: &str,
    content: WeightFile,
) -> Result<Checkpoint, CheckpointError> {
    let headers = read_split(source, Header::read(name, content)?)?;
    let published = config::published(&headers)?;
    let config_text = text(&published.config);
    let config = ModelConfig::from_json(&config_text)?;
    let texts = tokenizer::texts(&headers[0])?;
    let texts = Texts {
        config: config_text,
        generation: Some(text(&texts.generation)),
        tokenizer: text(&texts.tokenizer),
        tokenizer_config: Some(text(&texts.tokenizer_config)),
        template: None,
    };
    let tensors = names::published(&config, &headers, published.has_pairs)?;
    let weights: BTreeMap<String, WeightFile> = headers
        .iter()
        .map(|header| (header.file().to_owned(), header.content().clone()))
        .collect();
    Checkpoint::assemble(config, texts, (weights, tensors))
}

fn text(value: &Value) -> Bytes {
    Bytes::from(value.to_string().into_bytes())
}

/// All headers of a split, of which `first` is the first.
fn read_split(source: &Source<'_>, first: Header) -> Result<Vec<Header>, CheckpointError> {
    let (number, count) = place(&first)?;
    if number != 0 {
        let reason = format!("is file {} of {count}; open the first", number + 1);
        return Err(first.error(reason));
    }
    let mut headers = vec![first];
    for number in 1..count {
        let first = &headers[0];
        let name = sibling(first.file(), number, count).ok_or_else(|| {
            first.error(format!(
                "is the first of {count} files and is not named *-00001-of-{count:05}{EXTENSION}"
            ))
        })?;
        let header = Header::read(&name, source.weights(&name)?)?;
        if place(&header)? != (number, count) {
            let reason = format!("is not file {} of {count}, as its name says", number + 1);
            return Err(header.error(reason));
        }
        headers.push(header);
    }
    let found: usize = headers.iter().map(|header| header.tensors.len()).sum();
    match headers[0].size("split.tensors.count")? {
        Some(promised) if promised as usize != found => Err(headers[0].error(format!(
            "promises {promised} tensors in all files, {found} are there"
        ))),
        _ => Ok(headers),
    }
}

/// Which file of how many this is, from 0.
fn place(header: &Header) -> Result<(u32, u32), CheckpointError> {
    let count = header.size("split.count")?.unwrap_or(1).max(1);
    if count as usize > WEIGHT_FILES_MAX {
        let reason = format!("is one of {count} files, the limit is {WEIGHT_FILES_MAX}");
        return Err(header.error(reason));
    }
    Ok((header.size("split.no")?.unwrap_or(0), count))
}

/// The name of file `number` (from 0) beside the first.
fn sibling(first: &str, number: u32, count: u32) -> Option<String> {
    let stem = first.strip_suffix(&format!("-00001-of-{count:05}{EXTENSION}"))?;
    Some(format!("{stem}-{:05}-of-{count:05}{EXTENSION}", number + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_split_are_named_by_their_place() {
        let name = sibling("m-00001-of-00003.gguf", 2, 3);
        assert_eq!(name.as_deref(), Some("m-00003-of-00003.gguf"));
        assert_eq!(sibling("m-00001-of-00003.gguf", 1, 2), None);
        assert_eq!(sibling("m.gguf", 1, 2), None);
    }
}
