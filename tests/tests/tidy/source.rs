//! A reader of Rust source that is good enough for rules: it blanks comments
//! and literals, drops test modules, and lists the paths that code names.

use std::fs;
use std::path::{Path, PathBuf};

/// One source file.
pub(crate) struct Source {
    /// Relative to the workspace, with forward slashes.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
}

/// A path such as `std::fs::read`, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) line: usize,
    pub(crate) path: String,
    /// Whether a `use` brings it in.
    pub(crate) imported: bool,
}

pub(crate) fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// Every Rust file of the workspace's packages.
pub(crate) fn all() -> Vec<Source> {
    let mut sources = Vec::new();
    for package in ["protocol", "ledger", "inference", "node", "tests"] {
        collect(&workspace().join(package), &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "the workspace has moved");
    sources
}

fn collect(folder: &Path, sources: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, sources);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let relative = path.strip_prefix(workspace()).unwrap();
            sources.push(Source {
                path: relative.to_str().unwrap().replace('\\', "/"),
                text: fs::read_to_string(&path).unwrap(),
            });
        }
    }
}

impl Source {
    /// The code without comments, literals and the test module.
    pub(crate) fn library_code(&self) -> String {
        without_tests(&blanked(&self.text)).to_owned()
    }
}

/// Tests stand in one module at the end of a file.
fn without_tests(code: &str) -> &str {
    code.find("\n#[cfg(test)]\nmod ")
        .map_or(code, |start| &code[..start])
}

/// Replaces comments and the content of literals by spaces; lines stay.
pub(crate) fn blanked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let length = skipped(rest, out.chars().next_back());
        let (part, after) = rest.split_at(length.unwrap_or_else(|| first_char(rest)));
        if length.is_some() {
            out.extend(part.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        } else {
            out.push_str(part);
        }
        rest = after;
    }
    out
}

fn first_char(text: &str) -> usize {
    text.chars().next().map_or(0, char::len_utf8)
}

/// The length of the comment or literal that `text` begins with.
fn skipped(text: &str, before: Option<char>) -> Option<usize> {
    let in_word = before.is_some_and(is_word);
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    if text.starts_with("/*") {
        return Some(block_comment(text));
    }
    if let Some(body) = text.strip_prefix('"') {
        return Some(1 + quoted(body));
    }
    if text.starts_with('\'') {
        return character(text);
    }
    if in_word {
        return None;
    }
    let raw = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = raw.len() - raw.trim_start_matches('#').len();
    raw[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let open = text.len() - raw.len() + hashes + 1;
    let close = text[open..].find(&end)?;
    Some(open + close + end.len())
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    loop {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
        } else {
            at += first_char(rest);
        }
        if depth == 0 || at >= text.len() {
            return at;
        }
    }
}

/// The length of a string up to and with its closing quote.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
}

/// The length of a character literal; `None` for a lifetime.
fn character(text: &str) -> Option<usize> {
    let body = &text[1..];
    if body.starts_with('\\') {
        let close = body[2..].find('\'')?;
        return Some(1 + 2 + close + 1);
    }
    let length = first_char(body);
    body[length..].starts_with('\'').then_some(length + 2)
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// All paths in blanked code: those that stand in expressions, and those that
/// `use` brings in, with groups expanded.
pub(crate) fn named(code: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(c) = code[at..].chars().next() {
        if !is_word(c) {
            at += c.len_utf8();
            line += usize::from(c == '\n');
            continue;
        }
        let end = path_end(code, at);
        // `use<..>` in a type captures lifetimes and imports nothing.
        if &code[at..end] == "use" && !code[end..].starts_with('<') {
            let stop = code[end..].find(';').map_or(code.len(), |stop| end + stop);
            let imports = expand("", &code[end..stop]);
            found.extend(imports.into_iter().map(|path| Named {
                line,
                path,
                imported: true,
            }));
            line += code[at..stop].matches('\n').count();
            at = stop;
        } else {
            found.push(Named {
                line,
                path: code[at..end].to_owned(),
                imported: false,
            });
            at = end;
        }
    }
    found
}

fn path_end(code: &str, start: usize) -> usize {
    let mut end = start;
    loop {
        end += code[end..]
            .chars()
            .take_while(|c| is_word(*c))
            .map(char::len_utf8)
            .sum::<usize>();
        match code[end..].strip_prefix("::") {
            Some(next) if next.starts_with(is_word) => end += 2,
            _ => return end,
        }
    }
}

/// Expands one `use` tree: `a::{b, c::d}` gives `a::b` and `a::c::d`.
fn expand(prefix: &str, tree: &str) -> Vec<String> {
    let tree = tree.trim().trim_start_matches("::");
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        let path = format!("{prefix}{path}");
        return vec![path.strip_suffix("::self").unwrap_or(&path).to_owned()];
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = tree[open + 1..].trim_end().trim_end_matches('}');
    // The last group's own braces must stay balanced for the next level.
    let missing = inner.matches('{').count() - inner.matches('}').count();
    let inner = format!("{inner}{}", "}".repeat(missing));
    split_list(&inner)
        .into_iter()
        .flat_map(|part| expand(&prefix, part))
        .collect()
}

/// Splits at commas outside braces.
fn split_list(list: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&list[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(code: &str) -> Vec<String> {
        named(&blanked(code))
            .into_iter()
            .map(|named| named.path)
            .collect()
    }

    #[test]
    fn comments_and_literals_are_blank() {
        let code = "a /* b /* c */ d */ e // f\n\"g \\\" h\" r#\"i \" j\"# 'k' '\\n' b\"l\" m";
        assert_eq!(paths(code), ["a", "e", "b", "m"]);
    }

    #[test]
    fn lifetimes_and_quotes_are_told_apart() {
        assert_eq!(
            paths("fn f<'a>(x: &'a str) -> char { '\"' } g"),
            ["fn", "f", "a", "x", "a", "str", "char", "g"]
        );
    }

    #[test]
    fn lines_are_counted_and_paths_whole() {
        let found = named("one\nstd::fs::read(two)");
        assert_eq!(found[1].path, "std::fs::read");
        assert_eq!((found[0].line, found[1].line), (1, 2));
    }

    #[test]
    fn imports_are_expanded() {
        let code = "use std::{fs, net::{TcpStream as T, self}, time::Instant};\nuse ::sled;";
        assert_eq!(
            paths(code),
            [
                "std::fs",
                "std::net::TcpStream",
                "std::net",
                "std::time::Instant",
                "sled"
            ]
        );
    }

    #[test]
    fn test_modules_are_dropped() {
        let source = Source {
            path: String::new(),
            text: "code\n\n#[cfg(test)]\nmod tests { more }".to_owned(),
        };
        assert_eq!(source.library_code().trim(), "code");
    }
}
