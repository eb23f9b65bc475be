//! The control plane: libp2p. (interface)
