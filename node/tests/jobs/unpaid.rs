//! A network whose genesis turns accounting off: jobs are free for anybody, and
//! nothing enters the books.

use crate::network::{Carrier, Network, Plan, recorder};
use std::net::SocketAddr;
use talkoot::data::HopLink;
use talkoot::data::quinn::QuinnLink;
use talkoot::data::wire::{ControlReader, Outbox, StreamHello, control_bytes};
use talkoot::jobs::submit::submit;
use talkoot_protocol::control::{
    ControlMessage, FailCode, JobOrder, OfferRequest, Open, SamplingParams, StageAddress,
};
use talkoot_protocol::{DType, Policy};
use tokio::sync::{mpsc, watch};

const CUTS: [u32; 3] = [0, 2, 5];

fn unpaid(carrier: Carrier) -> Network {
    let mut plan = Plan::new(carrier, &CUTS);
    plan.policy = Policy {
        accounting: false,
        ..Policy::default()
    };
    // Nothing is held, so no line and no exposure is needed.
    plan.line_ugft = 0;
    plan.exposure_ugft = 0;
    plan.build()
}

#[tokio::test]
async fn stages_of_strangers_work_for_nothing_and_give_the_same_answer() {
    let paid = Plan::new(Carrier::Memory, &CUTS).build();
    let free = unpaid(Carrier::Memory);
    let mut answers = Vec::new();
    for (network, is_reserved) in [(&paid, true), (&free, false)] {
        let (observer, seen) = recorder(usize::MAX);
        let (_keep, cancel) = watch::channel(false);
        let ids: Vec<u32> = (1..20).collect();
        let asker = network.asker().clone();
        let report = submit(asker, network.request(&ids, 24), observer, cancel)
            .await
            .unwrap();
        assert_eq!(report.reserved, is_reserved);
        assert_eq!(report.completion_tokens, 24);
        let seen = seen.lock().unwrap();
        assert_eq!(seen.held_ugft > 0, is_reserved);
        answers.push(seen.ids());
    }
    assert_eq!(answers[0], answers[1]);
    assert!(paid.ledger.lock().unwrap().length() > 0);
    assert_eq!(free.ledger.lock().unwrap().length(), 0);
    for (network, is_kept) in [(&paid, true), (&free, false)] {
        let [asker, worker] = [0, 1].map(|index| &network.nodes[index].books);
        assert_eq!(!asker.acks_sent.lock().unwrap().is_empty(), is_kept);
        assert_eq!(!worker.acks_held.lock().unwrap().is_empty(), is_kept);
    }
}

#[tokio::test]
async fn offers_and_reservations_are_refused() {
    let network = unpaid(Carrier::Quic);
    let (accept, _incoming) = mpsc::channel(8);
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let link = QuinnLink::bind(&network.nodes[0].key, network.genesis.id(), any, accept).unwrap();
    let worker = &network.nodes[1];
    let (wallet, range) = (worker.key.wallet(), worker.range.unwrap());
    let stream = link.open(wallet, worker.plane.addresses()).await.unwrap();
    let mut control = Outbox::new(stream.writer);
    let mut reader = ControlReader::new(stream.reader);
    control.push(StreamHello::Control.to_bytes());
    let request = OfferRequest {
        model: network.card.id(),
        range,
        prompt_tokens: 4,
        completion_tokens_max: 4,
        hidden_dtype: DType::F32,
    };
    let stage = |node: &crate::network::Node| StageAddress {
        wallet: node.key.wallet(),
        range: node.range.unwrap(),
        addresses: Vec::new(),
    };
    let open = Open {
        order: JobOrder::Reserved(Vec::new()),
        model: network.card.id(),
        epoch: 0,
        stages: network.nodes[1..].iter().map(stage).collect(),
        index: 0,
        submitter_addresses: Vec::new(),
        hidden_dtype: DType::F32,
        sampling: SamplingParams::default(),
        prompt_ids: Vec::new(),
        stop_ids: Vec::new(),
        prompt_tokens: 4,
        completion_tokens_max: 4,
        request_id: String::new(),
    };
    for message in [
        ControlMessage::OfferRequest(request),
        ControlMessage::Open(Box::new(open)),
    ] {
        control.push(control_bytes(&message));
        control.flush().await.unwrap();
        match reader.next().await.unwrap() {
            ControlMessage::Refused { code, reason } => {
                assert_eq!(code, FailCode::Order);
                assert!(reason.contains("accounting is off"), "{reason}");
            }
            other => panic!("{other:?}"),
        }
    }
}
