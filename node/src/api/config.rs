//! The settings of a node and where each came from.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ConfigView {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The file of settings, whether it exists or not.
    pub file: String,
    /// Every setting of `up`.
    pub settings: Vec<SettingView>,
}

/// One setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SettingView {
    /// The long option of `up`.
    pub key: String,
    /// Its values as text, several with commas; null where it has none.
    pub value: Option<String>,
    /// `default`, `file`, `environment` or `command line`.
    pub origin: String,
    /// The variable, or the file and line.
    pub source: Option<String>,
}
