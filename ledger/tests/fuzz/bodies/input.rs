//! Reading choices from the bytes of a fuzzer. Past the end everything is 0.

/// What is left of the bytes.
#[derive(Debug)]
pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((&byte, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        byte
    }

    /// In 0..end; `end` is not 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let high = if end > 256 { self.byte() } else { 0 };
        (usize::from(high) * 256 + usize::from(self.byte())) % end
    }

    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    /// Whether a byte is among the lowest `count` of 256.
    pub(super) fn chance(&mut self, count: u8) -> bool {
        // Past the end nothing unusual happens.
        !self.is_empty() && self.byte() < count
    }

    pub(super) fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        self.bytes(usize::MAX)
    }
}
