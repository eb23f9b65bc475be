//! What a shell and `man` are told of the command line, made from its definition.

use super::{ShellArg, command};
use clap_complete::Shell;
use clap_mangen::Man;
use std::path::Path;

/// The completions for a shell.
#[must_use]
pub fn completions(shell: ShellArg) -> Vec<u8> {
    let shell = match shell {
        ShellArg::Bash => Shell::Bash,
        ShellArg::Elvish => Shell::Elvish,
        ShellArg::Fish => Shell::Fish,
        ShellArg::Powershell => Shell::PowerShell,
        ShellArg::Zsh => Shell::Zsh,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command(), "talkoot", &mut text);
    text
}

/// The main page of the manual.
///
/// # Errors
/// When it cannot be written.
pub fn main_page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command()).render(&mut page)?;
    Ok(page)
}

/// Writes a page for every verb into a directory.
///
/// # Errors
/// When it cannot be written.
pub fn manual_to(directory: &Path) -> std::io::Result<()> {
    clap_mangen::generate_to(command(), directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of all verbs, as their pages have them.
    fn names(command: &clap::Command, before: &str, all: &mut Vec<String>) {
        let name = format!("{before}{}", command.get_name());
        let verbs = command.get_subcommands();
        for verb in verbs.filter(|verb| verb.get_name() != "help") {
            names(verb, &format!("{name}-"), all);
        }
        all.push(name);
    }

    #[test]
    fn every_verb_has_a_page() {
        let directory = tempfile::tempdir().unwrap();
        manual_to(directory.path()).unwrap();
        let mut all = Vec::new();
        names(&command(), "", &mut all);
        assert!(all.len() > 40, "{all:?}");
        for name in all {
            let page = directory.path().join(format!("{name}.1"));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains(".SH SYNOPSIS"), "{name}");
        }
        let main = String::from_utf8(main_page().unwrap()).unwrap();
        assert!(main.contains("Exit codes"), "{main}");
    }

    #[test]
    fn every_shell_gets_completions_and_bash_understands_them() {
        for shell in [
            ShellArg::Bash,
            ShellArg::Elvish,
            ShellArg::Fish,
            ShellArg::Powershell,
            ShellArg::Zsh,
        ] {
            let text = String::from_utf8(completions(shell)).unwrap();
            assert!(
                text.contains("talkoot") && text.contains("ledger"),
                "{shell:?}"
            );
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("talkoot.bash");
        std::fs::write(&path, completions(ShellArg::Bash)).unwrap();
        // A machine without bash has nothing to complete there.
        if let Ok(status) = std::process::Command::new("bash")
            .arg("-n")
            .arg(&path)
            .status()
        {
            assert!(status.success());
        }
    }
}
