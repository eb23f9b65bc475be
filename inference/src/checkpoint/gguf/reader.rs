//! Bytes of a GGUF file, read in order: never past the end, never more memory than
//! the bytes are there for.

/// A place in some bytes.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next byte is.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(count);
        let taken = end.and_then(|end| self.bytes.get(self.at..end));
        let taken = taken.ok_or_else(|| format!("cut off at byte {}", self.bytes.len()))?;
        self.at += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things, of which there may be `max`.
    pub(super) fn count(&mut self, what: &str, max: usize) -> Result<usize, String> {
        let count = self.u64()?;
        let counted = usize::try_from(count).ok().filter(|count| *count <= max);
        counted.ok_or_else(|| format!("{count} {what}, the limit is {max}"))
    }

    /// A text with its length before it.
    pub(super) fn text(&mut self, bytes_max: usize) -> Result<&'a str, String> {
        let length = self.count("bytes of a text", bytes_max)?;
        let start = self.at;
        let text = std::str::from_utf8(self.take(length)?);
        text.map_err(|_| format!("the text at byte {start} is not UTF-8"))
    }

    /// A number of one of the format's scalar kinds; `None` for other kinds.
    pub(super) fn number(&mut self, kind: u32) -> Result<Option<Number>, String> {
        Ok(Some(match kind {
            0 => Number::Whole(self.array::<1>()?[0].into()),
            1 => Number::Whole(i8::from_le_bytes(self.array()?).into()),
            2 => Number::Whole(u16::from_le_bytes(self.array()?).into()),
            3 => Number::Whole(i16::from_le_bytes(self.array()?).into()),
            4 => Number::Whole(self.u32()?.into()),
            5 => Number::Whole(i32::from_le_bytes(self.array()?).into()),
            6 => Number::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Number::Whole((self.array::<1>()?[0] != 0).into()),
            10 => Number::Whole(self.u64()?.into()),
            11 => Number::Whole(i64::from_le_bytes(self.array()?).into()),
            12 => Number::Float(f64::from_le_bytes(self.array()?)),
            _ => return Ok(None),
        }))
    }
}

/// A number of any kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    /// Whole numbers and truth values.
    Whole(i128),
    /// Floats.
    Float(f64),
}

/// Bytes of a scalar of this kind; `None` for texts, arrays and what is no kind.
pub(super) const fn kind_bytes(kind: u32) -> Option<usize> {
    match kind {
        0 | 1 | 7 => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        10..=12 => Some(8),
        _ => None,
    }
}
