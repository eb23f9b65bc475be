//! A stage whose owner paused lending: no new jobs of others, and the one that
//! runs goes on.

use crate::network::{Carrier, Network, Plan, recorder};
use std::time::Duration;
use talkoot::api::{AskError, ErrorCode};
use talkoot::jobs::submit::{JobReport, submit};
use tokio::sync::watch;

async fn ask(network: &Network, tokens: u32) -> Result<JobReport, AskError> {
    let (observer, _seen) = recorder(usize::MAX);
    let (_keep, cancel) = watch::channel(false);
    let ids: Vec<u32> = (1..8).collect();
    let request = network.request(&ids, tokens);
    submit(network.asker().clone(), request, observer, cancel).await
}

#[tokio::test]
async fn others_are_refused_as_busy_and_the_running_job_ends_in_order() {
    let mut plan = Plan::new(Carrier::Memory, &[0, 2, 5]);
    plan.slow = Some((0, Duration::from_millis(5)));
    let network = plan.build();
    let worker = network.nodes[1].plane.host();
    let lending = worker.served.lending().clone();
    let pause_under_way = async {
        while worker.running.load(std::sync::atomic::Ordering::Acquire) == 0 {
            tokio::task::yield_now().await;
        }
        lending.pause(Some("a secret".to_owned()), None).unwrap();
        ask(&network, 4).await.unwrap_err()
    };
    let (running, refused) = tokio::join!(ask(&network, 24), pause_under_way);
    assert_eq!(running.unwrap().completion_tokens, 24);
    assert_eq!(refused.code, ErrorCode::Busy);
    assert!(
        refused.message.contains("lending is paused here (by_hand)"),
        "{refused}"
    );
    assert!(!refused.message.contains("secret"), "{refused}");
    lending.resume().unwrap();
    assert_eq!(ask(&network, 4).await.unwrap().completion_tokens, 4);
}
