//! The command line together with the file of settings: what the file says
//! becomes arguments, wherever neither the line nor the environment says
//! something else.
//!
//! So there is one definition of every setting, the one of the command line.

use super::{Cli, Parsed, command, parsed_error};
use crate::api::SettingView;
use crate::config::{ConfigFile, FileSetting, Key, Takes};
use crate::exit::{Exit, Failure};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches};
use std::ffi::OsString;

/// Verbs that the file of settings is for. Others share no option with it.
const VERBS: [&str; 2] = ["up", "doctor"];
/// Options of `up` that belong to one start, not to a file.
const NEVER_IN_FILE: [&str; 3] = ["join", "help", "stop-with-stdin"];

/// Reads a line; for verbs with settings also the file that `read` gives for the
/// instance.
///
/// # Errors
/// [`crate::exit::Exit::BadConfig`] when the file cannot be used.
pub fn parse_with(
    arguments: Vec<OsString>,
    read: impl FnOnce(u16) -> Result<Option<ConfigFile>, Failure>,
) -> Result<Parsed, Failure> {
    let matches = match command().try_get_matches_from(&arguments) {
        Ok(matches) => matches,
        Err(error) => return Ok(parsed_error(&error)),
    };
    let verb = matches.subcommand_name().unwrap_or_default().to_owned();
    if !VERBS.contains(&verb.as_str()) {
        return Ok(parsed(&matches, Vec::new()));
    }
    let instance = matches.get_one::<u16>("instance").copied().unwrap_or(0);
    let Some(file) = read(instance)? else {
        let settings = in_effect(&matches, None, &[]);
        return Ok(parsed(&matches, settings));
    };
    // `doctor` runs with a broken file too: it says what is wrong with it.
    let is_start = verb == "up";
    let settings = match file.settings(&keys()) {
        Ok(settings) => settings,
        Err(failure) if is_start => return Err(failure),
        Err(_) => return Ok(parsed(&matches, Vec::new())),
    };
    let taken = taken(&matches, &verb, settings);
    let mut all = arguments;
    all.extend(taken.iter().flat_map(as_arguments));
    let matches = match command().try_get_matches_from(all) {
        Ok(matches) => matches,
        // The line alone was understood.
        Err(error) if is_start => return Err(in_file(&file, &error)),
        Err(_) => return Ok(parsed(&matches, Vec::new())),
    };
    let settings = in_effect(&matches, Some(&file), &taken);
    Ok(parsed(&matches, settings))
}

/// A value of the file that the command line does not take.
fn in_file(file: &ConfigFile, error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let first = text.lines().next().unwrap_or_default();
    let what = first.strip_prefix("error: ").unwrap_or(first);
    let message = format!("{}: {what}", file.path.display());
    Failure::new(Exit::BadConfig, message)
        .hint("`talkoot config check` names every wrong line, `talkoot config edit` opens the file")
}

fn parsed(matches: &ArgMatches, settings: Vec<SettingView>) -> Parsed {
    match Cli::from_arg_matches(matches) {
        Ok(cli) => Parsed::Run(Cli { settings, ..cli }),
        Err(error) => parsed_error(&error),
    }
}

/// The options of `up`, which are the keys of the file.
fn options() -> Vec<Arg> {
    let mut command = command();
    command.build();
    let up = command.find_subcommand("up");
    let own = up.into_iter().flat_map(clap::Command::get_arguments);
    own.filter(|arg| !arg.is_global_set() && !NEVER_IN_FILE.contains(&name_of(arg)))
        .cloned()
        .collect()
}

fn name_of(arg: &Arg) -> &str {
    arg.get_long().unwrap_or_default()
}

/// The keys that a file of settings may have.
#[must_use]
pub fn keys() -> Vec<Key> {
    let key = |arg: &Arg| Key {
        name: name_of(arg).to_owned(),
        takes: match arg.get_action() {
            ArgAction::SetTrue => Takes::Switch,
            ArgAction::Append => Takes::Many,
            _ => Takes::One,
        },
        help: arg.get_help().map_or_else(String::new, |help| {
            help.to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        }),
        default: arg
            .get_default_values()
            .first()
            .map(|value| value.to_string_lossy().into_owned()),
    };
    options().iter().map(key).collect()
}

/// What the file says, where nothing before it does and the verb knows it.
fn taken(matches: &ArgMatches, verb: &str, settings: Vec<FileSetting>) -> Vec<FileSetting> {
    let mut command = command();
    command.build();
    let known = command.find_subcommand(verb);
    let of_verb = matches.subcommand().map(|(_, matches)| matches);
    let is_open = |setting: &FileSetting| {
        let mut options = known.into_iter().flat_map(clap::Command::get_arguments);
        let option = options.find(|arg| name_of(arg) == setting.key);
        option.is_some_and(|option| {
            let id = option.get_id().as_str();
            let source = of_verb.and_then(|matches| matches.value_source(id));
            matches!(source, None | Some(ValueSource::DefaultValue))
        })
    };
    settings.into_iter().filter(is_open).collect()
}

/// A setting as the line would have it. A switch that is off needs no word.
#[must_use]
pub fn as_arguments(setting: &FileSetting) -> Vec<OsString> {
    let key = &setting.key;
    let argument = |value: &String| match setting.is_switch {
        true => format!("--{key}").into(),
        false => format!("--{key}={value}").into(),
    };
    setting.values.iter().map(argument).collect()
}

