//! `talkoot bootstrap`: addresses that this home dials first.

use super::contacts;
use super::output::{self, Align, Table};
use crate::api::SCHEMA;
use crate::cli::{BootstrapArgs, BootstrapVerb};
use crate::contacts::Contacts;
use crate::exit::{Exit, Failure};
use crate::home::Home;
use crate::settings;
use serde::Serialize;

#[derive(Debug, Serialize)]
struct BootstrapView {
    schema: u32,
    addresses: Vec<String>,
}

/// Adds, removes or lists first contacts.
///
/// # Errors
/// When an address is none or not there, or the file cannot be used.
pub fn run(args: &BootstrapArgs, home: &Home) -> Result<(), Failure> {
    match &args.verb {
        BootstrapVerb::Add { address } => add(address, home),
        BootstrapVerb::Rm { address } => remove(address, home),
        BootstrapVerb::Ls(args) => list(args.json, home),
    }
}

fn add(address: &str, home: &Home) -> Result<(), Failure> {
    settings::check_bootstrap(address)?;
    let mut is_new = false;
    let runs = contacts::change(home, |contacts| {
        is_new = contacts.add_bootstrap(address)?;
        Ok(())
    })?;
    output::note(match (is_new, runs) {
        (false, _) => "it is there already\n",
        (true, true) => {
            "added; the running node dials it (`talkoot peers --why` says how it goes)\n"
        }
        (true, false) => "added; the next `talkoot up` dials it\n",
    });
    Ok(())
}

fn remove(asked: &str, home: &Home) -> Result<(), Failure> {
    let mut removed = String::new();
    let runs = contacts::change(home, |contacts| {
        removed = one_of(&contacts.bootstrap, asked)?;
        contacts.bootstrap.retain(|address| *address != removed);
        Ok(())
    })?;
    let note = if runs {
        "; the running node keeps to it until it stops"
    } else {
        ""
    };
    output::note(&format!("removed {removed}{note}\n"));
    Ok(())
}

/// The only address that is, or contains, what was typed.
fn one_of(addresses: &[String], asked: &str) -> Result<String, Failure> {
    if addresses.iter().any(|address| address == asked) {
        return Ok(asked.to_owned());
    }
    let mut matching = addresses
        .iter()
        .filter(|address| !asked.is_empty() && address.contains(asked));
    match (matching.next(), matching.next()) {
        (Some(address), None) => Ok(address.clone()),
        (Some(_), Some(_)) => Err(Failure::new(
            Exit::Usage,
            format!("several addresses contain {asked:?}"),
        )),
        (None, _) => Err(Failure::new(
            Exit::NotFound,
            format!("no address of this home contains {asked:?}"),
        )
        .hint("`talkoot bootstrap ls` lists them; a ticket's and those of --bootstrap are not among them")),
    }
}

fn list(json: bool, home: &Home) -> Result<(), Failure> {
    let addresses = Contacts::read(home)?.bootstrap;
    if json {
        return output::print_json(&BootstrapView {
            schema: SCHEMA,
            addresses,
        });
    }
    if addresses.is_empty() {
        output::note("none; `talkoot bootstrap add ADDRESS` adds one. A ticket brings its own\n");
        return Ok(());
    }
    let mut table = Table::new(&[("ADDRESS", Align::Left)]);
    for address in addresses {
        table.row(vec![address]);
    }
    output::print(&table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_named_by_a_part_that_no_other_has() {
        let addresses = [
            "/ip4/1.2.3.4/udp/1",
            "/ip4/1.2.3.4/udp/12",
            "/ip6/::1/udp/1",
        ];
        let addresses = addresses.map(str::to_owned);
        let one = |asked: &str| one_of(&addresses, asked);
        assert_eq!(one("/ip4/1.2.3.4/udp/1").unwrap(), addresses[0]);
        assert_eq!(one("::1").unwrap(), addresses[2]);
        assert_eq!(one("1.2.3.4").unwrap_err().exit, Exit::Usage);
        assert_eq!(one("").unwrap_err().exit, Exit::NotFound);
    }
}
