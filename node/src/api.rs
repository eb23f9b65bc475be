//! What a node tells and does for its owner: the one list of requests behind
//! `/api/v1`, `/v1`, the command line and the testnet.
//!
//! Plain data and one handle. Numbers are raw integers with their unit in the
//! name; ids are full hexadecimal. How they are shown is the caller's business.

mod ask;
mod credits;
mod earnings;
mod error;
mod ledger;
mod peers;
pub mod quote;
mod runs;
mod status;

pub use ask::*;
pub use credits::*;
pub use earnings::*;
pub use error::{AskError, ErrorCode};
pub use ledger::*;
pub use peers::*;
pub use runs::*;
pub use status::*;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The version of these shapes, on every JSON object that stands alone.
pub const SCHEMA: u32 = 1;

/// `id`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct IdentityView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Our wallet.
    pub wallet: String,
    /// Our libp2p peer id.
    pub peer_id: String,
    /// Name of the current network, if this home is in one.
    pub network: Option<String>,
    /// Its id.
    pub network_id: Option<String>,
    /// Where identity and ledgers lie.
    pub data: String,
}

/// An invitation.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InviteView {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The ticket text.
    pub ticket: String,
    /// When it ends, milliseconds since 1970.
    pub expires_ms: u64,
    /// The line it passes on, µGFT.
    pub line_ugft: u64,
}

/// What to invite with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct InviteRequest {
    /// For how long, milliseconds.
    pub ttl_ms: u64,
    /// The line to pass on, µGFT.
    pub line_ugft: u64,
}

/// Text to make tokens of.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenizeRequest {
    /// As in [`AskRequest`].
    pub model: Option<String>,
    /// A chat is rendered with the model's template; ids are refused.
    pub prompt: Prompt,
    /// Whether a text is framed with the model's begin mark. A template writes
    /// its own.
    pub add_special: bool,
    /// Whether a chat ends where the assistant's answer begins.
    pub add_generation_prompt: bool,
    /// As in [`AskRequest`].
    pub tools: Vec<Value>,
}

/// The tokens of a text.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenizeView {
    /// Name of the model.
    pub model_name: String,
    /// The ids.
    pub ids: Vec<u32>,
    /// The exact names of the tokens, as the tokenizer has them.
    pub names: Vec<String>,
    /// Tokens a session may hold.
    pub context: u32,
}

/// What is known of a model's tokenizer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenizerView {
    /// Name of the model.
    pub model_name: String,
    /// Tokens a session may hold.
    pub context: u32,
    /// Size of the vocabulary.
    pub vocabulary: u32,
    /// Texts of special tokens by name (`bos_token`, `eos_token`, …).
    pub special_tokens: BTreeMap<String, String>,
    /// Ids that end an answer.
    pub stop_ids: Vec<u32>,
    /// The chat template, where there is one.
    pub chat_template: Option<String>,
    /// Whether that template knows tools.
    pub has_tools: bool,
}
