//! What we say about ourselves: the presence of this node, from its context.

use crate::context::NodeContext;
use crate::swarm::SwarmHandle;
use std::sync::{Arc, PoisonError};
use talkoot_protocol::announce::{Presence, Served};
use talkoot_protocol::limits;

/// Gives our presence as it is now.
pub(in crate::gossip) type Describe = Box<dyn Fn(&SwarmHandle) -> Presence + Send + Sync>;

/// Describes the node of a context.
pub(in crate::gossip) fn describe_with(ctx: Arc<NodeContext>) -> Describe {
    Box::new(move |swarm| describe(&ctx, swarm))
}

fn describe(ctx: &NodeContext, swarm: &SwarmHandle) -> Presence {
    // While lending is paused others shall not count on our layers.
    let is_paused = ctx.served.lending().paused().is_some();
    let models = if is_paused {
        Vec::new()
    } else {
        ctx.served.list()
    };
    let served: Vec<Served> = models
        .iter()
        .take(limits::SERVED_MAX)
        .map(|model| model.announced())
        .collect();
    let data_addresses = ctx
        .data_addresses
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .take(limits::ADDRESSES_MAX)
        .map(ToString::to_string)
        .collect();
    // One number for all models: what the busiest of them could still take.
    let free = models.iter().map(|model| model.worker.free_sessions());
    let free_sessions = free.min().unwrap_or(0);
    Presence {
        software: env!("CARGO_PKG_VERSION").to_owned(),
        addresses: addresses(swarm),
        data_addresses,
        served,
        free_sessions: u16::try_from(free_sessions).unwrap_or(u16::MAX),
        memory_bytes: ctx.limits.memory_bytes,
    }
}

/// The addresses we listen on that fit an announcement.
pub(in crate::gossip) fn addresses(swarm: &SwarmHandle) -> Vec<String> {
    swarm
        .listeners()
        .into_iter()
        .filter(|address| address.len() <= limits::ADDRESS_BYTES_MAX)
        .take(limits::ADDRESSES_MAX)
        .collect()
}
