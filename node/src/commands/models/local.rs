//! The models of this machine, as `talkoot models` lists them: embedded,
//! imported, and those in directories that are only read.
//!
//! Only records, configurations and sizes are looked at; the weights are not. So
//! the id of a model that was not imported is not known here (`talkoot show`
//! computes it).

use crate::commands::output::{self, Align, Table};
use crate::commands::status::gft_of;
use crate::exit::Failure;
use crate::home::Home;
use crate::models::store::{Condition, Record, Store};
use crate::models::{LocalModel, shelf::ShelfModel};
use crate::units;
use serde::Serialize;
use std::path::{Path, PathBuf};
use talkoot_inference::ModelConfig;
use talkoot_protocol::{ModelCard, Policy};

/// Bytes of a configuration that is looked at.
const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// One model of this machine.
#[derive(Debug, Clone, Serialize)]
pub(super) struct LocalView {
    name: String,
    /// Full, where it is known without reading weights.
    id: Option<String>,
    /// Of its files.
    bytes: u64,
    layers: Option<u32>,
    dtype: Option<String>,
    context: Option<u32>,
    price_ugft_per_token: Option<u64>,
    /// `embedded`, `imported`, `copied` or `read-only`.
    place: &'static str,
    path: Option<PathBuf>,
    /// What is wrong with it, if anything is.
    trouble: Option<String>,
}

/// The prices of this home's network, or those of a network that it would found.
///
/// # Errors
/// When the home is damaged.
pub(in super::super) fn prices(home: &Home) -> Result<Policy, Failure> {
    let genesis = home.current_genesis()?;
    Ok(genesis.map_or_else(Policy::default, |genesis| genesis.policy))
}

/// Everything that is here, by name.
pub(super) fn list(store: &Store, policy: &Policy) -> Vec<LocalView> {
    let mut views: Vec<LocalView> = store
        .imported()
        .into_iter()
        .map(|(name, record)| match record {
            Ok(record) => imported(store, &name, &record, policy),
            Err(failure) => LocalView {
                trouble: Some(failure.message),
                ..nothing(name, "imported")
            },
        })
        .collect();
    for model in store.shelved() {
        if !views.iter().any(|view| view.name == model.name) {
            views.push(shelved(model));
        }
    }
    views.extend(demo(policy));
    views.sort_by(|a, b| a.name.cmp(&b.name));
    views
}

fn nothing(name: String, place: &'static str) -> LocalView {
    LocalView {
        name,
        id: None,
        bytes: 0,
        layers: None,
        dtype: None,
        context: None,
        price_ugft_per_token: None,
        place,
        path: None,
        trouble: None,
    }
}

fn described(card: &ModelCard, place: &'static str, policy: &Policy) -> LocalView {
    LocalView {
        id: Some(card.id().to_string()),
        bytes: card.weight_bytes,
        layers: Some(card.shape.layers),
        dtype: Some(card.dtype.name().to_owned()),
        context: Some(card.shape.context),
        price_ugft_per_token: policy.price_ugft_per_token(card),
        ..nothing(card.name.clone(), place)
    }
}

fn demo(policy: &Policy) -> Option<LocalView> {
    let model = LocalModel::demo().ok()?;
    Some(described(&model.card, "embedded", policy))
}

fn imported(store: &Store, name: &str, record: &Record, policy: &Policy) -> LocalView {
    let place = if record.is_copy { "copied" } else { "imported" };
    let trouble = match record.condition(&store.place(name)) {
        Condition::Whole => None,
        Condition::Missing(path) => Some(format!("{} is missing", path.display())),
        Condition::Changed(path) => Some(format!("{} was changed", path.display())),
    };
    LocalView {
        bytes: record.bytes(),
        path: Some(record.origin.clone()),
        trouble,
        ..described(&record.card, place, policy)
    }
}

fn shelved(model: ShelfModel) -> LocalView {
    let mut view = nothing(model.name, "read-only");
    view.bytes = model.bytes;
    if model.path.is_dir() {
        match config(&model.path.join("config.json")) {
            Ok(config) => {
                view.layers = Some(config.shape.layers);
                view.context = Some(config.shape.context);
            }
            Err(trouble) => view.trouble = Some(trouble),
        }
    }
    view.path = Some(model.path);
    view
}

fn config(path: &Path) -> Result<ModelConfig, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if size.len() > CONFIG_BYTES_MAX {
        return Err(format!(
            "config.json has more than {CONFIG_BYTES_MAX} bytes"
        ));
    }
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    ModelConfig::from_json(&text).map_err(|error| error.to_string())
}

/// The table for people.
pub(super) fn table(views: &[LocalView]) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("ID", Align::Left),
        ("SIZE", Align::Right),
        ("LAYERS", Align::Right),
        ("FORMAT", Align::Left),
        ("CONTEXT", Align::Right),
        ("GFT/TOKEN", Align::Right),
        ("WHERE", Align::Left),
    ]);
    let unknown = || "-".to_owned();
    for view in views {
        let number = |number: Option<u32>| number.map_or_else(unknown, |n| n.to_string());
        let path = view
            .path
            .as_ref()
            .map_or_else(String::new, |path| format!(" {}", path.display()));
        let trouble = view
            .trouble
            .as_ref()
            .map_or_else(String::new, |trouble| format!("; {trouble}"));
        table.row(vec![
            view.name.clone(),
            view.id.as_deref().map_or_else(unknown, output::id),
            units::bytes(view.bytes),
            number(view.layers),
            view.dtype.clone().unwrap_or_else(unknown),
            number(view.context),
            view.price_ugft_per_token
                .map_or_else(unknown, |price| gft_of(price.into())),
            format!("{}{path}{trouble}", view.place),
        ]);
    }
    table.render()
}
