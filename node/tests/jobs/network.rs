//! A few nodes in one process: an asker without layers and stages of a model.

use crate::books::{Shared, SharedBooks, shared};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use talkoot::context::{LendingLimits, ServedModel, ServedModels};
use talkoot::core::job::Deadlines;
use talkoot::core::lending::Duty;
use talkoot::data::DataPlane;
use talkoot::data::memory::MemoryNetwork;
use talkoot::data::plane::PlaneParts;
use talkoot::jobs::engine::{Engine, EngineError, SessionSpec, ShardEngine};
use talkoot::jobs::submit::{JobObserver, JobRequest, RouteStage, TokenEvent};
use talkoot::jobs::worker::WorkerHandle;
use talkoot_inference::kernels::PackedFormat;
use talkoot_inference::{Checkpoint, Shard, ShardOptions};
use talkoot_protocol::control::SamplingParams;
use talkoot_protocol::frame::TokenScore;
use talkoot_protocol::{
    DType, Founder, Genesis, JobId, Keypair, LayerRange, ModelCard, Policy, Wallet,
};

/// What carries the streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Carrier {
    Memory,
    Quic,
}

/// One node.
pub(crate) struct Node {
    pub(crate) key: Keypair,
    pub(crate) plane: DataPlane,
    pub(crate) books: SharedBooks,
    pub(crate) range: Option<LayerRange>,
}

/// The nodes; the first is the asker.
pub(crate) struct Network {
    pub(crate) nodes: Vec<Node>,
    pub(crate) ledger: Shared,
    pub(crate) card: ModelCard,
    pub(crate) genesis: Genesis,
}

pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../inference/tests/fixtures")
        .join(name)
}

pub(crate) fn checkpoint() -> Checkpoint {
    Checkpoint::open(&fixture("stories260k")).unwrap()
}

/// The same, packed.
pub(crate) fn checkpoint_as(format: Option<PackedFormat>) -> Checkpoint {
    match format {
        Some(format) => checkpoint().packed_as(format),
        None => checkpoint(),
    }
}

pub(crate) fn ranges(cuts: &[u32]) -> Vec<LayerRange> {
    cuts.windows(2)
        .map(|pair| LayerRange::new(pair[0], pair[1]).unwrap())
        .collect()
}

/// How a network of nodes is built.
pub(crate) struct Plan {
    pub(crate) carrier: Carrier,
    pub(crate) cuts: Vec<u32>,
    pub(crate) policy: Policy,
    pub(crate) deadlines: Deadlines,
    pub(crate) sessions_max: usize,
    pub(crate) line_ugft: u64,
    pub(crate) exposure_ugft: u64,
    /// A pause before each step of one stage, for tests that need time.
    pub(crate) slow: Option<(usize, Duration)>,
    /// What the weights are packed to.
    pub(crate) format: Option<PackedFormat>,
}

impl Plan {
    pub(crate) fn new(carrier: Carrier, cuts: &[u32]) -> Self {
        Self {
            carrier,
            cuts: cuts.to_vec(),
            policy: Policy::default(),
            deadlines: Deadlines::default(),
            sessions_max: 16,
            line_ugft: 1_000_000_000,
            exposure_ugft: u64::MAX,
            slow: None,
            format: None,
        }
    }

    pub(crate) fn build(self) -> Network {
        let checkpoint = checkpoint_as(self.format);
        let card = checkpoint.card("stories").unwrap();
        let keys: Vec<Keypair> = (1..=u8::try_from(self.cuts.len()).unwrap())
            .map(|seed| Keypair::from_seed(&[seed; 32]))
            .collect();
        let founders = keys
            .iter()
            .map(|key| Founder {
                wallet: key.wallet(),
                line_ugft: self.line_ugft,
            })
            .collect();
        let genesis = Genesis::new("test", 1, self.policy.clone(), founders).unwrap();
        let ledger = shared(&genesis);
        let memory = MemoryNetwork::default();
        let mut nodes = Vec::new();
        let held = std::iter::once(None).chain(ranges(&self.cuts).into_iter().map(Some));
        for (index, (key, range)) in keys.into_iter().zip(held).enumerate() {
            let served = ServedModels::default();
            if let Some(range) = range {
                let slow = self
                    .slow
                    .filter(|slow| slow.0 + 1 == index)
                    .map(|slow| slow.1);
                served.insert(self.serve(&checkpoint, &card, range, slow));
            }
            let books = SharedBooks::new(&ledger, &key);
            let parts = PlaneParts {
                key: key.clone(),
                genesis: genesis.clone(),
                served,
                limits: LendingLimits {
                    sessions_max: self.sessions_max,
                    memory_bytes: 1 << 30,
                    threads: 1,
                    exposure_ugft: self.exposure_ugft,
                },
                ledger: Arc::new(books.clone()),
                deadlines: self.deadlines,
            };
            let plane = match self.carrier {
                Carrier::Memory => DataPlane::over_memory(parts, &memory).unwrap(),
                Carrier::Quic => {
                    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
                    DataPlane::over_quinn(parts, any).unwrap()
                }
            };
            nodes.push(Node {
                key,
                plane,
                books,
                range,
            });
        }
        Network {
            nodes,
            ledger,
            card,
            genesis,
        }
    }

