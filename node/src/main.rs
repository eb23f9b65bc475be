//! Parses the command line and runs one command.

use std::process::ExitCode;

fn main() -> ExitCode {
    talkoot::commands::main(std::env::args_os()).into()
}
