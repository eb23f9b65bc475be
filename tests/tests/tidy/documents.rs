//! What the documents name exists: files, scripts, commands.

use crate::source::workspace;
use std::fs;

const DOCUMENTS: &[&str] = &[
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/API.md",
    "docs/CLI.md",
    "docs/CONFIG.md",
    "docs/DASHBOARD.md",
    "docs/OPERATING.md",
    "docs/METRICS.md",
    "docs/PROTOCOL.md",
    "docs/MODELS.md",
];

fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Targets of `[text](target)` that are files of ours.
fn links(document: &str) -> Vec<String> {
    document
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or(target).to_owned())
        .collect()
}

/// Lines of fenced code blocks.
fn code_lines(document: &str) -> Vec<&str> {
    document
        .split("```")
        .skip(1)
        .step_by(2)
        .flat_map(|block| block.lines().skip(1))
        .collect()
}

/// The verbs of `talkoot VERB` at the beginning of code lines.
fn verbs(document: &str) -> Vec<&str> {
    let mut verbs: Vec<&str> = code_lines(document)
        .into_iter()
        .filter_map(|line| line.trim().strip_prefix("talkoot "))
        .filter_map(|rest| rest.split_whitespace().next())
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
        .collect();
    verbs.sort_unstable();
    verbs.dedup();
    verbs
}

/// Scripts that code lines run.
fn scripts(document: &str) -> Vec<&str> {
    code_lines(document)
        .into_iter()
        .filter_map(|line| line.trim().strip_prefix("./"))
        .filter_map(|rest| rest.split_whitespace().next())
        .collect()
}

/// A verb is a variant of the command enum: `talkoot up` is `Up`.
fn has_verb(command_line: &str, verb: &str) -> bool {
    let (first, rest) = verb.split_at(1);
    let variant = format!("    {}{rest}", first.to_ascii_uppercase());
    command_line
        .lines()
        .filter_map(|line| line.strip_prefix(variant.as_str()))
        .any(|after| after.starts_with([',', '(', ' ']))
}

#[test]
fn links_lead_to_files() {
    for document in DOCUMENTS {
        let folder = workspace().join(document);
        for link in links(&read(document)) {
            let target = folder.parent().unwrap().join(&link);
            assert!(target.exists(), "{document} links to {link}");
        }
    }
}

#[test]
fn scripts_exist_and_can_be_run() {
    let scripts: Vec<String> = DOCUMENTS
        .iter()
        .flat_map(|document| {
            scripts(&read(document))
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(scripts.iter().any(|script| script == "scripts/check.sh"));
    assert!(scripts.iter().any(|script| script == "scripts/testnet.sh"));
    for script in scripts {
        let path = workspace().join(&script);
        let metadata = fs::metadata(&path).unwrap_or_else(|error| panic!("{script}: {error}"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert!(
                metadata.permissions().mode() & 0o111 != 0,
                "{script} is not executable"
            );
        }
        assert!(metadata.is_file(), "{script}");
    }
}

#[test]
fn commands_of_the_readme_exist() {
    let command_line = read("node/src/cli.rs");
    let readme = read("README.md");
    let verbs = verbs(&readme);
    assert!(verbs.len() >= 4, "{verbs:?}");
    for verb in verbs {
        assert!(
            has_verb(&command_line, verb),
            "README names `talkoot {verb}`"
        );
    }
}

#[test]
fn these_checks_can_fail() {
    let document = "see [a](docs/A.md#part) and [b](https://b)\n```sh\n./scripts/x.sh --y\ntalkoot frobnicate\n```\ntalkoot not\n";
    assert_eq!(links(document), ["docs/A.md"]);
    assert_eq!(scripts(document), ["scripts/x.sh"]);
    assert_eq!(verbs(document), ["frobnicate"]);
    let command_line = "enum Command {\n    Up(UpOptions),\n    Status {\n    Down,\n}";
    assert!(
        ["up", "status", "down"]
            .iter()
            .all(|verb| has_verb(command_line, verb))
    );
    assert!(!has_verb(command_line, "frobnicate"));
    assert!(!has_verb(command_line, "u"));
}
