//! Blobs: cards, tensor lists, tokenizers and templates, by their blake3.
//!
//! A receiver asks for ranges, puts them together and checks the hash of the
//! whole; nothing of a blob is used before that.

use crate::codec::{self, DecodeError, bound};
use crate::hash::Hash;
use crate::limits;
use bincode::{Decode, Encode};

/// Asks for a range of a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct BlobRequest {
    /// Plain blake3 of the whole blob.
    pub hash: Hash,
    /// First byte.
    pub offset: u64,
    /// Bytes at most.
    pub length: u32,
}

impl BlobRequest {
    /// Encodes the request.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a request.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let request: Self = codec::decode(bytes, limits::BLOB_REQUEST_BYTES_MAX)?;
        bound(request.offset <= limits::BLOB_BYTES_MAX, "blob offset")?;
        bound(
            (1..=limits::BLOB_RANGE_BYTES_MAX).contains(&(request.length as usize)),
            "blob length",
        )?;
        Ok(request)
    }
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BlobResponse {
    /// Bytes from the offset on: as many as were asked for, or to the end.
    Range {
        /// Bytes of the whole blob.
        total: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Not held here.
    NotFound,
}

impl BlobResponse {
    /// Encodes the response.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Decodes a response.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let response: Self = codec::decode(bytes, limits::BLOB_RESPONSE_BYTES_MAX)?;
        if let Self::Range { total, bytes } = &response {
            bound(*total <= limits::BLOB_BYTES_MAX, "blob total")?;
            bound(bytes.len() <= limits::BLOB_RANGE_BYTES_MAX, "blob bytes")?;
        }
        Ok(response)
    }
}

/// Cuts the asked range out of a held blob.
#[must_use]
pub fn serve(blob: &[u8], request: &BlobRequest) -> BlobResponse {
    let start = usize::try_from(request.offset)
        .unwrap_or(usize::MAX)
        .min(blob.len());
    let end = start
        .saturating_add(request.length as usize)
        .min(blob.len());
    match blob.get(start..end) {
        Some(bytes) => BlobResponse::Range {
            total: blob.len() as u64,
            bytes: bytes.to_vec(),
        },
        None => BlobResponse::NotFound,
    }
}

/// Puts a blob together from its ranges, in order.
#[derive(Debug)]
pub struct BlobAssembly {
    hash: Hash,
    total: Option<u64>,
    bytes: Vec<u8>,
}

/// Why an assembly failed; every variant is the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    /// The sender changed its mind about the size, or sent an empty or
    /// over-long range.
    #[error("the sender's ranges do not fit together")]
    Inconsistent,
    /// The bytes are another blob.
    #[error("the bytes do not have the hash {0}")]
    Hash(Hash),
}

impl BlobAssembly {
    /// Starts an assembly.
    #[must_use]
    pub const fn new(hash: Hash) -> Self {
        Self {
            hash,
            total: None,
            bytes: Vec::new(),
        }
    }

    /// The next request.
    #[must_use]
    pub fn next_request(&self) -> BlobRequest {
        let left = self.total.map_or(u64::MAX, |total| {
            total.saturating_sub(self.bytes.len() as u64)
        });
        let length = left.min(limits::BLOB_RANGE_BYTES_MAX as u64);
        BlobRequest {
            hash: self.hash,
            offset: self.bytes.len() as u64,
            length: u32::try_from(length).unwrap_or(u32::MAX),
        }
    }

    /// Takes one range; gives the blob when it is complete and its hash right.
    ///
    /// # Errors
    /// [`BlobError`].
    pub fn push(&mut self, total: u64, range: &[u8]) -> Result<Option<Vec<u8>>, BlobError> {
        if *self.total.get_or_insert(total) != total || total > limits::BLOB_BYTES_MAX {
            return Err(BlobError::Inconsistent);
        }
        let have = (self.bytes.len() as u64).saturating_add(range.len() as u64);
        if have > total || (range.is_empty() && have < total) {
            return Err(BlobError::Inconsistent);
        }
        self.bytes.extend_from_slice(range);
        if have < total {
            return Ok(None);
        }
        if Hash::of_blob(&self.bytes) != self.hash {
            return Err(BlobError::Hash(self.hash));
        }
        Ok(Some(std::mem::take(&mut self.bytes)))
    }
}
