//! Fuzz bodies: one for each decoder, for journal and signer file, and for
//! admission of arbitrary entries into a small ledger.
//!
//! A body takes any bytes and panics only if a law is broken. The same bodies
//! run in the gate (`../main.rs`) and under libFuzzer (`fuzz/`).

mod admission;
mod decoders;
mod files;
mod input;

/// A body and its name, which is also that of its target and of its corpus.
pub(crate) type Body = (&'static str, fn(&[u8]));

/// All bodies.
pub(crate) fn all() -> Vec<Body> {
    let others: [Body; 4] = [
        ("journal", files::journal),
        ("signer", files::signer),
        ("books", files::books),
        ("admission", admission::admission),
    ];
    decoders::BODIES.iter().copied().chain(others).collect()
}