    fn serve(
        &self,
        checkpoint: &Checkpoint,
        card: &ModelCard,
        range: LayerRange,
        slow: Option<Duration>,
    ) -> ServedModel {
        let shard = Shard::load(checkpoint, range, &ShardOptions::default()).unwrap();
        let arithmetic = shard.arithmetic();
        let shard_bytes = shard.weight_bytes();
        let worker = WorkerHandle::start("test", self.sessions_max, move || Slowed {
            engine: ShardEngine::new(shard),
            pause: slow,
        })
        .unwrap();
        ServedModel {
            card: card.clone(),
            asker: Arc::new(checkpoint.asker().unwrap()),
            id: card.id(),
            range,
            arithmetic,
            shard_bytes,
            session_bytes: Arc::default(),
            session_bytes_max: ShardOptions::default().session_bytes_max,
            measured_layers_per_second: 1000,
            duty: Duty::FULL,
            worker,
        }
    }
}

/// An engine that takes its time.
struct Slowed {
    engine: ShardEngine,
    pause: Option<Duration>,
}

impl Engine for Slowed {
    fn open(&mut self, session: u64, spec: SessionSpec) -> Result<(), EngineError> {
        self.engine.open(session, spec)
    }

    fn close(&mut self, session: u64) {
        self.engine.close(session);
    }

    fn step(
        &mut self,
        batch: &[(u64, talkoot::core::stage::Work)],
    ) -> Vec<Result<talkoot::core::stage::Computed, EngineError>> {
        if let Some(pause) = self.pause {
            std::thread::sleep(pause);
        }
        self.engine.step(batch)
    }
}

impl Network {
    pub(crate) fn asker(&self) -> &DataPlane {
        &self.nodes[0].plane
    }

    pub(crate) fn wallet(&self, index: usize) -> Wallet {
        self.nodes[index].key.wallet()
    }

    /// A greedy job of this prompt through all stages.
    pub(crate) fn request(&self, prompt_ids: &[u32], completion_tokens_max: u32) -> JobRequest {
        let stage = |node: &Node| {
            node.range.map(|range| RouteStage {
                wallet: node.key.wallet(),
                range,
                addresses: node.plane.addresses(),
            })
        };
        JobRequest {
            card: self.card.clone(),
            route: self.nodes.iter().filter_map(stage).collect(),
            prompt_ids: prompt_ids.to_vec(),
            completion_tokens_max,
            sampling: SamplingParams::default(),
            stop_ids: Vec::new(),
            hidden_dtype: DType::F32,
            request_id: "test-1".to_owned(),
        }
    }
}

/// What an observer saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) job: Option<JobId>,
    pub(crate) held_ugft: u128,
    pub(crate) tokens: Vec<TokenEvent>,
    pub(crate) scores: Vec<TokenScore>,
}

impl Seen {
    pub(crate) fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|event| event.token).collect()
    }
}

/// Writes down all and stops after some tokens.
pub(crate) struct Recorder {
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) stop_after: usize,
}

pub(crate) fn recorder(stop_after: usize) -> (Box<Recorder>, Arc<Mutex<Seen>>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let recorder = Recorder {
        seen: Arc::clone(&seen),
        stop_after,
    };
    (Box::new(recorder), seen)
}

impl JobObserver for Recorder {
    fn opened(&mut self, job: JobId, held_ugft: u128) {
        let mut seen = self.seen.lock().unwrap();
        seen.job = Some(job);
        seen.held_ugft = held_ugft;
    }

    fn scores(&mut self, scores: &[TokenScore]) {
        let mut seen = self.seen.lock().unwrap();
        assert!(seen.tokens.is_empty(), "scores come before tokens");
        seen.scores.extend_from_slice(scores);
    }

    fn token(&mut self, event: &TokenEvent) -> ControlFlow<()> {
        let mut seen = self.seen.lock().unwrap();
        seen.tokens.push(event.clone());
        if seen.tokens.len() >= self.stop_after {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
