//! The Talkoot program as a library: a peer that lends layers, asks questions
//! and keeps the books.
//!
//! Decisions stand in [`core`], which does no I/O and reads no clock; the other
//! modules are shells around it. Outside libraries have one door each: libp2p
//! in [`swarm`], quinn in [`data`], axum in [`http`], clap in [`cli`].

pub mod api;
pub mod ask;
pub mod books;
pub mod cli;
pub mod client;
pub mod clock;
pub mod commands;
pub mod contacts;
pub mod context;
pub mod core;
pub mod data;
pub mod doctor;
pub mod exchange;
pub mod exit;
pub mod gossip;
pub mod home;
pub mod http;
pub mod invites;
pub mod jobs;
pub mod keys;
pub mod lending;
pub mod machine;
pub mod metrics;
pub mod models;
pub mod node;
pub mod observe;
pub mod probe;
pub mod runs;
pub mod settings;
pub mod settlement;
pub mod swarm;
pub mod telemetry;
pub mod units;
pub mod validate;
pub mod views;
