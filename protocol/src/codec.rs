//! The one canonical encoding: bincode with fixed-width little-endian integers.
//!
//! Law: decoding and encoding again gives the same bytes, and nothing else
//! decodes. Lengths are 64-bit, enum tags 32-bit, `Option` one byte; floats and
//! maps do not occur in anything signed. Every decode is bounded twice: by the
//! size limit of its kind, and by an allocation limit that grows with the input
//! (a length prefix cannot make us reserve more than a small multiple of what
//! was really received).

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::de::Decode;
use bincode::enc::Encode;

/// Why bytes are not a value. Every variant is the sender's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Longer than its kind may be.
    #[error("{length} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes received.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Not the encoding of any value: truncated, unknown tag, bad text.
    #[error("malformed: {0}")]
    Malformed(String),
    /// Bytes are left over.
    #[error("{0} bytes after the end")]
    Trailing(usize),
    /// A value that has another, canonical encoding.
    #[error("not the canonical encoding")]
    NotCanonical,
    /// Well-formed, but a field breaks its own bound.
    #[error("{field} is out of bounds")]
    OutOfBounds {
        /// Which field.
        field: &'static str,
    },
}

type Config<const LIMIT: usize> = Configuration<LittleEndian, Fixint, Limit<LIMIT>>;

const fn config<const LIMIT: usize>() -> Config<LIMIT> {
    bincode::config::standard()
        .with_little_endian()
        .with_fixed_int_encoding()
        .with_limit::<LIMIT>()
}

/// Encodes a value. Encoding to memory cannot fail for the types of this
/// crate (no `RefCell`, no system time), so an error is a bug.
#[must_use]
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    encode_onto(value, &mut bytes);
    bytes
}

struct Onto<'a>(&'a mut Vec<u8>);

impl bincode::enc::write::Writer for Onto<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Encodes a value behind what the buffer holds.
pub fn encode_onto<T: Encode>(value: &T, buffer: &mut Vec<u8>) {
    #[expect(clippy::expect_used, reason = "our types have no fallible encoder")]
    bincode::encode_into_writer(value, Onto(buffer), config::<{ usize::MAX }>())
        .expect("encoding to memory");
}

/// Compares what is encoded with what was received.
struct Compare<'a, 'b>(&'a mut &'b [u8]);

impl bincode::enc::write::Writer for Compare<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), bincode::error::EncodeError> {
        *self.0 = self
            .0
            .strip_prefix(bytes)
            .ok_or(bincode::error::EncodeError::Other("not the same bytes"))?;
        Ok(())
    }
}

/// Whether a value is encoded as these bytes.
fn encodes_as<T: Encode>(value: &T, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let encoded =
        bincode::encode_into_writer(value, Compare(&mut rest), config::<{ usize::MAX }>());
    encoded.is_ok() && rest.is_empty()
}

/// Decodes exactly one value from all of `bytes`.
///
/// # Errors
/// [`DecodeError`] when the bytes exceed `limit`, do not decode, leave a rest,
/// or are not what [`encode`] gives for the decoded value.
pub fn decode<T: Encode + Decode<()>>(bytes: &[u8], limit: usize) -> Result<T, DecodeError> {
    if bytes.len() > limit {
        return Err(DecodeError::TooLong {
            length: bytes.len(),
            limit,
        });
    }
    // In memory a value may take more room than on the wire (enums, options),
    // so the allocation limit is the next step above eight times the input.
    let (value, used) = match bytes.len() {
        0..=1024 => bincode::decode_from_slice(bytes, config::<{ 8 << 10 }>()),
        1025..=16_384 => bincode::decode_from_slice(bytes, config::<{ 128 << 10 }>()),
        16_385..=1_048_576 => bincode::decode_from_slice(bytes, config::<{ 8 << 20 }>()),
        _ => bincode::decode_from_slice(bytes, config::<{ 128 << 20 }>()),
    }
    .map_err(|error| DecodeError::Malformed(error.to_string()))?;
    let rest = bytes.len().saturating_sub(used);
    if rest != 0 {
        return Err(DecodeError::Trailing(rest));
    }
    if !encodes_as(&value, bytes) {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

/// Bounds a text that people will read: its length, and no control characters,
/// which could steer the terminal it is shown in.
///
/// # Errors
/// [`DecodeError::OutOfBounds`] naming `field`.
pub fn bound_text(text: &str, bytes_max: usize, field: &'static str) -> Result<(), DecodeError> {
    bound(
        text.len() <= bytes_max && !text.chars().any(char::is_control),
        field,
    )
}

/// Returns an error unless `ok`: for bounds that a type cannot express.
///
/// # Errors
/// [`DecodeError::OutOfBounds`] naming `field`.
pub const fn bound(ok: bool, field: &'static str) -> Result<(), DecodeError> {
    if ok {
        Ok(())
    } else {
        Err(DecodeError::OutOfBounds { field })
    }
}
