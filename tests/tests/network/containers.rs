//! The roles of `compose.yaml`, run as plain processes: a founder that invites,
//! and members that wait for their ticket.

use crate::{BINARY, alone};
use std::path::Path;
use std::process::Command;
use talkoot::api::JobView;
use talkoot_tests::{Node, QUIET, chat, wait_for};

/// `packaging/container.sh ROLE…` in a node's home, as an image would run it.
fn role(root: &Path, programs: &Path, role: &[&str], settings: &[(&str, &str)]) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/container.sh");
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command
        .arg(script)
        .args(role)
        .env("PATH", format!("{}:{path}", programs.display()))
        .env("TALKOOT_HOME", root)
        .env("TALKOOT_INVITES", programs)
        .env("TALKOOT_LISTEN", "127.0.0.1")
        .env("TALKOOT_NO_MDNS", "true")
        .env("TALKOOT_THREADS", "1")
        .envs(["P2P", "DATA", "HTTP"].map(|port| (format!("TALKOOT_{port}_PORT"), "0")))
        .envs(settings.iter().copied());
    command
}

#[test]
fn a_founder_invites_members_and_all_come_back_after_a_stop() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let programs = directory.path().join("shared");
    std::fs::create_dir(&programs).unwrap();
    std::os::unix::fs::symlink(BINARY, programs.join("talkoot")).unwrap();
    let roots = ["founder", "one", "two"].map(|name| directory.path().join(name));
    let [mut founder, mut one, mut two] = roots.each_ref().map(|root| Node::new(BINARY, root, &[]));
    let founding = [
        ("TALKOOT_NO_SERVE", "true"),
        ("TALKOOT_INVITE_NAMES", "one two"),
        ("TALKOOT_HTTP_LISTEN", "0.0.0.0"),
    ];
    // Members come first: they wait.
    let member = |node: &mut Node, index: usize, layers: &str| {
        let name = ["", "one", "two"][index];
        let settings = [("TALKOOT_LAYERS", layers)];
        node.spawn_by(role(&roots[index], &programs, &["member", name], &settings));
    };
    member(&mut one, 1, "0..4");
    founder.spawn_by(role(&roots[0], &programs, &["founder"], &founding));
    member(&mut two, 2, "4..8");
    for node in [&mut founder, &mut one, &mut two] {
        node.wait_up();
    }
    let asks = |founder: &Node| {
        wait_for("a full route", QUIET, || {
            let status = founder.status();
            if status.ready {
                Ok(())
            } else {
                Err(status.reasons.join("; "))
            }
        });
        let answer = founder.ask(&chat("Tell me a story about a fox.", 8));
        // The bill at the end of the answer holds what had come by then.
        let job = format!("ledger/jobs/{}", answer.unwrap().done.job);
        wait_for("the job to burn", QUIET, || {
            let view: JobView = founder.client().get(&job).unwrap();
            match view.burned_ugft {
                0 => Err(view.state),
                burned => Ok(burned),
            }
        });
    };
    asks(&founder);
    let key = std::fs::read_to_string(roots[0].join("first-key")).unwrap();
    assert!(key.starts_with("tk-"), "beyond loopback a key is needed");

    // The tickets are used; whoever has a network needs none.
    one.stop();
    std::fs::remove_file(programs.join("one")).unwrap();
    member(&mut one, 1, "0..4");
    one.wait_up();
    asks(&founder);
    let unknown = role(&roots[0], &programs, &["landlord"], &[])
        .status()
        .unwrap();
    assert_eq!(unknown.code(), Some(2));
}
