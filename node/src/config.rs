//! The owner's file of settings: `config.toml`, whose keys are the long options
//! of `up`.
//!
//! Reads keys and values with the lines they stand in, and says everything that is
//! wrong at once. Which keys there are is told from outside, by the definition of
//! the command line; what a value means is decided there too. The only place that
//! knows toml.

pub mod edit;
pub mod next;

use crate::exit::{Exit, Failure};
use crate::home::Home;
use std::fmt::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Bytes of the file at most.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Changes of letters up to which a key counts as mistyped.
const TYPOS_MAX: usize = 3;

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// `true` or `false`.
    Switch,
    /// One text or number.
    One,
    /// One, or a list of them.
    Many,
}

/// A key that the file may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its name: the long option of `up`.
    pub name: String,
    /// What it takes.
    pub takes: Takes,
    /// What it is for, one line.
    pub help: String,
    /// The value without it, where there is one.
    pub default: Option<String>,
}

/// One setting as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSetting {
    /// The key.
    pub key: String,
    /// Its values as text; a switch that is off has none.
    pub values: Vec<String>,
    /// Whether it is on or off, and has no value of its own.
    pub is_switch: bool,
    /// The line it stands in, from 1.
    pub line: usize,
    /// The line of each value; a list may take several.
    pub value_lines: Vec<usize>,
    /// From the first letter of the key to the last of the value, bytes.
    pub span: Range<usize>,
}

/// A line of the file and what is wrong with it.
pub type Problem = (usize, String);

/// The file and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it is.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Where a home's file of settings is.
#[must_use]
pub fn path(home: &Home) -> PathBuf {
    home.config.join("config.toml")
}

impl ConfigFile {
    /// Reads a home's file; none when there is none.
    ///
    /// # Errors
    /// [`Exit::BadConfig`] when it cannot be read.
    pub fn read(home: &Home) -> Result<Option<Self>, Failure> {
        let path = path(home);
        let cannot =
            |what: String| Failure::new(Exit::BadConfig, format!("{}: {what}", path.display()));
        match std::fs::metadata(&path) {
            Ok(found) if found.len() > FILE_BYTES_MAX => {
                return Err(cannot(format!("{} bytes are too many", found.len())));
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(cannot(error.to_string())),
        }
        let text = std::fs::read_to_string(&path).map_err(|error| cannot(error.to_string()))?;
        Ok(Some(Self { path, text }))
    }

    /// Its settings.
    ///
    /// # Errors
    /// [`Exit::BadConfig`] with every line that is wrong.
    pub fn settings(&self, keys: &[Key]) -> Result<Vec<FileSetting>, Failure> {
        let (settings, problems) = self.read_through(keys);
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(self.unusable(problems))
        }
    }

    /// The settings that are understood, in the order of their lines, and the lines
    /// that are not.
    #[must_use]
    pub fn read_through(&self, keys: &[Key]) -> (Vec<FileSetting>, Vec<Problem>) {
        parse(&self.text, keys)
    }

    /// What is said of a file with problems: all of them.
    #[must_use]
    pub fn unusable(&self, mut problems: Vec<Problem>) -> Failure {
        problems.sort();
        let mut message = format!("{} cannot be used", self.path.display());
        for (line, problem) in problems {
            // Writing to a string does not fail.
            let _ = write!(message, "\n  line {line}: {problem}");
        }
        Failure::new(Exit::BadConfig, message)
            .hint("`talkoot config edit` opens it; `talkoot up --help` explains each key")
    }
}

/// A key as it stands in a text, understood or not.
struct Place {
    name: String,
    /// From the first letter of the key to the last of the value, bytes.
    span: Range<usize>,
    /// The value alone.
    value: Range<usize>,
}

/// Where the keys of a text stand; none when the text is not TOML.
fn places(text: &str) -> Option<Vec<Place>> {
    let table = DeTable::parse(text).ok()?;
    let place = |(name, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| Place {
        name: name.get_ref().to_string(),
        span: name.span().start..value.span().end,
        value: value.span(),
    };
    Some(table.get_ref().iter().map(place).collect())
}

fn parse(text: &str, keys: &[Key]) -> (Vec<FileSetting>, Vec<Problem>) {
    let line_of = |at: usize| text.get(..at).unwrap_or(text).matches('\n').count() + 1;
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            return (Vec::new(), vec![(line_of(at), error.message().to_owned())]);
        }
    };
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in table.get_ref() {
        let span = name.span().start..value.span().end;
        let line = line_of(span.start);
        let name = name.get_ref();
        let read = keys
            .iter()
            .find(|key| key.name == name.as_ref())
            .ok_or_else(|| unknown(name, keys))
            .and_then(|key| Ok((key, values(key, value)?)));
        match read {
            Ok((key, values)) => settings.push(FileSetting {
                key: key.name.clone(),
                is_switch: key.takes == Takes::Switch,
                value_lines: values.iter().map(|(_, at)| line_of(*at)).collect(),
                values: values.into_iter().map(|(value, _)| value).collect(),
                line,
                span,
            }),
            Err(problem) => problems.push((line, problem)),
        }
    }
    settings.sort_by_key(|setting| setting.span.start);
    problems.sort();
    (settings, problems)
}

