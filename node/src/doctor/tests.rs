//! The checks as a whole: their names and the document, an empty home, and a
//! running node made of plain data.

use super::running::Running;
use super::*;
use crate::home::ApiFile;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;

const DOCUMENT: &str = include_str!("../../../docs/CLI.md");

pub(super) fn api_file() -> ApiFile {
    ApiFile {
        schema: 1,
        url: "http://127.0.0.1:1".to_owned(),
        token: "t".to_owned(),
        pid: 7,
        version: "0".to_owned(),
        wallet: "w".to_owned(),
        peer_id: "p".to_owned(),
        network_id: "i".to_owned(),
        addresses: Vec::new(),
        data_addresses: Vec::new(),
    }
}

pub(super) fn running() -> Running {
    Running {
        api: api_file(),
        status: crate::http::tests::fake::status_view(),
        peers: Vec::new(),
    }
}

fn wishes() -> Wishes {
    Wishes {
        listen: Ipv4Addr::LOCALHOST.into(),
        p2p_port: 0,
        data_port: 0,
        http_port: 0,
        http_listen: Ipv4Addr::LOCALHOST.into(),
        bootstrap: Vec::new(),
        ticket: None,
        model_dirs: Vec::new(),
        min_free_bytes: 1,
        only: Vec::new(),
        is_fast: true,
        is_full: false,
    }
}

#[test]
fn every_check_is_in_the_document_and_nothing_else_is() {
    let section = DOCUMENT.split("\n## Doctor\n").nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split('|');
        let name = cells.next()?.trim().trim_end_matches('`').to_owned();
        Some((name, cells.next()?.trim().to_owned()))
    };
    let documented: Vec<_> = section.lines().filter_map(row).collect();
    let made: Vec<_> = CHECKS
        .iter()
        .map(|item| (item.name.to_owned(), item.what.to_owned()))
        .collect();
    assert_eq!(documented, made);
    let names: BTreeSet<_> = CHECKS.iter().map(|item| item.name).collect();
    assert_eq!(names.len(), CHECKS.len());
}

#[test]
fn an_empty_home_has_nothing_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::at(&directory.path().join("home"));
    let wishes = wishes();
    let mut told = Vec::new();
    let scene = Scene::of(&home, &wishes);
    let report = examine(&scene, |check| told.push(check.name));
    assert_eq!(told.len(), CHECKS.len());
    let failed: Vec<_> = report
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fail)
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(!home.data.exists(), "nothing is made");
}

#[test]
fn only_what_is_wished_for_is_looked_at_and_the_worst_counts() {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::at(directory.path());
    home.create().unwrap();
    let wishes = Wishes {
        only: vec!["disk".to_owned(), "ledger".to_owned()],
        min_free_bytes: u64::MAX,
        ..wishes()
    };
    let report = examine(&Scene::of(&home, &wishes), |_| {});
    let verdicts: Vec<_> = report.checks.iter().map(|check| check.verdict).collect();
    assert_eq!(verdicts, [Verdict::Fail, Verdict::Skip]);
    assert_eq!(report.verdict, Verdict::Fail);
    assert!(report.checks[0].fix.is_some());
}
