//! A network: its name, its policy numbers, its founders.
//!
//! A genesis cannot be changed; another genesis is another network. Founders
//! are the root of trust: their lines bound what can be spent, and more than
//! two thirds of their lines confirm.

use crate::codec::{self, DecodeError, bound};
use crate::hash::{Hash, HashContext};
use crate::identity::{NetworkId, Wallet};
use crate::limits;
use crate::model::{DType, LayerRange, ModelCard};
use bincode::{Decode, Encode};

/// The rules this program implements.
pub const RULES_VERSION: u16 = 1;

/// Parts per million that make one.
pub const PPM: u64 = 1_000_000;

/// Weights of this many bytes or fewer, at 16 bits each, cost [`SIZE_UNIT_UGFT`]
/// per token where prices go by size.
const SIZE_SCALE_BYTES: u128 = 32 << 30;

/// What one unit of size costs per token, µGFT: a credit of the reference
/// accounting is booked as one GFT.
const SIZE_UNIT_UGFT: u128 = 1_000_000;

/// What the price of a token follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub enum Pricing {
    /// The operations it takes, times the factor of the stored precision.
    #[default]
    Flops,
    /// The size of the model: max(GiB at 16 bits / 32, 1) GFT.
    Size,
}

impl Pricing {
    /// The name on command lines and in listings.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flops => "flops",
            Self::Size => "size",
        }
    }
}

/// Numbers that all nodes of a network must agree on.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Policy {
    /// Price factor of 32-bit weights, in parts per million.
    pub f32_ppm: u64,
    /// Price factor of 16-bit weights.
    pub f16_ppm: u64,
    /// Price factor of 8-bit weights.
    pub int8_ppm: u64,
    /// Price factor of 4-bit weights.
    pub int4_ppm: u64,
    /// Whether the hardware multiplier of offers counts.
    pub hardware_multiplier: bool,
    /// Unacknowledged completion tokens after which a stage stops.
    pub window_tokens: u32,
    /// Completion tokens between attestations.
    pub attest_tokens: u32,
    /// Prompt tokens in one chunk.
    pub chunk_tokens: u32,
    /// What prices follow.
    pub pricing: Pricing,
    /// Whether jobs are paid. Off, every job is a free order: nothing is
    /// reserved, held, burned or earned.
    pub accounting: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            f32_ppm: 1_000_000,
            f16_ppm: 500_000,
            int8_ppm: 250_000,
            int4_ppm: 125_000,
            hardware_multiplier: false,
            window_tokens: 32,
            attest_tokens: 8,
            chunk_tokens: 256,
            pricing: Pricing::Flops,
            accounting: true,
        }
    }
}

impl Policy {
    /// The price factor of a stored precision.
    #[must_use]
    pub const fn precision_ppm(&self, dtype: DType) -> u64 {
        match dtype {
            DType::F32 => self.f32_ppm,
            DType::Bf16 | DType::F16 => self.f16_ppm,
            DType::Q8_0 => self.int8_ppm,
            DType::Q4_0 => self.int4_ppm,
        }
    }

    /// The price of one token through the whole model, µGFT. `None` when it does
    /// not fit 64 bits.
    #[must_use]
    pub fn price_ugft_per_token(&self, card: &ModelCard) -> Option<u64> {
        match self.pricing {
            Pricing::Flops => {
                let whole = LayerRange::whole(card.shape.layers).ok()?;
                self.flops_price_ugft(card.shape.flops_per_token(whole)?, card.dtype)
            }
            Pricing::Size => Self::size_price_ugft(card.half_precision_bytes()),
        }
    }

    /// The price of so many operations: ⌊FLOPs · precision / 10^9⌋ µGFT.
    #[must_use]
    pub fn flops_price_ugft(&self, flops: u64, dtype: DType) -> Option<u64> {
        let product = u128::from(flops).checked_mul(u128::from(self.precision_ppm(dtype)))?;
        u64::try_from(product.checked_div(1_000_000_000)?).ok()
    }

