//! Quotes: the offers an order would get, from stages that are let go again.

use crate::network::{Carrier, Plan, recorder};
use std::time::Duration;
use talkoot::api::{AskError, ErrorCode};
use talkoot::jobs::submit::{quote, submit};
use tokio::sync::watch;

/// An offer that keeps its place stands for longer than this.
const WAIT: Duration = Duration::from_secs(10);

/// Tries again until the stages have a place.
async fn placed<T, F: Future<Output = Result<T, AskError>>>(job: impl Fn() -> F) -> T {
    let tries = async {
        loop {
            match job().await {
                Ok(done) => break done,
                Err(error) if error.code == ErrorCode::Busy => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(WAIT, tries).await.unwrap()
}

#[tokio::test]
async fn a_quote_is_what_an_order_gets_and_keeps_no_place() {
    let mut plan = Plan::new(Carrier::Quic, &[0, 2, 5]);
    plan.sessions_max = 1;
    let network = plan.build();
    let ids: Vec<u32> = (1..12).collect();
    let mut nonces = Vec::new();
    for _ in 0..3 {
        let quoted = placed(|| quote(network.asker(), network.request(&ids, 16))).await;
        let offers = quoted.unwrap();
        assert_eq!(offers.len(), 2);
        for (offer, node) in offers.iter().zip(&network.nodes[1..]) {
            assert_eq!(offer.worker, node.key.wallet());
            assert_eq!(Some(offer.range), node.range);
        }
        nonces.extend(offers.iter().map(|offer| (offer.worker, offer.nonce)));
    }
    nonces.sort_unstable();
    nonces.dedup();
    assert_eq!(nonces.len(), 6, "each offer is signed once");
    assert_eq!(network.ledger.lock().unwrap().length(), 0);
    let (_keep, cancel) = watch::channel(false);
    let order = || {
        let (observer, _seen) = recorder(usize::MAX);
        let asker = network.asker().clone();
        submit(asker, network.request(&ids, 16), observer, cancel.clone())
    };
    assert_eq!(placed(order).await.completion_tokens, 16);
}

#[tokio::test]
async fn a_quote_of_own_stages_asks_nobody() {
    let network = Plan::new(Carrier::Memory, &[0, 5]).build();
    let worker = network.nodes[1].plane.clone();
    let quoted = quote(&worker, network.request(&[1, 2, 3], 8)).await;
    assert_eq!(quoted.unwrap(), None);
}