/// The values of a key as the command line would have them, and where they begin.
fn values(key: &Key, value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, usize)>, String> {
    let name = &key.name;
    match (key.takes, value.get_ref()) {
        (Takes::Switch, DeValue::Boolean(true)) => {
            Ok(vec![("true".to_owned(), value.span().start)])
        }
        (Takes::Switch, DeValue::Boolean(false)) => Ok(Vec::new()),
        (Takes::Switch, _) => Err(format!("{name} is true or false")),
        (Takes::One, _) => plain(value)
            .map(|value| vec![value])
            .ok_or_else(|| format!("{name} takes one text or number, such as {name} = \"…\"")),
        (Takes::Many, DeValue::Array(list)) => list
            .iter()
            .map(plain)
            .collect::<Option<Vec<(String, usize)>>>()
            .ok_or_else(|| format!("{name} takes a list of texts")),
        (Takes::Many, _) => plain(value)
            .map(|value| vec![value])
            .ok_or_else(|| format!("{name} takes a list of texts, such as {name} = [\"…\"]")),
    }
}

fn plain(value: &Spanned<DeValue<'_>>) -> Option<(String, usize)> {
    let text = match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        _ => return None,
    };
    Some((text, value.span().start))
}

fn unknown(name: &str, keys: &[Key]) -> String {
    let nearest = keys
        .iter()
        .map(|key| (distance(name, &key.name), key.name.as_str()))
        .min()
        .filter(|(distance, _)| *distance <= TYPOS_MAX);
    nearest.map_or_else(
        || format!("there is no setting {name}"),
        |(_, nearest)| format!("there is no setting {name}; did you mean {nearest}?"),
    )
}

/// Letters to insert, remove or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let replaced = row.get(j).copied().unwrap_or(0) + usize::from(x != *y);
            let inserted = next.last().copied().unwrap_or(0) + 1;
            let removed = row.get(j + 1).copied().unwrap_or(0) + 1;
            next.push(replaced.min(inserted).min(removed));
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// A file with every key, what it is for and its default, all as comments.
#[must_use]
pub fn template(keys: &[Key], path: &Path) -> String {
    let mut text = format!(
        "# Settings of a Talkoot node ({}).\n\
         # Remove the # before a line to set it. The command line and TALKOOT_* come first;\n\
         # `talkoot config show --origin` says which value holds and why.\n",
        path.display()
    );
    for key in keys {
        let value = match (key.takes, &key.default) {
            (Takes::Switch, _) => "true".to_owned(),
            (Takes::One, Some(default)) => format!("{default:?}"),
            (Takes::One, None) => "\"\"".to_owned(),
            (Takes::Many, _) => "[]".to_owned(),
        };
        let _ = write!(text, "\n# {}\n# {} = {value}\n", key.help, key.name);
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn parse(text: &str, keys: &[Key]) -> Result<Vec<FileSetting>, Vec<Problem>> {
        let (settings, problems) = super::parse(text, keys);
        if problems.is_empty() {
            Ok(settings)
        } else {
            Err(problems)
        }
    }

    pub(super) fn keys() -> Vec<Key> {
        let key = |name: &str, takes| Key {
            name: name.to_owned(),
            takes,
            help: "what for".to_owned(),
            default: (takes == Takes::One).then(|| "4".to_owned()),
        };
        vec![
            key("max-mem", Takes::One),
            key("no-serve", Takes::Switch),
            key("model", Takes::Many),
            key("threads", Takes::One),
        ]
    }

    #[test]
    fn every_kind_of_value_is_read_with_its_line() {
        let text = "# mine\nmax-mem = \"4GiB\"\nno-serve = true\n\nmodel = [\"a\",\n \"b\"]\nthreads = 3\n";
        let settings = parse(text, &keys()).unwrap();
        let read: Vec<(usize, &str, Vec<&str>)> = settings
            .iter()
            .map(|one| {
                let values = one.values.iter().map(String::as_str).collect();
                (one.line, one.key.as_str(), values)
            })
            .collect();
        let expected = [
            (2, "max-mem", vec!["4GiB"]),
            (3, "no-serve", vec!["true"]),
            (5, "model", vec!["a", "b"]),
            (7, "threads", vec!["3"]),
        ];
        assert_eq!(read, expected);
        assert_eq!(settings[2].value_lines, [5, 6]);
        assert_eq!(
            parse("no-serve = false", &keys()).unwrap()[0].values.len(),
            0
        );
        assert_eq!(parse("model = \"a\"", &keys()).unwrap()[0].values, ["a"]);
    }

    #[test]
    fn everything_wrong_is_said_at_once() {
        let text = "max_mem = 1\nno-serve = \"yes\"\nmodel = [[1]]\nthreads = {}\nvoid = 1\n";
        let problems = parse(text, &keys()).unwrap_err();
        assert_eq!(problems.len(), 5);
        let of = |line: usize| &problems[line - 1].1;
        assert!(of(1).contains("did you mean max-mem?"), "{}", of(1));
        assert!(of(2).contains("true or false"));
        assert!(of(3).contains("list of texts") && of(4).contains("one text or number"));
        assert_eq!(of(5), "there is no setting void");
        let broken = parse("threads = 3\nmodel = [\n", &keys()).unwrap_err();
        assert_eq!(broken.len(), 1);
        assert!(broken[0].0 >= 2, "{broken:?}");
    }

    #[test]
    fn the_template_is_a_file_that_says_nothing() {
        let text = template(&keys(), Path::new("/x/config.toml"));
        assert_eq!(parse(&text, &keys()), Ok(Vec::new()));
        assert!(text.contains("# max-mem = \"4\"") && text.contains("# model = []"));
        let bare: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = "))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(parse(&bare, &keys()).unwrap().len(), 4);
    }

    #[test]
    fn distances_are_counted() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("max_mem", "max-mem"), 1);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
