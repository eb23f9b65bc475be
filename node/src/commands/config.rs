//! `talkoot config`: the settings of a node, where they come from, and the file
//! they stand in.

use super::output::{self, Align, Table};
use crate::api::{ConfigView, SCHEMA, SettingView};
use crate::cli::{self, ConfigArgs, ConfigVerb};
use crate::client::Client;
use crate::config;
use crate::config::next::{check, next_start};
use crate::exit::{Exit, Failure};
use crate::home::{self, Home};
use std::path::Path;

/// Shows, checks or edits the settings.
///
/// # Errors
/// [`Exit::BadConfig`] when the file cannot be used.
pub fn run(args: &ConfigArgs, instance: u16, home: &Home) -> Result<(), Failure> {
    match args.verb {
        ConfigVerb::Show { origin, json } => show(origin, json, instance, home),
        ConfigVerb::Check => {
            check(instance, home)?;
            output::print("the next `talkoot up` can use these settings\n")
        }
        ConfigVerb::Edit => edit(instance, home),
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
    output::note(if is_running {
        "these are the running node's; a change of the file holds from the next start on\n"
    } else {
        "no node runs here: these are the next start's\n"
    });
    Ok(())
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

fn edit(instance: u16, home: &Home) -> Result<(), Failure> {
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
        write("max-mem = \"1GiB\"\n");
        let (args, settings) = next_start(0, &home).unwrap();
        assert_eq!(args.max_mem.as_deref(), Some("1GiB"));
        let text = table(&settings, true).render();
        assert!(text.contains("config.toml:1"), "{text}");
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