/// Every setting, its value and where it came from.
fn in_effect(
    matches: &ArgMatches,
    file: Option<&ConfigFile>,
    taken: &[FileSetting],
) -> Vec<SettingView> {
    let Some(("up", matches)) = matches.subcommand() else {
        return Vec::new();
    };
    let view = |arg: &Arg| {
        let id = arg.get_id().as_str();
        let key = name_of(arg).to_owned();
        let from_file = taken.iter().find(|setting| setting.key == key);
        let (origin, source) = match (matches.value_source(id), from_file, file) {
            (Some(ValueSource::EnvVariable), _, _) => {
                let variable = arg
                    .get_env()
                    .map(|name| name.to_string_lossy().into_owned());
                ("environment", variable)
            }
            (_, Some(setting), Some(file)) => {
                let place = format!("{}:{}", file.path.display(), setting.line);
                ("file", Some(place))
            }
            (Some(ValueSource::CommandLine), _, _) => ("command line", None),
            _ => ("default", None),
        };
        SettingView {
            key,
            value: text_of(matches, id),
            origin: origin.to_owned(),
            source,
        }
    };
    options().iter().map(view).collect()
}

/// The values of an option as text.
fn text_of(matches: &ArgMatches, id: &str) -> Option<String> {
    let raw = matches.try_get_raw(id).ok().flatten();
    raw.map(|values| {
        let texts = values.map(|value| value.to_string_lossy().into_owned());
        texts.collect::<Vec<String>>().join(",")
    })
    .or_else(|| {
        let switch = matches.try_get_one::<bool>(id).ok().flatten();
        switch.map(ToString::to_string)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, UpArgs};

    fn read(line: &str, text: &str) -> Result<(UpArgs, Vec<SettingView>), Failure> {
        let file = ConfigFile {
            path: "/h/config.toml".into(),
            text: text.to_owned(),
        };
        let line = ["talkoot", "up"].into_iter().chain(line.split_whitespace());
        match parse_with(line.map(Into::into).collect(), |_| Ok(Some(file)))? {
            Parsed::Run(Cli {
                command: Some(Command::Up(args)),
                settings,
                ..
            }) => Ok((*args, settings)),
            other => panic!("{other:?}"),
        }
    }

    fn origin(settings: &[SettingView], key: &str) -> (String, Option<String>, Option<String>) {
        let found = settings.iter().find(|one| one.key == key).unwrap();
        (
            found.origin.clone(),
            found.value.clone(),
            found.source.clone(),
        )
    }

    #[test]
    fn the_line_comes_before_the_file_and_the_file_before_the_default() {
        let text = "max-mem = \"4GiB\"\nsessions = 5\nno-mdns = true\nbootstrap = [\"a\", \"b\"]\n\
                    idle-only = false\n";
        let (args, settings) = read("--sessions 5", text).unwrap();
        assert_eq!(args.max_mem.as_deref(), Some("4GiB"));
        assert_eq!((args.sessions, args.no_mdns), (5, true));
        assert_eq!(args.reach.bootstrap, ["a", "b"]);
        let at = |line: u32| Some(format!("/h/config.toml:{line}"));
        let some = |text: &str| Some(text.to_owned());
        let of = |key: &str| origin(&settings, key);
        assert_eq!(of("max-mem"), ("file".to_owned(), some("4GiB"), at(1)));
        assert_eq!(of("no-mdns"), ("file".to_owned(), some("true"), at(3)));
        assert_eq!(of("sessions"), ("command line".to_owned(), some("5"), None));
        assert_eq!(of("idle-only"), ("file".to_owned(), some("false"), at(5)));
        assert_eq!(of("max-queue"), ("default".to_owned(), some("256"), None));
        assert_eq!(of("threads"), ("default".to_owned(), None, None));
    }

    #[test]
    fn a_file_that_cannot_be_used_ends_with_its_own_code() {
        for text in [
            "sesions = 3",
            "join = \"talkoot1\"",
            "sessions = true",
            "sessions = \"x\"",
            "[",
        ] {
            assert_eq!(read("", text).unwrap_err().exit, Exit::BadConfig, "{text}");
        }
    }

    #[test]
    fn the_document_lists_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIG.md");
        let document = std::fs::read_to_string(path).unwrap();
        let (_, table) = document.split_once("## Keys").unwrap();
        let listed: Vec<&str> = table
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        let keys = keys();
        let names: Vec<&str> = keys.iter().map(|key| key.name.as_str()).collect();
        assert_eq!(listed, names);
    }

    #[test]
    fn every_option_of_up_is_a_key_with_help() {
        let keys = keys();
        assert!(keys.len() > 30, "{}", keys.len());
        for key in &keys {
            assert!(!key.name.is_empty() && !key.help.is_empty(), "{key:?}");
            assert!(!NEVER_IN_FILE.contains(&key.name.as_str()));
        }
        let takes = |name: &str| keys.iter().find(|key| key.name == name).unwrap().takes;
        assert_eq!(takes("no-serve"), Takes::Switch);
        assert_eq!(takes("model"), Takes::Many);
        assert_eq!(takes("max-mem"), Takes::One);
    }
}
