//! docs/PROTOCOL.md tells the truth: every struct and enum that travels stands
//! there with its fields in order, every limit with its value, and every golden
//! file with its size.
//!
//! A changed field therefore fails here until the document says so too.

use crate::source::{self, workspace};
use std::fs;

/// A struct or enum, with its fields (name and type) or variants (name).
#[derive(Debug, PartialEq, Eq)]
struct Shape {
    name: String,
    rows: Vec<String>,
}

/// Types that travel, by their derived encoding, found in one source text.
fn shapes(text: &str) -> Vec<Shape> {
    let code = source::blanked(text);
    let mut shapes = Vec::new();
    for (start, _) in code
        .match_indices("\npub struct ")
        .chain(code.match_indices("\npub enum "))
    {
        // Attributes stand between the end of the item before and this one.
        let derives = code[..start].rsplit(['}', ';']).next().unwrap_or_default();
        if !derives.contains("Encode") {
            continue;
        }
        let mut words = code[start..].split_whitespace().skip(1);
        let is_enum = words.next() == Some("enum");
        let name = words.next().unwrap_or_default();
        let rest = &code[start + 1..];
        let Some(body) = rest
            .split("\n}")
            .next()
            .and_then(|item| item.split_once("{\n"))
        else {
            continue;
        };
        if name.contains(['(', '<']) {
            continue;
        }
        let rows = if is_enum {
            variants(body.1)
        } else {
            fields(body.1)
        };
        shapes.push(Shape {
            name: name.to_owned(),
            rows,
        });
    }
    shapes
}

fn fields(body: &str) -> Vec<String> {
    body.lines()
        .filter_map(|line| {
            line.trim()
                .trim_start_matches("pub ")
                .trim_end_matches(',')
                .split_once(": ")
        })
        .map(|(name, kind)| format!("| `{name}` | `{kind}` |"))
        .collect()
}

/// Variants stand at one level of indentation; their fields stand deeper.
fn variants(body: &str) -> Vec<String> {
    body.lines()
        .filter(|line| line.starts_with("    ") && line[4..].starts_with(char::is_uppercase))
        .map(|line| {
            line.trim()
                .split(|c| !source::is_word(c))
                .next()
                .unwrap_or_default()
        })
        .enumerate()
        .map(|(tag, name)| format!("| {tag} | `{name}` |"))
        .collect()
}

/// The part of a document under the heading of one type, up to the next.
fn section<'a>(document: &'a str, name: &str) -> Option<&'a str> {
    let heading = format!("\n### `{name}`\n");
    let start = document.find(&heading)? + heading.len();
    let rest = &document[start..];
    Some(rest.split("\n#").next().unwrap_or(rest))
}

/// A row of a field (`name` first) or of a variant (its tag first).
fn is_row(line: &str) -> bool {
    line.strip_prefix("| ")
        .is_some_and(|rest| rest.starts_with(|c: char| c == '`' || c.is_ascii_digit()))
}

fn undocumented(shape: &Shape, document: &str) -> Vec<String> {
    let Some(section) = section(document, &shape.name) else {
        return vec![format!("no heading for {}", shape.name)];
    };
    let rows: Vec<&str> = section.lines().filter(|line| is_row(line)).collect();
    let same = rows.len() == shape.rows.len()
        && rows
            .iter()
            .zip(&shape.rows)
            .all(|(row, expected)| row.starts_with(expected.as_str()));
    let complaint = || {
        format!(
            "{}: the source has {:#?}, the document {rows:#?}",
            shape.name, shape.rows
        )
    };
    (!same).then(complaint).into_iter().collect()
}

/// `NAME` and the expression of each limit.
fn limits(text: &str) -> Vec<(String, String)> {
    text.split("\npub const ")
        .skip(1)
        .filter_map(|item| {
            let (name, rest) = item.split_once(':')?;
            let (_, value) = rest.split(';').next()?.split_once('=')?;
            Some((name.to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn protocol_document() -> String {
    fs::read_to_string(workspace().join("docs/PROTOCOL.md")).unwrap()
}

#[test]
fn every_type_on_the_wire_is_documented() {
    let document = protocol_document();
    let files = source::all();
    let shapes: Vec<Shape> = files
        .iter()
        .filter(|file| file.path.starts_with("protocol/src/"))
        .flat_map(|file| shapes(&file.text))
        .collect();
    assert!(shapes.len() > 20, "the reader of shapes is broken");
    let gaps: Vec<String> = shapes
        .iter()
        .flat_map(|shape| undocumented(shape, &document))
        .collect();
    assert!(gaps.is_empty(), "docs/PROTOCOL.md:\n{}", gaps.join("\n"));
}

#[test]
fn every_limit_is_documented() {
    let document = protocol_document();
    let text = fs::read_to_string(workspace().join("protocol/src/limits.rs")).unwrap();
    let limits = limits(&text);
    assert!(limits.len() > 30, "the reader of limits is broken");
    for (name, value) in limits {
        let row = format!("| `{name}` | `{value}` |");
        assert!(document.contains(&row), "docs/PROTOCOL.md lacks {row}");
    }
}

#[test]
fn every_golden_file_is_documented() {
    let document = protocol_document();
    for entry in fs::read_dir(workspace().join("protocol/tests/golden")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let hex = fs::read_to_string(&path).unwrap();
        let bytes = hex.lines().map(str::len).sum::<usize>() / 2;
        let row = format!("| `{name}` | {bytes} |");
        assert!(document.contains(&row), "docs/PROTOCOL.md lacks {row}");
    }
}

const SAMPLE: &str = "//! Head.\n\n/// A.\n#[derive(Encode)]\npub struct A {\n    /// X.\n    pub x: u16,\n    \
    y: Vec<u8>,\n}\n\n#[derive(Decode, Encode)]\npub enum B {\n    /// One.\n    One(A),\n    Two {\n        \
    z: u8,\n    },\n}\n\npub struct NotSent {\n    q: u8,\n}\n";

#[test]
fn shapes_are_read() {
    let found = shapes(SAMPLE);
    let expected = [
        ("A", ["| `x` | `u16` |", "| `y` | `Vec<u8>` |"]),
        ("B", ["| 0 | `One` |", "| 1 | `Two` |"]),
    ];
    let expected = expected.map(|(name, rows)| Shape {
        name: name.to_owned(),
        rows: rows.map(str::to_owned).to_vec(),
    });
    assert_eq!(found, expected);
}

#[test]
fn a_stale_document_fails() {
    let [a, b] = shapes(SAMPLE).try_into().unwrap();
    let document = "\n### `A`\n\n| field | type |\n|---|---|\n| `x` | `u16` | 2 | X. |\n| `y` | `Vec<u8>` | Y. |\n\n### `B`\n";
    assert!(undocumented(&a, document).is_empty());
    assert_eq!(undocumented(&b, document).len(), 1);
    assert_eq!(undocumented(&a, &document.replace("u16", "u32")).len(), 1);
    assert_eq!(
        undocumented(&a, &document.replace("### `A`", "### `C`")).len(),
        1
    );
}
