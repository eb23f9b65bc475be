//! What the next start of a home would be, by its file of settings and the
//! environment: nothing is started, and nothing is changed.

use super::{ConfigFile, FileSetting, Problem};
use crate::api::SettingView;
use crate::cli::{self, Cli, Command, Parsed, UpArgs};
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::models::store::Store;
use crate::settings::Settings;
use std::ffi::OsString;

/// What the next `up` without arguments would be.
///
/// # Errors
/// [`Exit::BadConfig`] when the file cannot be used.
pub fn next_start(instance: u16, home: &Home) -> Result<(UpArgs, Vec<SettingView>), Failure> {
    start(instance, Vec::new(), || ConfigFile::read(home))
}

/// All that `up` checks before it starts anything.
///
/// # Errors
/// [`Exit::BadConfig`] naming every line that is wrong, and what to do.
pub fn check(instance: u16, home: &Home) -> Result<(), Failure> {
    match ConfigFile::read(home)? {
        Some(file) => check_file(instance, home, &file),
        None => check_start(instance, home, start(instance, Vec::new(), || Ok(None))),
    }
}

/// The same with a file that is not yet written.
///
/// # Errors
/// Those of [`check`].
pub fn check_file(instance: u16, home: &Home, file: &ConfigFile) -> Result<(), Failure> {
    // What the environment says wrongly is no line's fault.
    check_start(instance, home, start(instance, Vec::new(), || Ok(None)))?;
    let (settings, mut problems) = file.read_through(&cli::keys());
    let of_values = settings.iter();
    problems.extend(of_values.flat_map(|setting| problems_of(instance, home, setting)));
    if !problems.is_empty() {
        return Err(file.unusable(problems));
    }
    let together = start(instance, Vec::new(), || Ok(Some(file.clone())));
    check_start(instance, home, together)
}

/// What is wrong with the lines of one key, by itself.
///
/// # Errors
/// [`Exit::BadConfig`].
pub fn check_key(instance: u16, home: &Home, file: &ConfigFile, key: &str) -> Result<(), Failure> {
    let (settings, _) = file.read_through(&cli::keys());
    let own = settings.iter().filter(|setting| setting.key == key);
    let problems: Vec<Problem> = own
        .flat_map(|setting| problems_of(instance, home, setting))
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(file.unusable(problems))
    }
}

/// What is wrong with a setting by itself: of a list, each value that is, with the
/// line of its own.
fn problems_of(instance: u16, home: &Home, setting: &FileSetting) -> Vec<Problem> {
    let problem = |line: usize, setting: &FileSetting| {
        let alone = check_alone(instance, home, setting);
        alone.err().map(|failure| (line, failure.message))
    };
    let each = setting.values.iter().zip(&setting.value_lines);
    let problems: Vec<Problem> = each
        .filter_map(|(value, line)| {
            let values = vec![value.clone()];
            let one = FileSetting {
                values,
                ..setting.clone()
            };
            problem(*line, &one)
        })
        .collect();
    if problems.is_empty() {
        // Values that are right one by one may not go together.
        return problem(setting.line, setting).into_iter().collect();
    }
    problems
}

fn check_alone(instance: u16, home: &Home, setting: &FileSetting) -> Result<(), Failure> {
    let arguments = cli::as_arguments(setting);
    check_start(instance, home, start(instance, arguments, || Ok(None)))
}

type Start = Result<(UpArgs, Vec<SettingView>), Failure>;

fn start(
    instance: u16,
    arguments: Vec<OsString>,
    read: impl FnOnce() -> Result<Option<ConfigFile>, Failure>,
) -> Start {
    let instance = instance.to_string();
    let line = ["talkoot", "--instance", &instance, "up"].map(Into::into);
    let line = line.into_iter().chain(arguments).collect();
    match cli::parse_with(line, |_| read())? {
        Parsed::Run(Cli {
            command: Some(Command::Up(args)),
            settings,
            ..
        }) => Ok((*args, settings)),
        Parsed::Print(text, _) => {
            let first = text.trim().lines().next().unwrap_or_default();
            let what = first.strip_prefix("error: ").unwrap_or(first);
            Err(Failure::new(Exit::BadConfig, what))
        }
        Parsed::Run(_) => Err(Failure::new(Exit::Failure, "the line is no start")),
    }
}

fn check_start(instance: u16, home: &Home, start: Start) -> Result<(), Failure> {
    let (args, _) = start?;
    let store = Store::new(home, &args.directories.model_dirs);
    let args = UpArgs {
        model: store.resolve_all(&args.model)?,
        ..args
    };
    Settings::new(&args, instance).map(drop)
}
