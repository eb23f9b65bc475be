//! The Talkoot program as a library: see `main.rs` for the binary.
