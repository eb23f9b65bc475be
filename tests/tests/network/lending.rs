//! Limits of a contributor: a pause keeps others away and the owner's own
//! questions alive, over a restart too.

use crate::{BINARY, alone};
use serde_json::Value;
use std::time::Duration;
use talkoot::api::{PeersView, RunsView};
use talkoot_tests::{Cluster, Member, WAIT, chat, wait_for};

fn json(text: &[u8]) -> Value {
    serde_json::from_slice(text).unwrap()
}

#[test]
fn a_paused_worker_leaves_the_routes_and_comes_back() {
    let _alone = alone();
    let members = [
        Member::asker(),
        Member::worker("0..8"),
        Member::worker("0..8"),
    ];
    let mut cluster = Cluster::start(BINARY, &members);
    cluster.wait_ready(0);
    let paused = cluster.nodes[1].run(&["pause", "--for", "1h", "--reason", "a film", "--json"]);
    let view = json(&paused.stdout);
    assert_eq!(view["paused"]["kind"], "by_hand");
    let told = cluster.nodes[1].status().paused.unwrap();
    assert_eq!(told.reason, "paused by its owner: a film");
    assert_eq!(told.until_ms, Some(told.since_ms + 3_600_000));
    // At once, before the asker can have heard: it finds the other worker.
    let resting = cluster.nodes[1].status().wallet;
    for _ in 0..3 {
        let answer = cluster.nodes[0]
            .ask(&chat("Tell me about an owl.", 4))
            .unwrap();
        assert!(answer.done.stages.iter().all(|stage| stage.peer != resting));
    }
    wait_for("the coverage without the one that pauses", WAIT, || {
        let coverage = cluster.nodes[0].status().models[0].coverage.clone();
        if coverage.iter().all(|count| *count == 1) {
            Ok(())
        } else {
            Err(format!("{coverage:?}"))
        }
    });
    // Its owner's own questions go on.
    let own = cluster.nodes[1]
        .ask(&chat("Tell me about a fox.", 4))
        .unwrap();
    assert!(!own.tokens.is_empty());
    let page = cluster.nodes[1].run(&["status"]);
    let page = String::from_utf8_lossy(&page.stdout).into_owned();
    assert!(page.contains("lending   paused since"), "{page}");
    cluster.nodes[1].stop();
    cluster.nodes[1].restart();
    assert!(
        cluster.nodes[1].status().paused.is_some(),
        "a restart ends no pause"
    );
    let jobs: RunsView = cluster.nodes[1].client().get("jobs").unwrap();
    assert_eq!(jobs.jobs.len(), 1, "nor what it asked: {jobs:?}");
    assert_eq!(jobs.jobs[0].state, "done");
    let shown = cluster.nodes[1].run(&["jobs", "show", &jobs.jobs[0].job[..8]]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("a token's way"));
    let resumed = cluster.nodes[1].run(&["resume"]);
    assert_eq!(String::from_utf8_lossy(&resumed.stdout), "lending\n");
    wait_for("both workers", WAIT, || {
        let coverage = cluster.nodes[0].status().models[0].coverage.clone();
        if coverage.iter().all(|count| *count == 2) {
            Ok(())
        } else {
            Err(format!("{coverage:?}"))
        }
    });
}

#[test]
fn a_share_of_the_processor_and_hours_that_are_over() {
    let _alone = alone();
    let now = talkoot::clock::now_ms();
    let minute = talkoot::clock::local_minute(now).unwrap();
    let (from, to) = ((minute + 120) % 1_440, (minute + 180) % 1_440);
    let hours = format!("{}:{:02}-{}:{:02}", from / 60, from % 60, to / 60, to % 60);
    let mut slow = Member::worker("0..8");
    // All threads, so that the whole share is kept by rests, on any machine.
    let threads = talkoot::machine::threads();
    let share = ["--max-cpu", "5%", "--threads", &threads.to_string()];
    slow.arguments.extend(share.map(str::to_owned));
    let mut shut = Member::worker("0..8");
    shut.arguments.extend(["--hours".to_owned(), hours]);
    let cluster = Cluster::start(BINARY, &[Member::asker(), slow, shut]);
    cluster.wait_ready(0);
    let paused = cluster.nodes[2].status().paused.unwrap();
    assert_eq!(paused.kind, "hours");
    let opens = paused.until_ms.unwrap().saturating_sub(now);
    assert!(
        Duration::from_millis(opens) <= Duration::from_secs(7_260),
        "{opens}"
    );
    // The one that rests answers, and says how fast it is with its rests.
    let answer = cluster.nodes[0]
        .ask(&chat("Tell me about an owl.", 8))
        .unwrap();
    let resting = cluster.nodes[1].status();
    assert_eq!(answer.done.stages[0].peer, resting.wallet);
    let served = &resting.serving[0];
    assert_eq!(served.duty_ppm, 50_000);
    // What it announces is what it measured, less its rests.
    let (measured, announced) = (served.measured_layers_per_second, served.layers_per_second);
    let expected = u64::from(measured) / 20;
    assert_eq!(u64::from(announced), expected.max(1), "{served:?}");
    let page = cluster.nodes[1].run(&["status"]);
    assert!(String::from_utf8_lossy(&page.stdout).contains("(computes 5 % of the time)"));
    let peers: PeersView = cluster.nodes[0].client().get("peers").unwrap();
    let heard = peers.peers.iter();
    let mut heard = heard.filter(|peer| peer.wallet == resting.wallet);
    assert_eq!(
        heard.next().unwrap().serving[0].layers_per_second,
        announced
    );
}
