//! Joining as a newcomer meets it: a ticket that is tried first, peers with
//! names, peers kept out, and other networks on the local network.

use crate::{BINARY, alone};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::process::Output;
use std::time::Duration;
use talkoot_protocol::ticket::{self, Ticket};
use talkoot_protocol::{Founder, Genesis, Keypair, Policy, Verified};
use talkoot_tests::{Node, QUIET, WAIT, wait_for};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", said(output)))
}

fn ticket_of(node: &Node) -> String {
    let made = json(&node.run(&["invite", "--line", "5GFT", "--json"]));
    made["ticket"].as_str().unwrap().to_owned()
}

/// A ticket of a network that nobody runs, with the addresses of a real node.
fn foreign_ticket(node: &Node) -> String {
    let key = Keypair::from_seed(&[77; 32]);
    let founder = Founder {
        wallet: key.wallet(),
        line_ugft: 1,
    };
    let genesis = Genesis::new("elsewhere", 1, Policy::default(), vec![founder]).unwrap();
    let ticket = Ticket {
        inviter: key.wallet(),
        genesis: genesis.to_bytes(),
        addresses: vec![node.p2p_address()],
        expires_ms: 0,
        nonce: 1,
        line_ugft: 0,
    };
    ticket::to_text(&Verified::sign(ticket, &key, genesis.id()).unwrap())
}

fn wait_peers(node: &Node, count: usize) {
    wait_for("the peers", QUIET, || match node.status().peers {
        peers if peers == count => Ok(()),
        peers => Err(format!("{peers} peers, not {count}")),
    });
}

#[test]
fn a_ticket_is_tried_and_the_failure_says_why() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let no_layers = ["--no-serve".to_owned()];
    let mut first = Node::new(BINARY, &directory.path().join("first"), &no_layers);
    first.spawn();
    first.wait_up();
    let stale = ticket_of(&first);
    let foreign = foreign_ticket(&first);
    let second = Node::new(BINARY, &directory.path().join("second"), &no_layers);

    let refused = second.run(&["join", &foreign]);
    assert_eq!(refused.status.code(), Some(7), "{}", said(&refused));
    assert!(said(&refused).contains("elsewhere") && said(&refused).contains("solo"));
    first.stop();
    let refused = second.run(&["join", "--wait", "2s", &stale]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("--no-dial"), "{}", said(&refused));
    assert_eq!(
        second.run(&["up", "--join", "talkoot1x"]).status.code(),
        Some(2)
    );
    assert!(
        second.home().current_genesis().unwrap().is_none(),
        "nothing changed"
    );

    first.restart();
    let joined = second.run(&["join", "--json", &ticket_of(&first)]);
    assert!(joined.status.success(), "{}", said(&joined));
    let view = json(&joined);
    assert_eq!(view["joined"], true);
    assert!(
        view["attempts"]
            .as_array()
            .unwrap()
            .iter()
            .any(|one| one["outcome"] == "answers")
    );
}

#[test]
fn peers_have_names_can_be_pinged_and_kept_out() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let no_layers = ["--no-serve".to_owned()];
    let mut first = Node::new(BINARY, &directory.path().join("first"), &no_layers);
    first.spawn();
    first.wait_up();
    let mut second = Node::new(BINARY, &directory.path().join("second"), &no_layers);
    assert!(second.run(&["join", &ticket_of(&first)]).status.success());
    second.spawn();
    second.wait_up();
    wait_peers(&first, 1);
    let wallet = second.status().wallet;
    assert!(first.run(&["label", &wallet[..8], "anna"]).status.success());
    wait_for("the label", QUIET, || {
        let peers = json(&first.run(&["peers", "--json"]));
        let peer = &peers["peers"][0];
        if peer["label"] == "anna" && peer["direction"] == "inbound" {
            Ok(())
        } else {
            Err(peers.to_string())
        }
    });
    wait_for("the name in the books", QUIET, || {
        let page = first.run(&["ledger", "author", "anna"]);
        let page = String::from_utf8_lossy(&page.stdout).into_owned();
        match page.contains(&format!("{wallet} (anna)")) {
            true => Ok(()),
            false => Err(page),
        }
    });
    let ping = first.run(&["ping", "anna", "-n", "3", "--json"]);
    assert!(ping.status.success(), "{}", said(&ping));
    let ping = json(&ping);
    assert_eq!(ping["control_us"].as_array().unwrap().len(), 3);
    assert!(ping["data_us"].is_u64(), "{ping}");
    assert_eq!(first.run(&["ping", "bert"]).status.code(), Some(4));

    assert!(
        first
            .run(&["ban", "anna", "--reason", "a test"])
            .status
            .success()
    );
    wait_peers(&first, 0);
    let why = json(&first.run(&["peers", "--why", "--json"]));
    assert_eq!(why["banned"][0]["reason"], "a test");
    // The other side is told by whom it is not answered.
    wait_for("the reason", QUIET, || {
        let why = json(&second.run(&["peers", "--why", "--json"]));
        let unreached = why["unreached"].as_array().unwrap();
        if unreached.is_empty() {
            Err(why.to_string())
        } else {
            Ok(())
        }
    });
    first.stop();
    first.restart();
    let why = json(&first.run(&["peers", "--why", "--json"]));
    assert_eq!(
        why["banned"][0]["wallet"], wallet,
        "a ban outlives a restart"
    );
    assert!(first.run(&["unban", "anna"]).status.success());
    // The first one listens elsewhere now, so its word must come first.
    let address = second.p2p_address();
    assert!(first.run(&["bootstrap", "add", &address]).status.success());
    wait_peers(&first, 1);
    let list = json(&first.run(&["bootstrap", "ls", "--json"]));
    assert_eq!(list["addresses"][0], address);
    assert!(first.run(&["bootstrap", "rm", "udp"]).status.success());
}

