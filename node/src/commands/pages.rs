//! `talkoot completions` and `talkoot man`.

use super::output;
use crate::cli::{self, CompletionsArgs, ManArgs};
use crate::exit::Failure;
use std::io::Write;

/// Prints completions for a shell.
///
/// # Errors
/// When stdout is closed.
pub fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    Ok(std::io::stdout().write_all(&cli::completions(args.shell))?)
}

/// Prints the main page, or writes one for each verb.
///
/// # Errors
/// When the directory cannot be written.
pub fn man(args: &ManArgs) -> Result<(), Failure> {
    let Some(directory) = &args.directory else {
        return Ok(std::io::stdout().write_all(&cli::main_page()?)?);
    };
    std::fs::create_dir_all(directory)?;
    cli::manual_to(directory)?;
    output::note(&format!("the pages are in {}\n", directory.display()));
    Ok(())
}
