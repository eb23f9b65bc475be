//! Changes one setting in the text of a file of settings and leaves everything
//! else as its owner wrote it: comments, order, blank lines.
//!
//! What the new text says is read again and compared, so a change that would say
//! anything else is refused. Whether a start could use it is not decided here.

use super::{ConfigFile, FileSetting, Key, Place, Takes, places, unknown};
use std::ops::Range;
use std::path::PathBuf;

/// Why a setting cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// There is no such key; it is said which is meant.
    #[error("{0}")]
    Unknown(String),
    /// Not what the key takes.
    #[error("{0}")]
    Value(String),
    /// The text would not say it.
    #[error("this cannot be written into the file; `talkoot config edit` opens it")]
    Unwritable,
}

/// The text with a key set to values: one, but for a key that takes a list. What
/// stood there need not be what the key takes.
///
/// # Errors
/// [`EditError`].
pub fn set(text: &str, keys: &[Key], name: &str, values: &[String]) -> Result<String, EditError> {
    let key = find(keys, name)?;
    let literal = literal(key, values)?;
    let line = format!("{name} = {literal}");
    let changed = match place(text, name)? {
        Some(place) => replaced(text, &place.span, &line),
        None => match commented(text, name) {
            Some(begin) => with_line_after(text, begin, &line),
            None => appended(text, &line),
        },
    };
    let wanted = |settings: &[FileSetting]| {
        let found = settings.iter().find(|setting| setting.key == name);
        found.is_some_and(|found| says(found, key, values))
    };
    checked(text, changed, keys, name, wanted)
}

/// The text without a key, also one that there is not and that only stands there.
///
/// # Errors
/// [`EditError`].
pub fn unset(text: &str, keys: &[Key], name: &str) -> Result<String, EditError> {
    let Some(place) = place(text, name)? else {
        find(keys, name)?;
        return Ok(text.to_owned());
    };
    let mut changed = replaced(text, &place.span, "");
    // The line goes with it when nothing else stands there.
    let begin = line_begin(&changed, place.span.start);
    let rest = changed.get(begin..).unwrap_or_default();
    let end = rest.find('\n').map_or(changed.len(), |at| begin + at + 1);
    if changed
        .get(begin..end)
        .is_some_and(|line| line.trim().is_empty())
    {
        changed.replace_range(begin..end, "");
    }
    if self::place(&changed, name)?.is_some() {
        return Err(EditError::Unwritable);
    }
    checked(text, changed, keys, name, |_| true)
}

/// The values that a text gives a key, in words, or as they stand there when they
/// are not what it takes; none when it gives none.
#[must_use]
pub fn value(text: &str, keys: &[Key], name: &str) -> Option<String> {
    let Some(setting) = held(text, keys, name) else {
        let place = place(text, name).ok()??;
        return text.get(place.value).map(ToOwned::to_owned);
    };
    Some(match (setting.is_switch, setting.values.is_empty()) {
        (true, is_off) => (!is_off).to_string(),
        (false, _) => setting.values.join(","),
    })
}

fn find<'a>(keys: &'a [Key], name: &str) -> Result<&'a Key, EditError> {
    let found = keys.iter().find(|key| key.name == name);
    found.ok_or_else(|| EditError::Unknown(unknown(name, keys)))
}

fn settings(text: &str, keys: &[Key]) -> Vec<FileSetting> {
    let (path, text) = (PathBuf::new(), text.to_owned());
    ConfigFile { path, text }.read_through(keys).0
}

fn held(text: &str, keys: &[Key], name: &str) -> Option<FileSetting> {
    let mut all = settings(text, keys).into_iter();
    all.find(|setting| setting.key == name)
}

/// Where a key stands, understood or not. A text that is not TOML has no places.
fn place(text: &str, name: &str) -> Result<Option<Place>, EditError> {
    let all = places(text).ok_or(EditError::Unwritable)?;
    Ok(all.into_iter().find(|place| place.name == name))
}

