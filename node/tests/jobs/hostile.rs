//! Bad bytes over the real wire: each gets a typed error and a mark, and the
//! node goes on. The hostile side speaks through a real endpoint of its own.

use crate::books::SharedBooks;
use crate::network::{Carrier, Network, Plan, recorder};
use std::net::SocketAddr;
use std::time::Duration;
use talkoot::core::job::Deadlines;
use talkoot::data::quinn::QuinnLink;
use talkoot::data::wire::{
    ControlReader, FrameReader, Outbox, SUBMITTER, StreamHello, StreamKey, control_bytes,
};
use talkoot::data::{Duplex, HopLink};
use talkoot::jobs::ledger::JobLedger;
use talkoot::jobs::submit::submit;
use talkoot_ledger::kinds::Reserve;
use talkoot_protocol::control::{
    ControlMessage, FailCode, FreeJob, JobOrder, OfferRequest, Open, SamplingParams, StageAddress,
};
use talkoot_protocol::frame::{Frame, FrameHeader, FrameKind, StageTime};
use talkoot_protocol::{
    Ack, Attestation, DType, Hash, JobId, Keypair, LayerRange, NetworkId, Offer, Signed, Verified,
    Wallet,
};
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};

const PROMPT: u32 = 10;
const WAIT: Duration = Duration::from_secs(10);

/// A peer that knows the protocol and breaks it.
struct Rogue {
    key: Keypair,
    network: NetworkId,
    books: SharedBooks,
    link: QuinnLink,
    incoming: mpsc::Receiver<Duplex>,
    target: usize,
    wallet: Wallet,
    address: SocketAddr,
    /// What its reservations say.
    deadline_ms: u64,
}

/// A job of the rogue, open at the target.
struct Job {
    id: JobId,
    entry: Vec<u8>,
    stages: Vec<StageAddress>,
    index: u16,
    reader: ControlReader,
    control: Outbox,
}

impl Rogue {
    /// The rogue has the first node's key; it talks to the last node.
    fn new(network: &Network) -> Self {
        let key = network.nodes[0].key.clone();
        Self::with(network, key, network.genesis.id())
    }

    fn with(network: &Network, key: Keypair, id: NetworkId) -> Self {
        let target = network.nodes.len() - 1;
        let (accept, incoming) = mpsc::channel(64);
        let any = "127.0.0.1:0".parse().unwrap();
        Self {
            link: QuinnLink::bind(&key, id, any, accept).unwrap(),
            books: SharedBooks::new(&network.ledger, &key),
            key,
            network: network.genesis.id(),
            incoming,
            target,
            wallet: network.wallet(target),
            address: network.nodes[target].plane.addresses()[0],
            deadline_ms: u64::MAX,
        }
    }

    async fn stream(&self) -> Duplex {
        let stream = self.link.open(self.wallet, vec![self.address]).await;
        stream.unwrap()
    }

