//! The program, built beside the tests that start it.

use std::process::ExitCode;

fn main() -> ExitCode {
    talkoot::commands::main(std::env::args_os()).into()
}
