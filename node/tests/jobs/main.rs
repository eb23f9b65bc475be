//! Jobs over real streams: rings of stages in one process, over pipes and over
//! QUIC on loopback, with the real ledger shared by all nodes.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

mod books;
mod hostile;
mod network;
mod paused;
mod quote;
mod ring;
mod unpaid;
