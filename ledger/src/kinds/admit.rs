//! `Admit`: passing on a part of one's own credit line.

use crate::amount::Ugft;
use bincode::{Decode, Encode};
use talkoot_protocol::Wallet;

/// Moves `line_ugft` of the author's line to `wallet`. Several add up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Admit {
    /// Who receives.
    pub wallet: Wallet,
    /// How much of the author's line.
    pub line_ugft: Ugft,
}
