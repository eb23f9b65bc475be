//! What every part of a running node shares: who we are, which network, the
//! books, what we serve.

use crate::books::BooksHandle;
use crate::core::lending::Duty;
use crate::lending::Lending;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, RwLock};
use talkoot_inference::AskerModel;
use talkoot_protocol::announce::Served;
use talkoot_protocol::{
    ArithmeticId, Genesis, Hash, Keypair, LayerRange, ModelCard, ModelId, NetworkId, Wallet,
};

/// Shared by all tasks of a node; cheap to clone behind an `Arc`.
#[derive(Debug)]
pub struct NodeContext {
    /// The founding document of the network.
    pub genesis: Genesis,
    /// Its id.
    pub network: NetworkId,
    /// Our key.
    pub key: Keypair,
    /// The ledger thread.
    pub books: BooksHandle,
    /// What this node serves.
    pub served: ServedModels,
    /// Where our data plane answers; set once the endpoint is bound.
    pub data_addresses: RwLock<Vec<SocketAddr>>,
    /// Limits set by the owner.
    pub limits: LendingLimits,
}

impl NodeContext {
    /// Our wallet.
    #[must_use]
    pub fn wallet(&self) -> Wallet {
        self.key.wallet()
    }
}

/// What the owner allows.
#[derive(Debug, Clone)]
pub struct LendingLimits {
    /// Sessions open at the same time.
    pub sessions_max: usize,
    /// Memory lent for weights and sessions, bytes.
    pub memory_bytes: u64,
    /// Threads that compute a step together.
    pub threads: usize,
    /// Holds of unconfirmed reservations of one submitter that we work for, µGFT.
    pub exposure_ugft: u64,
}

/// One model of which this node serves a range.
#[derive(Debug, Clone)]
pub struct ServedModel {
    /// Its card.
    pub card: ModelCard,
    /// Its id.
    pub id: ModelId,
    /// Its tokenizer, for grammars.
    pub asker: Arc<AskerModel>,
    /// The layers held.
    pub range: LayerRange,
    /// How they are computed.
    pub arithmetic: ArithmeticId,
    /// Bytes of the weights in memory.
    pub shard_bytes: u64,
    /// Bytes of the caches of open sessions, as the worker last counted them.
    pub session_bytes: Arc<AtomicU64>,
    /// Bytes that those caches may take.
    pub session_bytes_max: u64,
    /// Measured speed, without rests.
    pub measured_layers_per_second: u32,
    /// In which part of the time it is computed.
    pub duty: Duty,
    /// The thread that computes them.
    pub worker: crate::jobs::worker::WorkerHandle,
}

impl ServedModel {
    /// How fast it is with its rests: what is announced.
    #[must_use]
    pub fn layers_per_second(&self) -> u32 {
        self.duty.scale(self.measured_layers_per_second)
    }

    /// What is announced of it.
    #[must_use]
    pub fn announced(&self) -> Served {
        Served {
            model: self.id,
            name: self.card.name.clone(),
            card: Hash::of_blob(&self.card.to_bytes()),
            layers: self.card.shape.layers,
            range: self.range,
            arithmetic: self.arithmetic,
            layers_per_second: self.layers_per_second(),
            context: self.card.shape.context,
        }
    }
}

/// The list of served models, and whether they are lent now; models may be loaded
/// and unloaded while running.
#[derive(Debug, Clone, Default)]
pub struct ServedModels {
    models: Arc<RwLock<Vec<Arc<ServedModel>>>>,
    lending: Lending,
}

impl ServedModels {
    /// Adds a model; a model already listed under this id is replaced.
    pub fn insert(&self, model: ServedModel) {
        let mut list = self
            .models
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        list.retain(|held| held.id != model.id);
        list.push(Arc::new(model));
    }

    /// Whether others may use them now.
    #[must_use]
    pub const fn lending(&self) -> &Lending {
        &self.lending
    }

    /// The served model with this id.
    #[must_use]
    pub fn get(&self, id: ModelId) -> Option<Arc<ServedModel>> {
        self.list().into_iter().find(|held| held.id == id)
    }

    /// All served models.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<ServedModel>> {
        self.models
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}
