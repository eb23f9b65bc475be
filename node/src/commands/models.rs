//! `talkoot models`: what is here and, where a node runs, what the network
//! serves; and what a model would take (`estimate`).
//!
//! What is here needs no running node: it is read from the store and from the
//! directories beside it.

pub mod estimate;
mod local;

use super::output::{self, Align, Table};
use super::status::gft_of;
use crate::api::{ModelsView, SCHEMA};
use crate::cli::{ModelsArgs, ModelsCommand};
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::models::store::Store;
use local::LocalView;
use serde::Serialize;

pub(super) use local::prices;

/// The answer with `--json`: what the node says, and what lies here.
#[derive(Debug, Serialize)]
struct View {
    #[serde(flatten)]
    network: ModelsView,
    /// Whether a node runs; without one `models` is empty.
    running: bool,
    /// Models of this machine.
    here: Vec<LocalView>,
}

/// Prints the tables.
///
/// # Errors
/// When the running node does not answer.
pub fn run(args: &ModelsArgs, home: &Home) -> Result<(), Failure> {
    if let Some(ModelsCommand::Estimate(args)) = &args.command {
        return estimate::run(args);
    }
    let (network, running) = network(home)?;
    let store = Store::new(home, &args.directories.model_dirs);
    let here = local::list(&store, &prices(home)?);
    let view = View {
        network,
        running,
        here,
    };
    if args.read.json {
        return output::print_json(&view);
    }
    let mut text = String::new();
    if running {
        text.push_str(&network_table(&view.network));
        text.push_str("\nhere:\n");
    }
    text.push_str(&local::table(&view.here));
    output::print(&text)?;
    if !running {
        output::note("no node runs here: who serves what is not known (`talkoot up` starts one)\n");
    }
    Ok(())
}

/// Where nobody serves a model that is here, the failure says how to serve it.
#[must_use]
pub fn stored_hint(failure: Failure, wanted: Option<&str>, home: &Home) -> Failure {
    let Some(name) = wanted.filter(|_| failure.exit == Exit::NotFound) else {
        return failure;
    };
    match Store::new(home, &[]).find(name) {
        Ok(Some(_)) => failure.hint(format!(
            "{name} is here and nobody serves it: `talkoot up --model {name}` does"
        )),
        Ok(None) | Err(_) => failure,
    }
}

/// What the node says, if one runs.
fn network(home: &Home) -> Result<(ModelsView, bool), Failure> {
    match Client::connect(home).and_then(|client| client.get("models")) {
        Ok(view) => Ok((view, true)),
        Err(failure) if failure.exit == Exit::NotRunning => {
            let nothing = ModelsView {
                schema: SCHEMA,
                models: Vec::new(),
            };
            Ok((nothing, false))
        }
        Err(failure) => Err(failure),
    }
}

fn network_table(view: &ModelsView) -> String {
    let mut table = Table::new(&[
        ("NAME", Align::Left),
        ("ID", Align::Left),
        ("LAYERS", Align::Right),
        ("DTYPE", Align::Left),
        ("CONTEXT", Align::Right),
        ("GFT/TOKEN", Align::Right),
        ("LOCAL", Align::Left),
        ("COVERAGE", Align::Left),
    ]);
    for model in &view.models {
        let gaps = output::gaps(&model.coverage);
        let least = model.coverage.iter().min().copied().unwrap_or(0);
        table.row(vec![
            model.name.clone(),
            output::id(&model.id),
            model.layers.to_string(),
            model.dtype.clone(),
            model.context.to_string(),
            gft_of(model.price_ugft_per_token.into()),
            if model.local { "yes" } else { "no" }.to_owned(),
            if gaps.is_empty() {
                format!("whole, {least} or more per layer")
            } else {
                format!("missing {gaps}")
            },
        ]);
    }
    table.render()
}
