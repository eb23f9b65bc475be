//! `talkoot config`: the settings of a node, where they come from, and the file
//! they stand in.

use super::output::{self, Align, Table};
use crate::api::{ConfigView, SCHEMA, SettingView};
use crate::cli::{self, ConfigArgs, ConfigVerb};
use crate::client::Client;
use crate::config::edit::{self, EditError};
use crate::config::next::{check, check_file, check_key, next_start};
use crate::config::{self, ConfigFile, Key};
use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use std::path::Path;

/// Shows, checks or edits the settings.
///
/// # Errors
/// [`Exit::BadConfig`] when the file cannot be used.
pub fn run(args: &ConfigArgs, instance: u16, home: &Home) -> Result<(), Failure> {
    match &args.verb {
        ConfigVerb::Show { origin, json } => show(*origin, *json, instance, home),
        ConfigVerb::Set { key, values } => change(instance, home, key, |text, keys| {
            edit::set(text, keys, key, values)
        }),
        ConfigVerb::Unset { key } => change(instance, home, key, |text, keys| {
            edit::unset(text, keys, key)
        }),
        ConfigVerb::Check => {
            check(instance, home)?;
            output::print("the next `talkoot up` can use these settings\n")
        }
        ConfigVerb::Edit => open(instance, home),
        ConfigVerb::Path => output::print(&format!("{}\n", config::path(home).display())),
    }
}

fn show(origin: bool, json: bool, instance: u16, home: &Home) -> Result<(), Failure> {
    let running = Client::connect(home).and_then(|client| client.get::<ConfigView>("config"));
    let is_running = running.is_ok();
    let view = match running {
        Ok(view) => view,
        Err(failure) if failure.exit == Exit::NotRunning => ConfigView {
            schema: SCHEMA,
            file: config::path(home).display().to_string(),
            settings: next_start(instance, home)?.1,
        },
        Err(failure) => return Err(failure),
    };
    if json {
        return output::print_json(&view);
    }
    output::print(&table(&view.settings, origin).render())?;
    if !is_running {
        output::note("no node runs here: these are the next start's\n");
        return Ok(());
    }
    output::note(
        "these are the running node's; a change of the file holds from the next start on\n",
    );
    match next_start(instance, home) {
        Ok((_, next)) => {
            for change in changes(&view.settings, &next) {
                output::note(&format!("the next start: {change}\n"));
            }
        }
        Err(failure) => output::note(&format!("the next start: {failure}\n")),
    }
    Ok(())
}

/// What the file says by now and the running node does not do. What its command
/// line or environment said is its own, and may be said again.
fn changes(running: &[SettingView], next: &[SettingView]) -> Vec<String> {
    let is_of_file = |setting: &SettingView| ["file", "default"].contains(&setting.origin.as_str());
    let changed = running
        .iter()
        .filter(|now| is_of_file(now))
        .filter_map(|now| {
            let then = next.iter().find(|then| then.key == now.key)?;
            (then.value != now.value && is_of_file(then)).then_some((now, then))
        });
    let word = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    changed
        .map(|(now, then)| {
            format!(
                "{} = {}, now {}",
                now.key,
                word(&then.value),
                word(&now.value)
            )
        })
        .collect()
}

fn table(settings: &[SettingView], with_origin: bool) -> Table {
    let mut columns = vec![("SETTING", Align::Left), ("VALUE", Align::Left)];
    if with_origin {
        columns.push(("ORIGIN", Align::Left));
    }
    let mut table = Table::new(&columns);
    for setting in settings {
        let value = setting.value.clone().filter(|value| !value.is_empty());
        let mut row = vec![setting.key.clone(), value.unwrap_or_else(|| "-".to_owned())];
        if with_origin {
            row.push(match &setting.source {
                Some(source) => format!("{} {source}", setting.origin),
                None => setting.origin.clone(),
            });
        }
        table.row(row);
    }
    table
}

