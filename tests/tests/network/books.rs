//! Many jobs at once, and a node that lost everything but its seed.

use crate::{BINARY, alone};
use talkoot_protocol::Genesis;
use talkoot_tests::{Cluster, Member, chat};

const ANIMALS: [&str; 10] = [
    "fox", "bear", "owl", "cat", "dog", "rabbit", "mouse", "frog", "duck", "wolf",
];

#[test]
fn twenty_jobs_from_two_askers_leave_equal_books_and_a_wiped_node_catches_up() {
    let _alone = alone();
    let workers = ["0..2", "2..4", "4..6", "6..8"].map(Member::worker);
    let members = [vec![Member::asker(), Member::asker()], workers.to_vec()].concat();
    let mut cluster = Cluster::start(BINARY, &members);
    cluster.wait_ready(0);
    cluster.wait_ready(1);
    let nodes = &cluster.nodes;
    std::thread::scope(|scope| {
        for asker in &nodes[..2] {
            for animal in ANIMALS {
                scope.spawn(move || {
                    let request = chat(
                        &format!("Tell me a story about a {animal} who lost a drum."),
                        24,
                    );
                    let answer = asker
                        .ask(&request)
                        .unwrap_or_else(|failed| panic!("{}", failed.error));
                    assert!(answer.done.completion_tokens > 0);
                    assert_eq!(
                        answer.done.burned_ugft,
                        answer.done.commons_ugft
                            + answer
                                .done
                                .stages
                                .iter()
                                .map(|stage| stage.earned_ugft)
                                .sum::<u64>()
                    );
                });
            }
        }
    });
    let everyone = [0, 1, 2, 3, 4, 5];
    let chain = cluster.wait_equal(&everyone);
    assert!(
        chain.length >= 20 * 5,
        "twenty reserves and eighty frontiers at least, not {}",
        chain.length
    );
    for node in &cluster.nodes {
        assert_eq!(node.balances().sum_ugft, 0);
        let verified = node.run(&["ledger", "verify", "--full", "--json"]);
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stderr)
        );
    }
    wipe_and_return(&mut cluster, 5);
    let after = cluster.wait_equal(&everyone);
    assert!(after.length >= chain.length);
    let entries = cluster.nodes[5].entries();
    let own = cluster.nodes[5].status().wallet;
    let mut numbers: Vec<u64> = entries
        .entries
        .iter()
        .filter(|entry| entry.author == own)
        .map(|entry| entry.seq)
        .collect();
    let signed = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(
        numbers.len(),
        signed,
        "no number of the wiped node's log was used twice"
    );
}

/// Kills a node, removes its ledger but not its seed, and starts it again.
fn wipe_and_return(cluster: &mut Cluster, index: usize) {
    let genesis: Genesis = cluster.nodes[index]
        .home()
        .current_genesis()
        .unwrap()
        .unwrap();
    let node = &mut cluster.nodes[index];
    node.kill();
    let ledger = node.home().network_dir(genesis.id());
    for entry in std::fs::read_dir(&ledger).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name == "genesis.bin") {
            continue;
        }
        if path.is_dir() {
            std::fs::remove_dir_all(path).unwrap()
        } else {
            std::fs::remove_file(path).unwrap()
        }
    }
    node.restart();
}
