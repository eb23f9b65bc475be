//! The bytes that each token stands for in a text.
//!
//! A tokenizer names its tokens in an alphabet of its own: GPT-2's, in which
//! every byte is a visible character, or SentencePiece's, with a mark for the
//! space and `<0x..>` for single bytes. Which one it is, its decoder says.
//! A special token stands for nothing: it controls.

use serde_json::Value;
use tokenizers::Tokenizer;

/// How names of tokens become bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Alphabet {
    /// One visible character for each byte.
    ByteLevel,
    /// Text, with this for the space and `<0x..>` for bytes.
    Marked(Option<String>),
}

/// The bytes of every id below `vocabulary`; none for special tokens and for ids
/// without a token.
pub(crate) fn token_bytes(tokenizer: &Tokenizer, vocabulary: u32) -> Vec<Vec<u8>> {
    let alphabet = alphabet(tokenizer);
    let added = tokenizer.get_added_vocabulary();
    let of = |id: u32| {
        let Some(name) = tokenizer.id_to_token(id) else {
            return Vec::new();
        };
        if added.is_special_token(&name) {
            return Vec::new();
        }
        if added.get_vocab().contains_key(&name) {
            // Added tokens are matched in the text as they are.
            return name.into_bytes();
        }
        alphabet.bytes(name)
    };
    (0..vocabulary).map(of).collect()
}

fn alphabet(tokenizer: &Tokenizer) -> Alphabet {
    let decoder = tokenizer.get_decoder().map(serde_json::to_value);
    let mut found = Alphabet::Marked(None);
    if let Some(Ok(decoder)) = decoder {
        look(&decoder, &mut found);
    }
    found
}

/// Walks a decoder and the parts of a sequence.
fn look(decoder: &Value, found: &mut Alphabet) {
    let text = |key: &str| decoder.get(key).and_then(Value::as_str);
    match text("type") {
        Some("ByteLevel") => *found = Alphabet::ByteLevel,
        Some("Metaspace") => {
            let mark = text("replacement").unwrap_or("\u{2581}");
            *found = Alphabet::Marked(Some(mark.to_owned()));
        }
        Some("Replace") if text("content") == Some(" ") => {
            let pattern = decoder.get("pattern").and_then(|one| one.get("String"));
            let mark = pattern.and_then(Value::as_str).map(str::to_owned);
            *found = Alphabet::Marked(mark);
        }
        Some("Sequence") => {
            let parts = decoder.get("decoders").and_then(Value::as_array);
            for part in parts.into_iter().flatten() {
                look(part, found);
            }
        }
        _ => {}
    }
}

impl Alphabet {
    fn bytes(&self, name: String) -> Vec<u8> {
        match self {
            Self::ByteLevel => {
                let bytes: Option<Vec<u8>> = name.chars().map(byte_of).collect();
                bytes.unwrap_or_else(|| name.into_bytes())
            }
            Self::Marked(mark) => {
                if let Some(byte) = single_byte(&name) {
                    return vec![byte];
                }
                match mark {
                    Some(mark) => name.replace(mark.as_str(), " ").into_bytes(),
                    None => name.into_bytes(),
                }
            }
        }
    }
}

/// `<0x0A>` is the byte 10.
fn single_byte(name: &str) -> Option<u8> {
    let digits = name.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hex = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hex.then(|| u8::from_str_radix(digits, 16).ok())?
}

/// GPT-2's alphabet: printable characters of Latin-1 stand for themselves, the
/// other bytes, in order, for the characters from U+0100 on.
fn byte_of(symbol: char) -> Option<u8> {
    let is_printable = |code: u32| matches!(code, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let code = u32::from(symbol);
    if is_printable(code) {
        return u8::try_from(code).ok();
    }
    let rank = usize::try_from(code.checked_sub(0x100)?).ok()?;
    (0..=255_u8)
        .filter(|byte| !is_printable(u32::from(*byte)))
        .nth(rank)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_byte_has_its_character() {
        let mut seen: Vec<u8> = (0..0x200_u32)
            .filter_map(char::from_u32)
            .filter_map(byte_of)
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..=255).collect::<Vec<u8>>());
        // The space and the line feed, as GPT-2 writes them.
        assert_eq!(byte_of('\u{120}'), Some(b' '));
        assert_eq!(byte_of('\u{10A}'), Some(b'\n'));
        assert_eq!(byte_of('\u{4E00}'), None);
    }

    #[test]
    fn alphabets_are_told_from_decoders() {
        let of = |decoder: Value| {
            let mut found = Alphabet::Marked(None);
            look(&decoder, &mut found);
            found
        };
        let mark = Some("\u{2581}".to_owned());
        assert_eq!(of(json!({"type": "ByteLevel"})), Alphabet::ByteLevel);
        let sequence = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]});
        assert_eq!(of(sequence), Alphabet::Marked(mark.clone()));
        let metaspace = json!({"type": "Metaspace", "replacement": "\u{2581}"});
        assert_eq!(of(metaspace), Alphabet::Marked(mark.clone()));
        let marked = Alphabet::Marked(mark);
        assert_eq!(marked.bytes("\u{2581}fox".to_owned()), b" fox");
        assert_eq!(marked.bytes("<0xC3>".to_owned()), [0xC3]);
        assert_eq!(marked.bytes("<0x+3>".to_owned()), b"<0x+3>");
        assert_eq!(
            Alphabet::ByteLevel.bytes("\u{120}\u{C3}".to_owned()),
            b" \xC3"
        );
    }
}
