//! Grammars that a completion follows: which tokens may come next.
//!
//! The only file that knows llguidance. A grammar comes from a stranger: what
//! it may cost to read, and at each token, is bounded, and one that costs more
//! is refused or ends the completion with an error; it is never dropped. The
//! token that ends a text is allowed exactly where the grammar may end.

use crate::tokenizer::Tokenizer;
use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, InferenceCapabilities, SimpleVob, TokEnv};
use llguidance::toktrie::{TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use talkoot_protocol::sampling::Grammar;

/// Elements of lexers built while a grammar is read: some tens of milliseconds.
const READ_FUEL: u64 = 1_000_000;
/// Lexer steps for one token.
const STEP_FUEL: u64 = 200_000;
/// Parser items for one token.
const STEP_ITEMS: usize = 50_000;
/// States of a lexer, of one or two KiB each.
const LEXER_STATES: usize = 20_000;
/// Symbols of a grammar.
const GRAMMAR_SYMBOLS: usize = 200_000;
/// Characters of a reason that is told.
const REASON_CHARS_MAX: usize = 300;
/// White space between the parts of a JSON text, at most: a weak model that may
/// write more of it writes little else.
const JSON_WHITE_SPACE: &str = r"\x20";

/// Why a grammar is refused or cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// The grammar makes no sense, or needs more than is allowed.
    #[error("the grammar is refused: {0}")]
    Refused(String),
    /// No token would end the text.
    #[error("the model has no token that ends a text, so it cannot follow a grammar")]
    NoEnd,
    /// Following it went beyond the bounds, or no token is left.
    #[error("the grammar cannot be followed any further: {0}")]
    Lost(String),
}

type Told<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Reads grammars for one tokenizer. Making it walks the vocabulary once.
pub struct Constraints {
    factory: ParserFactory,
}

impl std::fmt::Debug for Constraints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraints").finish_non_exhaustive()
    }
}

impl Constraints {
    /// For a model with a vocabulary of this size, whose texts end with any of
    /// `stop_ids`.
    ///
    /// # Errors
    /// [`ConstraintError::NoEnd`] without a stop id.
    pub fn new(
        tokenizer: &Tokenizer,
        vocabulary: u32,
        stop_ids: &[u32],
    ) -> Result<Self, ConstraintError> {
        let stop_ids: Vec<u32> = stop_ids
            .iter()
            .copied()
            .filter(|&id| id < vocabulary)
            .collect();
        let first = *stop_ids.first().ok_or(ConstraintError::NoEnd)?;
        let words: Vec<Vec<u8>> = (0_u32..)
            .zip(tokenizer.token_bytes(vocabulary))
            .map(|(id, bytes)| {
                if bytes.is_empty() || stop_ids.contains(&id) {
                    special_name(id)
                } else {
                    bytes
                }
            })
            .collect();
        let factory = guarded(|| {
            let trie = TokTrie::from(&TokRxInfo::new(vocabulary, first), &words);
            let trie = trie.with_eos_tokens(&stop_ids);
            // Tokens are picked one by one, so how a text would be cut is never asked.
            let environment: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
            let mut factory = ParserFactory::new(
                &environment,
                InferenceCapabilities::default(),
                &llguidance::earley::SlicedBiasComputer::general_slices(),
            )?;
            factory.quiet();
            *factory.limits_mut() = ParserLimits {
                initial_lexer_fuel: READ_FUEL,
                step_lexer_fuel: STEP_FUEL,
                step_max_items: STEP_ITEMS,
                max_lexer_states: LEXER_STATES,
                max_grammar_size: GRAMMAR_SYMBOLS,
                verbose_errors: false,
                ..ParserLimits::default()
            };
            Ok(factory)
        });
        factory
            .map(|factory| Self { factory })
            .map_err(ConstraintError::Refused)
    }

