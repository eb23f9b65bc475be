//! Text <-> token ids, and text from a stream of ids.
//!
//! The stream never gives out a piece that a later id would change: no half
//! character, no replacement mark that further bytes would turn into one. Its
//! pieces together are the decoding of all ids at once.

use crate::token_bytes::token_bytes;
use std::sync::Arc;

/// What stands for bytes that are no character (yet).
const REPLACEMENT: char = '\u{FFFD}';

/// Why text and ids cannot be converted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenizerError {
    /// `tokenizer.json` cannot be used.
    #[error("tokenizer.json is malformed: {0}")]
    Malformed(String),
    /// The tokenizer refuses a text.
    #[error("cannot encode: {0}")]
    Encode(String),
    /// The tokenizer refuses ids.
    #[error("cannot decode: {0}")]
    Decode(String),
}

/// A tokenizer. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: Arc<tokenizers::Tokenizer>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`.
    ///
    /// # Errors
    /// [`TokenizerError::Malformed`].
    pub fn from_json(json: &[u8]) -> Result<Self, TokenizerError> {
        let malformed = |error: tokenizers::Error| TokenizerError::Malformed(error.to_string());
        let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(malformed)?;
        // A file may ask for cut or padded batches; a prompt is neither.
        inner.with_truncation(None).map_err(malformed)?;
        inner.with_padding(None);
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The ids of `text`; with `add_special`, framed as the tokenizer frames a
    /// document (usually a begin mark).
    ///
    /// # Errors
    /// [`TokenizerError::Encode`].
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>, TokenizerError> {
        self.inner
            .encode_fast(text, add_special)
            .map(|encoding| encoding.get_ids().to_vec())
            .map_err(|error| TokenizerError::Encode(error.to_string()))
    }

    /// The text of all `ids` at once, special tokens left out.
    ///
    /// # Errors
    /// [`TokenizerError::Decode`].
    pub fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        self.inner
            .decode(ids, true)
            .map_err(|error| TokenizerError::Decode(error.to_string()))
    }

    /// The id of a token by its exact text.
    #[must_use]
    pub fn id_of(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The exact text of a token.
    #[must_use]
    pub fn token_of(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The bytes that each id below `vocabulary` stands for in a text; none for
    /// special tokens and for ids without a token.
    #[must_use]
    pub fn token_bytes(&self, vocabulary: u32) -> Vec<Vec<u8>> {
        token_bytes(&self.inner, vocabulary)
    }

    /// A fresh stream.
    #[must_use]
    pub fn detokenizer(&self) -> Detokenizer {
        Detokenizer {
            tokenizer: self.clone(),
            window: Vec::new(),
            byte_run: 0,
            boundary: 0,
            emitted_bytes: 0,
        }
    }

    /// How decoding treats a token; `None` if it leaves it out (a special token
    /// or no token at all).
    fn kind(&self, id: u32) -> Option<Kind> {
        let token = self.inner.id_to_token(id)?;
        if self.inner.get_added_vocabulary().is_special_token(&token) {
            return None;
        }
        let byte = token.len() == 6 && token.starts_with("<0x") && token.ends_with('>');
        Some(if byte { Kind::Byte } else { Kind::Text })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// Stands for one byte; such tokens become text only as a whole run.
    Byte,
}

/// Turns ids into text one at a time.
///
/// It decodes a window of recent ids: those since the last clean end of text,
/// and those before it back to the previous clean end, because decoders treat
/// the first token of a text in their own way.
#[derive(Debug)]
pub struct Detokenizer {
    tokenizer: Tokenizer,
    window: Vec<u32>,
    /// How many ids at its end stand for one byte each.
    byte_run: usize,
    /// Ids of the window up to the last clean end of text.
    boundary: usize,
    /// Bytes of the window's text that were given out.
    emitted_bytes: usize,
}

impl Detokenizer {
    /// Takes one id and returns the text that is certain now, often one word,
    /// sometimes nothing.
    ///
    /// # Errors
    /// [`TokenizerError::Decode`].
    pub fn push(&mut self, id: u32) -> Result<String, TokenizerError> {
        let Some(kind) = self.tokenizer.kind(id) else {
            return Ok(String::new());
        };
        self.window.push(id);
        match kind {
            Kind::Byte => self.byte_run += 1,
            Kind::Text => self.byte_run = 0,
        }
        let certain = self.window.len() - self.byte_run;
        let text = self.tokenizer.decode(&self.window[..certain])?;
        let clean = text.trim_end_matches(REPLACEMENT).len();
        let piece = text
            .get(self.emitted_bytes..clean)
            .unwrap_or_default()
            .to_owned();
        self.emitted_bytes = self.emitted_bytes.max(clean);
        if self.byte_run == 0 && clean == text.len() {
            self.advance()?;
        }
        Ok(piece)
    }

    /// The rest, when no further id will come.
    ///
    /// # Errors
    /// [`TokenizerError::Decode`].
    pub fn finish(self) -> Result<String, TokenizerError> {
        let text = self.tokenizer.decode(&self.window)?;
        Ok(text
            .get(self.emitted_bytes..)
            .unwrap_or_default()
            .to_owned())
    }

    /// At a clean end of text: forgets what lies before the previous one.
    fn advance(&mut self) -> Result<(), TokenizerError> {
        let recent = self.tokenizer.decode(&self.window[self.boundary..])?;
        if !recent.is_empty() {
            self.window.drain(..self.boundary);
            self.emitted_bytes = recent.len();
        }
        self.boundary = self.window.len();
        Ok(())
    }
}
