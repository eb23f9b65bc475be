//! What the next start of a home would be, by its file of settings and the
//! environment: nothing is started, and nothing is changed.

use super::ConfigFile;
use crate::api::SettingView;
use crate::cli::{self, Cli, Command, Parsed, UpArgs};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::models::store::Store;
use crate::settings::Settings;

/// What the next `up` without arguments would be.
///
/// # Errors
/// [`Exit::BadConfig`] when the file cannot be used.
pub fn next_start(instance: u16, home: &Home) -> Result<(UpArgs, Vec<SettingView>), Failure> {
    let line = ["talkoot", "--instance", &instance.to_string(), "up"].map(Into::into);
    match cli::parse_with(line.into(), |_| ConfigFile::read(home))? {
        Parsed::Run(Cli {
            command: Some(Command::Up(args)),
            settings,
            ..
        }) => Ok((*args, settings)),
        Parsed::Print(text, _) => Err(Failure::new(Exit::BadConfig, text.trim().to_owned())),
        Parsed::Run(_) => Err(Failure::new(Exit::Failure, "the line is no start")),
    }
}

/// All that `up` checks before it starts anything.
///
/// # Errors
/// [`Exit::BadConfig`] naming what is wrong and what to do.
pub fn check(instance: u16, home: &Home) -> Result<(), Failure> {
    let (args, _) = next_start(instance, home)?;
    let store = Store::new(home, &args.directories.model_dirs);
    let args = UpArgs {
        model: store.resolve_all(&args.model)?,
        ..args
    };
    Settings::new(&args, instance).map(drop)
}