/// How the values are written.
fn literal(key: &Key, values: &[String]) -> Result<String, EditError> {
    let name = &key.name;
    match (key.takes, values) {
        (Takes::Switch, [one]) if one == "true" || one == "false" => Ok(one.clone()),
        (Takes::Switch, _) => Err(EditError::Value(format!("{name} is true or false"))),
        (Takes::One, [one]) => Ok(number(one).map_or_else(|| quoted(one), |n| n.to_string())),
        (Takes::One, _) => Err(EditError::Value(format!("{name} takes one value"))),
        (Takes::Many, values) => {
            let quoted: Vec<String> = values.iter().map(|value| quoted(value)).collect();
            Ok(format!("[{}]", quoted.join(", ")))
        }
    }
}

/// A whole number that is written as it is said.
fn number(text: &str) -> Option<i64> {
    let number = text.parse::<i64>().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A text in quotes. TOML has the escapes of JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether the file says of a key what was wanted.
fn says(found: &FileSetting, key: &Key, values: &[String]) -> bool {
    match key.takes {
        Takes::Switch => found.values.is_empty() == values.iter().all(|value| value != "true"),
        Takes::One | Takes::Many => found.values == values,
    }
}

fn replaced(text: &str, span: &Range<usize>, line: &str) -> String {
    let mut changed = text.to_owned();
    changed.replace_range(span.clone(), line);
    changed
}

fn line_begin(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    before.rfind('\n').map_or(0, |newline| newline + 1)
}

/// Where the line stands in which the template has the key as a comment.
fn commented(text: &str, name: &str) -> Option<usize> {
    let prefix = format!("# {name} =");
    let mut begin = 0;
    text.split_inclusive('\n').find_map(|line| {
        let here = begin;
        begin += line.len();
        line.starts_with(&prefix).then_some(here)
    })
}

/// With a line below the one that begins there: the comment still tells the
/// default.
fn with_line_after(text: &str, begin: usize, line: &str) -> String {
    let rest = text.get(begin..).unwrap_or_default();
    let Some(length) = rest.find('\n') else {
        return appended(text, line);
    };
    let mut changed = text.to_owned();
    changed.insert_str(begin + length + 1, &format!("{line}\n"));
    changed
}

fn appended(text: &str, line: &str) -> String {
    let gap = if text.is_empty() || text.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    format!("{text}{gap}{line}\n")
}

/// The changed text, if it says what was wanted and of other keys what it said.
fn checked(
    text: &str,
    changed: String,
    keys: &[Key],
    name: &str,
    wanted: impl Fn(&[FileSetting]) -> bool,
) -> Result<String, EditError> {
    let others = |text: &str| -> Vec<(String, Vec<String>)> {
        let all = settings(text, keys).into_iter();
        let others = all.filter(|setting| setting.key != name);
        others
            .map(|setting| (setting.key, setting.values))
            .collect()
    };
    // Those that are not understood stay too; what is no TOML has none.
    let names = |text: &str| -> Option<Vec<String>> {
        let all = places(text)?.into_iter().map(|place| place.name);
        let mut names: Vec<String> = all.filter(|other| other != name).collect();
        names.sort();
        Some(names)
    };
    let keeps = names(&changed).is_some_and(|after| names(text) == Some(after))
        && others(text) == others(&changed);
    if keeps && wanted(&settings(&changed, keys)) {
        Ok(changed)
    } else {
        Err(EditError::Unwritable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{template, tests::keys};
    use proptest::prelude::*;
    use std::path::Path;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_setting_is_replaced_where_it_stands() {
        let text =
            "# mine\nmax-mem = \"4GiB\" # enough\n\nmodel = [\n  \"a\", # first\n]\nthreads=3\n";
        let changed = set(text, &keys(), "max-mem", &strings(&["8GiB"])).unwrap();
        assert_eq!(changed, text.replace("4GiB", "8GiB"));
        let changed = set(text, &keys(), "model", &strings(&["b", "c"])).unwrap();
        assert!(
            changed.contains("\n\nmodel = [\"b\", \"c\"]\nthreads=3\n"),
            "{changed}"
        );
        let changed = set(text, &keys(), "no-serve", &strings(&["true"])).unwrap();
        assert_eq!(changed, format!("{text}no-serve = true\n"));
        assert_eq!(
            set("threads = 1", &keys(), "threads", &strings(&["2"])).unwrap(),
            "threads = 2"
        );
    }

    #[test]
    fn a_setting_goes_below_its_comment_in_the_template() {
        let text = template(&keys(), Path::new("/x/config.toml"));
        let changed = set(&text, &keys(), "max-mem", &strings(&["1GiB"])).unwrap();
        assert!(
            changed.contains("# max-mem = \"4\"\nmax-mem = \"1GiB\"\n"),
            "{changed}"
        );
        assert_eq!(unset(&changed, &keys(), "max-mem").unwrap(), text);
    }

    #[test]
    fn unset_takes_the_line_and_leaves_what_stands_beside() {
        let text = "threads = 3\nmax-mem = \"4\" # enough\nno-serve = false\n";
        let keys = keys();
        let bare = unset(text, &keys, "threads").unwrap();
        assert_eq!(bare, "max-mem = \"4\" # enough\nno-serve = false\n");
        let commented = unset(text, &keys, "max-mem").unwrap();
        assert_eq!(commented, "threads = 3\n # enough\nno-serve = false\n");
        assert_eq!(unset(text, &keys, "model").unwrap(), text);
        assert_eq!(value(text, &keys, "no-serve").as_deref(), Some("false"));
        assert_eq!(value(text, &keys, "model"), None);
    }

    #[test]
    fn what_is_not_understood_is_mended_where_it_stands() {
        let keys = keys();
        let text = "no-serve = \"yes\" # mine\nmax_mem = 4\nthreads = {}\n";
        let mended = set(text, &keys, "no-serve", &strings(&["true"])).unwrap();
        assert_eq!(mended, text.replace("\"yes\"", "true"));
        let mended = set(text, &keys, "threads", &strings(&["3"])).unwrap();
        assert_eq!(mended, text.replace("{}", "3"));
        assert_eq!(value(text, &keys, "no-serve").as_deref(), Some("\"yes\""));
        let bare = unset(text, &keys, "max_mem").unwrap();
        assert_eq!(bare, text.replace("max_mem = 4\n", ""));
        let bare = unset(text, &keys, "threads").unwrap();
        assert_eq!(bare, text.replace("threads = {}\n", ""));
        assert!(matches!(
            unset(text, &keys, "maxmem"),
            Err(EditError::Unknown(_))
        ));
    }

    #[test]
    fn what_a_careful_edit_cannot_change_is_refused() {
        let keys = keys();
        for text in [
            "threads = [\n",
            "[threads]\nx = 1\n",
            "[[threads]]\nx = 1\n",
            "threads.a = 1\nmax-mem = 4\nthreads.b = 2\n",
        ] {
            let refused = Err(EditError::Unwritable);
            assert_eq!(unset(text, &keys, "threads"), refused, "{text}");
            let one = strings(&["1"]);
            assert_eq!(set(text, &keys, "threads", &one), refused, "{text}");
        }
    }

    #[test]
    fn what_a_key_does_not_take_is_refused_in_words() {
        let refused = |name: &str, values: &[&str]| {
            set("", &keys(), name, &strings(values))
                .unwrap_err()
                .to_string()
        };
        assert!(refused("max_mem", &["1"]).contains("did you mean max-mem?"));
        assert_eq!(refused("no-serve", &["yes"]), "no-serve is true or false");
        assert_eq!(refused("threads", &["1", "2"]), "threads takes one value");
        // What TOML cannot hold bare.
        assert!(refused("max-mem", &["\u{7f}"]).contains("cannot be written"));
        // A text that is not understood: where the setting would go is unknown.
        assert!(set("threads = [", &keys(), "max-mem", &strings(&["1"])).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_written_and_read(
            texts in prop::collection::vec("[^\u{7f}]{0,20}", 0..4),
            others in any::<bool>(),
        ) {
            let text = if others { "threads = 3 # three\nno-serve = true" } else { "" };
            let changed = set(text, &keys(), "model", &texts).unwrap();
            prop_assert_eq!(value(&changed, &keys(), "model"), Some(texts.join(",")));
            let one = set(&changed, &keys(), "max-mem", &[texts.join(" ")]).unwrap();
            prop_assert_eq!(value(&one, &keys(), "max-mem"), Some(texts.join(" ")));
            prop_assert!(one.starts_with(text));
            let back = unset(&unset(&one, &keys(), "max-mem").unwrap(), &keys(), "model").unwrap();
            prop_assert_eq!(back.trim_end(), text);
        }
    }
}