/// Changes one key of the file, and says what it was and what it is.
fn change(
    instance: u16,
    home: &Home,
    key: &str,
    edit: impl FnOnce(&str, &[Key]) -> Result<String, EditError>,
) -> Result<(), Failure> {
    let keys = cli::keys();
    let old = ConfigFile::read(home)?.unwrap_or_else(|| ConfigFile {
        path: config::path(home),
        text: String::new(),
    });
    let text = edit(&old.text, &keys).map_err(|error| match error {
        // A file that is not understood is mended first.
        EditError::Unwritable => old
            .settings(&keys)
            .err()
            .unwrap_or_else(|| Failure::new(Exit::BadConfig, error.to_string())),
        EditError::Unknown(_) | EditError::Value(_) => Failure::new(Exit::Usage, error.to_string())
            .hint("`talkoot up --help` explains each key"),
    })?;
    let new = ConfigFile {
        path: old.path.clone(),
        text,
    };
    let unwritten = |failure: Failure| Failure {
        message: format!("nothing is written: then {}", failure.message),
        ..failure
    };
    check_key(instance, home, &new, key).map_err(unwritten)?;
    // What was wrong before may be mended one key at a time.
    let whole = check_file(instance, home, &new);
    if whole.is_err() && check_file(instance, home, &old).is_ok() {
        return whole.map_err(unwritten);
    }
    let value = |file: &ConfigFile| edit::value(&file.text, &keys, key);
    let (before, after) = (value(&old), value(&new));
    let word = |value: Option<String>| value.unwrap_or_else(|| "not set".to_owned());
    if old.text == new.text {
        output::print(&format!("{key}: {}, as before\n", word(before)))?;
    } else {
        write(home, &new)?;
        output::print(&format!("{key}: {} -> {}\n", word(before), word(after)))?;
        if Client::connect(home).is_ok() {
            output::note("the running node goes on as it is: `talkoot down`, `talkoot up`\n");
        }
    }
    if let Err(failure) = whole {
        output::note(&format!("not all is well yet: {}\n", failure.message));
    }
    Ok(())
}

/// Writes the file where it is: a link to it stays a link.
fn write(home: &Home, file: &ConfigFile) -> Result<(), Failure> {
    home.create()?;
    let path = std::fs::canonicalize(&file.path).unwrap_or_else(|_| file.path.clone());
    home::write_atomic(&path, file.text.as_bytes())
}

fn open(instance: u16, home: &Home) -> Result<(), Failure> {
    let editor = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
        .ok_or_else(|| {
            let path = config::path(home);
            let message = "neither VISUAL nor EDITOR names an editor";
            Failure::new(Exit::BadConfig, message).hint(format!(
                "EDITOR=nano talkoot config edit, or open {}",
                path.display()
            ))
        })?;
    home.create()?;
    let path = config::path(home);
    if !path.exists() {
        home::write_atomic(&path, config::template(&cli::keys(), &path).as_bytes())?;
    }
    open_with(&editor, &path)?;
    check(instance, home)?;
    output::note("the next `talkoot up` can use these settings\n");
    Ok(())
}

