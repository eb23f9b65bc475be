//! `talkoot rm`: what forgetting an imported model would delete, and with `--yes`
//! the deed.

use super::output;
use crate::api::{SCHEMA, StatusView};
use crate::cli::RmArgs;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::models::store::{Found, Removal, Store};
use crate::units;
use serde_json::json;

/// Removes one model, or says what would go.
///
/// # Errors
/// When there is no such model in the store, or a node serves it.
pub fn run(args: &RmArgs, home: &Home) -> Result<(), Failure> {
    let store = Store::new(home, &[]);
    let Some(removal) = store.removal(&args.name)? else {
        return Err(unknown(&store, &args.name)?);
    };
    refuse_served(home, &args.name)?;
    if args.yes {
        store.remove(&removal)?;
    }
    if args.json {
        return output::print_json(&json!({
            "schema": SCHEMA,
            "name": removal.name,
            "directory": removal.directory,
            "bytes": removal.bytes,
            "shared_bytes": removal.shared_bytes,
            "stays": removal.stays,
            "removed": args.yes,
        }));
    }
    output::print(&text(&removal, args.yes))
}

fn text(removal: &Removal, is_done: bool) -> String {
    let (verb, end) = if is_done {
        ("deleted", "")
    } else {
        ("would delete", "nothing is deleted yet; with --yes it is\n")
    };
    let (directory, bytes) = (removal.directory.display(), units::bytes(removal.bytes));
    let stays = removal.stays.as_ref().map_or_else(String::new, |path| {
        format!("stays: the files of the model, in {}\n", path.display())
    });
    let shared = if removal.shared_bytes == 0 {
        String::new()
    } else {
        let bytes = units::bytes(removal.shared_bytes);
        format!("of that, {bytes} are also other files' and give no room\n")
    };
    format!("{verb} {directory}, {bytes}\n{shared}{stays}{end}")
}

/// Why there is nothing to remove by this name.
fn unknown(store: &Store, name: &str) -> Result<Failure, Failure> {
    Ok(match store.find(name)? {
        Some(Found::Demo) => Failure::new(
            Exit::BadConfig,
            "the demo model is part of the program and cannot be removed",
        ),
        Some(Found::Shelved(model)) => {
            let message = format!(
                "{name} was not imported; it lies in {}",
                model.path.display()
            );
            Failure::new(Exit::BadConfig, message).hint("delete it by hand if it shall go")
        }
        Some(Found::Imported { record, .. }) => {
            let message = format!("{name:?} is an id; the model is called {}", record.name());
            Failure::new(Exit::NotFound, message).hint("give the name")
        }
        None => Failure::new(
            Exit::NotFound,
            format!("no model {name:?} was imported here"),
        )
        .hint("`talkoot models` lists what is here"),
    })
}

/// A node that serves or loads a model of this name, packed or not, still needs
/// its files.
fn refuse_served(home: &Home, name: &str) -> Result<(), Failure> {
    if !home.is_locked() {
        return Ok(());
    }
    let status: StatusView = Client::connect(home)?.get("status")?;
    let loading = status.loading.iter().map(|loading| &loading.model);
    let serving = status.serving.iter().map(|served| &served.name);
    if serving.chain(loading).any(|used| is_variant(used, name)) {
        let message = format!("the running node serves {name}");
        return Err(Failure::new(Exit::BadConfig, message).hint("`talkoot down` stops it"));
    }
    Ok(())
}

/// Whether a served model is `name`, as stored or packed.
fn is_variant(served: &str, name: &str) -> bool {
    served
        .strip_prefix(name)
        .is_some_and(|rest| rest.is_empty() || ["-bf16", "-q8_0", "-q4_0"].contains(&rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_models_are_recognised_and_others_are_not() {
        for served in ["tiny", "tiny-bf16", "tiny-q8_0", "tiny-q4_0"] {
            assert!(is_variant(served, "tiny"), "{served}");
        }
        for other in ["tiny-2", "tin", "other"] {
            assert!(!is_variant(other, "tiny"), "{other}");
        }
    }
}
