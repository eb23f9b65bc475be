//! `talkoot paths`: every directory and file of a home, what it is, and whether
//! it must be kept. Needs no running node.

use super::output::{self, Align, Table};
use crate::api::SCHEMA;
use crate::cli::ReadArgs;
use crate::exit::Failure;
use crate::home::Home;
use crate::units;
use crate::{config, runs, telemetry};
use serde::Serialize;
use std::path::{Path, PathBuf};

#[derive(Debug, Serialize)]
struct PathsView {
    schema: u32,
    paths: Vec<PathView>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct PathView {
    path: PathBuf,
    what: &'static str,
    exists: bool,
    bytes: u64,
    /// `yes`: nobody can give it back; `maybe`: it can be made again by hand;
    /// `no`: the program or the network makes it again.
    keep: &'static str,
}

/// Prints them.
///
/// # Errors
/// When the genesis that names the ledger's directory is damaged.
pub fn run(args: &ReadArgs, home: &Home) -> Result<(), Failure> {
    let paths = paths(home)?;
    if args.json {
        return output::print_json(&PathsView {
            schema: SCHEMA,
            paths,
        });
    }
    let mut table = Table::new(&[
        ("PATH", Align::Left),
        ("SIZE", Align::Right),
        ("KEEP", Align::Left),
        ("WHAT", Align::Left),
    ]);
    for path in &paths {
        table.row(vec![
            path.path.display().to_string(),
            if path.exists {
                units::bytes(path.bytes)
            } else {
                "-".to_owned()
            },
            path.keep.to_owned(),
            path.what.to_owned(),
        ]);
    }
    output::print(&table.render())
}

fn paths(home: &Home) -> Result<Vec<PathView>, Failure> {
    let ledger = home
        .current_genesis()?
        .map(|genesis| home.network_dir(genesis.id()));
    let of_ledger =
        ledger.map(|path| (path, "no", "the ledger of this network: peers have it too"));
    let jobs = of_ledger
        .as_ref()
        .map(|(path, ..)| (runs::path(path), "no", "the newest jobs, and their times"));
    let fixed = [
        (
            home.seed_path(),
            "yes",
            "the identity: whoever has it is this node",
        ),
        (config::path(home), "maybe", "settings"),
        (home.keys_path(), "maybe", "keys of programs elsewhere"),
        (
            home.config.join("peers.json"),
            "maybe",
            "labels, bans and first contacts",
        ),
        (home.data.join("models"), "maybe", "imported models"),
        (home.state.clone(), "no", "lock, api.json, history"),
        (telemetry::log_path(home), "no", "the log"),
        (home.cache.clone(), "no", "packed weights and hashes"),
    ];
    let all = fixed.into_iter().chain(of_ledger).chain(jobs);
    Ok(all
        .map(|(path, keep, what)| PathView {
            exists: path.exists(),
            bytes: bytes_of(&path),
            path,
            what,
            keep,
        })
        .collect())
}

/// Bytes of a file, or of all files below a directory; links are not followed.
fn bytes_of(path: &Path) -> u64 {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return 0;
    };
    if !found.is_dir() {
        return found.len();
    }
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| bytes_of(&entry.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_what_must_be_kept() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::at(directory.path());
        home.create().unwrap();
        home.identity().unwrap();
        std::fs::write(home.cache.join("a"), [0; 100]).unwrap();
        let paths = paths(&home).unwrap();
        let kept: Vec<&PathView> = paths.iter().filter(|path| path.keep == "yes").collect();
        assert_eq!(kept.len(), 1);
        assert_eq!((kept[0].bytes, kept[0].exists), (32, true));
        let cache = paths.iter().find(|path| path.path == home.cache).unwrap();
        assert!(cache.bytes >= 100);
        assert!(paths.iter().any(|path| !path.exists && path.bytes == 0));
    }
}