    /// The price of a token of a model of this size:
    /// ⌊10^6 · max(bytes, 32 GiB) / 32 GiB⌋ µGFT. The stored precision does not
    /// count a second time: `bytes` are those at 16 bits.
    #[must_use]
    pub fn size_price_ugft(half_precision_bytes: u128) -> Option<u64> {
        let scaled = half_precision_bytes
            .max(SIZE_SCALE_BYTES)
            .checked_mul(SIZE_UNIT_UGFT)?;
        u64::try_from(scaled.checked_div(SIZE_SCALE_BYTES)?).ok()
    }
}

/// One founder and the credit line the genesis gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Founder {
    /// Who.
    pub wallet: Wallet,
    /// How far below zero it may go, µGFT.
    pub line_ugft: u64,
}

/// The founding document of a network.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Genesis {
    /// Which rules apply.
    pub rules: u16,
    /// A name for people.
    pub name: String,
    /// When it was written, milliseconds since 1970: it tells networks of one
    /// name and the same founders apart.
    pub created_ms: u64,
    /// The policy numbers.
    pub policy: Policy,
    /// The founders, sorted by wallet.
    pub founders: Vec<Founder>,
}

impl Genesis {
    /// Writes a genesis; sorts the founders.
    ///
    /// # Errors
    /// [`DecodeError::OutOfBounds`] when the list of founders is empty, too
    /// long or names one twice, or another bound is broken.
    pub fn new(
        name: &str,
        created_ms: u64,
        policy: Policy,
        mut founders: Vec<Founder>,
    ) -> Result<Self, DecodeError> {
        founders.sort_by_key(|founder| founder.wallet);
        let genesis = Self {
            rules: RULES_VERSION,
            name: name.to_owned(),
            created_ms,
            policy,
            founders,
        };
        genesis.check()?;
        Ok(genesis)
    }

    /// Decodes a genesis from its canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let genesis: Self = codec::decode(bytes, limits::GENESIS_BYTES_MAX)?;
        genesis.check()?;
        Ok(genesis)
    }

    /// The canonical bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// The id of the network.
    #[must_use]
    pub fn id(&self) -> NetworkId {
        NetworkId(Hash::of(HashContext::Genesis, &self.to_bytes()))
    }

    /// The line of a founder; 0 for anybody else.
    #[must_use]
    pub fn line_ugft(&self, wallet: Wallet) -> u64 {
        self.founders
            .iter()
            .find(|founder| founder.wallet == wallet)
            .map_or(0, |founder| founder.line_ugft)
    }

    /// The sum of all founders' lines.
    #[must_use]
    pub fn lines_ugft(&self) -> u128 {
        self.founders
            .iter()
            .map(|founder| u128::from(founder.line_ugft))
            .sum()
    }

    fn check(&self) -> Result<(), DecodeError> {
        let policy = &self.policy;
        bound(self.rules == RULES_VERSION, "genesis rules")?;
        bound(
            !self.name.is_empty() && self.name.len() <= limits::NAME_BYTES_MAX,
            "genesis name",
        )?;
        bound(
            self.name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)),
            "genesis name",
        )?;
        bound(
            (1..=limits::FOUNDERS_MAX).contains(&self.founders.len()),
            "genesis founders",
        )?;
        let sorted = self.founders.windows(2).all(|pair| match pair {
            [a, b] => a.wallet < b.wallet,
            _ => true,
        });
        bound(sorted, "genesis founders")?;
        bound(
            self.founders
                .iter()
                .all(|founder| founder.line_ugft <= 1 << 60),
            "genesis lines",
        )?;
        let factors = [
            policy.f32_ppm,
            policy.f16_ppm,
            policy.int8_ppm,
            policy.int4_ppm,
        ];
        bound(
            factors.iter().all(|&ppm| ppm <= 1000 * PPM),
            "genesis precision factors",
        )?;
        bound((1..=1024).contains(&policy.window_tokens), "genesis window")?;
        bound(
            (1..=policy.window_tokens).contains(&policy.attest_tokens),
            "genesis attest interval",
        )?;
        bound(
            (1..=limits::FRAME_ROWS_MAX).contains(&policy.chunk_tokens),
            "genesis chunk",
        )?;
        bound(
            self.to_bytes().len() <= limits::GENESIS_BYTES_MAX,
            "genesis size",
        )
    }
}
