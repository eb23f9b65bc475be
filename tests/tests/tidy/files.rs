//! What a source file looks like: it says what it is, and it is not a giant.

use crate::source::{self, Source};

/// Lines of a file with its tests at most.
const LINES_MAX: usize = 600;

/// Files above the ceiling, with the length they may not exceed. It only gets
/// shorter.
const RATCHET: &[(&str, usize)] = &[];

/// Characters of the opening doc comment at least: a title alone is no
/// explanation.
const HEAD_CHARACTERS_MIN: usize = 40;

fn head_breach(file: &Source) -> Option<String> {
    let head: String = file
        .text
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .collect();
    let short = head.trim().chars().count() < HEAD_CHARACTERS_MIN;
    short.then(|| {
        format!(
            "{} does not open with `//!` that says what it is",
            file.path
        )
    })
}

fn length_breach(file: &Source) -> Option<String> {
    let lines = file.text.lines().count();
    let ceiling = RATCHET
        .iter()
        .find(|(path, _)| *path == file.path)
        .map_or(LINES_MAX, |(_, ceiling)| *ceiling);
    (lines > ceiling).then(|| format!("{} has {lines} lines, {ceiling} are allowed", file.path))
}

/// `allow` outlives its cause silently, `expect` does not. Helpers that several
/// test programs include are spared: not each of them uses every helper.
fn allow_breach(file: &Source) -> Option<String> {
    if file.path.contains("/tests/") {
        return None;
    }
    let code = source::blanked(&file.text);
    let found = ["#[allow(", "#![allow("]
        .iter()
        .any(|text| code.contains(text));
    found.then(|| format!("{} uses allow; write #[expect(.., reason = ..)]", file.path))
}

fn breaches(file: &Source) -> Vec<String> {
    [head_breach(file), length_breach(file), allow_breach(file)]
        .into_iter()
        .flatten()
        .collect()
}

#[test]
fn files_open_with_a_head_and_stay_readable() {
    let breaches: Vec<String> = source::all().iter().flat_map(breaches).collect();
    assert!(breaches.is_empty(), "\n{}", breaches.join("\n"));
}

#[test]
fn the_ratchet_names_giants_only() {
    for (path, ceiling) in RATCHET {
        let file = source::all().into_iter().find(|file| file.path == *path);
        let lines = file.map_or(0, |file| file.text.lines().count());
        assert!(
            lines > LINES_MAX && lines == *ceiling,
            "{path}: {lines}, tighten the ratchet"
        );
    }
}

#[test]
fn these_rules_can_fail() {
    let file = |text: String| Source {
        path: "node/src/x.rs".to_owned(),
        text,
    };
    let head = "//! A file that says in one sentence what it is for.\n";
    assert!(breaches(&file(head.to_owned())).is_empty());
    assert_eq!(breaches(&file("use std::fmt;\n".to_owned())).len(), 1);
    assert_eq!(breaches(&file("//! stub\n".to_owned())).len(), 1);
    assert_eq!(breaches(&file(head.repeat(LINES_MAX + 1))).len(), 1);
    assert_eq!(
        breaches(&file(format!("{head}#[allow(unused)]\nfn f() {{}}"))).len(),
        1
    );
}