    /// Reads a grammar.
    ///
    /// # Errors
    /// [`ConstraintError::Refused`] saying what is wrong with it.
    pub fn read(&self, grammar: &Grammar) -> Result<Constraint, ConstraintError> {
        let matcher = guarded(|| {
            let parser = self.factory.create_parser(top_level(grammar)?)?;
            let mut matcher = Matcher::new(Ok(parser));
            // The first mask finds what only shows when the grammar is used.
            matcher.compute_mask()?;
            Ok(matcher)
        });
        matcher
            .map(|matcher| Constraint {
                matcher: Box::new(matcher),
            })
            .map_err(ConstraintError::Refused)
    }
}

/// Runs what may panic on crafted input; a reason is cut to what one may tell.
fn guarded<T>(work: impl FnOnce() -> Told<T>) -> Result<T, String> {
    let done = catch_unwind(AssertUnwindSafe(work));
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(told(&error.to_string())),
        Err(_) => Err("it cannot be processed".to_owned()),
    }
}

fn told(reason: &str) -> String {
    reason.trim().chars().take(REASON_CHARS_MAX).collect()
}

/// A name that no text can contain.
fn special_name(id: u32) -> Vec<u8> {
    let mut name = vec![TokTrie::SPECIAL_TOKEN_MARKER];
    name.extend_from_slice(format!("[{id}]").as_bytes());
    name
}

fn top_level(grammar: &Grammar) -> Told<TopLevelGrammar> {
    Ok(match grammar {
        Grammar::JsonObject => TopLevelGrammar::from_json_schema(spaced(json!({"type": "object"}))),
        Grammar::JsonSchema(text) => {
            TopLevelGrammar::from_json_schema(spaced(serde_json::from_str(text)?))
        }
        Grammar::Regex(text) => TopLevelGrammar::from_regex(text),
        Grammar::Lark(text) => TopLevelGrammar::from_lark(text.clone()),
    })
}

/// Bounds the white space of a schema that says nothing about it.
fn spaced(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        object
            .entry("x-guidance")
            .or_insert_with(|| json!({"whitespace_pattern": JSON_WHITE_SPACE}));
    }
    schema
}

/// A grammar on its way through one completion.
#[derive(Clone)]
pub struct Constraint {
    /// Boxed: more than a KiB, and few completions have one.
    matcher: Box<Matcher>,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Constraint").finish_non_exhaustive()
    }
}

impl Constraint {
    /// The tokens that may come next; at least one.
    ///
    /// # Errors
    /// [`ConstraintError::Lost`].
    pub fn allowed(&mut self) -> Result<Allowed, ConstraintError> {
        let mask = self
            .matcher
            .compute_mask_or_eos()
            .map_err(|error| ConstraintError::Lost(told(&error.to_string())))?;
        if mask.is_zero() {
            let reason = "no token of the model continues it".to_owned();
            return Err(ConstraintError::Lost(reason));
        }
        Ok(Allowed(mask))
    }

    /// Goes on by a token that was allowed.
    ///
    /// # Errors
    /// [`ConstraintError::Lost`].
    pub fn advance(&mut self, id: u32) -> Result<(), ConstraintError> {
        if self.matcher.is_stopped() && !self.matcher.is_error() {
            return Ok(());
        }
        self.matcher
            .consume_token(id)
            .map_err(|error| ConstraintError::Lost(told(&error.to_string())))
    }
}

/// A set of tokens.
#[derive(Debug)]
pub struct Allowed(SimpleVob);

impl Allowed {
    /// Whether a token is in it.
    #[must_use]
    pub fn contains(&self, id: u32) -> bool {
        (id as usize) < self.0.len() && self.0.is_allowed(id)
    }

    /// Makes every other token impossible.
    pub(crate) fn keep(&self, scores: &mut [f32]) {
        for (id, score) in (0_u32..).zip(scores) {
            if !self.contains(id) {
                *score = f32::NEG_INFINITY;
            }
        }
    }

    /// The lowest id in it.
    pub(crate) fn first(&self) -> u32 {
        self.0
            .first_bit_set()
            .and_then(|id| u32::try_from(id).ok())
            .unwrap_or(0)
    }
}
