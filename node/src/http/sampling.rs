//! What all `/v1` requests for text say alike: how tokens are picked, when an
//! answer ends, what its text must be.
//!
//! Unknown keys are ignored (clients send many). What we know and cannot do is
//! refused by name, never dropped in silence.

use super::errors::HttpError;
use crate::api::{AskRequest, Grammar, Prompt};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;

const STOPS_MAX: usize = 4;
const BIASES_MAX: usize = 1024;
/// Answers of one prompt.
const ANSWERS_MAX: u32 = 8;
/// Bytes of a JSON Schema.
const SCHEMA_BYTES_MAX: usize = 64 << 10;
/// Alternatives that are reported at most.
pub(crate) const TOP_LOGPROBS_MAX: u8 = 20;

/// The keys that pick tokens, part of each request.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
pub(crate) struct Sampling {
    pub(crate) model: Option<String>,
    pub(crate) temperature: Option<f32>,
    pub(crate) top_p: Option<f32>,
    pub(crate) top_k: Option<u32>,
    pub(crate) min_p: Option<f32>,
    pub(crate) repetition_penalty: Option<f32>,
    pub(crate) frequency_penalty: Option<f32>,
    pub(crate) presence_penalty: Option<f32>,
    pub(crate) seed: Option<i64>,
    pub(crate) stop: Option<OneOrMany>,
    pub(crate) n: Option<u32>,
    pub(crate) stream: Option<bool>,
    pub(crate) stream_options: Option<StreamOptions>,
    pub(crate) logit_bias: Option<BTreeMap<String, f32>>,
}

/// A text or several.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[schema(as = TextOrTexts)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// Which chunks of a stream have the usage.
#[derive(Debug, Clone, Copy, Default, Deserialize, utoipa::ToSchema)]
pub(crate) struct StreamOptions {
    /// A last chunk with the usage, and null in all others.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) include_usage: bool,
    /// With `include_usage`: the usage so far instead of null.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) continuous_usage_stats: bool,
}

/// Null is the default.
fn or_default<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

impl Sampling {
    /// Whether to stream, and with which usage.
    pub(crate) fn streaming(&self) -> Option<StreamOptions> {
        let options = self.stream_options.unwrap_or_default();
        self.stream.unwrap_or(false).then_some(options)
    }

    /// How many answers to each prompt.
    ///
    /// # Errors
    /// For none or too many.
    pub(crate) fn answers(&self) -> Result<u32, HttpError> {
        let n = self.n.unwrap_or(1);
        if (1..=ANSWERS_MAX).contains(&n) {
            return Ok(n);
        }
        let message = format!("n is 1 to {ANSWERS_MAX}; send several requests for more");
        Err(invalid("n", message))
    }

    /// The request without its limits.
    ///
    /// # Errors
    /// For a value out of its range.
    pub(crate) fn into_ask(self, prompt: Prompt) -> Result<AskRequest, HttpError> {
        let stop = match self.stop {
            None => Vec::new(),
            Some(OneOrMany::One(text)) => vec![text],
            Some(OneOrMany::Many(texts)) => texts,
        };
        if stop.len() > STOPS_MAX || stop.iter().any(String::is_empty) {
            return Err(invalid("stop", "stop is 1 to 4 texts, none of them empty"));
        }
        let repetition = within(
            "repetition_penalty",
            self.repetition_penalty,
            (0.01, 10.0),
            1.0,
        )?;
        let penalty = |param, value| within(param, value, (-2.0, 2.0), 0.0);
        Ok(AskRequest {
            temperature: within("temperature", self.temperature, (0.0, 2.0), 1.0)?,
            top_k: self.top_k.unwrap_or(0),
            top_p: within("top_p", self.top_p, (0.0, 1.0), 1.0)?,
            min_p: within("min_p", self.min_p, (0.0, 1.0), 0.0)?,
            repetition_penalty: repetition,
            frequency_penalty: penalty("frequency_penalty", self.frequency_penalty)?,
            presence_penalty: penalty("presence_penalty", self.presence_penalty)?,
            seed: self.seed.map(i64::cast_unsigned),
            stop,
            logit_bias: biases(self.logit_bias.unwrap_or_default())?,
            ..AskRequest::plain(self.model.filter(|model| !model.is_empty()), prompt)
        })
    }
}

/// `count` requests for answers to one prompt. With a seed, each has its own.
pub(crate) fn repeated(request: &AskRequest, count: u32) -> impl Iterator<Item = AskRequest> {
    (0..u64::from(count)).map(|index| AskRequest {
        seed: request.seed.map(|seed| seed.wrapping_add(index)),
        ..request.clone()
    })
}

fn biases(biases: BTreeMap<String, f32>) -> Result<Vec<(u32, f32)>, HttpError> {
    if biases.len() > BIASES_MAX {
        let message = format!("logit_bias has at most {BIASES_MAX} tokens");
        return Err(invalid("logit_bias", message));
    }
    let one = |(id, bias): (String, f32)| match id.parse::<u32>() {
        Ok(id) if (-100.0..=100.0).contains(&bias) => Ok((id, bias)),
        _ => Err(invalid(
            "logit_bias",
            format!("logit_bias maps token ids to numbers from -100 to 100, not {id:?} to {bias}"),
        )),
    };
    biases.into_iter().map(one).collect()
}

/// What `response_format` and `text.format` ask for. `schema_at` says where a
/// schema stands.
///
/// # Errors
/// For a type that is not known, and a schema that is missing or too large.
pub(crate) fn grammar(
    param: &'static str,
    format: &Value,
    schema_at: &str,
) -> Result<Option<Grammar>, HttpError> {
    if format.is_null() {
        return Ok(None);
    }
    match format.get("type").and_then(Value::as_str) {
        Some("text") => Ok(None),
        Some("json_object") => Ok(Some(Grammar::JsonObject)),
        Some("json_schema") => match format.pointer(schema_at) {
            Some(schema) if schema.is_object() || schema.is_boolean() => {
                let text = schema.to_string();
                if text.len() > SCHEMA_BYTES_MAX {
                    let message = format!("the schema is longer than {SCHEMA_BYTES_MAX} bytes");
                    return Err(invalid(param, message));
                }
                Ok(Some(Grammar::JsonSchema(text)))
            }
            _ => Err(invalid(param, format!("{schema_at} has no JSON Schema"))),
        },
        _ => Err(HttpError::bad_request(
            "unsupported_value",
            Some(param),
            format!("the type of {param} is text, json_object or json_schema"),
        )),
    }
}

/// A number in a range, or its default.
///
/// # Errors
/// For one outside.
pub(crate) fn within(
    param: &'static str,
    value: Option<f32>,
    (low, high): (f32, f32),
    default: f32,
) -> Result<f32, HttpError> {
    let value = value.unwrap_or(default);
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(invalid(
        param,
        format!("{param} is a number from {low} to {high}"),
    ))
}

/// The body, read.
///
/// # Errors
/// With the reader's own words.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, HttpError> {
    serde_json::from_slice(body).map_err(|error| {
        HttpError::bad_request("invalid_body", None, format!("the body is wrong: {error}"))
    })
}

/// A value that cannot be.
pub(crate) fn invalid(param: &'static str, message: impl Into<String>) -> HttpError {
    HttpError::bad_request("invalid_value", Some(param), message)
}

/// A key that we know and do not offer.
pub(crate) fn unsupported(param: &'static str, message: impl Into<String>) -> HttpError {
    HttpError::bad_request("unsupported_parameter", Some(param), message)
}