    /// Sends raw bytes on a new stream and waits until the other side ends it.
    async fn send_raw(&self, bytes: &[u8]) {
        let mut stream = self.stream().await;
        stream.writer.write_all(bytes).await.unwrap();
        stream.writer.flush().await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut stream.reader, &mut rest);
        // A reset is an end too.
        drop(tokio::time::timeout(WAIT, read).await.unwrap());
    }

    async fn control(&self) -> (ControlReader, Outbox) {
        let stream = self.stream().await;
        let mut control = Outbox::new(stream.writer);
        control.push(StreamHello::Control.to_bytes());
        (ControlReader::new(stream.reader), control)
    }

    fn own_offer(&self, template: &Offer, range: LayerRange, share_kflop: u64) -> Signed<Offer> {
        let offer = Offer {
            worker: self.key.wallet(),
            range,
            share_kflop,
            ..template.clone()
        };
        Verified::sign(offer, &self.key, self.network)
            .unwrap()
            .into()
    }

    /// Opens a proper job.
    async fn open(&self, network: &Network) -> Job {
        let mut job = self.order(network).await;
        let open = self.open_message(network, &job);
        assert_eq!(job.ask(&open).await, ControlMessage::Opened);
        job
    }

    /// Orders a job. Where the target does not hold all layers, the rogue
    /// itself is the stage before.
    async fn order(&self, network: &Network) -> Job {
        let (mut reader, mut control) = self.control().await;
        let range = network.nodes[self.target].range.unwrap();
        let is_previous = !range.is_first();
        control.push(control_bytes(&ControlMessage::OfferRequest(OfferRequest {
            model: network.card.id(),
            range,
            prompt_tokens: PROMPT,
            completion_tokens_max: 100,
            hidden_dtype: DType::F32,
        })));
        control.flush().await.unwrap();
        let ControlMessage::Offer(offer) = reader.next().await.unwrap() else {
            panic!("no offer");
        };
        let address = |wallet: Wallet, range: LayerRange, at: SocketAddr| StageAddress {
            wallet,
            range,
            addresses: vec![at.to_string()],
        };
        let here = self.link.local_addr().unwrap();
        let mut stages = vec![address(self.wallet, range, self.address)];
        let mut offers = vec![offer.clone()];
        if is_previous {
            let before = LayerRange::new(0, range.start()).unwrap();
            let share = network.card.shape.flops_per_token(before).unwrap() / 1000;
            stages.insert(0, address(self.key.wallet(), before, here));
            offers.insert(0, self.own_offer(offer.claimed(), before, share));
        }
        let reserved = self
            .books
            .reserve(Reserve {
                model: network.card.id(),
                layers: network.card.shape.layers,
                prompt_tokens: PROMPT,
                completion_tokens_max: 100,
                price_ugft_per_token: offer.claimed().price_ugft_per_token,
                deadline_ms: self.deadline_ms,
                continues: None,
                offers,
            })
            .await
            .unwrap();
        Job {
            id: reserved.job,
            entry: reserved.entry,
            index: u16::from(is_previous),
            stages,
            reader,
            control,
        }
    }

    fn open_message(&self, network: &Network, job: &Job) -> ControlMessage {
        ControlMessage::Open(Box::new(Open {
            order: JobOrder::Reserved(job.entry.clone()),
            model: network.card.id(),
            epoch: 0,
            stages: job.stages.clone(),
            index: job.index,
            submitter_addresses: vec![self.link.local_addr().unwrap().to_string()],
            hidden_dtype: DType::F32,
            sampling: SamplingParams::default(),
            prompt_ids: (1..=PROMPT).collect(),
            stop_ids: Vec::new(),
            prompt_tokens: PROMPT,
            completion_tokens_max: 100,
            request_id: String::new(),
        }))
    }

    async fn data(&self, job: &Job) -> Outbox {
        let stream = self.stream().await;
        let mut data = Outbox::new(stream.writer);
        let from = job.index.checked_sub(1).unwrap_or(SUBMITTER);
        data.push(
            StreamHello::Data(StreamKey {
                job: job.id,
                epoch: 0,
                from,
                to: job.index,
            })
            .to_bytes(),
        );
        data
    }

    /// The attestation of the beginning.
    async fn attestation(&mut self) -> Verified<Attestation> {
        let mut stream = self.tokens().await;
        let frame = stream.next(|_| Ok::<(), ()>(())).await.unwrap();
        Verified::from_bytes(&frame.payload, self.network).unwrap()
    }

    /// The stream on which the last stage sends tokens to us.
    async fn tokens(&mut self) -> FrameReader {
        loop {
            let mut stream = self.incoming.recv().await.unwrap();
            let hello = StreamHello::read(&mut stream.reader).await.unwrap();
            if matches!(hello, StreamHello::Data(key) if key.to == SUBMITTER) {
                return FrameReader::new(stream.reader);
            }
        }
    }
}

impl Job {
    async fn ask(&mut self, message: &ControlMessage) -> ControlMessage {
        self.control.push(control_bytes(message));
        self.control.flush().await.unwrap();
        self.next().await
    }

    async fn next(&mut self) -> ControlMessage {
        let next = tokio::time::timeout(WAIT, self.reader.next());
        next.await.unwrap().unwrap()
    }

