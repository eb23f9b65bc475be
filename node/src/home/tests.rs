//! Tests of the home: names, permissions, the lock.

use super::*;
use std::ffi::OsString;
use talkoot_protocol::{Founder, Policy};

fn home() -> (tempfile::TempDir, Home) {
    let directory = tempfile::tempdir().unwrap();
    let home = Home::at(directory.path());
    home.create().unwrap();
    (directory, home)
}

#[test]
fn talkoot_home_moves_everything_and_xdg_is_the_default() {
    let lookup = |name: &str| match name {
        "TALKOOT_HOME" => Some(OsString::from("/x")),
        _ => None,
    };
    assert_eq!(
        Home::from_lookup(0, lookup).unwrap(),
        Home::at(Path::new("/x"))
    );
    assert_eq!(
        Home::from_lookup(2, lookup).unwrap(),
        Home::at(Path::new("/x-2"))
    );
    let lookup = |name: &str| match name {
        "HOME" => Some(OsString::from("/h")),
        "XDG_DATA_HOME" => Some(OsString::from("/d")),
        "XDG_STATE_HOME" => Some(OsString::from("relative is ignored")),
        _ => None,
    };
    let home = Home::from_lookup(1, lookup).unwrap();
    assert_eq!(home.data, Path::new("/d/talkoot-1"));
    assert_eq!(home.state, Path::new("/h/.local/state/talkoot-1"));
    assert_eq!(
        Home::from_lookup(0, |_| None).unwrap_err().exit,
        Exit::BadConfig
    );
}

#[test]
fn one_process_at_a_time_and_the_message_names_it() {
    let (_directory, home) = home();
    assert!(!home.is_locked());
    let held = home.lock().unwrap();
    assert!(home.is_locked());
    let refused = home.lock().unwrap_err();
    assert!(
        refused
            .message
            .contains(&format!("process {}", std::process::id()))
    );
    drop(held);
    assert!(!home.is_locked());
    drop(home.lock().unwrap());
}

#[test]
fn the_identity_is_created_once() {
    let (_directory, home) = home();
    assert_eq!(home.existing_identity().unwrap_err().exit, Exit::NotFound);
    let wallet = home.identity().unwrap().wallet();
    assert_eq!(home.identity().unwrap().wallet(), wallet);
    assert!(home.write_identity(&[1; 32]).is_err(), "never overwritten");
}

#[cfg(unix)]
#[test]
fn a_seed_that_others_can_read_is_refused_with_the_fix() {
    use std::os::unix::fs::PermissionsExt;
    let (_directory, home) = home();
    home.identity().unwrap();
    let path = home.seed_path();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let refused = home.identity().unwrap_err();
    assert_eq!(refused.exit, Exit::BadConfig);
    assert!(refused.hint.unwrap().starts_with("chmod 600 "));
}

#[test]
fn a_short_seed_is_refused() {
    let (_directory, home) = home();
    write_private(&home.seed_path(), &[7; 31]).unwrap();
    assert!(home.identity().unwrap_err().message.contains("31 bytes"));
}

#[test]
fn the_current_network_survives_and_damage_is_noticed() {
    let (_directory, home) = home();
    assert_eq!(home.current_genesis().unwrap(), None);
    let wallet = home.identity().unwrap().wallet();
    let founder = Founder {
        wallet,
        line_ugft: 5,
    };
    let genesis = Genesis::new("solo", 1, Policy::default(), vec![founder]).unwrap();
    home.set_network(&genesis).unwrap();
    assert_eq!(home.current_genesis().unwrap(), Some(genesis.clone()));
    let path = home.network_dir(genesis.id()).join("genesis.bin");
    let mut bytes = fs::read(&path).unwrap();
    bytes[10] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_eq!(home.current_genesis().unwrap_err().exit, Exit::BadConfig);
}

#[test]
fn the_api_file_comes_and_goes() {
    let (_directory, home) = home();
    assert_eq!(home.read_api().unwrap(), None);
    let api = ApiFile {
        schema: 1,
        url: "http://127.0.0.1:7472".to_owned(),
        token: "t".to_owned(),
        pid: 1,
        version: "0".to_owned(),
        wallet: "w".to_owned(),
        peer_id: "p".to_owned(),
        network_id: "n".to_owned(),
        addresses: vec!["/ip4/127.0.0.1/udp/1/quic-v1".to_owned()],
        data_addresses: vec![],
    };
    home.write_api(&api).unwrap();
    home.write_api(&api).unwrap();
    assert_eq!(home.read_api().unwrap(), Some(api));
    home.remove_api();
    assert_eq!(home.read_api().unwrap(), None);
    fs::write(home.state.join("api.json"), "{").unwrap();
    assert_eq!(home.read_api().unwrap_err().exit, Exit::BadConfig);
}
