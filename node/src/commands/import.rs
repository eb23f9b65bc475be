//! `talkoot import`: checks a model's files whole and gives it a name here.

use super::output;
use super::progress::Progress;
use crate::api::SCHEMA;
use crate::cli::ImportArgs;
use crate::exit::Failure;
use crate::home::Home;
use crate::models::store::{ImportEvent, ImportRequest, Imported, Store};
use crate::settings;
use crate::units;
use serde_json::json;

/// Imports one model.
///
/// # Errors
/// What is wrong with the files or the name.
pub fn run(args: &ImportArgs, home: &Home) -> Result<(), Failure> {
    home.create()?;
    let request = ImportRequest {
        path: &args.path,
        name: args.name.as_deref(),
        copy: args.copy,
        cache: &home.cache,
        threads: settings::threads(args.threads)?,
    };
    let (copying, hashing) = (Progress::new("copying"), Progress::new("hashing"));
    let imported = Store::new(home, &[]).import(&request, &|event| match event {
        ImportEvent::Copied {
            done_bytes,
            total_bytes,
        } => copying.at(done_bytes, total_bytes),
        ImportEvent::Hashed {
            done_bytes,
            total_bytes,
        } => hashing.at(done_bytes, total_bytes),
    })?;
    let Imported { record, before } = &imported;
    if args.json {
        return output::print_json(&json!({
            "schema": SCHEMA,
            "name": record.name(),
            "id": record.id().to_string(),
            "bytes": record.bytes(),
            "is_copy": record.is_copy,
            "id_before": before.map(|id| id.to_string()),
        }));
    }
    output::print(&text(&imported))
}

fn text(imported: &Imported) -> String {
    let record = &imported.record;
    let (card, shape) = (&record.card, &record.card.shape);
    let done = if imported.before == Some(record.id()) {
        "was imported already and is the same"
    } else if imported.before.is_some() {
        "changed since it was imported: it is another model now"
    } else if record.is_copy {
        "is copied and checked"
    } else {
        "is checked; its files stay where they are"
    };
    let (name, bytes) = (record.name(), units::bytes(record.bytes()));
    format!(
        "{name} {done}\nid      {}\nmodel   {}, {} layers, {}, context {}\nfiles   {bytes} in {}\n\
         next    talkoot up --model {name}\n",
        output::id(&record.id().to_string()),
        card.family,
        shape.layers,
        card.dtype,
        shape.context,
        record.files.len(),
    )
}