    fn prompt(&self) -> Frame {
        let payload: Vec<u8> = (1..=PROMPT).flat_map(u32::to_le_bytes).collect();
        Frame {
            header: FrameHeader {
                kind: FrameKind::Prompt,
                dtype: DType::F32,
                job: self.id,
                epoch: 0,
                position: 0,
                rows: PROMPT,
                times: 0,
                length: u32::try_from(payload.len()).unwrap(),
            },
            times: Vec::new(),
            payload,
        }
    }

    fn hidden(&self) -> Frame {
        let payload = vec![0; PROMPT as usize * 64 * 4];
        let mut frame = self.prompt();
        frame.header.kind = FrameKind::Hidden;
        frame.header.times = 1;
        frame.header.length = u32::try_from(payload.len()).unwrap();
        frame.times = vec![StageTime::default()];
        frame.payload = payload;
        frame
    }
}

fn failed(message: &ControlMessage) -> (u16, FailCode, &str) {
    match message {
        ControlMessage::Fail {
            stage,
            code,
            reason,
            ..
        } => (*stage, *code, reason),
        other => panic!("{other:?}"),
    }
}

async fn marked(network: &Network, at_least: u32) {
    let marks = network.nodes.last().unwrap().plane.marks();
    for _ in 0..500 {
        if marks.of(network.wallet(0)).count >= at_least {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no mark");
}

/// The nodes still do an honest job.
async fn goes_on(network: &Network) {
    let (observer, seen) = recorder(usize::MAX);
    let (_keep, cancel) = watch::channel(false);
    let request = network.request(&[1, 2, 3], 5);
    submit(network.asker().clone(), request, observer, cancel)
        .await
        .unwrap();
    assert_eq!(seen.lock().unwrap().tokens.len(), 5);
}

type SpoilAck = fn(&mut Ack);
type Spoil = (&'static str, fn(&mut Frame));

async fn each_is_refused(cuts: &[u32], spoils: &[Spoil]) {
    let network = Plan::new(Carrier::Quic, cuts).build();
    let rogue = Rogue::new(&network);
    for (count, (expected, spoil)) in (1..).zip(spoils) {
        let mut job = rogue.open(&network).await;
        let mut frame = if job.index == 0 {
            job.prompt()
        } else {
            job.hidden()
        };
        spoil(&mut frame);
        let mut data = rogue.data(&job).await;
        data.push(frame.to_bytes());
        data.flush().await.unwrap();
        let answer = job.next().await;
        let (stage, code, reason) = failed(&answer);
        assert_eq!(code, FailCode::Protocol, "{expected}");
        assert!(reason.contains(expected), "{reason} is not {expected}");
        assert_eq!(stage, 0, "who sent it is named");
        marked(&network, count).await;
    }
    goes_on(&network).await;
}

#[tokio::test]
async fn bad_prompt_frames_are_refused_and_named() {
    each_is_refused(
        &[0, 5],
        &[
            ("a frame of job", |f| {
                f.header.job = JobId(Hash::of_blob(b"x"))
            }),
            ("a frame of epoch 7", |f| f.header.epoch = 7),
            ("a Hidden frame from the submitter", |f| {
                f.header.kind = FrameKind::Hidden
            }),
            ("frame rows", |f| f.header.rows = 0),
            ("frame length", |f| f.header.length = u32::MAX),
            ("50 rows at position 0", |f| f.header.rows = 50),
            ("payload bytes where 40", |f| f.header.length = 41),
            ("position 1 where 0 comes next", |f| {
                f.header.position = 1;
                f.header.rows = 9;
                f.header.length = 36;
            }),
            ("not in the vocabulary", |f| f.payload[3] = 9),
            ("hidden states in bf16", |f| f.header.dtype = DType::Bf16),
            ("1 stage times", |f| {
                f.header.times = 1;
                f.times = vec![StageTime::default()];
            }),
        ],
    )
    .await;
}

#[tokio::test]
async fn bad_hidden_frames_are_refused_and_named() {
    each_is_refused(
        &[0, 2, 5],
        &[
            ("hidden states in bf16, the job uses f32", |f| {
                f.header.dtype = DType::Bf16
            }),
            ("payload bytes where 2560", |f| f.header.length = 2564),
            ("payload bytes where 2560", |f| f.header.length = 32 << 20),
            ("a Token frame from the previous stage", |f| {
                f.header.kind = FrameKind::Token
            }),
            ("a frame of epoch 1", |f| f.header.epoch = 1),
            ("position 200 is beyond", |f| f.header.position = 200),
            ("0 stage times", |f| {
                f.header.times = 0;
                f.times.clear();
            }),
        ],
    )
    .await;
}

#[tokio::test]
async fn streams_of_rubbish_are_marked_and_ended() {
    let network = Plan::new(Carrier::Quic, &[0, 5]).build();
    let rogue = Rogue::new(&network);
    let control = |body: &[u8]| {
        let mut bytes = StreamHello::Control.to_bytes();
        bytes.extend_from_slice(&u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(body);
        bytes
    };
    // A kind of stream that does not exist.
    rogue.send_raw(&[9]).await;
    marked(&network, 1).await;
    // A length above the limit, with nothing behind it.
    let mut huge = StreamHello::Control.to_bytes();
    huge.extend_from_slice(&u32::MAX.to_le_bytes());
    rogue.send_raw(&huge).await;
    marked(&network, 2).await;
    // Bytes that are no message, and a message with a rest.
    rogue.send_raw(&control(&[255; 40])).await;
    marked(&network, 3).await;
    let mut trailing = ControlMessage::Cancel.to_bytes();
    trailing.push(0);
    rogue.send_raw(&control(&trailing)).await;
    marked(&network, 4).await;
    // A message that belongs into a job.
    let (mut reader, mut outbox) = rogue.control().await;
    outbox.push(control_bytes(&ControlMessage::Cancel));
    outbox.flush().await.unwrap();
    let answer = reader.next().await.unwrap();
    assert!(matches!(
        answer,
        ControlMessage::Refused {
            code: FailCode::Protocol,
            ..
        }
    ));
    marked(&network, 5).await;
    goes_on(&network).await;
}

#[tokio::test]
async fn another_network_does_not_pass_the_handshake() {
    let network = Plan::new(Carrier::Quic, &[0, 5]).build();
    let other = NetworkId(Hash::of_blob(b"another network"));
    let rogue = Rogue::with(&network, Keypair::from_seed(&[77; 32]), other);
    let refused = rogue.link.open(rogue.wallet, vec![rogue.address]).await;
    assert!(refused.is_err());
    // And nobody can pass for another wallet.
    let rogue = Rogue::new(&network);
    let stranger = Keypair::from_seed(&[78; 32]).wallet();
    let refused = rogue.link.open(stranger, vec![rogue.address]).await;
    assert!(refused.is_err());
    goes_on(&network).await;
}

#[tokio::test]
async fn an_order_opens_once_and_only_for_its_submitter() {
    let network = Plan::new(Carrier::Quic, &[0, 5]).build();
    let rogue = Rogue::new(&network);
    let job = rogue.open(&network).await;
    let refused = |answer: ControlMessage, expected: &str| match answer {
        ControlMessage::Refused { code, reason } => {
            assert_eq!(code, FailCode::Order);
            assert!(reason.contains(expected), "{reason}");
        }
        other => panic!("{other:?}"),
    };
    let again = |reader, control| Job {
        id: job.id,
        entry: job.entry.clone(),
        stages: job.stages.clone(),
        index: job.index,
        reader,
        control,
    };
    let open = rogue.open_message(&network, &job);
    let (reader, control) = rogue.control().await;
    let answer = again(reader, control).ask(&open).await;
    refused(answer, "our offer has ended or is used");
    let thief = Rogue::with(&network, network.nodes[1].key.clone(), network.genesis.id());
    let (reader, control) = thief.control().await;
    refused(again(reader, control).ask(&open).await, "another wallet's");
    // Free jobs are for the own wallet.
    let free = FreeJob {
        submitter: rogue.key.wallet(),
        nonce: 1,
        model: network.card.id(),
        layers: 5,
        prompt_tokens: PROMPT,
        completion_tokens_max: 100,
        issued_ms: talkoot::clock::now_ms(),
    };
    let free = Verified::sign(free, &rogue.key, rogue.network).unwrap();
    let ControlMessage::Open(mut message) = open else {
        panic!()
    };
    message.order = JobOrder::Free(free.into());
    let (reader, control) = rogue.control().await;
    let answer = again(reader, control)
        .ask(&ControlMessage::Open(message))
        .await;
    refused(answer, "a free job is one whose stages");
    goes_on(&network).await;
}

#[tokio::test]
async fn a_reserve_that_is_nearly_over_is_refused() {
    let network = Plan::new(Carrier::Quic, &[0, 5]).build();
    let mut rogue = Rogue::new(&network);
    rogue.deadline_ms = talkoot::clock::now_ms() + 1_000;
    let mut job = rogue.order(&network).await;
    let open = rogue.open_message(&network, &job);
    let ControlMessage::Refused { code, reason } = job.ask(&open).await else {
        panic!("not refused")
    };
    assert_eq!(code, FailCode::Order);
    assert!(reason.contains("deadline is too near"), "{reason}");
    goes_on(&network).await;
}

#[tokio::test]
async fn false_acknowledgements_end_the_job() {
    let network = Plan::new(Carrier::Quic, &[0, 5]).build();
    let mut rogue = Rogue::new(&network);
    let spoils: [(&str, SpoilAck); 3] = [
        ("above its attestation", |ack| ack.completion_done = 50),
        ("of another job", |ack| ack.job = JobId(Hash::ZERO)),
        ("of another attestation", |ack| ack.attestation = Hash::ZERO),
    ];
    for (expected, spoil) in spoils {
        let mut job = rogue.open(&network).await;
        let attestation = rogue.attestation().await;
        let mut ack = Ack {
            submitter: rogue.key.wallet(),
            job: job.id,
            attestation: attestation.id(),
            prompt_done: 0,
            completion_done: 0,
            is_final: false,
        };
        spoil(&mut ack);
        let ack = Verified::sign(ack, &rogue.key, rogue.network).unwrap();
        let message = ControlMessage::Ack {
            attestation: attestation.into(),
            ack: ack.into(),
        };
        let answer = job.ask(&message).await;
        assert!(failed(&answer).2.contains(expected), "{answer:?}");
    }
    goes_on(&network).await;
}

#[tokio::test]
async fn a_repeated_frame_has_no_effect_and_a_silent_submitter_gets_the_window() {
    let mut plan = Plan::new(Carrier::Quic, &[0, 5]);
    plan.deadlines = Deadlines {
        ack_us: 700_000,
        ..Deadlines::default()
    };
    let network = plan.build();
    let mut rogue = Rogue::new(&network);
    let mut job = rogue.open(&network).await;
    let mut data = rogue.data(&job).await;
    data.push(job.prompt().to_bytes());
    data.push(job.prompt().to_bytes());
    data.flush().await.unwrap();
    let mut stream = rogue.tokens().await;
    let (mut tokens, mut attested) = (0, 0);
    let read = async {
        while let Ok(frame) = stream.next(|_| Ok::<(), ()>(())).await {
            match frame.header.kind {
                FrameKind::Token => tokens += 1,
                _ => {
                    let seen = Attestation::clone(
                        &Verified::from_bytes(&frame.payload, rogue.network).unwrap(),
                    );
                    assert_eq!(seen.number, attested);
                    attested += 1;
                }
            }
        }
    };
    let (answer, ()) = tokio::time::timeout(WAIT, async { tokio::join!(job.next(), read) })
        .await
        .unwrap();
    assert_eq!(failed(&answer).1, FailCode::Unacknowledged);
    assert_eq!(tokens, network.genesis.policy.window_tokens);
    goes_on(&network).await;
}

#[tokio::test]
async fn a_data_stream_from_a_stranger_is_marked() {
    let network = Plan::new(Carrier::Quic, &[0, 5]).build();
    let owner = Rogue::with(&network, network.nodes[1].key.clone(), network.genesis.id());
    let rogue = Rogue::new(&network);
    let job = rogue.open(&network).await;
    let mut stolen = owner.data(&job).await;
    stolen.flush().await.unwrap();
    let marks = network.nodes[1].plane.marks();
    let thief = owner.key.wallet();
    for _ in 0..500 {
        if marks.of(thief).count > 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(marks.of(thief).last.contains("names another peer"));
    goes_on(&network).await;
}
