//! Jobs over real streams: rings of stages in one process, over pipes and over
//! QUIC on loopback, with the real ledger shared by all nodes.

mod books;
mod hostile;
mod network;
mod ring;