#[test]
fn a_name_stands_in_pages_of_the_books_and_not_in_what_programs_read() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let no_layers = ["--no-serve".to_owned()];
    let mut node = Node::new(BINARY, &directory.path().join("founder"), &no_layers);
    node.spawn();
    node.wait_up();
    let wallet = node.status().wallet;
    let page = |arguments: &[&str]| {
        let page = node.run(arguments);
        assert!(page.status.success(), "{}", said(&page));
        String::from_utf8_lossy(&page.stdout).into_owned()
    };
    let unnamed = page(&["ledger", "genesis"]);
    assert!(unnamed.contains(&format!("founder  {wallet}, line")));
    page(&["label", &wallet, "myself"]);
    let named = page(&["ledger", "genesis"]);
    assert!(named.contains(&format!("founder  {wallet} (myself), line")));
    let whole = json(&node.run(&["ledger", "genesis", "--json"]));
    assert_eq!(whole["founders"][0]["wallet"], wallet);
    // In a pipe the id stands whole and alone.
    assert!(page(&["credits"]).starts_with(&format!("wallet     {wallet}\n")));
}

/// Whether a packet to the group of mDNS comes back on this machine.
fn has_multicast() -> bool {
    let group = Ipv4Addr::new(224, 0, 0, 251);
    let sent = || {
        let socket = UdpSocket::bind(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED)?;
        socket.set_multicast_loop_v4(true)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        let port = socket.local_addr()?.port();
        socket.send_to(b"talkoot", SocketAddrV4::new(group, port))?;
        socket.recv_from(&mut [0; 16])
    };
    sent().is_ok()
}

#[test]
fn a_network_nearby_is_found_and_joined_without_a_ticket() {
    let _alone = alone();
    if !has_multicast() {
        eprintln!("skipped: there is no multicast on this machine");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut nodes = ["first", "second"].map(|name| {
        let mut node = Node::new(BINARY, &directory.path().join(name), &[]);
        let arguments = [
            "up",
            "--no-serve",
            "--p2p-port",
            "0",
            "--data-port",
            "0",
            "--http-port",
            "0",
        ];
        node.spawn_by(node.command(&arguments));
        node.wait_up();
        node
    });
    let [first, second] = &mut nodes;
    let network = first.status().network_id;
    wait_for("the neighbour", WAIT, || {
        let near = second.status().neighbours;
        if near.iter().any(|near| near.network_id == network) {
            Ok(())
        } else {
            Err(format!("{near:?}\n{}", second.log()))
        }
    });
    let joined = second.run(&["join", "--lan", &network[..12]]);
    assert!(joined.status.success(), "{}", said(&joined));
    second.stop();
    second.restart();
    assert_eq!(second.status().network_id, network);
    wait_peers(second, 1);
    let wallet = second.status().wallet;
    let welcome = first.run(&["welcome", &wallet[..8], "--line", "3GFT"]);
    assert!(welcome.status.success(), "{}", said(&welcome));
    wait_for("the line", QUIET, || {
        let available = second.status().balance.available_ugft;
        if available == 3_000_000 {
            Ok(())
        } else {
            Err(available.to_string())
        }
    });
}
