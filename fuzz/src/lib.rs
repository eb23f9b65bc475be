//! The fuzz bodies, for libFuzzer: see `ledger/tests/fuzz/bodies/mod.rs` and
//! `inference/tests/fuzz/bodies.rs`.

#[path = "../../ledger/tests/fuzz/bodies/mod.rs"]
mod bodies;
#[path = "../../inference/tests/fuzz/bodies.rs"]
mod checkpoints;
#[path = "../../ledger/tests/common/mod.rs"]
mod common;

/// Runs the body of a name.
///
/// # Panics
/// When the body finds a broken law, or there is none of that name.
pub fn run(name: &str, data: &[u8]) {
    let found = bodies::all().into_iter().find(|(body, _)| *body == name);
    if let Some((_, body)) = found {
        return body(data);
    }
    let mut checkpoints = checkpoints::BODIES.into_iter();
    let found = checkpoints.find(|(body, _)| *body == name);
    let (_, body) = found.unwrap_or_else(|| panic!("no body {name}"));
    body(data);
}
