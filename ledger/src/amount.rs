//! Amounts of money: newtypes whose arithmetic never wraps and never panics.
//!
//! [`Ugft`] counts µGFT (10^3 FLOP of delivered inference) and is never
//! negative; [`Balance`] may be. Floats do not occur: every node must reach the
//! same number. This file knows nothing of splits or rules.

use bincode::{Decode, Encode};
use std::fmt;

/// An amount of µGFT.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Ugft(pub u64);

impl Ugft {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// The sum, or `None` when it does not fit.
    #[must_use]
    pub const fn try_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }

    /// The difference, or `None` when it would be negative.
    #[must_use]
    pub const fn try_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(rest) => Some(Self(rest)),
            None => None,
        }
    }

    /// What is left, at least nothing.
    #[must_use]
    pub const fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// ⌊self · numerator / denominator⌋, or `None` when the denominator is 0 or
    /// the result does not fit.
    #[must_use]
    pub fn try_scale(self, numerator: u128, denominator: u128) -> Option<Self> {
        let product = u128::from(self.0).checked_mul(numerator)?;
        u64::try_from(product.checked_div(denominator)?)
            .ok()
            .map(Self)
    }
}

impl fmt::Display for Ugft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µGFT", self.0)
    }
}

/// A signed sum of amounts. 128 bits hold the sum of 2^63 amounts, so the
/// arithmetic saturates only where no ledger can reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Balance(pub i128);

impl Balance {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Adds an amount.
    #[must_use]
    pub fn plus(self, amount: Ugft) -> Self {
        Self(self.0.saturating_add(i128::from(amount.0)))
    }

    /// Takes an amount away.
    #[must_use]
    pub fn minus(self, amount: Ugft) -> Self {
        Self(self.0.saturating_sub(i128::from(amount.0)))
    }

    /// The sum of two balances.
    #[must_use]
    pub const fn join(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference of two balances.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// Whether an amount can be taken without going below zero.
    #[must_use]
    pub fn covers(self, amount: Ugft) -> bool {
        self.0 >= i128::from(amount.0)
    }
}

impl From<Ugft> for Balance {
    fn from(amount: Ugft) -> Self {
        Self(i128::from(amount.0))
    }
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µGFT", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_ends_at_its_bounds_and_never_wraps() {
        assert_eq!(Ugft(u64::MAX).try_add(Ugft(1)), None);
        assert_eq!(Ugft(1).try_sub(Ugft(2)), None);
        assert_eq!(Ugft(1).less(Ugft(2)), Ugft::ZERO);
        assert_eq!(Ugft(u64::MAX).try_scale(u128::MAX, 1), None);
        assert_eq!(Ugft(7).try_scale(1, 0), None);
        assert_eq!(Ugft(7).try_scale(1, 2), Some(Ugft(3)));
        assert!(!Balance(-1).covers(Ugft::ZERO));
        assert!(Balance(5).covers(Ugft(5)) && !Balance(5).covers(Ugft(6)));
    }
}
