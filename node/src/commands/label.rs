//! `talkoot label`: the owner's names for peers.

use super::contacts;
use super::output::{self, Align, Table};
use crate::api::SCHEMA;
use crate::cli::LabelArgs;
use crate::contacts::Contacts;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
struct LabelsView {
    schema: u32,
    labels: BTreeMap<String, String>,
}

/// Gives, takes or lists labels.
///
/// # Errors
/// When nobody is meant, the label is none or taken, or the file cannot be used.
pub fn run(args: &LabelArgs, home: &Home) -> Result<(), Failure> {
    if let Some(label) = &args.rm {
        contacts::change(home, |contacts| match contacts.labels.remove(label) {
            Some(_) => Ok(()),
            None => Err(Failure::new(
                Exit::NotFound,
                format!("nobody has the label {label:?}"),
            )),
        })?;
        output::note(&format!("{label} is no label any more\n"));
        return Ok(());
    }
    let (Some(peer), Some(label)) = (&args.peer, &args.label) else {
        return list(args.json, home);
    };
    let wallet = contacts::find(home, peer)?;
    contacts::change(home, |contacts| Ok(contacts.label(&wallet, label)?))?;
    output::note(&format!("{wallet} is {label}\n"));
    Ok(())
}

fn list(json: bool, home: &Home) -> Result<(), Failure> {
    let labels = Contacts::read(home)?.labels;
    if json {
        return output::print_json(&LabelsView {
            schema: SCHEMA,
            labels,
        });
    }
    if labels.is_empty() {
        output::note("no labels; `talkoot label PEER NAME` gives one\n");
        return Ok(());
    }
    let mut table = Table::new(&[("LABEL", Align::Left), ("WALLET", Align::Left)]);
    for (label, wallet) in &labels {
        table.row(vec![label.clone(), output::id(wallet)]);
    }
    output::print(&table.render())
}
