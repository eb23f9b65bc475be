//! The control plane: libp2p. (interface)
pub mod identity;
