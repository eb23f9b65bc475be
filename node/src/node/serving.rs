//! Lending layers: opening models, choosing a range, loading it into a worker
//! thread and measuring it.

use super::NodeHandle;
use crate::clock;
use crate::context::ServedModel;
use crate::core::placement;
use crate::exit::{Exit, Failure};
use crate::jobs::engine::shard::ShardEngine;
use crate::jobs::worker::{WorkerHandle, WorkerLimits};
use crate::machine;
use crate::models::{LocalModel, Use, names};
use crate::settings::{Backend, Settings};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use talkoot_inference::{LayerBytes, LoadEvent, SessionConfig, Shard, ShardOptions, session_bytes};
use talkoot_ledger::kinds::Model;
use talkoot_ledger::{Payload, kinds};
use talkoot_protocol::{DType, LayerRange};

/// Memory lent when the owner names none and the system tells nothing.
const MEMORY_FALLBACK_BYTES: u64 = 2 << 30;
/// How long a node that joins others waits to hear what they serve before it
/// chooses its layers.
const HEARING: Duration = Duration::from_secs(5);
/// Decode steps of the speed measurement.
const MEASURED_TOKENS: u32 = 8;

/// Half of what the system says is free.
pub(super) fn memory_default() -> u64 {
    machine::available_bytes().map_or(MEMORY_FALLBACK_BYTES, |bytes| bytes / 2)
}

/// Opens the models and serves the layers that the owner or the network wants.
pub(super) async fn start(node: &NodeHandle, settings: Settings) -> Result<(), Failure> {
    let lent = lend(node, &settings).await;
    node.0.loading.end();
    lent?;
    node.0.control.announce_now();
    tokio::spawn(describe_models(node.clone()));
    Ok(())
}

async fn lend(node: &NodeHandle, settings: &Settings) -> Result<(), Failure> {
    let opening = (node.clone(), settings.clone());
    let opened = tokio::task::spawn_blocking(move || open(&opening.0, &opening.1)).await;
    let models = opened.map_err(|error| Failure::new(Exit::Failure, error.to_string()))??;
    for model in models {
        node.0
            .models
            .add(model.clone())
            .map_err(|error| Failure::new(Exit::BadConfig, error.to_string()))?;
        let range = choose(node, &model, settings).await?;
        serve(node, model, range, settings).await?;
    }
    Ok(())
}

fn open(node: &NodeHandle, settings: &Settings) -> Result<Vec<LocalModel>, Failure> {
    let loading = &node.0.loading;
    let how = Use {
        format: settings.quantize,
        cache: Some(&node.0.cache),
        threads: settings.threads,
        observer: &|event| loading.hear(&event),
    };
    let open_one = |path: Option<&Path>| {
        let name = path.map_or_else(|| names::DEMO.to_owned(), names::of_path);
        loading.begin(&name);
        LocalModel::open(path, &how).map_err(Failure::from)
    };
    if settings.models.is_empty() {
        return Ok(vec![open_one(None)?]);
    }
    settings
        .models
        .iter()
        .map(|path| open_one(Some(path)))
        .collect()
}

/// The range that the owner names, or the least covered one that fits.
async fn choose(
    node: &NodeHandle,
    model: &LocalModel,
    settings: &Settings,
) -> Result<LayerRange, Failure> {
    let layers = model.card.shape.layers;
    if let Some(range) = settings.layers {
        if range.end() > layers {
            let message = format!("--layers {range}: {} has {layers} layers", model.card.name);
            return Err(Failure::new(Exit::BadConfig, message));
        }
        return Ok(range);
    }
    hear_others(node, settings).await;
    let ctx = &node.0.ctx;
    let needed = |range| {
        model
            .checkpoint
            .weight_bytes(range)
            .saturating_add(session_bytes_of(model, range))
    };
    let needed = LayerBytes::new(model.checkpoint.config().layers(), needed);
    let bytes_of = |range| needed.of(range);
    let coverage = node
        .0
        .control
        .directory()
        .read(|directory, now_ms| directory.coverage(model.id, layers, now_ms));
    placement::least_covered(layers, bytes_of, ctx.limits.memory_bytes, &coverage).ok_or_else(
        || {
            let message = format!(
                "not even one layer of {} fits {} bytes of memory",
                model.card.name, ctx.limits.memory_bytes
            );
            Failure::new(Exit::BadConfig, message)
                .hint("--max-mem lends more; --no-serve only asks")
        },
    )
}

/// A node that knows whom to dial waits until somebody has said what it serves.
async fn hear_others(node: &NodeHandle, settings: &Settings) {
    if settings.bootstrap.is_empty() && node.0.control.swarm().peers().is_empty() {
        return;
    }
    let heard = async {
        let mut look = tokio::time::interval(Duration::from_millis(50));
        while node.0.asker.served().is_empty() {
            look.tick().await;
        }
    };
    if tokio::time::timeout(HEARING, heard).await.is_err() {
        tracing::info!("nobody has announced layers yet; choosing alone");
    }
}