/// Runs an editor, which may come with arguments of its own.
fn open_with(editor: &str, path: &Path) -> Result<(), Failure> {
    let mut words = editor.split_whitespace();
    let program = words.next().unwrap_or_default();
    let failed = |what: String| Failure::new(Exit::Failure, format!("{editor}: {what}"));
    let status = std::process::Command::new(program)
        .args(words)
        .arg(path)
        .status()
        .map_err(|error| failed(error.to_string()))?;
    if status.success() {
        Ok(())
    } else {
        Err(failed(format!("ended with {status}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_as_a_start_would() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        check(0, &home).unwrap();
        let write = |text: &str| std::fs::write(config::path(&home), text).unwrap();
        for (text, named) in [
            ("max-mem = \"lots\"", "--max-mem"),
            ("maxmem = 1", "did you mean max-mem?"),
            ("sessions = \"x\"", "sessions"),
            ("model = [\"/nowhere\"]", "/nowhere"),
        ] {
            write(text);
            let failure = check(0, &home).unwrap_err();
            assert_eq!(failure.exit, Exit::BadConfig, "{text}");
            assert!(failure.message.contains(named), "{text}: {failure}");
        }
        // Everything at once, each with its line: keys, types, words and values.
        write(
            "max-mem = \"lots\"\nsesions = 1\nsessions = \"x\"\nno-serve = 1\nhours = \"9-25\"\n",
        );
        let failure = check(0, &home).unwrap_err();
        let lines: Vec<&str> = failure.message.lines().skip(1).collect();
        assert_eq!(lines.len(), 5, "{failure}");
        for (at, line) in lines.iter().enumerate() {
            assert!(
                line.starts_with(&format!("  line {}: ", at + 1)),
                "{failure}"
            );
        }
        // Every wrong value of a list, with the line of its own.
        write(
            "model = [\n  \"/nowhere\",\n  \"/void\",\n]\nhttp-host = [\"a/b\", \"c\", \"d/e\"]\n",
        );
        let failure = check(0, &home).unwrap_err();
        let lines: Vec<&str> = failure.message.lines().skip(1).collect();
        let named = [(2, "/nowhere"), (3, "/void"), (5, "a/b"), (5, "d/e")];
        assert_eq!(lines.len(), named.len(), "{failure}");
        for (line, (at, value)) in lines.iter().zip(named) {
            assert!(line.starts_with(&format!("  line {at}: ")), "{failure}");
            assert!(line.contains(value), "{failure}");
        }
        // Right one by one, and not together.
        write("no-serve = true\nlayers = \"0..8\"\n");
        let failure = check(0, &home).unwrap_err();
        assert!(
            failure.message.contains("--no-serve goes with neither"),
            "{failure}"
        );
        write("max-mem = \"1GiB\"\n");
        let (args, settings) = next_start(0, &home).unwrap();
        assert_eq!(args.max_mem.as_deref(), Some("1GiB"));
        let text = table(&settings, true).render();
        assert!(text.contains("config.toml:1"), "{text}");
    }

    #[test]
    fn a_file_that_changed_since_the_start_is_told() {
        let setting = |key: &str, value: &str, origin: &str| SettingView {
            key: key.to_owned(),
            value: Some(value.to_owned()),
            origin: origin.to_owned(),
            source: None,
        };
        let running = [
            setting("sessions", "16", "default"),
            setting("max-mem", "1GiB", "file"),
            setting("hours", "1:00-2:00", "command line"),
            setting("log", "info", "file"),
        ];
        let next = [
            setting("sessions", "5", "file"),
            setting("max-mem", "1GiB", "file"),
            setting("hours", "3:00-4:00", "file"),
            setting("log", "warn", "default"),
        ];
        let told = changes(&running, &next);
        assert_eq!(told, ["sessions = 5, now 16", "log = warn, now info"]);
    }

    #[test]
    fn a_change_is_written_only_if_a_start_can_use_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        let path = config::path(&home);
        let set = |key: &str, value: &str| {
            change(0, &home, key, |text, keys| {
                edit::set(text, keys, key, &[value.to_owned()])
            })
        };
        set("max-mem", "1GiB").unwrap();
        set("sessions", "5").unwrap();
        let text = "max-mem = \"1GiB\"\nsessions = 5\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        for (key, value, exit) in [
            ("max-mem", "lots", Exit::BadConfig),
            ("sessions", "many", Exit::BadConfig),
            ("no-serve", "yes", Exit::Usage),
            ("maxmem", "1GiB", Exit::Usage),
        ] {
            assert_eq!(set(key, value).unwrap_err().exit, exit, "{key}");
        }
        // It would be right alone.
        set("no-serve", "true").unwrap();
        assert!(
            set("layers", "0..8")
                .unwrap_err()
                .message
                .contains("--no-serve")
        );
        let with = format!("{text}no-serve = true\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), with);
        // A broken file is mended one key at a time, but not one that is not TOML.
        std::fs::write(&path, "max-mem = \"lots\"\nhours = \"9-25\"\n").unwrap();
        set("max-mem", "2GiB").unwrap();
        assert!(check(0, &home).unwrap_err().message.contains("line 2"));
        std::fs::write(&path, "max-mem = [\n").unwrap();
        assert!(set("sessions", "5").unwrap_err().message.contains("line "));
    }

    #[test]
    fn what_is_wrong_in_a_file_can_be_taken_out_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        let path = config::path(&home);
        let unset = |key: &str| change(0, &home, key, |text, keys| edit::unset(text, keys, key));
        let set = |key: &str, value: &str| {
            change(0, &home, key, |text, keys| {
                edit::set(text, keys, key, &[value.to_owned()])
            })
        };
        std::fs::write(&path, "max_mem = 4\nno-serve = \"yes\"\nsessions = 5\n").unwrap();
        unset("max_mem").unwrap();
        set("no-serve", "true").unwrap();
        let text = "no-serve = true\nsessions = 5\n";
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        check(0, &home).unwrap();
        assert_eq!(unset("max_mem").unwrap_err().exit, Exit::Usage);
        // What is not TOML is not touched, and said with its line.
        std::fs::write(&path, "sessions = 5\nmodel = [\n").unwrap();
        let failure = unset("sessions").unwrap_err();
        assert_eq!(failure.exit, Exit::BadConfig);
        assert!(failure.message.contains("line "), "{failure}");
        let left = std::fs::read_to_string(&path).unwrap();
        assert_eq!(left, "sessions = 5\nmodel = [\n");
    }

    #[test]
    #[cfg(unix)]
    fn a_link_to_the_file_stays_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        let (path, kept) = (config::path(&home), directory.path().join("kept.toml"));
        std::fs::write(&kept, "# mine\n").unwrap();
        std::os::unix::fs::symlink(&kept, &path).unwrap();
        change(0, &home, "sessions", |text, keys| {
            edit::set(text, keys, "sessions", &["5".to_owned()])
        })
        .unwrap();
        assert!(std::fs::symlink_metadata(&path).unwrap().is_symlink());
        let text = std::fs::read_to_string(&kept).unwrap();
        assert_eq!(text, "# mine\nsessions = 5\n");
    }

    #[test]
    #[cfg(unix)]
    fn a_new_file_is_written_before_the_editor_opens_it() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        let path = config::path(&home);
        let text = config::template(&cli::keys(), &path);
        home::write_atomic(&path, text.as_bytes()).unwrap();
        check(0, &home).unwrap();
        open_with("test -s", &path).unwrap();
        assert!(open_with("test ! -s", &path).is_err());
        assert!(open_with("no-such-editor-here", &path).is_err());
    }
}