/// Bytes of the caches of one session as long as placement counts on.
fn session_bytes_of(model: &LocalModel, range: LayerRange) -> u64 {
    let shape = &model.card.shape;
    session_bytes(
        shape,
        &SessionConfig {
            range,
            capacity_tokens: placement::reserved_tokens(shape.context),
            hidden_dtype: DType::F32,
        },
    )
}

/// What is left of the lent memory beside the weights is for sessions. Where the
/// owner names layers that leave less, they get one such session, or a quarter of
/// the memory if that is less: weights in a mapped file give way.
fn options(
    node: &NodeHandle,
    model: &LocalModel,
    range: LayerRange,
    settings: &Settings,
) -> ShardOptions {
    let memory_bytes = node.0.ctx.limits.memory_bytes;
    let left_bytes = memory_bytes.saturating_sub(model.checkpoint.weight_bytes(range));
    ShardOptions {
        backend: match settings.backend {
            Backend::Kernels => talkoot_inference::Backend::Kernels,
            Backend::Burn => talkoot_inference::Backend::Burn,
            Backend::Cuda => talkoot_inference::Backend::Cuda,
        },
        session_bytes_max: left_bytes.max(session_bytes_of(model, range).min(memory_bytes / 4)),
        threads: settings.threads,
    }
}

async fn serve(
    node: &NodeHandle,
    model: LocalModel,
    range: LayerRange,
    settings: &Settings,
) -> Result<(), Failure> {
    let options = options(node, &model, range, settings);
    let loading = node.0.loading.clone();
    loading.begin(&model.card.name);
    let loaded = tokio::task::spawn_blocking(move || {
        tracing::info!(model = model.card.name, %range, threads = options.threads, "loading layers");
        let observer = |event: LoadEvent<'_>| loading.hear(&event);
        let mut shard = Shard::load_observed(&model.checkpoint, range, &options, &observer)
            .map_err(|error| Failure::new(Exit::BadConfig, error.to_string()))?;
        let began = clock::monotonic();
        let elapsed_us = || u64::from(clock::elapsed_us(began));
        let speed = shard
            .measure_layers_per_second(MEASURED_TOKENS, elapsed_us)
            .map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        Ok::<_, Failure>((model, shard, speed))
    });
    let (model, shard, speed) = loaded
        .await
        .map_err(|error| Failure::new(Exit::Failure, error.to_string()))??;
    let (arithmetic, shard_bytes) = (shard.arithmetic(), shard.weight_bytes());
    let session_bytes = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&session_bytes);
    let limits = WorkerLimits {
        sessions_max: node.0.ctx.limits.sessions_max,
        duty: settings.duty,
    };
    let worker = WorkerHandle::start_with(&model.card.name, limits, move || {
        ShardEngine::counted(shard, counted)
    })?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the type"
    )]
    let measured_layers_per_second = speed.clamp(1.0, f64::from(u32::MAX)) as u32;
    let served = ServedModel {
        id: model.id,
        card: model.card,
        asker: model.asker,
        range,
        arithmetic,
        shard_bytes,
        session_bytes,
        session_bytes_max: options.session_bytes_max,
        measured_layers_per_second,
        duty: settings.duty,
        worker,
    };
    let (name, layers_per_second) = (&served.card.name, served.layers_per_second());
    tracing::info!(model = name, %range, layers_per_second, "serving");
    node.0.ctx.served.insert(served);
    Ok(())
}

/// Writes the cards of served models into the ledger, once per model and
/// network, as soon as this node may write.
async fn describe_models(node: NodeHandle) {
    let mut events = node.0.ctx.books.subscribe();
    for model in node.0.ctx.served.list() {
        let card = model.card.to_bytes();
        loop {
            let (me, looked_for) = (node.0.ctx.wallet(), card.clone());
            let look = node.0.ctx.books.with(move |books| {
                let ledger = books.ledger();
                let known = ledger.entries(0).any(|view| {
                    view.entry.kind == kinds::MODEL
                        && matches!(Payload::decode(view.entry.kind, &view.entry.payload),
                            Ok(Some(Payload::Model(known))) if known.card == looked_for)
                });
                (known, ledger.is_member(&me) && books.signing().is_active())
            });
            match look.await {
                Ok((true, _)) => break,
                Ok((false, true)) => {
                    let payload = Payload::Model(Model { card: card.clone() });
                    if let Err(error) = node.0.ctx.books.author_payload(&payload).await {
                        tracing::warn!(%error, "the model's card was not written");
                    }
                    break;
                }
                Ok((false, false)) => {
                    if matches!(
                        events.recv().await,
                        Err(tokio::sync::broadcast::error::RecvError::Closed)
                    ) {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}
